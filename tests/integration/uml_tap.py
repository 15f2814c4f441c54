#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A User-mode Linux guest and a kernel tap, whose interface is in a namespace; a system call per frame or per burst."""

import os
from pathlib import Path

from support import (
    Namespace,
    Skip,
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    is_conserved,
    ports,
    run,
    running,
    say,
    tap,
    tap_name,
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)
from lab.netns import host

MIB = 50


def system_calls(switch):
    """System calls and frames of the tap so far."""
    detail = ports(switch)["tap0"]["detail"]
    return detail["system_calls"], detail["system_call_frames"]


def move_into(namespace, interface):
    """Give the namespace the kernel's end of the tap."""
    host("ip", "link", "set", interface, "netns", namespace.name)
    namespace.run(f"ip addr add 10.77.0.9/24 dev {interface} && ip link set {interface} up")


def calls_per_frame_under_load(switch, vm0, outside):
    """Moves data both ways; returns the system calls per frame meanwhile."""
    calls_before, frames_before = system_calls(switch)
    transfer(vm0, outside, "10.77.0.9", MIB)
    transfer(outside, vm0, "10.77.0.1", MIB)
    calls, frames = system_calls(switch)
    check(frames - frames_before > 2 * (MIB << 20) / 1500, "the tap has counted the frames", frames - frames_before)
    print(f"   {calls - calls_before} system calls for {frames - frames_before} frames")
    return (calls - calls_before) / (frames - frames_before)


def measure(implementation, stages):
    """Runs a guest with the stages over UML's baseline; returns the system calls per frame."""
    with workspace() as directory, Namespace("outside") as outside:
        interface = tap_name()
        switched = config(vhost("vm0", directory), tap("tap0", interface), baseline="uml", stages=stages)
        with daemon(switched) as switch, running(uml("vm0", directory, 1)) as (vm0,):
            bound = switch.ctl("show", "stages")["primitives"]
            check(implementation in [one["implementation"] for one in bound], f"frames cross {implementation}", bound)
            move_into(outside, interface)
            check_ping(vm0, "10.77.0.9")
            check_ping(outside, "10.77.0.1")
            per_frame = calls_per_frame_under_load(switch, vm0, outside)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            check_equal(ports(switch)["tap0"]["detail"]["interface"], interface, "the port names its interface")
        check(not succeeds_in(outside, interface), "the tap is gone with the daemon")
    return per_frame


def succeeds_in(namespace, interface):
    """Whether the namespace still has the interface."""
    return namespace.run(["ip", "link", "show", interface], check=False).returncode == 0


def main():
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK) or not Path("/dev/net/tun").is_char_device():
        raise Skip("this machine has no /dev/net/tun")
    say("the baseline")
    single = measure("per-packet", [])
    check(single >= 1, "the baseline makes at least one system call per frame", f"{single:.2f}")
    say("the stage batched-syscalls")
    batched = measure("per-burst", ["batched-syscalls"])
    check(batched < 1, "the stage makes less than one system call per frame", f"{batched:.2f}")


if __name__ == "__main__":
    run(main)
