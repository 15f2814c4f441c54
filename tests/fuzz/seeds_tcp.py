#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of fuzz_tcp: short conversations of each kind that the stages tell apart.

Usage: seeds_tcp.py [FOLDER]. The default is corpus/tcp beside this program.
"""
import os
import struct
import sys

TO_WIRE, GOOD, PARTIAL, FLUSH, REPAIR, PATCH = 1, 2, 4, 8, 16, 32
ACK, PSH, FIN, SYN = 0x10, 0x08, 0x01, 0x02
STAMPS = bytes.fromhex("0101080a0000000100000002")
SACK = bytes.fromhex("0101050a0000000100000009")
A, B = 0x0A000001, 0x0A000002
MACS = bytes.fromhex("525400000002525400000001")


def sum16(data):
    """The ones' complement sum of 16-bit words."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def frame(seq=1000, payload=10, ack=500, flags=ACK, options=STAMPS, window=99, back=False, v6=False, tags=(),
          fragment=0x4000, ident=1, extra=b""):
    """A frame with right checksums; `back` is the other direction."""
    ends, ports = ((B, A), (80, 5000)) if back else ((A, B), (5000, 80))
    data = bytes(i & 0xff for i in range(payload))
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, ack, (20 + len(options)) // 4 << 4, flags, window, 0, 0) + options
    if v6:
        addresses = b"".join(bytes(12) + struct.pack(">I", end) for end in ends)
    else:
        addresses = struct.pack(">II", *ends)
    pseudo = addresses + struct.pack(">HH", len(tcp) + payload, 6)
    checksum = 0xffff - sum16(pseudo + tcp + data)
    tcp = tcp[:16] + struct.pack(">H", checksum) + tcp[18:]
    if v6:
        network = struct.pack(">IHBB", 0x60000000, len(extra) + len(tcp) + payload, 60 if extra else 6, 64) + \
            addresses + extra
    else:
        network = struct.pack(">BBHHHBBH", 0x45 + len(extra) // 4, 0, 20 + len(extra) + len(tcp) + payload, ident,
                              fragment, 64, 6, 0) + addresses + extra
        network = network[:10] + struct.pack(">H", 0xffff - sum16(network)) + network[12:]
    ether = MACS + b"".join(struct.pack(">HH", 0x8100, tag) for tag in tags)
    return ether + struct.pack(">H", 0x86dd if v6 else 0x0800) + network + tcp + data


def step(kind, data, first=0xffff):
    """What fuzz_tcp.c takes: struct step, then bytes."""
    return struct.pack("<BBHH", kind, 0, len(data), first) + data


def stream(count, kind=0, last=FLUSH, seq=1000, payload=10, **rest):
    """Segments in sequence."""
    return b"".join(step(kind | (last if i == count - 1 else 0),
                         frame(seq=seq + i * payload, payload=payload, ident=i, **rest)) for i in range(count))


def conversation(count, **rest):
    """Acknowledged once before, and once behind."""
    answer = {key: value for key, value in rest.items() if key in ("v6", "tags")}
    return stream(2, seq=980, **rest) + step(TO_WIRE, frame(ack=1000, payload=0, back=True, **answer)) + \
        stream(count, **rest) + step(TO_WIRE, frame(ack=1000 + count * 10, payload=0, back=True, **answer))


def seeds():
    """Name and bytes of each."""
    unit = bytes([18, 1])
    yield "ipv4", unit + conversation(8)
    yield "ipv6", unit + conversation(8, v6=True)
    yield "tags", unit + conversation(6, tags=(5, 0x2006))
    yield "no_options", unit + conversation(7, options=b"")
    yield "limit", bytes([0, 1]) + conversation(9)
    yield "port", bytes([18, 0]) + conversation(5, kind=GOOD)
    yield "partial", unit + conversation(5, kind=PARTIAL)
    yield "sack", unit + stream(3) + stream(2, options=SACK, seq=1030)
    yield "push", unit + stream(3, last=0) + stream(1, flags=ACK | PSH, seq=1030) + stream(2, seq=1040)
    yield "ends", unit + stream(3) + stream(1, flags=ACK | FIN, seq=1030) + stream(1, flags=SYN, payload=0)
    yield "short", unit + stream(3, last=0) + step(0, frame(seq=1030, payload=3, ident=3)) + stream(2, seq=1033)
    yield "fragments", unit + stream(3, last=0) + stream(2, fragment=0x2000) + stream(2, fragment=9)
    yield "extensions", unit + stream(2, v6=True, last=0) + stream(1, v6=True, extra=b"\6\0\1\4" + bytes(4))
    yield "ip_options", unit + stream(2, last=0) + stream(2, extra=bytes([1] * 4))
    yield "two_buffers", unit + stream(2, last=0) + step(0, frame(seq=1020, ident=2), 40) + \
        step(TO_WIRE, frame(payload=0, back=True), 20)
    yield "options_in_two_buffers", unit + step(GOOD, frame(), 60) + step(TO_WIRE, frame(back=True), 60)
    again = struct.pack(">H", 2)
    yield "patched", unit + stream(2, last=0, kind=GOOD) + step(GOOD | PATCH | REPAIR, again, 18) + \
        step(GOOD | PATCH | FLUSH, struct.pack(">I", 1020), 38)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "corpus", "tcp")
    os.makedirs(folder, exist_ok=True)
    for name, content in seeds():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


if __name__ == "__main__":
    main()
