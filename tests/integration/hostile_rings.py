#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guests that break the rules of their rings, on the data path "vio": each loses its own port or its own frame.

Beside each of them two neighbours exchange frames, as many at once as a ring has room for. All of theirs arrive, and
some in each of several stretches of the worker's rounds. Argument: "shared" for the stage shared-buffer-rings, "uml" for
the baseline of that name, where signals interrupt the worker and pages are gone through, "eul" for that with every
mechanism, "granted" for packets that are mapped one by one, "window" for guests' memory in windows of a power of two,
"contexts" for the stage multi-context-demux alone. In these two a worker has rounds only when there is something to do.
"""

import contextlib
import os
import random
import signal
import struct
import sys

from frontend import (
    INDIRECT,
    MEMORY_AT,
    MEMORY_SIZE,
    NET_HEADER,
    NEXT,
    RING_SIZE,
    SCRATCH,
    SET_VRING_ADDR,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_VERSION_1,
    WRITE,
    Frontend,
)
from hostile_frontend import BROADCAST, HOSTILE, STATION, check_delivery, is_in_state, rounds
from support import SOON_S, check, check_contains, check_equal, config, daemon, drops, frame, is_conserved, ports, run, say
from support import shipped_config, vhost, wait_until, workspace

MRG_RXBUF = 1 << 15
INDIRECT_DESC = 1 << 28
SPLIT = VIRTIO_F_VERSION_1 | INDIRECT_DESC
PACKED = SPLIT | VIRTIO_F_RING_PACKED
NOWHERE = 0xDEAD0000000
RECEIVED = (SCRATCH + MEMORY_SIZE) // 2
INTERVALS = 4
ROUNDS = 200      # of the worker, in an interval,
ROUNDS_TOLD = 5   # or when it has one only if it is told; and in each
FRAMES = 32       # so many frames of the neighbours arrive
WINDOW = 64
LOOKS_IN_VAIN = 1000  # at the ring of a guest, 20 ms apart at the most, after which nothing comes any more
ATTACHMENTS = 20  # of a guest whose memory changes all the time


FEW_ROUNDS = ("contexts", "eul", "granted", "uml", "window")
SETTINGS = {  # of the configuration
    "contexts": {"stages": ["multi-context-demux"]},
    "copied": {},
    "shared": {"stages": ["shared-buffer-rings"]},
    "granted": {"baseline": "xen"},
    "uml": {"baseline": "uml"},
    "window": {"stages": [{"multi-context-demux": {"protection": "window"}}]},
    "eul": {key: shipped_config("eul.json")[key] for key in ("baseline", "stages")},
}


# The neighbours


class Pair:
    """Two well-behaved guests. The first broadcasts; the second must get all of it, in order.

    But for what finds its ring full: a hostile guest may broadcast, too, and faster than the second one takes frames.
    Those are counted as lost, and the switch must say the same of them.
    """

    def __init__(self, sender, receiver, rounds_wanted):
        self.rounds_wanted = rounds_wanted
        self._sender, self._receiver = sender, receiver
        self._sent = 0
        self._looks = 0  # in a row that found nothing
        self.arrived = self.lost = 0

    def pump(self):
        """Take what has come and send what there is room for."""
        self.collect()
        head = frame(BROADCAST, STATION, 14)
        new = range(self._sent, self.arrived + WINDOW)
        self._sender.send([(head + struct.pack("<Q", number)).ljust(60, b"\0") for number in new])
        self._sent += len(new)

    def collect(self):
        """Take what has come."""
        self._sender.receive()
        self._looks += 1
        for got in self._receiver.receive():
            if got[6:12] == bytes.fromhex(STATION.replace(":", "")):  # else the hostile guest's
                self._go_on_to(struct.unpack_from("<Q", got, 14)[0])
                self.arrived += 1
        if self._looks == LOOKS_IN_VAIN:
            self._go_on_to(self._sent)

    def _go_on_to(self, number):
        """The frames before this one will not come any more."""
        if number < self.arrived:
            check_equal(number, self.arrived, "the neighbours' frames arrive in order")
        self.lost += number - self.arrived
        self.arrived = number
        self._looks = 0

    def is_done(self):
        """Whether all that was sent has arrived."""
        self.collect()
        return self.arrived == self._sent


def goes_on(switch, pair, what):
    """The neighbours' frames arrive in each of several stretches of the worker's rounds."""
    seen = rounds(switch)
    for interval in range(1, INTERVALS + 1):
        end, enough = seen + pair.rounds_wanted, pair.arrived + FRAMES

        def is_over(end=end, enough=enough):
            nonlocal seen
            pair.pump()
            if pair.arrived < enough:
                return False
            seen = rounds(switch)
            return seen >= end

        wait_until(f"beside {what}: stretch {interval}", is_over, first_pause_s=SOON_S)
    full = ports(switch)["vm2"]["drops"].get("ring_full", 0)
    check(pair.lost <= full, "no neighbour's frame is missing but for a full ring", (pair.lost, full))


# What is in the rings. Each takes the hostile frontend and puts it into its transmit ring.


def put(ring, address, length, flags=0, following=0):
    """One descriptor, available, whatever the format."""
    number = ring.offered % RING_SIZE
    ring.describe(number, address, length, flags, following)
    ring.offer(number)


def table(hostile, *entries):
    """An indirect table at SCRATCH; returns its address."""
    for i, (address, length, flags, following) in enumerate(entries):
        last = (0, flags) if hostile.features & VIRTIO_F_RING_PACKED else (flags, following)
        struct.pack_into("<QIHH", hostile.memory, SCRATCH + 16 * i, address, length, *last)
    return SCRATCH


def memory_elsewhere(hostile):
    put(hostile.transmitting, NOWHERE, 1000)


def memory_beyond_the_end(hostile):
    put(hostile.transmitting, MEMORY_SIZE - 50, 1000)


def memory_beyond_all_addresses(hostile):
    put(hostile.transmitting, 2**64 - 50, 1000)


def four_gibibytes(hostile):
    put(hostile.transmitting, SCRATCH, 2**32 - 1)


def table_elsewhere(hostile):
    put(hostile.transmitting, NOWHERE, 1600, INDIRECT)


def table_of_no_entries(hostile):
    put(hostile.transmitting, SCRATCH, 0, INDIRECT)


def table_of_half_an_entry(hostile):
    put(hostile.transmitting, SCRATCH, 24, INDIRECT)


def table_in_a_table(hostile):
    put(hostile.transmitting, table(hostile, (SCRATCH, 16, INDIRECT, 0)), 16, INDIRECT)


def table_longer_than_the_ring(hostile):
    number = RING_SIZE + 1
    entries = [(SCRATCH, 4, NEXT if i < number - 1 else 0, i + 1) for i in range(number)]
    if hostile.features & VIRTIO_F_RING_PACKED:
        entries = [(SCRATCH, 4, 0, 0)] * number
    put(hostile.transmitting, table(hostile, *entries), 16 * number, INDIRECT)


def table_with_a_next(hostile):
    put(hostile.transmitting, table(hostile, (SCRATCH, 100, 0, 0)), 16, INDIRECT | NEXT)


def loop(hostile):
    hostile.transmitting.describe(1, SCRATCH, 100, NEXT, 0)
    put(hostile.transmitting, SCRATCH, 100, NEXT, 1)


def loop_of_nothing(hostile):
    put(hostile.transmitting, SCRATCH, 0, NEXT, 0)


def loop_in_a_table(hostile):
    put(hostile.transmitting, table(hostile, (SCRATCH, 100, NEXT, 0)), 16, INDIRECT)


def next_out_of_the_table(hostile):
    put(hostile.transmitting, table(hostile, (SCRATCH, 100, NEXT, 60000)), 16, INDIRECT)


def next_out_of_the_ring(hostile):
    put(hostile.transmitting, SCRATCH, 100, NEXT, 60000)


def head_out_of_the_ring(hostile):
    hostile.transmitting.put_available(0, 999)
    hostile.transmitting.set_available_index(1)


def index_far_ahead(hostile):
    hostile.transmitting.set_available_index(0x8000)


def index_back(hostile):
    hostile.transmitting.set_available_index(-1)


def chain_without_an_end(hostile):
    for number in reversed(range(RING_SIZE)):  # the first makes them available
        hostile.transmitting.write(number, SCRATCH, 100, number, NEXT | hostile.transmitting.AVAIL)


def receive_buffers_elsewhere(hostile):
    """The neighbours' broadcasts are what finds them, after those that are offered from the start."""
    if hostile.features & VIRTIO_F_RING_PACKED:
        for number in range(RING_SIZE):
            hostile.receiving.write(number, NOWHERE, 4096, number, WRITE | hostile.receiving.AVAIL)
    else:
        for number in range(RING_SIZE):
            hostile.receiving.describe(number, NOWHERE, 4096, WRITE)


OUTSIDE = "outside the guest's memory"
LONG = "longer than the ring"
STOPS = {  # and part of what the port says why
    memory_elsewhere: OUTSIDE,
    memory_beyond_the_end: OUTSIDE,
    memory_beyond_all_addresses: OUTSIDE,
    four_gibibytes: OUTSIDE,
    table_elsewhere: OUTSIDE,
    table_of_no_entries: "no multiple of 16",
    table_of_half_an_entry: "no multiple of 16",
    table_in_a_table: "in an indirect table",
    table_longer_than_the_ring: LONG,
    table_with_a_next: "another descriptor after it",
    receive_buffers_elsewhere: OUTSIDE,
}
STOPS_SPLIT = {
    loop: LONG,
    loop_of_nothing: LONG,
    loop_in_a_table: LONG,
    next_out_of_the_table: "beyond its table",
    next_out_of_the_ring: "beyond the ring",
    head_out_of_the_ring: "beyond the ring",
    index_far_ahead: "further ahead",
    index_back: "further ahead",
}
STOPS_PACKED = {chain_without_an_end: LONG}
# The memory fills its window. So addresses elsewhere are in it, and what goes beyond its end is in the guard.
NO_MEMORY = "where it has no memory"
IN_A_WINDOW = {
    memory_elsewhere: None,
    memory_beyond_the_end: NO_MEMORY,
    memory_beyond_all_addresses: NO_MEMORY,
    four_gibibytes: None,  # longer than a frame may be
    table_elsewhere: None,
    receive_buffers_elsewhere: None,
}


def name_of(attack):
    return attack.__name__.replace("_", " ")


def hostile_frontend(directory, features):
    """The port refuses a guest until it has noticed that the one before is gone."""
    attached = []

    def attaches():
        hostile = Frontend(directory / "vm0.sock", features)
        try:
            attached.append(hostile.attach())
        except ConnectionError:
            hostile.close()
        return attached

    return wait_until("vm0 attaches", attaches)[0]


def lines_about(switch, port):
    """The lines of the log that say why a port was stopped."""
    return [line for line in switch.log.read_text().splitlines() if f"{port}: stopped until" in line]


def each_stops_its_port(switch, directory, pair, features, attacks):
    """But for those without a reason why, which harm the guest's own memory only."""
    for attack, why in attacks.items():
        before = len(lines_about(switch, "vm0"))
        with hostile_frontend(directory, features) as hostile:
            is_in_state(switch, "vm0", "up")
            attack(hostile)
            goes_on(switch, pair, name_of(attack))
            is_in_state(switch, "vm0", "down" if why else "up")
            check_contains(ports(switch)["vm0"]["detail"]["stopped"] or "", why or "", f"{name_of(attack)} is why")
            check(len(lines_about(switch, "vm0")) - before <= 1, "the log has at most a line about it")
    check(0 < len(lines_about(switch, "vm0")), "the log says why")


# Frames that are dropped


def send_raw(hostile, data, flags=0):
    """A buffer with these bytes, header and all."""
    ring = hostile.transmitting
    address = ring.buffer(ring.offered % RING_SIZE)
    hostile.memory[address : address + len(data)] = data
    put(ring, address, len(data), flags)


def lying_header(flags=0, gso=0, hdr_len=0, size=0, start=0, offset=0, buffers=0):
    return struct.pack("<BBHHHHH", flags, gso, hdr_len, size, start, offset, buffers)


LIES = {
    "a checksum beyond the frame": lying_header(flags=1, start=5000, offset=16),
    "a checksum that was not negotiated": lying_header(flags=1, start=34, offset=16),
    "segments of no bytes": lying_header(flags=1, gso=1, start=34, offset=16),
    "an unknown kind of segmentation": lying_header(gso=0x55, size=100),
    "ECN of nothing": lying_header(gso=0x80),
}
IGNORED = {
    "more header than there is frame": lying_header(hdr_len=0xFFFF),
    "any number of buffers": lying_header(buffers=0xFFFF),
    "flags that nobody knows": lying_header(flags=0xFE),
}


def expect_drop(switch, hostile, reason, what, data, flags=0):
    before = drops(switch, "vm0", reason)
    send_raw(hostile, data, flags)
    wait_until(f"{what}: {reason}", lambda: drops(switch, "vm0", reason) == before + 1, first_pause_s=SOON_S)
    wait_until("and the buffer is given back", lambda: hostile.transmitting.take_used(), first_pause_s=SOON_S)


def useless_frames_are_dropped(switch, directory, pair, features):
    body = frame(BROADCAST, HOSTILE, 300)
    with hostile_frontend(directory, features) as hostile:
        for what, header in LIES.items():
            expect_drop(switch, hostile, "bad_header", what, header + body)
        expect_drop(switch, hostile, "bad_chain", "no frame", NET_HEADER)
        expect_drop(switch, hostile, "bad_chain", "half a header", bytes(5))
        expect_drop(switch, hostile, "bad_chain", "the wrong direction", NET_HEADER + body, WRITE)
        expect_drop(switch, hostile, "oversized", "2000 bytes", NET_HEADER.ljust(2012, b"\1"))
        for what, header in IGNORED.items():
            before = ports(switch)["vm0"]["rx"]["packets"]
            send_raw(hostile, header + body)
            wait_until(f"{what}: ignored", lambda: ports(switch)["vm0"]["rx"]["packets"] == before + 1)
        goes_on(switch, pair, "frames that are none")
        is_in_state(switch, "vm0", "up")


def offer_small_buffers(hostile, size):
    """Instead of those that are offered from the start."""
    packed = hostile.features & VIRTIO_F_RING_PACKED
    for number in range(RING_SIZE):
        if packed:
            hostile.receiving.write(number, SCRATCH, size, number, WRITE | hostile.receiving.AVAIL)
        else:
            hostile.receiving.describe(number, SCRATCH, size, WRITE)


def small_buffers_cost_frames(switch, directory, pair, features):
    for size, mergeable, reasons in ((0, 0, ("bad_chain",)), (5, 0, ("bad_chain",)), (20, 0, ("small_buffer",)),
                                     (12, MRG_RXBUF, ("bad_chain",))):
        with hostile_frontend(directory, features | mergeable) as hostile:
            offer_small_buffers(hostile, size)
            before = sum(drops(switch, "vm0", reason) for reason in reasons)

            def is_dropped():
                pair.pump()
                return sum(drops(switch, "vm0", reason) for reason in reasons) > before

            wait_until(f"receive buffers of {size} bytes: {reasons[0]}", is_dropped)
            goes_on(switch, pair, f"receive buffers of {size} bytes")
            is_in_state(switch, "vm0", "up")


# Time


def keep_changing(hostile):
    """The life of the process that hammers the memory."""
    dice = random.Random(os.getpid())
    lengths = [0, 1, 5, 12, 13, 72, 300, 1534, 4096, 2**31, 2**32 - 1]
    memory = hostile.memory
    while True:
        for ring in hostile.rings:
            at = ring.descriptors + 16 * dice.randrange(RING_SIZE)
            # What it receives must not be what it sends: those would be the neighbours' frames.
            start = SCRATCH if ring.index else RECEIVED
            address = dice.choice([start, start + 100, ring.descriptors, start + RECEIVED - SCRATCH - 700])
            # Wrong ones are rare: else the port is stopped at once, each time.
            length = dice.choice(lengths[3:9] if dice.randrange(2000) else lengths)
            flags = (WRITE if ring.index == 0 else 0) | (dice.randrange(8) if not dice.randrange(1000) else 0)
            if hostile.features & VIRTIO_F_RING_PACKED:
                flags |= dice.choice([1 << 7, 1 << 15])
                struct.pack_into("<QIHH", memory, at, address, length, dice.randrange(65536), flags)
            else:
                struct.pack_into("<QIHH", memory, at, address, length, flags, dice.randrange(RING_SIZE))
                ring.put_available(dice.randrange(RING_SIZE), dice.randrange(RING_SIZE))
                ring.set_available_index(ring.used_index() + dice.randrange(RING_SIZE // 2))
            ring.kick_switch()
        at = SCRATCH + dice.randrange(200)
        memory[at] = dice.randrange(256)


@contextlib.contextmanager
def hammer(hostile):
    """A process that shares the guest's memory and changes it all the time."""
    child = os.fork()
    if child == 0:
        try:
            keep_changing(hostile)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def changing_memory_stops_nobody_else(switch, directory, pair, features):
    before = len(lines_about(switch, "vm0"))
    for number in range(ATTACHMENTS):
        with hostile_frontend(directory, features) as hostile, hammer(hostile):
            goes_on(switch, pair, f"memory that changes, {number + 1} of {ATTACHMENTS}")
    seen = ports(switch)["vm0"]
    check(seen["rx"]["packets"] + sum(seen["drops"].values()) > 0, "the switch has looked into it")
    lines = len(lines_about(switch, "vm0")) - before
    check(lines <= ATTACHMENTS, "the log has at most a line about each of them", lines)


def moving_rings_stop_nobody_else(switch, directory, pair, features):
    with hostile_frontend(directory, features) as hostile:
        for turn in range(100):
            for ring in hostile.rings:
                shift = 0x100000 * (turn % 3) if turn % 2 else 0
                places = (MEMORY_AT + place + shift for place in (ring.descriptors, ring.used, ring.available))
                hostile.tell(SET_VRING_ADDR, struct.pack("<IIQQQQ", ring.index, 0, *places, 0))
            pair.pump()
        goes_on(switch, pair, "rings that move")


def full_calls_stop_nobody(switch, directory, pair, features):
    with hostile_frontend(directory, features) as hostile:
        for ring in hostile.rings:
            os.eventfd_write(ring.call, 2**64 - 2)
        goes_on(switch, pair, "calls that are not taken")
        is_in_state(switch, "vm0", "up")
        before = ports(switch)["vm0"]["tx"]["packets"]

        def is_served():
            pair.pump()
            hostile.receive()
            return ports(switch)["vm0"]["tx"]["packets"] > before + 2 * RING_SIZE

        wait_until("and its frames are delivered all the same", is_served)


def have_calls_wait(switch, pair, hostile):
    """The frontend shares its descriptor with the switch, and has it wait after the switch has had it not to."""
    for ring in hostile.rings:
        os.set_blocking(ring.call, True)
        os.eventfd_write(ring.call, 2**64 - 2)

    def is_stopped():
        pair.pump()
        hostile.receive()
        return ports(switch)["vm0"]["detail"]["stopped"]

    wait_until("calls that wait stop the port", is_stopped)


def calls_that_wait_stop_their_port_only(switch, directory, pair, features):
    with hostile_frontend(directory, features) as hostile:
        have_calls_wait(switch, pair, hostile)
        goes_on(switch, pair, "calls that would wait")


def who_has_workers_wait_again_and_again_is_shut_out(switch, directory, pair):
    """The third time, after one with rings of each format."""
    with hostile_frontend(directory, SPLIT) as hostile:
        have_calls_wait(switch, pair, hostile)
        is_in_state(switch, "vm0", "revoked")
    with hostile_frontend(directory, SPLIT):
        goes_on(switch, pair, "one who is shut out")
        check_equal(switch.ctl("context", "grant", "vm0")["state"], "up", "somebody may let it in again")


def attack(switch, directory, pair, features, exceptions):
    """All of it, with rings of one format. `exceptions` to why a port stops."""
    packed = features & VIRTIO_F_RING_PACKED
    say("packed rings" if packed else "split rings")
    goes_on(switch, pair, "nobody")
    stops = {**STOPS, **(STOPS_PACKED if packed else STOPS_SPLIT), **exceptions}
    each_stops_its_port(switch, directory, pair, features, stops)
    useless_frames_are_dropped(switch, directory, pair, features)
    small_buffers_cost_frames(switch, directory, pair, features)
    moving_rings_stop_nobody_else(switch, directory, pair, features)
    full_calls_stop_nobody(switch, directory, pair, features)
    calls_that_wait_stop_their_port_only(switch, directory, pair, features)
    changing_memory_stops_nobody_else(switch, directory, pair, features)


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "copied"
    protection = "window" if name == "window" else "validate"
    with workspace() as directory:
        names = [vhost(name, directory, guest="qemu", data_path="vio") for name in ("vm0", "vm1", "vm2")]
        with daemon(config(*names, **SETTINGS[name])) as switch, \
             Frontend(directory / "vm1.sock").attach() as vm1, \
             Frontend(directory / "vm2.sock", PACKED).attach() as vm2:
            pair = Pair(vm1, vm2, ROUNDS_TOLD if name in FEW_ROUNDS else ROUNDS)
            check_equal(ports(switch)["vm1"]["detail"]["protection"], protection, "how memory is protected")
            for features in (SPLIT, PACKED):
                attack(switch, directory, pair, features, IN_A_WINDOW if protection == "window" else {})
            if name == "contexts":
                who_has_workers_wait_again_and_again_is_shut_out(switch, directory, pair)
            wait_until("all of the neighbours' frames have arrived", pair.is_done)
            with hostile_frontend(directory, SPLIT) as vm0:
                check_delivery("its port serves the next one", vm0, vm1, source=HOSTILE)
                check_delivery("and gives it what is for it", vm1, vm0)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))


if __name__ == "__main__":
    run(main)
