#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Packet sockets on veth pairs: frames cross as they are, what goes out does not come in, interfaces come and go.

All of it with a system call per frame and signals (the baseline uml), and with one per burst and polling.
"""

import contextlib
import json
import signal
from pathlib import Path

from support import (
    ALL_TYPES,
    EXPERIMENTAL,
    Namespace,
    check,
    check_contains,
    check_equal,
    config,
    daemon,
    drops,
    frame,
    is_conserved,
    ports,
    quiet_veth,
    raw,
    run,
    say,
    send_frames,
    sniffer,
    wait_until,
)
from lab.netns import host

STATION = "02:00:00:00:00:01"
BROADCAST = "ff:ff:ff:ff:ff:ff"
TAGGED = [(0x8100, 0x0123), (0x88A8, 0xE456)]  # type of the tag, and priority with number
FLOOD = 20000  # frames: more than a socket holds
UNSEGMENTED = """
import socket
SOL_UDP, UDP_SEGMENT = 17, 103
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    udp.sendto(bytes(3000), ("10.77.9.9", 9))
"""


def numbered(number, tags=(), length=100):
    """A broadcast frame with a number and VLAN tags."""
    head = bytes.fromhex((BROADCAST + STATION).replace(":", ""))
    for kind, tag in tags:
        head += kind.to_bytes(2, "big") + tag.to_bytes(2, "big")
    return (head + EXPERIMENTAL.to_bytes(2, "big") + number.to_bytes(4, "big")).ljust(length, b"\5")


def all_kinds():
    """Frames of several lengths with and without tags, some of them with two."""
    kinds = [(), TAGGED[:1], TAGGED[1:], TAGGED, TAGGED[::-1]]
    return [numbered(number, kinds[number % len(kinds)], (60, 100, 1504)[number % 3]) for number in range(150)]


class Place:
    """The daemon between eth0 and eth1 of a namespace, and what arrives at eth1."""

    def __init__(self, switch, namespace, host_end, seen):
        self.switch = switch
        self.namespace = namespace
        self.host_end = host_end  # of eth1; the port raw1
        self.seen = seen
        self.expected = []

    def port(self):
        """What the daemon says of the port raw1."""
        return ports(self.switch)["raw1"]

    def pass_on(self, frames, what):
        """Frames from eth0 arrive at eth1 as they are, and nothing else does."""
        self.expected += frames
        send_frames(self.namespace, "eth0", frames)
        wait_until(f"{what} have arrived", lambda: len(self.seen()) >= len(self.expected))
        check(self.seen() == self.expected, "they are as they were and in order")

    def wait_for(self, state, link):
        """Until the port has seen what has become of its interface."""
        wait_until(f"raw1 is {state}: its link is {link}",
                   lambda: (self.port()["state"], self.port()["detail"]["link"]) == (state, link))


def what_goes_out_does_not_come_in(place):
    """Neither what the port has sent, nor what another program of the host sends on the interface."""
    received = place.port()["rx"]["packets"]
    mine, theirs = numbered(1000), frame(STATION, "02:00:00:00:00:02")
    place.expected.append(mine)
    send_frames(Host, place.host_end, [mine])
    wait_until("what the host sends on the interface has arrived", lambda: place.seen() == place.expected)
    send_frames(place.namespace, "eth1", [theirs])
    wait_until("a frame from there comes in", lambda: place.port()["rx"]["packets"] > received)
    check_equal(place.port()["rx"]["packets"], received + 1, "it is the only one that has come in")


class Host:
    """The namespace that the daemon is in, as a place to send from."""

    @staticmethod
    def run(command, **options):
        """As Namespace.run()."""
        return host(*command, **options)


def promiscuity(interface):
    """How many want all frames of an interface."""
    return json.loads(host("ip", "-d", "-j", "link", "show", interface).stdout)[0]["promiscuity"]


def what_the_kernel_dropped_is_counted(place):
    """While the daemon stands still, its socket fills up."""
    before = place.port()
    place.switch.signal(signal.SIGSTOP)
    try:
        send_frames(place.namespace, "eth1", [frame(STATION, "02:00:00:00:00:02", 1000)] * FLOOD)
    finally:
        place.switch.signal(signal.SIGCONT)

    def gone():
        after = place.port()
        dropped = after["detail"]["kernel_drops"] - before["detail"]["kernel_drops"]
        return dropped and dropped + after["rx"]["packets"] - before["rx"]["packets"] == FLOOD

    wait_until("every frame of a flood has come in or is counted as dropped by the kernel", gone)


def what_is_left_to_be_segmented_is_dropped(place):
    """One UDP packet that the sender's kernel leaves to a device to cut into three."""
    before = drops(place.switch, "raw1", "unsegmented")
    place.namespace.run("ip addr add 10.77.9.1/24 dev eth1 && "
                        f"ip neigh add 10.77.9.9 lladdr {STATION} dev eth1 nud permanent")
    place.namespace.run(["python3", "-c", UNSEGMENTED])
    wait_until("it is dropped as unsegmented", lambda: drops(place.switch, "raw1", "unsegmented") == before + 1)
    wait_until("the log says what to do", lambda: f'"ethtool -K {place.host_end} gro off lro off"' in
               place.switch.log.read_text())


def interface_goes_down_and_up(place):
    host("ip", "link", "set", place.host_end, "down")
    place.wait_for("down", "down")
    host("ip", "link", "set", place.host_end, "up")
    place.wait_for("up", "up")
    place.pass_on([numbered(2000)], "frames after that")
    place.namespace.run("ip link set eth1 down")
    place.wait_for("down", "down")
    place.namespace.run("ip link set eth1 up")
    place.wait_for("up", "up")


def rounds(switch):
    """How often the worker has looked at its ports."""
    return switch.ctl("show", "workers")["workers"][0]["rounds"]


def interface_is_removed_and_comes_back(place):
    host("ip", "link", "del", place.host_end)
    place.wait_for("down", "gone")
    calls, before = place.port()["detail"]["system_calls"], rounds(place.switch)
    send_frames(place.namespace, "eth0", [numbered(3000)])
    wait_until("the daemon works on", lambda: rounds(place.switch) > before)
    check_equal(place.port()["detail"]["system_calls"], calls, "the socket of nothing is left alone")
    host("ip", "link", "add", place.host_end, "type", "veth", "peer", "name", "eth1", "netns", place.namespace.name)
    Path(f"/proc/sys/net/ipv6/conf/{place.host_end}/disable_ipv6").write_text("1")
    host("ip", "link", "set", place.host_end, "up")
    place.namespace.run("ip link set eth1 up")
    place.wait_for("up", "up")
    check_equal(promiscuity(place.host_end), 1, "the new interface is promiscuous")
    with sniffer(place.namespace, "eth1", ALL_TYPES) as place.seen:
        place.expected = []
        place.pass_on(all_kinds(), "frames on the new interface")


@contextlib.contextmanager
def between_two(namespace, host_ends, settings):
    """The daemon with two raw ports, and a sniffer at eth1."""
    switched = config(raw("raw0", host_ends[0]), raw("raw1", host_ends[1]), **settings)
    with daemon(switched) as switch, sniffer(namespace, "eth1", ALL_TYPES) as seen:
        place = Place(switch, namespace, host_ends[1], seen)
        place.wait_for("up", "up")
        yield place


def exercise(settings):
    with Namespace("outside") as outside:
        host_ends = [quiet_veth(outside), quiet_veth(outside, device="eth1")]
        with between_two(outside, host_ends, settings) as place:
            check_equal([promiscuity(one) for one in host_ends], [1, 1], "the interfaces are promiscuous")
            place.pass_on(all_kinds(), "frames with and without VLAN tags")
            what_goes_out_does_not_come_in(place)
            interface_goes_down_and_up(place)
            what_is_left_to_be_segmented_is_dropped(place)
            what_the_kernel_dropped_is_counted(place)
            wait_until("every frame is accounted for", lambda: is_conserved(place.switch))
            interface_is_removed_and_comes_back(place)
        check_equal([promiscuity(one) for one in host_ends], [0, 0], "no interface is promiscuous after the daemon")


def options_of_the_port():
    with Namespace("outside") as outside:
        host_end = quiet_veth(outside, mtu=1400)
        port = raw("raw0", host_end)
        port["raw"]["promiscuous"] = False
        with daemon(config(port)) as switch:
            check_equal(promiscuity(host_end), 0, "promiscuous mode is not switched on when that is not wanted")
            check_contains(switch.log.read_text(), f'raw0: interface "{host_end}" has an MTU of 1400, less than',
                           "the log says that the interface has a smaller MTU than the port")


def main():
    for title, settings in {"per packet": {"baseline": "uml"}, "per burst": {}}.items():
        say(title)
        exercise(settings)
    say("options")
    options_of_the_port()


if __name__ == "__main__":
    run(main)
