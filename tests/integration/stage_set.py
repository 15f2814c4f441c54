#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stages are switched while two User-mode Linux guests talk: nothing is lost, no port goes down, mistakes change nothing.

Argument: the baseline, "uml" (if there is none) or "xen", or "contexts" for the stage multi-context-demux over the latter.
"""

import sys

from support import (
    Transfer,
    check,
    check_contains,
    check_equal,
    check_ping,
    daemon,
    is_conserved,
    ports,
    refused,
    run,
    running,
    say,
    shipped_config,
    uml,
    vhost,
    wait_until,
    workspace,
)

MIB = 160
TRIED = (sys.argv[1:] or ["uml"])[0]
CONFIG, BASELINE = {"uml": ("eul.json", "uml"), "xen": ("xen-ioc.json", "xen"), "contexts": ("cdna.json", "xen")}[TRIED]
# In turns, until the transfer is done: every mechanism of that configuration off and on, and options.
CHANGES = {
    "uml": (
        ("signal-free-sync", "off"),
        ("batched-syscalls", "off"),
        ("specialization", "off"),
        ("translation-cache", "off"),
        ("shared-buffer-rings", "off"),
        ("signal-free-sync", "mode=poll"),
        ("batched-syscalls", "on"),
        ("shared-buffer-rings", "copy-break=1000"),
        ("specialization", "key=flow"),
        ("translation-cache", "entries=64"),
        ("signal-free-sync", "mode=mask"),
    ),
    "xen": (
        ("io-channel", "off"),
        ("io-channel", "on"),
        ("shared-buffer-rings", "on"),
        ("io-channel", "off"),
        ("io-channel", "copy-break=1000"),
        ("shared-buffer-rings", "off"),
    ),
    "contexts": (
        ("multi-context-demux", "off"),
        ("multi-context-demux", "on"),
        ("multi-context-demux", "protection=window"),
        ("multi-context-demux", "idle-us=0"),
        ("io-channel", "off"),
        ("multi-context-demux", "quantum=1518"),
        ("multi-context-demux", "off"),
        ("multi-context-demux", "protection=validate"),
        ("io-channel", "on"),
        ("multi-context-demux", "idle-us=100000"),
    ),
}[TRIED]
BOUND = {"signal-free-sync": "critical-section", "batched-syscalls": "host-io", "shared-buffer-rings": "buffer-passing",
         "specialization": "packet-path", "translation-cache": "translation",
         "io-channel": "io-channel", "multi-context-demux": "multiplexing"}


def bound(answer):
    """What is bound: primitive -> (implementation, why)."""
    return {one["primitive"]: (one["implementation"], one["why"]) for one in answer["primitives"]}


def names(answer):
    """The stages that are listed."""
    return [stage if isinstance(stage, str) else next(iter(stage)) for stage in answer["stages"]]


def expected(name, change):
    """Whether the stage is to be listed, and why its primitive is bound, after a change."""
    if change != "off":
        return True, f"stage {name}"
    return False, "plain" if name == "shared-buffer-rings" else f"baseline {BASELINE}"


def switch_stage(switch, name, change, wrong):
    """One change; for how long packets waited. What is not as it must be goes to `wrong`."""
    answer = switch.ctl("stage", "set", name, change)
    found = name in names(answer), bound(answer)[BOUND[name]][1]
    if found != expected(name, change):
        wrong.append((name, change, found))
    return answer["held_us"]


def stages_are_switched_while_data_flows(switch, vm0, vm1):
    before = ports(switch)
    held, wrong = [], []
    with Transfer(vm0, vm1, "10.77.0.2", MIB) as moving:
        while not moving.ended():
            for name, change in CHANGES:
                held.append(switch_stage(switch, name, change, wrong))
        moving.finish()
    check(len(held) >= len(CHANGES), f"stages were switched {len(held)} times while {MIB} MiB went through")
    check_equal(wrong, [], "each change is what was asked for")
    say(f"packets waited for {max(held)} us at most")
    wait_until("every frame is accounted for", lambda: is_conserved(switch))
    for name, port in ports(switch).items():
        check_equal(port["detail"]["attachments"], 1, f"{name} never lost its guest")
        lost = {reason: n for reason, n in port["drops"].items() if before[name]["drops"].get(reason, 0) != n}
        check(set(lost) <= {"ring_full"}, f"{name} has lost nothing but to a full ring", lost)
        if TRIED == "xen":
            rings = port["detail"]["rings"]
            both = all(0 < ring["grants"]["maps"] < ring["frames"] for ring in rings)
            check(both, f"some packets of {name} were mapped, and some were not", rings)
            check_equal([ring["grants"]["failures"] for ring in rings], [0, 0], f"no packet of {name} was refused")


def mistakes_change_nothing(switch):
    before = switch.ctl("show", "config")
    message = refused(switch, "stage", "set", "shared-buffer-rings", "copy-break=1")
    check_contains(message, "copy-break: 1: expected 128 to 65535", "a value out of range is refused")
    message = refused(switch, "stage", "set", "shared-buffer-rings", "copy-brake=300")
    check_contains(message, 'unknown option "copy-brake"; did you mean "copy-break"?', "so is an unknown option")
    message = refused(switch, "stage", "set", "batched-syscall", "on")
    check_contains(message, 'unknown stage "batched-syscall"; did you mean "batched-syscalls"?', "so is an unknown stage")
    check_equal(switch.ctl("show", "config"), before, "nothing has changed")


def main():
    with workspace() as directory:
        config = shipped_config(CONFIG, vhost("vm0", directory), vhost("vm1", directory))
        with daemon(config) as switch, running(uml("vm0", directory, 1), uml("vm1", directory, 2)) as (vm0, vm1):
            say("data flows")
            check_ping(vm0, "10.77.0.2")
            stages_are_switched_while_data_flows(switch, vm0, vm1)
            check_ping(vm1, "10.77.0.1")
            say("mistakes")
            mistakes_change_nothing(switch)


if __name__ == "__main__":
    run(main)
