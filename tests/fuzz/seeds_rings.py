#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of fuzz_split and fuzz_packed: guests that use their rings in each way that they may, and some that
do not, so that a fuzzer begins deep.

Usage: seeds_rings.py [FOLDER]. The default is corpus beside this program.
"""
import os
import struct
import sys

V1, MERGE, TABLES, EVENTS, SHARE, TRANSLATE, LOG, OFFLOADS = (1 << bit for bit in range(8))
(WRITE_BYTES, WRITE_ENTRY, MAKE_AVAILABLE, SET_INDEX, RECEIVE, TRANSMIT, FREE, PAUSE, REVIVE,
 TLB) = range(10)  # as in fuzz_rings.h
NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15
FROM_LOW = 0x100  # an address argument counts from so far below the guest's memory
RING_AREA, REGION = 0x400, 0x2000
TABLE, BUFFERS = 0x900, 0x1000  # offsets
RX, TX = 0, 1


class Unit:
    """Steps of a guest with rings of one format."""

    def __init__(self, packed, options=V1 | TABLES, size=None, base=None, packets=0):
        self.packed = packed
        self.entries = size or (12 if packed else 8)
        size = self.entries if packed else self.entries.bit_length() - 1
        base = (0x80 if packed else 0) if base is None else base
        self.bytes = bytearray([options, size, base, packets])
        self._place = [base & 15, base & 15] if packed else [0, 0]
        self._wrap = [bool(base & 0x80)] * 2
        self._buffer = BUFFERS

    def step(self, operation, form="", *arguments):
        """Any step."""
        self.bytes += bytes([operation]) + struct.pack("<" + form, *arguments)
        return self

    def entry(self, offset, address, length, flags, following):
        """A descriptor at an offset; the address is an offset, too."""
        return self.step(WRITE_ENTRY, "HHHHH", offset, address + FROM_LOW & 0xffff, length, flags, following)

    def write(self, offset, data):
        """Bytes of memory."""
        for i in range(0, len(data), 255):
            part = data[i:i + 255]
            self.step(WRITE_BYTES, f"HB{len(part)}s", offset + i, len(part), part)
        return self

    def room(self, length):
        """Where a buffer of the length may be."""
        if self._buffer + length > 2 * REGION:
            self._buffer = BUFFERS
        self._buffer += length
        return self._buffer - length

    def offer(self, ring, *lengths, flags=0, addresses=()):
        """A chain of buffers."""
        first, here = self._place[ring], RING_AREA * ring
        wrap = self._wrap[ring]
        for i, length in enumerate(lengths):
            address = addresses[i] if addresses else self.room(length)
            more = NEXT if i + 1 < len(lengths) else 0
            place = self._place[ring]
            state = (AVAIL if self._wrap[ring] else USED) if self.packed and i > 0 else 0
            following = (place + 1) % self.entries if not self.packed else 3
            self.entry(here + 16 * place, address, length, flags | more | state, following)
            self._place[ring] = (place + 1) % self.entries
            self._wrap[ring] ^= self.packed and self._place[ring] == 0
        if not self.packed:
            return self.step(MAKE_AVAILABLE, "BB", ring, first)
        more = NEXT if len(lengths) > 1 else 0
        word = flags | more | (AVAIL if wrap else USED)
        return self.write(here + 16 * first + 14, struct.pack("<H", word))

    def table(self, ring, *lengths, flags=0):
        """A chain in an indirect table."""
        for i, length in enumerate(lengths):
            more = NEXT if i + 1 < len(lengths) and not self.packed else 0
            self.entry(TABLE + 16 * i, self.room(length), length, flags | more, i + 1)
        return self.offer(ring, 16 * len(lengths), flags=INDIRECT, addresses=[TABLE])

    def receive(self, count=32):
        """A burst from the guest."""
        return self.step(RECEIVE, "B", count)

    def transmit(self, count, length, segments=1, kind=0):
        """A burst to the guest."""
        return self.step(TRANSMIT, "BHBB", count, length - 1, segments - 1, kind)


def laps(packed, options):
    """Frames both ways over several laps of the rings."""
    unit = Unit(packed, options)
    for i in range(8):
        unit.offer(TX, 12 + 60 + 40 * i).offer(TX, 12, 300)
        unit.offer(RX, 300, flags=WRITE).offer(RX, 100, 200, flags=WRITE).receive().transmit(2, 200)
        unit.step(FREE, "B", 9)
    return unit.receive()


def held(packed):
    """More packets than may be on loan."""
    unit = Unit(packed, V1 | SHARE | TABLES, size=4)
    for _ in range(4):
        unit.offer(TX, 500)
    unit.receive().step(PAUSE).step(FREE, "B", 1).receive().step(FREE, "B", 9).step(PAUSE)
    return unit.offer(TX, 700).receive()


def pieces(packed, options):
    """Chains in many pieces and in tables."""
    unit = Unit(packed, options, size=16)
    unit.offer(TX, 1, 11, 100, 200).table(TX, 12, 60, 200).table(TX, 5, 5, 5, 5, 5, 5, 5, 5, 300, 5)
    unit.offer(TX, 600, addresses=[REGION - 100])
    unit.offer(RX, 3, 9, 500, flags=WRITE).table(RX, 40, 400, 90, flags=WRITE)
    unit.offer(RX, 400, flags=WRITE, addresses=[REGION - 11])
    return unit.receive().transmit(3, 380, 3).step(FREE, "B", 9).receive(0)


def merged(packed, room):
    """A frame over buffers of so many bytes."""
    unit = Unit(packed, V1 | MERGE | LOG, size=16)
    for _ in range(8):
        unit.offer(RX, room, flags=WRITE)
    return unit.transmit(1, 50).transmit(1, 6 * room - 20, 2).transmit(4, 300)


def headers(packed):
    """Offloads that a guest asks for, and that it is given."""
    unit = Unit(packed, V1 | OFFLOADS | TABLES)
    ip = bytes.fromhex("525400000002525400000001" "0800" "450000280001400040060000" "0a0000010a000002")
    tcp = bytes.fromhex("03e800500000000100000001" "5010" "01f4beef0000")
    asked = (1, 0, 0, 34, 16), (1, 1, 100, 34, 16), (1, 0, 0, 5000, 1), (0, 3, 0, 0, 0)
    for flags, gso, size, start, offset in asked:
        place = unit.room(700)
        unit.write(place, struct.pack("<BBHHHHH", flags, gso, 54, size, start, offset, 0) + ip + tcp)
        unit.offer(TX, 66, addresses=[place])
        unit.offer(RX, 700, flags=WRITE)
    return unit.receive().transmit(1, 90, 1, 1).transmit(1, 300, 1, 3).transmit(1, 90, 1, 2)


def useless(packed):
    """Chains that are no frames and no buffers."""
    unit = Unit(packed, V1 | TABLES, size=16)
    unit.offer(TX, 4).offer(TX, 12).offer(TX, 100, flags=WRITE).offer(TX, 1800).offer(TX, 0)
    unit.offer(RX, 5, flags=WRITE).offer(RX, 0, flags=WRITE).offer(RX, 100).offer(RX, 60, flags=WRITE)
    return unit.receive().transmit(6, 100)


def stopped(packed, what):
    """Chains that stop the port, which attaches anew."""
    unit = Unit(packed, V1 | (0 if what == "not negotiated" else TABLES))
    if what == "nowhere":
        unit.offer(TX, 100, addresses=[0x8000]).offer(RX, 100, flags=WRITE, addresses=[0x7000])
    elif what == "end of all":
        unit.write(0x8000 + 16, b"\1" * 200).offer(TX, 100)
        unit.write(RING_AREA, struct.pack("<QI", 2**64 - 50, 100))
    elif what == "in table":
        unit.entry(TABLE, TABLE, 16, INDIRECT, 0).offer(TX, 16, flags=INDIRECT, addresses=[TABLE])
    elif what == "odd table":
        unit.offer(TX, 17, flags=INDIRECT, addresses=[TABLE])
    elif what == "table nowhere":
        unit.offer(TX, 16, flags=INDIRECT, addresses=[0x7000])
    elif what == "long table":
        unit.table(TX, *[20] * 14)
    elif what == "next after table":
        unit.table(TX, 60).write(RING_AREA + (14 if unit.packed else 12),
                                 struct.pack("<H", INDIRECT | NEXT | (AVAIL if unit.packed else 0)))
    elif what == "not negotiated":
        unit.table(TX, 60)
    elif what == "loop":
        for place in range(unit.entries):
            unit.entry(RING_AREA + 16 * place, BUFFERS, 60, NEXT | (AVAIL if unit.packed else 0), place)
        unit.step(MAKE_AVAILABLE, "BB", TX, NEXT if unit.packed else 0)
    elif what == "next beyond":
        unit.entry(RING_AREA, BUFFERS, 60, NEXT, 60000).step(MAKE_AVAILABLE, "BB", TX, 0)
    elif what == "head beyond":
        unit.offer(TX, 60).step(MAKE_AVAILABLE, "BB", TX, 200)
    elif what == "index":
        unit.step(SET_INDEX, "BI", TX, 0x7fff0000).step(SET_INDEX, "BI", RX, 0x7fff0000)
    return unit.receive().transmit(2, 90).step(REVIVE).offer(TX, 100).receive().transmit(1, 90)


def translated(packed):
    """Addresses that have to be asked for, and some that may not be used so."""
    unit = Unit(packed, V1 | TABLES | TRANSLATE | SHARE)
    last = 2 * REGION - 0x1000
    unit.offer(TX, 300, addresses=[last - 100]).offer(RX, 300, flags=WRITE, addresses=[last - 100])
    unit.receive().transmit(1, 250).step(TLB, "BB", 3, 3).receive().transmit(1, 250)
    unit.offer(TX, 300, addresses=[last]).offer(RX, 300, flags=WRITE, addresses=[last]).table(TX, 60, 60)
    unit.step(TLB, "BB", 3, 2).transmit(1, 200).receive().step(FREE, "B", 9).step(TLB, "BB", 3, 0).step(REVIVE)
    return unit.step(TLB, "BB", 0, 0).receive().step(TLB, "BB", 9, 0).step(TLB, "BB", 0, 3).receive()


def called(packed):
    """Event suppression, over a whole lap at once."""
    unit = Unit(packed, V1 | EVENTS, size=4)
    for word in (0x00028003, 0x00020001, 0x00010000, 0x00000000, 0x00030000):
        if packed:
            unit.step(SET_INDEX, "BI", TX, word)
        else:
            unit.write(RING_AREA + 0x200 + 12, struct.pack("<H", word & 7))
        for _ in range(4):
            unit.offer(TX, 100)
        unit.receive()
    return unit


def scarce(packed):
    """Hardly a packet in the pool."""
    unit = Unit(packed, V1 | SHARE, size=16, packets=90)
    unit.offer(TX, 400, 200, 200, 200, 100).offer(TX, 400, 200, 200).receive().step(FREE, "B", 9).receive()
    return unit.offer(TX, 500).offer(TX, 500).offer(TX, 500).receive()


def windowed(unit):
    """The same with the memory in a window."""
    unit.bytes[1] |= 0x80
    return unit


STOPS = ("nowhere", "end of all", "in table", "odd table", "table nowhere", "long table", "next after table",
         "not negotiated", "loop", "next beyond", "head beyond", "index")


def seeds(packed):
    """Name and unit of each."""
    for name, options in (("copied", V1), ("shared", V1 | SHARE), ("legacy", 0), ("events", V1 | EVENTS | SHARE),
                          ("logged", V1 | LOG | SHARE)):
        yield "laps_" + name, laps(packed, options)
    yield "pieces", pieces(packed, V1 | TABLES)
    yield "pieces_shared", pieces(packed, V1 | TABLES | SHARE)
    for room in (13, 40, 100):
        yield f"merged_{room}", merged(packed, room)
    yield "merged_short", Unit(packed, V1 | MERGE).offer(RX, 60, flags=WRITE).offer(RX, 60).transmit(2, 100)
    yield "held", held(packed)
    yield "headers", headers(packed)
    yield "useless", useless(packed)
    yield "translated", translated(packed)
    yield "called", called(packed)
    yield "scarce", scarce(packed)
    yield "base", Unit(packed, V1, base=0x03 if packed else 0xff).offer(TX, 100).receive()
    yield "one_left", Unit(packed, V1 | SHARE, packets=94).offer(TX, 500).receive().offer(TX, 100, 400).receive()
    unit = laps(packed, V1 | EVENTS | LOG | SHARE).step(PAUSE).offer(TX, 500).receive().step(PAUSE).step(FREE, "B", 9)
    yield "paused", unit.step(PAUSE).offer(TX, 60).receive()
    yield "size_0", Unit(packed, V1, size=17 if packed else 16).offer(TX, 60).receive()
    for what in STOPS:
        yield "stopped_" + what.replace(" ", "_"), stopped(packed, what)
    yield "window_laps", windowed(laps(packed, V1 | LOG | SHARE))
    yield "window_pieces", windowed(pieces(packed, V1 | TABLES | SHARE))
    yield "window_merged", windowed(merged(packed, 40))
    for what in ("nowhere", "end of all", "table nowhere", "long table"):
        yield "window_" + what.replace(" ", "_"), windowed(stopped(packed, what))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    top = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "corpus")
    for packed in (False, True):
        folder = os.path.join(top, "packed" if packed else "split")
        os.makedirs(folder, exist_ok=True)
        for name, unit in seeds(packed):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(unit.bytes)


if __name__ == "__main__":
    main()
