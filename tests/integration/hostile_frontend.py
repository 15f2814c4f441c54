#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Frontends and guests that break the rules: each loses its own port, and the others go on.

Argument: "granted" for packets that are mapped one by one, "window" for guests' memory in windows of a power of two.
hostile_messages.py has them, too.
"""

import array
import fcntl
import signal
import struct
import sys
import termios

from frontend import (
    HEADER,
    INDIRECT,
    MEMORY_SIZE,
    MIB,
    NEED_REPLY,
    NEXT,
    RING_SIZE,
    SCRATCH,
    SET_FEATURES,
    SET_VRING_CALL,
    VERSION,
    WRITE,
    Frontend,
)
from support import (
    DEADLINE_S,
    PAUSE_S,
    check,
    check_equal,
    config,
    daemon,
    drops,
    frame,
    is_conserved,
    ports,
    run,
    say,
    vhost,
    wait_until,
    workspace,
)

BROADCAST = "ff:ff:ff:ff:ff:ff"
STATION = "52:54:00:00:00:01"  # who sends what must arrive
HOSTILE = "52:54:00:00:00:66"
FRAMES = 500
WINDOW = 64  # so many are under way at once: fewer than a ring has room for
RESTARTS = 2000
FEW_LINES = RESTARTS // 10
SETTINGS = {
    "granted": {"baseline": "xen"},
    "window": {"stages": [{"multi-context-demux": {"protection": "window"}}]},
}.get("".join(sys.argv[1:]), {})


# The switch and what it does


def switch_for(directory, *names):
    """A daemon with a port for each name."""
    return daemon(config(*[vhost(name, directory) for name in names], **SETTINGS))


def frontend(directory, name):
    """A connection to the port of that name."""
    return Frontend(directory / f"{name}.sock")


def rounds(switch):
    """How often the worker has looked at all of its ports."""
    return switch.show("workers")["workers"][0]["rounds"]


def worker_goes_on(switch):
    """Two rounds: then the worker has seen all that stood in the rings before."""
    before = rounds(switch)
    wait_until("the worker goes on", lambda: rounds(switch) >= before + 2)


def is_in_state(switch, port, state):
    wait_until(f"{port} is {state}", lambda: ports(switch)[port]["state"] == state)


def check_delivery(what, sender, receiver, count=FRAMES, meanwhile=lambda: True, source=STATION, first_pause_s=PAUSE_S):
    """Broadcasts from `sender`, whose address is `source`: `receiver` must get all of them as they are, and no others.

    `meanwhile` is called again and again; it goes on until that gives something true, too.
    """
    head = frame(BROADCAST, source, 14)
    frames = [(head + struct.pack("<I", number)).ljust(60, b"\0") for number in range(count)]
    sent, arrived = 0, []

    def is_done():
        nonlocal sent
        so_far = meanwhile()
        arrived.extend(receiver.receive())
        sender.send(frames[sent : len(arrived) + WINDOW])
        sent = min(len(arrived) + WINDOW, count)
        return len(arrived) >= count and so_far

    wait_until(f"{what}: {count} frames have arrived", is_done, first_pause_s=first_pause_s)
    check(arrived == frames, f"{what}: those that were sent, and no other", f"{len(arrived)} frames")
    check_equal(len(sender.receive()), 0, f"{what}: none have come to the sender")


# Messages


def send_half_a_message(hostile):
    """A header that promises a payload; returns when the daemon has begun to read."""
    hostile.connection.sendall(HEADER.pack(SET_FEATURES, VERSION, 8))
    unread = array.array("i", [0])

    def is_read():
        fcntl.ioctl(hostile.connection, termios.TIOCOUTQ, unread)
        return unread[0] == 0

    wait_until("half a message is read", is_read)


def attaches(neighbour):
    """Whether the daemon answers what a frontend asks while it attaches."""
    try:
        neighbour.attach()
    except TimeoutError:
        return False
    return True


def half_a_message_stops_nobody(directory):
    with switch_for(directory, "vm0", "vm1") as switch:
        with frontend(directory, "vm0") as hostile, frontend(directory, "vm1") as neighbour:
            send_half_a_message(hostile)
            check(attaches(neighbour), "another port answers")
            is_in_state(switch, "vm1", "up")
            check_equal(hostile.connection.recv(1), b"", "the frontend is cut off")
        with frontend(directory, "vm0") as hostile:
            send_half_a_message(hostile)
            switch.signal(signal.SIGTERM)
            check_equal(switch.child.wait(DEADLINE_S), 0, "SIGTERM ends the daemon while the frontend stays connected")


def is_cut_off(hostile):
    """Ask for many answers, or as many as the connection takes now; tells whether it is closed."""
    try:
        for _ in range(1000):
            hostile.tell(SET_VRING_CALL, struct.pack("<Q", 0), [hostile.receiving.call], NEED_REPLY)
    except BlockingIOError:
        pass
    except ConnectionError:
        return True
    return False


def unread_answers_stop_nobody(directory):
    with switch_for(directory, "vm0", "vm1", "vm2") as switch, \
         frontend(directory, "vm1").attach() as vm1, frontend(directory, "vm2").attach() as vm2:
        with frontend(directory, "vm0").attach() as hostile:
            check_delivery("before", vm1, vm2)
            hostile.connection.setblocking(False)
            wait_until("a frontend that does not read its answers is cut off", lambda: is_cut_off(hostile))
            check_delivery("beside it", vm1, vm2)
            worker_goes_on(switch)
            is_in_state(switch, "vm0", "down")
        wait_until("the log says so", lambda: "vm0: cut off: the frontend does not read" in switch.log.read_text())
        with frontend(directory, "vm0").attach() as vm0:
            check_delivery("its port serves the next one", vm0, vm1, source=HOSTILE)
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


# What is in the rings


class LongChains:
    """A guest that offers the same chain of descriptors again and again, more than a frame has room for.

    If it were copied, it would be a broadcast.
    """

    def __init__(self, hostile, pieces, piece_size):
        self._ring = hostile.transmitting
        self._used = 0
        self.length = pieces * piece_size
        start = bytes(12) + frame(BROADCAST, HOSTILE)
        hostile.memory[SCRATCH : SCRATCH + len(start)] = start
        for piece in range(pieces):
            more = NEXT if piece < pieces - 1 else 0
            self._ring.describe(piece, SCRATCH + piece * piece_size, piece_size, more, piece + 1)
        for slot in range(RING_SIZE):
            self._ring.put_available(slot, 0)

    def go_on(self):
        """Fill the ring again; tells whether enough chains were taken to mean something."""
        self._used += (self._ring.used_index() - self._used) & 0xFFFF
        self._ring.set_available_index(self._used + RING_SIZE)
        return self._used > 4 * RING_SIZE


def long_chains_stop_nobody(directory):
    with switch_for(directory, "vm0", "vm1", "vm2") as switch, \
         frontend(directory, "vm1").attach() as vm1, frontend(directory, "vm2").attach() as vm2:
        for pieces, piece_size in ((4, 15000), (1, 60000), (8, MIB), (1, 8 * MIB)):
            with frontend(directory, "vm0").attach() as hostile:
                chains = LongChains(hostile, pieces, piece_size)
                check_delivery(f"beside {pieces} x {piece_size} bytes", vm1, vm2, meanwhile=chains.go_on)
                worker_goes_on(switch)
                there = ports(switch)["vm0"]
                check_equal(there["rx"]["packets"], there["drops"].get("oversized", 0),
                            f"none of {chains.length} bytes become a packet")
            is_in_state(switch, "vm0", "down")
        with frontend(directory, "vm0").attach() as hostile:
            before = drops(switch, "vm0", "oversized")
            hostile.send([frame(BROADCAST, HOSTILE, 1600)])
            wait_until("a frame of 1600 bytes is oversized", lambda: drops(switch, "vm0", "oversized") == before + 1)
            check_delivery("after it", hostile, vm1, source=HOSTILE)
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


def loop(ring, flags):
    ring.describe(0, SCRATCH, 100, flags | NEXT, 1)
    ring.describe(1, SCRATCH, 100, flags | NEXT, 0)


def loop_of_nothing(ring, flags):
    ring.describe(0, SCRATCH, 0, flags | NEXT, 0)


def elsewhere(ring, flags):
    ring.describe(0, 0xDEAD0000000, 1000, flags)


def beyond_the_end(ring, flags):
    ring.describe(0, MEMORY_SIZE - 50, 1000, flags)


def beyond_all_addresses(ring, flags):
    ring.describe(0, 2**64 - 50, 1000, flags)


def all_there_is(ring, flags):
    ring.describe(0, SCRATCH, 2**32 - 1, flags)


def lengths_that_overflow(ring, flags):
    ring.describe(0, SCRATCH, 2**31, flags | NEXT, 1)
    ring.describe(1, SCRATCH, 2**31 + 100, flags)


def less_than_a_header(ring, flags):
    ring.describe(0, SCRATCH, 4, flags)


def next_out_of_the_table(ring, flags):
    ring.describe(0, SCRATCH, 100, flags | NEXT, 60000)


def indirect_elsewhere(ring, flags):
    ring.describe(0, 0xDEAD0000000, 1600, flags | INDIRECT)


def indirect_to_itself(ring, flags):
    ring.describe(0, ring.descriptors, 16 * RING_SIZE, flags | INDIRECT | NEXT, 0)


def head_out_of_the_table(ring, _):
    for slot in range(RING_SIZE):
        ring.put_available(slot, 999)


def index_far_ahead(ring, _):
    ring.set_available_index(ring.offered + 0x8000)


def index_back(ring, _):
    ring.set_available_index(ring.offered - 1)


NONSENSE = (loop, loop_of_nothing, elsewhere, beyond_the_end, beyond_all_addresses, all_there_is, lengths_that_overflow,
            less_than_a_header, next_out_of_the_table, indirect_elsewhere, indirect_to_itself, head_out_of_the_table,
            index_far_ahead, index_back)


def write_nonsense(hostile, nonsense):
    """Fills both rings with it: the receiving one is looked at when the others broadcast."""
    for ring, flags in ((hostile.receiving, WRITE), (hostile.transmitting, 0)):
        for slot in range(RING_SIZE):
            ring.put_available(slot, 0)
        ring.offered = ring.used_index() + RING_SIZE
        nonsense(ring, flags)
        if nonsense not in (index_far_ahead, index_back):
            ring.set_available_index(ring.offered)


def nonsense_in_the_rings_stops_nobody(directory):
    with switch_for(directory, "vm0", "vm1", "vm2") as switch, \
         frontend(directory, "vm1").attach() as vm1, frontend(directory, "vm2").attach() as vm2:
        for nonsense in NONSENSE:
            with frontend(directory, "vm0").attach() as hostile:
                write_nonsense(hostile, nonsense)
                worker_goes_on(switch)
                check_delivery(f"beside {nonsense.__name__.replace('_', ' ')}", vm1, vm2, WINDOW)
            is_in_state(switch, "vm0", "down")
        with frontend(directory, "vm0").attach() as vm0:
            check_delivery("its port serves the next one", vm0, vm1, source=HOSTILE)
            check_delivery("and gives it what is for it", vm1, vm0)
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


# Coming and going


def restarts_do_not_fill_the_log(directory):
    with switch_for(directory, "vm0", "vm1") as switch, \
         frontend(directory, "vm0").attach() as hostile, frontend(directory, "vm1").attach() as neighbour:
        before = len(switch.log.read_text().splitlines())
        for _ in range(RESTARTS):
            hostile.stop_rings()
            hostile.start_rings()
        is_in_state(switch, "vm0", "up")
        check_equal(ports(switch)["vm0"]["detail"]["attachments"], RESTARTS + 1, f"{RESTARTS} restarts were seen")
        lines = len(switch.log.read_text().splitlines()) - before
        check(lines < FEW_LINES, f"they have put fewer than {FEW_LINES} lines in the log", lines)
        check_delivery("the port works", hostile, neighbour, source=HOSTILE)
        check_delivery("both ways", neighbour, hostile)


def main():
    with workspace() as directory:
        say("half a message")
        half_a_message_stops_nobody(directory)
        say("answers that nobody reads")
        unread_answers_stop_nobody(directory)
        say("long chains")
        long_chains_stop_nobody(directory)
        say("nonsense in the rings")
        nonsense_in_the_rings_stops_nobody(directory)
        say("restarts")
        restarts_do_not_fill_the_log(directory)


if __name__ == "__main__":
    run(main)
