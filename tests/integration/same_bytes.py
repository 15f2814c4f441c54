#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Baselines and stages give everybody the same bytes, in the same order, and drop the same for the same reasons.

Where guests have contexts some frames are dropped that a bridge delivers: those with addresses that are not the guest's,
and those to addresses that nobody has. So there are two results that others are compared with: the first without
contexts, and the first with them. These two are compared with each other over frames of guests that have one address
each, and speak to nobody but those whom there are.

A corpus of frames goes through the daemon once per configuration: between two guests, which are the frontends of the
program frame_player, and the kernel's end of a tap in a namespace. Every shipped configuration for two guests is tried,
with one worker and with two, and with a raw port in the tap's place, and each stage alone over each baseline. Arguments
are parts of titles, of those that are to be tried besides the first.

SIDE_BY_SIDE daemons are at work at a time, each with a namespace and guests of its own: one of them mostly waits, up to
a second until rte_vhost's thread looks at its new socket. Results are compared in the order of the configurations.
"""

import contextlib
import itertools
import json
import os
import random
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import (
    CPUS,
    EXPERIMENTAL,
    TOP,
    Namespace,
    Skip,
    check,
    check_equal,
    daemon,
    is_conserved,
    pktvirt,
    ports,
    quiet_veth,
    raw,
    run,
    say,
    shipped_config,
    tap,
    tap_name,
    vhost,
    wait_until,
    workspace,
)
from lab.daemon import find_program
from lab.netns import host

SIDE_BY_SIDE = 2
BATCHES = 160
BATCH_MAX = 40  # frames; so many of the longest fit into every receive queue
NAMES = ("vm0", "vm1", "tap0")
VM0, VM1, TAP = range(3)
MTU = {VM0: 1500, VM1: 1400, TAP: 1500}
TAP_MTU = 3000  # of the kernel's end, so that it can send what is too long for the port
TAGGED_MIN = 20  # of a frame with a VLAN tag that Linux receives from a wire, as a raw port does
BASELINES = ("uml", "xen", "none")
SEED = 4
CONTEXTS = "multi-context-demux"
REASONS = {"runt", "oversized", "bad_source", "spoofed_source", "link_local", "same_port", "exceeds_mtu", "bad_chain"}

STATIONS = {VM0: [0xA0], VM1: [0xB0, 0xB1, 0xB2], TAP: [0xC0, 0xC1, 0xC2]}
ONE_EACH = {port: stations[:1] for port, stations in STATIONS.items()}
BROADCAST = b"\xff" * 6
LINK_LOCAL = bytes.fromhex("0180c200000e")
EDGES = (14, 15, 17, 18, 59, 60, 61, 63, 64, 65, 127, 128, 129, 130, 255, 256, 257, 498, 499, 500, 501, 1011, 1012,
         1013, 1421, 1422, 1423, 1499, 1500, 1501, 1513, 1514, 1515, 1518, 1521, 1522)
TOO_LONG = (1523, 1524, 1600, 2030)
PLAY = "=BBBBBBH"  # struct play of frame_player.c
CAME = "=BBH"  # struct came


def address(station):
    """The MAC address of a station."""
    return bytes((0x52, 0x54, 0, 0, 0, station))


class Corpus:
    """Frames as they are sent: (sender, layout, frame, whether it ends a batch), always the same ones.

    `settled`: each sender has one address, and speaks to nobody but those whom there are.
    """

    def __init__(self, settled=False):
        self._dice = random.Random(SEED)
        self._settled = settled
        self._stations = ONE_EACH if settled else STATIONS
        self._number = 0
        self._seen = set()
        self.plays = []
        for turn in range(BATCHES):
            # Each is heard first with the address that it ends its batches with: a context keeps that one.
            self._add_batch(turn % 3, self._dice.randrange(BATCH_MAX) if turn >= 3 else 0)

    def _add_batch(self, sender, frames):
        for _ in range(frames):
            self._add(sender, self._new_frame(sender), False)
        self._number += 1
        marker = BROADCAST + address(self._stations[sender][0]) + struct.pack(">HI", EXPERIMENTAL, self._number)
        self._add(sender, marker.ljust(64, b"\0"), True)

    def _add(self, sender, frame, ends):
        """Half of the frames are in one buffer, as most drivers send them."""
        layout = (0, 1, 0)
        if frame and self._dice.randrange(2):
            layout = (self._dice.randrange(3), self._dice.randint(1, min(6, len(frame))), self._dice.randrange(2))
        self.plays.append((sender, *layout, ends, frame))

    def _length(self, sender):
        chance = self._dice.randrange(40)
        if chance == 0 and sender != TAP:  # the kernel sends no runt
            return self._dice.randrange(14)
        if chance == 1:
            return self._dice.choice(TOO_LONG)
        return self._dice.choice(EDGES) if chance < 20 else self._dice.randint(60, 1514)

    def _destination(self, sender):
        dice = self._dice
        known = [address(station) for port in range(3) if port != sender for station in self._stations[port]]
        rare = [LINK_LOCAL, address(dice.choice(self._stations[sender])), BROADCAST,
                b"\x01\x00\x5e" + dice.randbytes(3), b"\x33\x33" + dice.randbytes(4)]
        if not self._settled:
            rare.append(address(0xE0 + dice.randrange(16)))
        return dice.choice(known) if dice.randrange(4) else dice.choice(rare)

    def _source(self, sender):
        """Mostly its own; one that moves; somebody's static one; a group's; nobody's."""
        dice = self._dice
        rare = [address(STATIONS[VM0][0]), b"\x03" + dice.randbytes(5), bytes(6)]
        if not self._settled:
            rare.append(address(0xD0))
        return address(dice.choice(self._stations[sender])) if dice.randrange(15) else dice.choice(rare)

    def _new_frame(self, sender):
        """One that has not been sent; those that are dropped as runts may be alike."""
        while True:
            frame = self._frame(sender)
            if len(frame) < 14 or frame not in self._seen:
                self._seen.add(frame)
                return frame

    def _frame(self, sender):
        """Addresses, tags, a type, a head of that type, and bytes."""
        dice = self._dice
        self._number += 1
        tags = b"".join(struct.pack(">HH", dice.choice((0x8100, 0x88A8)), dice.randrange(65536))
                        for _ in range(dice.choice((0, 0, 0, 1, 2))))
        length = self._length(sender)
        if tags and sender == TAP:
            length = max(length, TAGGED_MIN)
        body = struct.pack(">I", self._number) + dice.randbytes(max(length, 64))
        kind = dice.choice((ipv4, ipv6, arp, other, with_a_length))
        return (self._destination(sender) + self._source(sender) + tags + kind(dice, length, body))[:length]

    def packed(self):
        """The file that frame_player reads."""
        return b"".join(struct.pack(PLAY, sender, header, pieces, indirect, ends, 0, len(frame)) + frame
                        for sender, header, pieces, indirect, ends, frame in self.plays)

    def frames(self, sender):
        """What a sender sends, in order."""
        return [play[-1] for play in self.plays if play[0] == sender]


def ipv4(dice, length, body):
    """UDP, TCP, or something else; whole or a fragment. Its checksums are as wrong as they come."""
    fragment = dice.choice((0, 0x4000, 0x2000, 0x00B9))
    protocol = dice.choice((6, 17, 1))
    return struct.pack(">HBBHHHBBH4s4s", 0x0800, 0x45, 0, max(length - 14, 20), 1, fragment, 64, protocol, 0,
                       bytes((198, 18, 0, 1)), bytes((198, 18, 0, 2))) + body


def ipv6(dice, length, body):
    return struct.pack(">HIHBB", 0x86DD, 0x60000000, max(length - 54, 0), dice.choice((6, 17, 58)), 64) + \
        bytes.fromhex("20010db8") + dice.randbytes(28) + body


def arp(dice, _, body):
    return struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, dice.choice((1, 2))) + body


def other(dice, _, body):
    return struct.pack(">H", dice.choice((EXPERIMENTAL, 0x88CC, 0x8863, 0x8847))) + body


def with_a_length(_, length, body):
    """IEEE 802.3: no type."""
    return struct.pack(">H", min(length, 1500)) + body


# A run


_taps = itertools.count()


def tap_port(namespace):
    """A tap: the port, the kernel's end of it, and what gives the namespace that; nothing there speaks by itself."""
    interface = tap_name(next(_taps))
    namespace.quiet_tap(interface)

    def move():
        namespace.run("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
        host("ip", "link", "set", interface, "netns", namespace.name)
        namespace.run(f"ip link set {interface} mtu {TAP_MTU} up")

    return tap("tap0", interface, mtu=MTU[TAP]), interface, move


def raw_port(namespace):
    """The same with a raw port on a veth pair, which is to make no difference."""
    return raw("tap0", quiet_veth(namespace, mtu=TAP_MTU), mtu=MTU[TAP]), "eth0", lambda: None


def all_drops(switch):
    """The drops of each port, by reason."""
    return {name: port["drops"] for name, port in ports(switch).items()}


def growth(before, after):
    """What was dropped in between."""
    return {name: {reason: count - before[name].get(reason, 0) for reason, count in drops.items()
                   if count != before[name].get(reason, 0)} for name, drops in after.items()}


def read_result(path):
    """The frames of each receiver, in order."""
    data, at, came = path.read_bytes(), 0, ([], [], [])
    while at < len(data):
        receiver, _, length = struct.unpack_from(CAME, data, at)
        at += struct.calcsize(CAME)
        came[receiver].append(data[at : at + length])
        at += length
    return came


def play(settings, corpus, make_port):
    """Play a corpus with one configuration; returns what came to whom, and what was dropped."""
    with Namespace("outside") as namespace:
        return play_in(namespace, settings, corpus, make_port)


def play_in(namespace, settings, corpus, make_port):
    port, interface, move = make_port(namespace)
    with workspace() as directory:
        places = [vhost("vm0", directory, mtu=MTU[VM0], mac=address(STATIONS[VM0][0]).hex(":")),
                  vhost("vm1", directory, mtu=MTU[VM1]), port]
        (directory / "corpus").write_bytes(corpus.packed())
        with daemon({**settings, "ports": places}) as switch:
            move()
            before = all_drops(switch)
            argv = [find_program("FRAME_PLAYER", "build/tests/integration/frame_player"), directory / "vm0.sock",
                    directory / "vm1.sock", interface, directory / "corpus", directory / "result"]
            done = namespace.run([str(word) for word in argv], timeout=60, check=False)
            check_equal((done.returncode, done.stderr), (0, ""), "the corpus was played")
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            return read_result(directory / "result"), growth(before, all_drops(switch))


# Comparing


def first_difference(expected, found):
    """Where two lists of frames differ first, for people; empty when they do not."""
    for i, (one, two) in enumerate(zip(expected, found)):
        if one != two:
            return f"frame {i} of {len(expected)}: expected {one.hex()}, found {two.hex()}"
    return f"{len(expected)} frames expected, {len(found)} found" if len(expected) != len(found) else ""


def is_in_order(sent, came):
    """Whether all of `came` are of `sent`, which has each but once, in that order."""
    rest = iter(sent)
    return all(frame in rest for frame in came)


def came_from(came, sent):
    """Those frames that this sender has sent."""
    known = set(sent)
    return [frame for frame in came if frame in known]


def check_against_the_corpus(came, dropped, corpus, wanted):
    """A first result, with which others are compared, is itself what was sent."""
    sent = [corpus.frames(sender) for sender in range(3)]
    for receiver, frames in enumerate(came):
        parts = [came_from(frames, sent[sender]) for sender in range(3) if sender != receiver]
        check_equal(sum(map(len, parts)), len(frames), f"{NAMES[receiver]} was given nothing but what others have sent")
        check(len(frames) > len(corpus.plays) // 8, f"{NAMES[receiver]} was given {len(frames)} frames")
        check(all(is_in_order(sent[sender], came_from(frames, sent[sender])) for sender in range(3)),
              f"{NAMES[receiver]} was given each sender's frames in order, and once")
    reasons = {reason for drops in dropped.values() for reason in drops}
    check_equal(reasons, wanted, "the corpus has frames to be dropped for each reason, and no other was dropped")


def check_same(expected, found):
    """Compares two results."""
    for receiver, name in enumerate(NAMES):
        check_equal(first_difference(expected[0][receiver], found[0][receiver]), "", f"{name} was given the same bytes")
    check_equal(found[1], expected[1], "the same was dropped, for the same reasons")


# Configurations


def shipped():
    """The names of the configurations of two guests."""
    configs = {path.name: json.loads(path.read_text()) for path in sorted((TOP / "configs").glob("*.json"))}
    return [name for name, one in configs.items() if sum("vhost-user" in port for port in one.get("ports", [])) == 2]


def stages():
    """The names of all stages of the daemon itself."""
    listed = json.loads(pktvirt("--list-stages", "--json").stdout)
    return [stage["name"] for stage in listed["stages"]]


def all_configurations():
    """Titles with settings and the kind of the third port; UML as it was comes first."""
    names = sorted(shipped(), key=lambda name: name != "uml.json")
    for name in names:
        yield name, shipped_config(name), tap_port
    for baseline in BASELINES:
        for stage in stages():
            settings = {"workers": [CPUS[0]], "baseline": baseline, "stages": [stage]}
            yield f"{stage} over {baseline}", settings, tap_port
    for name in names if len(CPUS) > 1 else ():
        yield f"{name} with two workers", {**shipped_config(name), "workers": CPUS[:2]}, tap_port
    for name in names:
        yield f"{name} with a raw port", shipped_config(name), raw_port


def has_contexts(settings):
    """Whether guests have contexts."""
    return any(stage == CONTEXTS or CONTEXTS in stage for stage in settings["stages"])


def configurations(wanted):
    """The first without contexts and with them, and those that are wanted, each with whether it is such a first one."""
    seen = set()
    for title, settings, make_port in all_configurations():
        way = has_contexts(settings)
        if way not in seen or not wanted or any(part in title for part in wanted):
            yield title, settings, make_port, way not in seen
        seen.add(way)


def results(wanted, corpus, settled):
    """Plays them; gives, in their order, title, whether guests have contexts, and the result; for the first ones also
    that of guests with one address each, else None."""
    players = ThreadPoolExecutor(SIDE_BY_SIDE)
    try:
        begun = [(title, has_contexts(settings), players.submit(play, settings, corpus, make_port),
                  players.submit(play, settings, settled, make_port) if is_first else None)
                 for title, settings, make_port, is_first in configurations(wanted)]
        for title, way, found, found_settled in begun:
            say(title)
            yield title, way, found.result(), found_settled and found_settled.result()
    finally:
        players.shutdown(cancel_futures=True)


def main():
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK) or not Path("/dev/net/tun").is_char_device():
        raise Skip("this machine has no /dev/net/tun")
    corpus, settled, expected, of_settled = Corpus(), Corpus(settled=True), {}, None
    say(f"{len(corpus.plays)} frames")
    with contextlib.closing(results(sys.argv[1:], corpus, settled)) as played:
        for title, way, found, found_settled in played:
            if found_settled:
                check_against_the_corpus(*found, corpus, REASONS | ({"no_port"} if way else set()))
                expected[way] = found
                say(f"{title}, guests with one address each")
                of_settled = of_settled or found_settled
                check_against_the_corpus(*found_settled, settled, REASONS)
                check_same(of_settled, found_settled)
            check_same(expected[way], found)


if __name__ == "__main__":
    run(main)
