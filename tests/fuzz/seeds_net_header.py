#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of fuzz_net_header: one frame of each kind that the reader tells apart, with a header that fits.

Usage: seeds_net_header.py [FOLDER]. The default is corpus/net_header beside this program.
"""
import os
import struct
import sys

FEATURES = 0xffff
NEEDS_CSUM = 1
NONE, TCPV4, UDP, TCPV6, ECN = 0, 1, 3, 4, 0x80
TX_TCP_CKSUM, TX_UDP_CKSUM, TX_IPV4, TX_IPV6 = 1 << 52, 3 << 52, 1 << 55, 1 << 56
TX_TCP_SEG, TX_UDP_SEG, RX_GOOD = 1 << 50, 1 << 42, 1 << 8
ETHERNET = bytes.fromhex("525400000002525400000001")


def unit(frame, header=bytes(10), features=FEATURES, first=0xffff, ol_flags=0, lengths=(0, 0, 0), segsz=0):
    """What fuzz_net_header.c takes: struct unit, then the frame."""
    l2, l3, l4 = lengths
    tx_offload = l2 | l3 << 7 | l4 << 16 | segsz << 24
    return struct.pack("<QQ", ol_flags, tx_offload) + header + struct.pack("<HHH", features, first, 0) + frame


def head(start, offset, gso=NONE, size=0, hdr_len=0, flags=NEEDS_CSUM):
    """A virtio-net header."""
    return struct.pack("<BBHHHH", flags, gso, hdr_len, size, start, offset)


def ether(kind, *tags):
    """An Ethernet header with the tags' types before its own."""
    return ETHERNET + b"".join(struct.pack(">HH", tag, 5) for tag in tags) + struct.pack(">H", kind)


def ipv4(protocol, rest, options=b"", fragment=0x4000):
    """An IPv4 packet."""
    length = 20 + len(options)
    return struct.pack(">BBHHHBBHII", 0x40 | length // 4, 0, length + len(rest), 1, fragment, 64, protocol, 0,
                       0x0a000001, 0x0a000002) + options + rest


def ipv6(protocol, rest, *extensions):
    """An IPv6 packet; an extension header is its number and its length in bytes."""
    for kind, length in reversed(extensions):
        rest = struct.pack(">BB", protocol, length // 8 - 1) + bytes(length - 2) + rest
        protocol = kind
    return struct.pack(">IHBB", 0x60000000, len(rest), protocol, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + rest


def tcp(payload, options=b"", flags=0x10):
    """A TCP segment of so many bytes of payload."""
    return struct.pack(">HHIIBBHHH", 1000, 80, 1, 1, (20 + len(options)) // 4 << 4, flags, 500, 0xbeef, 0) + \
        options + bytes(payload)


def udp(payload):
    """A UDP datagram with this payload."""
    return struct.pack(">HHHH", 1000, 4789, 8 + len(payload), 0xbeef) + payload


def seeds():
    """Name and bytes of each."""
    v4, v6 = ether(0x0800), ether(0x86dd)
    timestamps = bytes.fromhex("0101080a0000000100000002")
    inner = v4 + ipv4(6, tcp(20))
    vxlan = v4 + ipv4(17, udp(bytes(8) + inner))
    yield "empty", unit(v4 + ipv4(6, tcp(6)), features=0)
    yield "tcp4", unit(v4 + ipv4(6, tcp(8)), head(34, 16))
    yield "tcp6", unit(v6 + ipv6(6, tcp(8, timestamps)), head(54, 16))
    yield "udp4", unit(v4 + ipv4(17, udp(bytes(9))), head(34, 6))
    yield "udp6", unit(v6 + ipv6(17, udp(bytes(9))), head(54, 6))
    yield "tcp4_options_tag", unit(ether(0x0800, 0x8100) + ipv4(6, tcp(8, timestamps), b"\1" * 8), head(46, 16))
    yield "udp6_two_tags", unit(ether(0x86dd, 0x88a8, 0x8100) + ipv6(17, udp(bytes(4))), head(62, 6))
    yield "three_tags", unit(ether(0x0800, 0x88a8, 0x8100, 0x8100) + ipv4(17, udp(bytes(8))), head(46, 6))
    yield "tcp6_extensions", unit(v6 + ipv6(6, tcp(4), (0, 8), (43, 24), (60, 16)), head(102, 16))
    yield "udp6_fragment", unit(v6 + ipv6(17, udp(bytes(4)), (44, 8)), head(62, 6))
    yield "udp4_fragment", unit(v4 + ipv4(17, udp(bytes(4)), fragment=0x2000), head(34, 6))
    yield "udp4_padded", unit(v4 + ipv4(17, udp(bytes(4))) + bytes(14), head(34, 6))
    yield "vxlan", unit(vxlan, head(84, 16))
    yield "vxlan_odd_segment", unit(vxlan, head(84, 16), first=105)
    yield "gre", unit(v4 + ipv4(47, bytes(4) + ipv4(17, udp(bytes(9)))), head(58, 6))
    yield "arp", unit(ether(0x0806) + bytes(28), head(20, 4))
    yield "tso4", unit(v4 + ipv4(6, tcp(60)), head(34, 16, TCPV4, 20, 54))
    yield "tso4_ecn", unit(v4 + ipv4(6, tcp(60, flags=0x90)), head(34, 16, TCPV4 | ECN, 20, 54))
    yield "tso4_one_segment", unit(v4 + ipv4(6, tcp(20)), head(34, 16, TCPV4, 20, 54))
    yield "tso6_extension", unit(v6 + ipv6(6, tcp(60, timestamps), (60, 8)), head(62, 16, TCPV6, 25, 94))
    yield "tso6_segments", unit(v6 + ipv6(6, tcp(60)), head(54, 16, TCPV6, 30, 74), first=80)
    yield "ufo4", unit(v4 + ipv4(17, udp(bytes(60))), head(34, 6, UDP, 24, 42))
    yield "ufo6", unit(v6 + ipv6(17, udp(bytes(60))), head(54, 6, UDP, 24, 62))
    yield "written_good", unit(v4 + ipv4(6, tcp(8)), ol_flags=RX_GOOD)
    yield "written_tcp4", unit(v4 + ipv4(6, tcp(8)), ol_flags=TX_TCP_CKSUM | TX_IPV4, lengths=(14, 20, 20))
    yield "written_udp6", unit(v6 + ipv6(17, udp(bytes(8))), ol_flags=TX_UDP_CKSUM | TX_IPV6, lengths=(14, 40, 8))
    yield "written_tso4_cwr", unit(v4 + ipv4(6, tcp(60, flags=0x90)), ol_flags=TX_TCP_SEG | TX_TCP_CKSUM | TX_IPV4,
                                   lengths=(14, 20, 20), segsz=20)
    yield "written_tso6", unit(v6 + ipv6(6, tcp(60)), ol_flags=TX_TCP_SEG | TX_IPV6, lengths=(14, 40, 20), segsz=20)
    yield "written_ufo4", unit(v4 + ipv4(17, udp(bytes(60))), ol_flags=TX_UDP_SEG | TX_UDP_CKSUM | TX_IPV4,
                               lengths=(14, 20, 8), segsz=24)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "corpus", "net_header")
    os.makedirs(folder, exist_ok=True)
    for name, content in seeds():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


if __name__ == "__main__":
    main()
