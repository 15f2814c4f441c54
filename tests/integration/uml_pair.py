#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two User-mode Linux guests over the switch of a shipped configuration: ping, data each way, counters, table, telemetry.

Argument: the configuration's name without ".json".
"""

import sys

from support import (
    check,
    check_equal,
    check_ping,
    addresses,
    daemon,
    is_conserved,
    ports,
    run,
    running,
    say,
    shipped_config,
    telemetry,
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)

MIB = 100
# What each configuration binds, and why; others than these may bind the rest as they like.
BOUND = {
    "cdna": {
        "io-channel": ("header-channel", "stage io-channel"),
        "multiplexing": ("contexts", "stage multi-context-demux"),
    },
    "eul": {
        "buffer-passing": ("shared", "stage shared-buffer-rings"),
        "host-io": ("per-burst", "stage batched-syscalls"),
    },
    "uml": {
        "buffer-passing": ("copy", "plain"),
        "critical-section": ("signal-mask", "baseline uml"),
        "host-io": ("per-packet", "baseline uml"),
        "io-channel": ("persistent", "plain"),
    },
    "xen": {
        "buffer-passing": ("copy", "plain"),
        "io-channel": ("grant", "baseline xen"),
    },
    "xen-ioc": {
        "io-channel": ("header-channel", "stage io-channel"),
    },
}
OFFLOADED = ("cdna",)  # where guests leave TCP to be segmented
ENDPOINTS = {
    "/pktvirt/ports": "ports",
    "/pktvirt/stages": "stages",
    "/pktvirt/workers": "workers",
    "/pktvirt/fdb": "addresses",
    "/pktvirt/config": "config",
}


def guests_reach_each_other(vm0, vm1):
    check_ping(vm0, "10.77.0.2")
    check_ping(vm1, "10.77.0.1")


def data_arrives_as_it_was_sent(vm0, vm1):
    transfer(vm0, vm1, "10.77.0.2", MIB)
    transfer(vm1, vm0, "10.77.0.1", MIB)


def counters_show_the_traffic(switch, name):
    wait_until("every frame is accounted for", lambda: is_conserved(switch))
    shown = ports(switch)
    for guest in ("vm0", "vm1"):
        port = shown[guest]
        check_equal((port["type"], port["role"], port["state"]), ("vhost-user", "guest", "up"), f"{guest} is a guest")
        check_equal(port["detail"]["frontend"], "uml", f"{guest} is known to be User-mode Linux")
        check(port["rx"]["bytes"] > MIB << 20, f"{guest} has sent more than {MIB} MiB", port["rx"])
        check(port["tx"]["bytes"] > MIB << 20, f"{guest} was sent more than {MIB} MiB", port["tx"])
        large = port["rx"]["packets"] * 1522 < port["rx"]["bytes"]
        longest = "more than" if large else "at most"
        check_equal(large, name in OFFLOADED, f"{guest} has sent frames of {longest} 1522 bytes")
    worker = switch.ctl("show", "workers")["workers"][0]
    received = sum(port["rx"]["packets"] for port in ports(switch).values())
    check(worker["packets"] >= received > 0, "the worker has counted them too", worker)


def pages_are_reached_as_the_configuration_has_it(switch, name):
    for port, shown in ports(switch).items():
        mappings = shown["detail"]["mappings_per_frame"]
        check((mappings >= 1) == (name == "xen"), f"{port}: {mappings:.3f} mappings for each frame")
        shared = sum(ring["shared"] for ring in shown["detail"]["rings"])
        check((shared > 0) == (name in ("cdna", "eul", "xen-ioc")), f"{port}: {shared} payloads stayed where they were")


def table_has_both_addresses(switch, vm0, vm1):
    learned = addresses(switch)
    check_equal((learned.get(vm0.mac), learned.get(vm1.mac)), ("vm0", "vm1"), "each address is learned at its port")


def mechanisms_are_those_of_the_configuration(switch, name):
    shown = switch.ctl("show", "stages")
    bound = {one["primitive"]: (one["implementation"], one["why"]) for one in shown["primitives"]}
    for primitive, expected in BOUND[name].items():
        check_equal(bound[primitive], expected, f"{primitive} is bound as it must be")
    path = switch.ctl("show", "workers")["workers"][0]["path"]
    if bound["packet-path"][0] == "specialized":
        check(path["shape"].startswith("fused: vhost-user, no stages"), "the worker runs what was compiled for it", path)
        check(path["hits"] > 100 * path["misses"], "templates have told most packets where to go", path)
    check("switch" in [stage["name"] for stage in shown["stages"]], "the framework's own parts are among the stages")
    masked = bound["critical-section"][0] == "signal-mask"
    signals = switch.ctl("show", "workers")["workers"][0].get("signals") or {}
    check((signals.get("mask_calls_per_packet", 0) > 0) == masked,
          f"critical sections make system calls: {'yes' if masked else 'no'}", signals)


def telemetry_answers(switch, shipped):
    name = switch.ctl("show", "config")["config"]["name"]
    check(set(ENDPOINTS) <= set(telemetry(name, "/")), "telemetry lists the endpoints of pktvirt")
    for endpoint, key in ENDPOINTS.items():
        answer = telemetry(name, endpoint)
        check(isinstance(answer, dict) and answer.get(key), f"telemetry answers {endpoint}", answer)
    told = {port: shown["rx"]["packets"] for port, shown in telemetry(name, "/pktvirt/ports")["ports"].items()}
    check(set(told) == {"vm0", "vm1"} and all(told.values()), "telemetry tells the counters of both ports", told)
    config = telemetry(name, "/pktvirt/config")["config"]
    check_equal(config["baseline"], shipped_config(f"{shipped}.json")["baseline"], "telemetry tells the configuration")


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "eul"
    with workspace() as directory:
        config = shipped_config(f"{name}.json", vhost("vm0", directory), vhost("vm1", directory))
        with daemon(config) as switch, running(uml("vm0", directory, 1), uml("vm1", directory, 2)) as (vm0, vm1):
            say("traffic")
            guests_reach_each_other(vm0, vm1)
            data_arrives_as_it_was_sent(vm0, vm1)
            say("what is told about it")
            counters_show_the_traffic(switch, name)
            pages_are_reached_as_the_configuration_has_it(switch, name)
            table_has_both_addresses(switch, vm0, vm1)
            mechanisms_are_those_of_the_configuration(switch, name)
            telemetry_answers(switch, name)


if __name__ == "__main__":
    run(main)
