#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ports that come and go while the others' frames flow: these lose none, and nothing is left of those that went.

Argument: how the workers are told: "one-worker", "two-workers" (both poll) or "signals".
"""

import json
import os
import stat
import sys
from pathlib import Path

from frontend import Frontend
from hostile_frontend import BROADCAST, WINDOW, check_delivery, is_in_state
from support import (
    CPUS,
    EXPERIMENTAL,
    check,
    check_contains,
    check_equal,
    config,
    daemon,
    ethdev,
    frame,
    ports,
    raw,
    refused,
    run,
    say,
    settle,
    tap,
    tap_name,
    vhost,
    wait_until,
    workspace,
)
from lab.netns import host

SETTINGS = {
    "one-worker": {},
    "two-workers": {"workers": [CPUS[0], CPUS[-1]]},
    "signals": {"workers": [CPUS[0], CPUS[-1]], "baseline": "uml"},
}[sys.argv[1] if len(sys.argv) > 1 else "one-worker"]
CYCLES = 100
ATTACHMENTS = 500
WARM_UP = 100
GROWTH_KIB = 1024  # of memory in use, from the warm-up on


class Station(Frontend):
    """A guest that is deaf to what the host's kernel says on an interface which comes up."""

    def __init__(self, directory, name):
        super().__init__(directory / f"{name}.sock")

    def receive(self):
        return [one for one in super().receive() if one[12:14] == EXPERIMENTAL.to_bytes(2, "big")]


def add(switch, port):
    """Add a port as pktvirt-ctl does."""
    return switch.ctl("port", "add", json.dumps(port))


def remove(switch, name):
    return switch.ctl("port", "remove", name)


class Use:
    """What the daemon has of the machine: resident memory, descriptors, packets outside of their pool."""

    def __init__(self, switch):
        status = Path(f"/proc/{switch.pid}/status").read_text()
        self.kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        self.files = len(os.listdir(f"/proc/{switch.pid}/fd"))
        self.packets = switch.ctl("show", "workers")["packet_buffers"]["in_use"]


def check_use(switch, before, what):
    """Nothing was leaked since then. The library closes a connection a moment after its guest is gone."""
    wait_until(f"{what}: no more descriptors are open than before", lambda: Use(switch).files <= before.files)
    wait_until(f"{what}: no more packets are in use than before", lambda: Use(switch).packets <= before.packets)
    grown = Use(switch).kib - before.kib
    sanitized = b"__asan_init" in Path(os.environ["PKTVIRT_BIN"]).read_bytes()
    check(sanitized or grown < GROWTH_KIB, f"{what}: memory in use has settled", f"{grown} KiB more")


class Steps:
    """Does one step each time that it is called, and is true when all are done."""

    def __init__(self, steps):
        self._steps = iter(steps)

    def __call__(self):
        return next(self._steps, self) is self


def every_type_comes_and_goes(switch, directory, vm0, vm1, interface):
    described = [
        vhost("vm9", directory),
        vhost("vm9", directory, data_path="rte_vhost", queues=2),
        tap("tap9", tap_name()),
        raw("raw9", interface),
        ethdev("null9", "net_null9,no-rx=1"),
    ]

    def steps():
        for port in described:
            kind = add(switch, port)["type"]
            there = ports(switch)
            shown = [one["name"] for one in switch.ctl("show", "config")["config"]["ports"]]
            name = port["name"]
            good = kind in port and name in there and shown == ["vm0", "vm1", name]
            yield
            remove(switch, name)
            good = good and list(ports(switch)) == ["vm0", "vm1"]
            check(good, f"{kind} was there, and is not any more")
            yield

    check_delivery("ports of every type come and go", vm0, vm1, 10 * WINDOW, Steps(steps()))


def an_added_port_is_a_port(switch, directory, vm0, vm1):
    add(switch, vhost("vm9", directory))
    with Station(directory, "vm9").attach() as vm9:
        is_in_state(switch, "vm9", "up")
        check_delivery("to the port that was added", vm0, vm9)
        settle(switch, vm0, vm1, vm9)
        check_delivery("from it", vm9, vm1)
        settle(switch, vm0, vm1, vm9)
        check_delivery("beside it, while it is removed", vm0, vm1, 20 * WINDOW, Steps(remove(switch, "vm9") for _ in "1"))
        wait_until("its guest is disconnected", lambda: vm9.connection.recv(4096) == b"")
    check(not (directory / "vm9.sock").exists(), "its socket is gone")


def a_guest_that_sends_is_removed(switch, directory, vm0, vm1):
    """Its frames are under way when its port goes."""
    for _ in range(10):
        add(switch, vhost("vm9", directory))
        with Station(directory, "vm9").attach() as vm9:
            is_in_state(switch, "vm9", "up")
            vm9.send([frame(BROADCAST, "52:54:00:00:00:99", 1000)] * 200)
            remove(switch, "vm9")
    settle(switch, vm0, vm1)
    check_delivery("after guests went in the middle of a burst", vm0, vm1)


def many_come_and_go(switch, directory, vm0, vm1):
    def cycle(number):
        add(switch, vhost("vm9", directory) if number % 2 else tap("tap9", tap_name()))
        yield
        remove(switch, "vm9" if number % 2 else "tap9")
        yield

    def cycles(count):
        for number in range(count):
            yield from cycle(number)

    check_delivery("a few cycles", vm0, vm1, WINDOW, Steps(cycles(20)))
    before = Use(switch)
    held = []
    check_delivery(f"{CYCLES} ports come and go", vm0, vm1, 2 * CYCLES * WINDOW, Steps(cycles(CYCLES)))
    check_use(switch, before, f"{CYCLES} ports came and went")
    for _ in range(20):
        held.append(add(switch, tap("tap9", tap_name()))["held_us"])
        held.append(remove(switch, "tap9")["held_us"])
    say(f"packets waited for {sorted(held)[len(held) // 2]} us at the median, {max(held)} us at most")


def guests_come_and_go(switch, directory, vm0, vm1):
    """Each with memory of its own, and a frame."""
    def attachments(count):
        for _ in range(count):
            with Station(directory, "vm2").attach() as vm2:
                vm2.send([frame(BROADCAST, "52:54:00:00:00:98")])
                yield

    add(switch, vhost("vm2", directory))
    for _ in attachments(WARM_UP):
        pass
    is_in_state(switch, "vm2", "down")
    before = Use(switch)
    for _ in attachments(ATTACHMENTS):
        vm0.receive()
        vm1.receive()
    is_in_state(switch, "vm2", "down")
    check_equal(ports(switch)["vm2"]["detail"]["attachments"], WARM_UP + ATTACHMENTS, f"{ATTACHMENTS} guests came")
    check_use(switch, before, f"{ATTACHMENTS} guests came and went")
    remove(switch, "vm2")
    settle(switch, vm0, vm1)


def stages_are_switched_with_the_ports_there_are(switch, directory, vm0, vm1):
    add(switch, vhost("vm9", directory))
    remove(switch, "vm1")
    switch.ctl("stage", "set", "shared-buffer-rings", "on")
    switch.ctl("stage", "set", "specialization", "on")
    shown = [one["name"] for one in switch.ctl("show", "config")["config"]["ports"]]
    check_equal(shown, ["vm0", "vm9"], "a configuration with other stages has the ports of now")
    with Station(directory, "vm9").attach() as vm9:
        is_in_state(switch, "vm9", "up")
        check_delivery("after stages were switched", vm0, vm9)
    switch.ctl("stage", "set", "specialization", "off")
    switch.ctl("stage", "set", "shared-buffer-rings", "off")
    remove(switch, "vm9")


def mistakes_are_told(switch, directory):
    before = switch.ctl("show", "config")
    message = refused(switch, "port", "add", json.dumps({**vhost("vm0", directory), "mtu": 1, "colour": "red"}))
    for part in ('vm0: unknown option "colour"', "vm0.mtu: 1: expected 68 to 9000",
                 'vm0.name: "vm0": already the name of a port', 'already the socket of port "vm0"'):
        check_contains(message, part, "all mistakes are told at once")
    message = refused(switch, "port", "add", json.dumps(vhost("vm9", directory, mtu=9000)))
    check_contains(message, "vm9.mtu: 9000: expected at most 2025", "so is a port that the packet buffers do not fit")
    message = refused(switch, "port", "add", json.dumps(raw("raw9", "no-such-if")))
    check_contains(message, 'raw9: raw interface "no-such-if": there is none of that name', "so is a device that is not there")
    add(switch, ethdev("null9", "net_null9,no-rx=1"))
    message = refused(switch, "port", "add", json.dumps(ethdev("null8", "net_null9")))
    check_contains(message, 'null8: devargs "net_null9": the device of port "null9"', "so is a device that a port has")
    check_equal(ports(switch)["null9"]["state"], "up", "which goes on")
    remove(switch, "null9")
    check_contains(refused(switch, "port", "remove", "vm"), 'no port "vm"', "and a port that is not there")
    check_equal(switch.ctl("show", "config"), before, "nothing has changed")


def main():
    with workspace() as directory:
        interface = tap_name(1)
        host("ip", "link", "add", interface, "type", "veth", "peer", "name", tap_name(2))
        host("ip", "link", "set", interface, "up")
        try:
            with daemon(config(vhost("vm0", directory), vhost("vm1", directory), **SETTINGS)) as switch:
                mode = stat.S_IMODE(os.stat(switch.control_socket).st_mode)
                check_equal(oct(mode), "0o600", "the control socket is its user's alone")
                with Station(directory, "vm0").attach() as vm0:
                    with Station(directory, "vm1").attach() as vm1:
                        say("every type")
                        every_type_comes_and_goes(switch, directory, vm0, vm1, interface)
                        say("one with a guest")
                        an_added_port_is_a_port(switch, directory, vm0, vm1)
                        a_guest_that_sends_is_removed(switch, directory, vm0, vm1)
                        say("many")
                        many_come_and_go(switch, directory, vm0, vm1)
                        guests_come_and_go(switch, directory, vm0, vm1)
                        say("mistakes")
                        mistakes_are_told(switch, directory)
                        say("stages")
                        stages_are_switched_with_the_ports_there_are(switch, directory, vm0, vm1)
        finally:
            host("ip", "link", "del", interface)


if __name__ == "__main__":
    run(main)
