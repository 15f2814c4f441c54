#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guests' memory in windows of a power of two: switched live, made anew as guests come and go, or not possible."""

import os
import struct

from frontend import MEMORY_AT, MEMORY_SIZE, NET_HEADER, SCRATCH, SET_FEATURES, SET_MEM_TABLE, SET_OWNER, GET_FEATURES
from frontend import Frontend, Ring
from hostile_frontend import BROADCAST, check_delivery, is_in_state
from support import check_contains, check_equal, config, daemon, frame, is_conserved, ports, run, vhost, wait_until
from support import workspace

STAGE = "multi-context-demux"
CHANGES = (("protection=window", "window"), ("protection=validate", "validate"), ("protection=window", "window"),
           ("off", "validate"))
ROUNDS = 25
ATTACHMENTS = 500
COMER = "52:54:00:00:00:03"  # the address of who comes and goes
HIGH = 1 << 40  # where no window reaches


def protection(switch, port):
    """How a guest's memory is protected, and why not by a window."""
    detail = ports(switch)[port]["detail"]
    return detail["protection"], detail["no_window"]


def is_switched_live(switch, vm0, vm1):
    """Each change while frames are under way, of which none is lost."""
    wrong, changes = [], iter(CHANGES * ROUNDS)

    def change():
        to, expected = next(changes, (None, None))
        if to is not None:
            switch.ctl("stage", "set", STAGE, to)
            wrong.extend(found for port in ("vm0", "vm1") if (found := protection(switch, port)) != (expected, None))
        return to is None

    check_delivery("while protection changes", vm0, vm1, count=20000, meanwhile=change)
    check_equal(wrong, [], f"{len(CHANGES) * ROUNDS} changes do what they say")


def resources(switch):
    """Mappings and descriptors that the daemon has."""
    with open(f"/proc/{switch.pid}/maps", encoding="ascii") as maps:
        return len(maps.readlines()), len(os.listdir(f"/proc/{switch.pid}/fd"))


def nothing_is_left_behind(switch, path):
    """Of guests that come, name an address where they have no memory, and go."""
    before = None
    for number in range(ATTACHMENTS):
        attached = False
        while not attached:
            try:
                with Frontend(path) as guest:
                    guest.attach()
                    attached = True
                    guest.transmitting.describe(0, MEMORY_SIZE - 50, 1000)
                    guest.transmitting.offer(0)
            except ConnectionError:
                pass  # the guest before is not gone yet
        if number == 10:  # whatever is there once
            is_in_state(switch, "vm2", "down")
            before = resources(switch)
    is_in_state(switch, "vm2", "down")

    def is_as_before():
        mappings, files = resources(switch)
        return mappings <= before[0] and files <= before[1]

    wait_until(f"after {ATTACHMENTS} guests there are as many mappings and descriptors as before", is_as_before)


def a_guest_that_was_stopped_may_begin_anew(switch, path, neighbour):
    with Frontend(path).attach() as guest:
        is_in_state(switch, "vm2", "up")
        guest.transmitting.describe(0, MEMORY_SIZE - 50, 1000)
        guest.transmitting.offer(0)
        is_in_state(switch, "vm2", "down")
        check_contains(ports(switch)["vm2"]["detail"]["stopped"], "where it has no memory", "the port says why")
        guest.stop_rings()
        guest.start_rings()
        is_in_state(switch, "vm2", "up")
        check_equal(protection(switch, "vm2"), ("window", None), "it has a window again")
        neighbour.receive()
        check_delivery("from a guest that was stopped", guest, neighbour, count=100, source=COMER)


class HighRing(Ring):
    """Of a guest whose memory begins at HIGH."""

    def describe(self, number, address, length, flags=0, following=0):
        super().describe(number, HIGH + address, length, flags, following)


class HighFrontend(Frontend):
    """Such a guest."""

    def __init__(self, path):
        super().__init__(path)
        for ring in self.rings:
            ring.close()
        self.rings = self.receiving, self.transmitting = HighRing(self.memory, 0), HighRing(self.memory, 1)

    def attach(self):
        self.tell(SET_OWNER)
        self.ask(GET_FEATURES)
        self.tell(SET_FEATURES, struct.pack("<Q", self.features))
        self.tell(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, HIGH, MEMORY_SIZE, MEMORY_AT, 0), [self._file])
        self.start_rings()
        self.ask(GET_FEATURES)
        return self


def memory_that_fits_no_window_is_validated(switch, path, neighbour):
    with HighFrontend(path).attach() as guest:
        is_in_state(switch, "vm2", "up")
        check_equal(protection(switch, "vm2"), ("validate", "the guest's memory reaches beyond 1 TiB"), "it has none")
        neighbour.receive()
        check_delivery("from a guest without a window", guest, neighbour, count=100, source=COMER)
        lines = [line for line in switch.log.read_text().splitlines() if "no window for the guest's memory" in line]
        check_equal(len(lines), 1, "the log says so once")
        guest.memory[SCRATCH : SCRATCH + 72] = NET_HEADER + frame(BROADCAST, COMER)
        Ring.describe(guest.transmitting, 0, SCRATCH, 72)  # where a mask would have found it
        guest.transmitting.offer(0)
        is_in_state(switch, "vm2", "down")
        check_contains(ports(switch)["vm2"]["detail"]["stopped"], "outside the guest's memory", "and is validated")


def main():
    with workspace() as directory:
        names = [vhost(name, directory, guest="qemu", data_path="vio") for name in ("vm0", "vm1", "vm2")]
        with daemon(config(*names)) as switch, \
             Frontend(directory / "vm0.sock").attach() as vm0, Frontend(directory / "vm1.sock").attach() as vm1:
            is_switched_live(switch, vm0, vm1)
            switch.ctl("stage", "set", STAGE, "protection=window")
            path = directory / "vm2.sock"
            a_guest_that_was_stopped_may_begin_anew(switch, path, vm0)
            memory_that_fits_no_window_is_validated(switch, path, vm0)
            nothing_is_left_behind(switch, path)
            vm0.receive()
            vm1.receive()
            check_delivery("the neighbours go on", vm0, vm1)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))


if __name__ == "__main__":
    run(main)
