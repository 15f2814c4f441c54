#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Frames that no switch may forward, from a wire, a tap and a capture file: dropped, and counted by their reasons."""

import os
import struct
import sys
from pathlib import Path

from support import (
    Namespace,
    Running,
    Skip,
    check_equal,
    config,
    daemon,
    drops,
    ethdev,
    frame,
    is_conserved,
    ports,
    quiet_veth,
    raw,
    run,
    say,
    send_frames,
    sniffer,
    tap,
    tap_name,
    wait_until,
    workspace,
)
from lab.netns import host

STATION = "52:54:00:00:00:01"  # who sends
STATIC = "52:54:00:00:00:02"   # whose port is fixed
OTHER = "52:54:00:00:00:03"   # who sends from the file
TIMES = 7
LONGEST = 1522

BAD = {
    "oversized": [frame(STATIC, STATION, LONGEST + 1)],
    "bad_source": [frame(STATIC, "01:00:5e:00:00:01"), frame(STATIC, "00:00:00:00:00:00")],
    "spoofed_source": [frame("ff:ff:ff:ff:ff:ff", STATIC)],
    "link_local": [frame("01:80:c2:00:00:00", STATION), frame("01:80:c2:00:00:0e", STATION)],
    "same_port": [frame(STATION, STATION)],
}
FLOOD = f"""
import socket
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind(("eth0", 0))
    while True:
        raw.send(bytes.fromhex("{frame("ff:ff:ff:ff:ff:ff", STATION).hex()}"))
"""
# Kernels refuse to send a frame shorter than its header, so these come from a capture file.
RUNTS = [b"\x02" * length for length in (1, 6, 13)]
FROM_FILE = frame(STATIC, OTHER)


class Wire:
    """What goes into the switch at one port, and what must come out at the port of STATIC."""

    def __init__(self, switch, seen):
        self.switch = switch
        self.seen = seen
        self.expected = [FROM_FILE]

    def send_bad(self, port, namespace, device, reason, frames, where=None):
        """Frames that must be dropped for the reason, at `port` unless `where` says at another."""
        where = where or port
        before = drops(self.switch, where, reason)
        send_frames(namespace, device, frames)
        wait_until(f"{len(frames)} from {port} dropped at {where} as {reason}",
                   lambda: drops(self.switch, where, reason) == before + len(frames))

    def send_good(self, port, namespace, device, frames):
        """Frames that must come out as they are, and nothing else with them."""
        self.expected += frames
        send_frames(namespace, device, frames)
        lengths = ", ".join(str(len(one)) for one in frames)
        wait_until(f"good frames of {lengths} bytes from {port} have come out",
                   lambda: len(self.seen()) >= len(self.expected))
        check_equal(self.seen(), self.expected, "all good ones, as they were and in their order, and no bad one")


def from_a_wire(wire, a):
    good = [frame(STATIC, STATION, length) for length in (14, 60, LONGEST)]
    wire.send_good("wire0", a, "eth0", good)
    for reason, samples in BAD.items():
        wire.send_bad("wire0", a, "eth0", reason, samples * TIMES)
    wire.send_good("wire0", a, "eth0", good)


def from_a_tap(wire, a, interface):
    good = [frame(STATIC, STATION, length) for length in (14, 60, 1514)]
    host("ip", "link", "set", interface, "netns", a.name)
    a.run(f"ip link set {interface} up")
    wire.send_good("tap0", a, interface, good)
    for reason in [name for name in BAD if name != "oversized"]:  # the kernel sends none of those
        wire.send_bad("tap0", a, interface, reason, BAD[reason] * TIMES)
    wire.send_good("tap0", a, interface, good)


def too_long_for_one_port(wire, a):
    """wire2 has an MTU of 1000: a broadcast is dropped there and comes out elsewhere."""
    broadcast = frame("ff:ff:ff:ff:ff:ff", STATION, 1400)
    wire.expected.append(broadcast)
    wire.send_bad("wire0", a, "eth0", "exceeds_mtu", [broadcast], where="wire2")
    wire.send_good("wire0", a, "eth0", [frame(STATIC, STATION)])


def frames_of_other_interfaces_stay_out(a, b):
    """A packet socket hears every interface until it is bound to its own; the switch starts amid such a flood."""
    host_ends = [quiet_veth(namespace) for namespace in (a, b)]
    with Running(a, f"{sys.executable} -c '{FLOOD}'"):
        transmitted = Path(f"/sys/class/net/{host_ends[0]}/statistics/rx_packets")
        wait_until("another interface is flooded", lambda: int(transmitted.read_text()) > 1000)
        for port in (ethdev("wire0", f"net_af_packet0,iface={host_ends[1]}"), raw("wire0", host_ends[1])) * 4:
            with daemon(config(port)) as switch:
                before = rounds(switch)
                wait_until("the worker polls", lambda switch=switch, before=before: rounds(switch) > before + 100)
                there = ports(switch)["wire0"]
                check_equal((there["state"], there["rx"]["packets"]), ("up", 0), f"{there['type']}: nothing came in")


def rounds(switch):
    """How often the worker has polled."""
    return switch.ctl("show", "workers")["workers"][0]["rounds"]


def capture_file(path, frames):
    """Writes a capture in the classic format (pcap-savefile(5))."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for content in frames:
            file.write(struct.pack("<IIII", 0, 0, len(content), len(content)) + content)


def main():
    if not os.path.exists("/dev/net/tun"):
        raise Skip("this machine has no /dev/net/tun")
    with workspace() as directory, Namespace("a") as a, Namespace("b") as b, Namespace("c") as c:
        capture_file(directory / "runts.pcap", [*RUNTS, FROM_FILE])
        devargs = {
            "wire0": f"net_af_packet0,iface={a.veth(mtu=3000)}",
            "wire1": f"net_af_packet1,iface={b.veth(mtu=3000)}",
            "wire2": f"net_af_packet2,iface={c.veth(mtu=1000)}",
            "file0": f"net_pcap0,rx_pcap={directory}/runts.pcap,tx_pcap={directory}/out.pcap",
        }
        interface = tap_name()
        switched = config(ethdev("wire0", devargs["wire0"]), ethdev("wire1", devargs["wire1"], mac=STATIC),
                          ethdev("wire2", devargs["wire2"], mtu=1000), ethdev("file0", devargs["file0"]),
                          tap("tap0", interface))
        with sniffer(b, "eth0") as seen, daemon(switched) as switch:
            wire = Wire(switch, seen)
            say("from a capture file")
            wait_until(f"{len(RUNTS)} runts are dropped", lambda: drops(switch, "file0", "runt") == len(RUNTS))
            say("from a wire")
            from_a_wire(wire, a)
            too_long_for_one_port(wire, a)
            say("from a tap")
            from_a_tap(wire, a, interface)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
    say("from another interface")
    with Namespace("a") as a, Namespace("b") as b:
        frames_of_other_interfaces_stay_out(a, b)


if __name__ == "__main__":
    run(main)
