#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""VLANs of contexts between kernels: guests that know of none, and a trunk.

Each guest is the far end of a veth pair whose near end is a raw port with the role of a guest, and so is the trunk,
which is a wire.
"""

import contextlib

from support import (
    ALL_TYPES,
    EXPERIMENTAL,
    Namespace,
    check,
    check_equal,
    config,
    daemon,
    drops,
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

VLANS = {"a10": 10, "b10": 10, "a20": 20, "none": 0}  # of each guest
ADDRESSES = {name: f"02:00:00:00:00:{number:02x}" for number, name in enumerate([*VLANS, "trunk"], 1)}
BROADCAST = "ff:ff:ff:ff:ff:ff"


def make_frame(number, destination, source, vlan=None):
    """A frame with a number, and a tag if there is a VLAN."""
    head = bytes.fromhex((destination + source).replace(":", ""))
    tag = b"" if vlan is None else b"\x81\0" + vlan.to_bytes(2, "big")
    return head + tag + (EXPERIMENTAL.to_bytes(2, "big") + number.to_bytes(4, "big")).ljust(60, b"\3")


class Lab:
    """The daemon with all ports, and what has arrived at each far end."""

    def __init__(self, switch, places, seen):
        self.switch = switch
        self.places = places
        self.seen = seen
        self.number = 0

    def arrivals(self):
        """The frames of the last number, by who has them."""
        mark = EXPERIMENTAL.to_bytes(2, "big") + self.number.to_bytes(4, "big")
        found = {name: [one for one in seen() if mark in one[12:22]] for name, seen in self.seen.items()}
        return {name: frames for name, frames in found.items() if frames}

    def send(self, sender, destination, expected, vlan=None, source=None):
        """A frame is seen by those of `expected` only, with the tag that is said for each (None: without)."""
        self.number += 1
        source = source or ADDRESSES[sender]
        received = self.received(sender)
        send_frames(self.places[sender], "eth0", [make_frame(self.number, destination, source, vlan)])
        wanted = {name: [make_frame(self.number, destination, source, tag)] for name, tag in expected.items()}
        wait_until("it has come in", lambda: self.received(sender) > received)
        self.settle()
        tags = ", ".join(f"{name} ({'no tag' if tag is None else tag})" for name, tag in expected.items())
        wait_until(f"from {sender}{'' if vlan is None else f' with tag {vlan}'} to {destination}: {tags or 'nobody'}",
                   lambda: self.arrivals() == wanted)

    def received(self, name):
        """Frames that have come in at a port."""
        return ports(self.switch)[name]["rx"]["packets"]

    def settle(self):
        """What has come in has gone to all that it goes to."""
        wait_until("every frame is accounted for", lambda: is_conserved(self.switch))


def frames_stay_in_their_vlan(lab):
    lab.send("a10", BROADCAST, {"b10": None, "trunk": 10})
    lab.send("b10", BROADCAST, {"a10": None, "trunk": 10})
    lab.send("a20", BROADCAST, {"trunk": 20})
    lab.send("none", BROADCAST, {"trunk": None})
    lab.send("trunk", BROADCAST, {"a10": None, "b10": None}, vlan=10)
    lab.send("trunk", BROADCAST, {"a20": None}, vlan=20)
    lab.send("trunk", BROADCAST, {}, vlan=30)
    lab.send("trunk", BROADCAST, {"none": None})
    lab.send("a10", ADDRESSES["b10"], {"b10": None})
    lab.send("a20", ADDRESSES["trunk"], {"trunk": 20})
    lab.send("trunk", ADDRESSES["a20"], {"a20": None}, vlan=20)


def what_is_of_another_vlan_is_dropped(lab):
    before = {name: drops(lab.switch, name, "wrong_vlan") for name in ADDRESSES}
    lab.send("a10", ADDRESSES["a20"], {})
    lab.send("a10", BROADCAST, {}, vlan=20)
    lab.send("none", ADDRESSES["a10"], {})
    lab.send("trunk", ADDRESSES["a10"], {}, vlan=20)
    lab.send("none", BROADCAST, {"trunk": 20}, vlan=20)
    after = {name: drops(lab.switch, name, "wrong_vlan") - before[name] for name in ADDRESSES}
    check_equal(after, {"a10": 2, "b10": 0, "a20": 0, "none": 1, "trunk": 1}, "drops as wrong_vlan")
    lab.send("a10", BROADCAST, {}, source=ADDRESSES["a20"])
    check(drops(lab.switch, "a10", "spoofed_source") == 1, "another's address is spoofed in any VLAN")


def kernels_talk(lab):
    """All in one IP network: who is in one VLAN with whom answers, and nobody else."""
    for number, name in enumerate(ADDRESSES, 1):
        lab.places[name].run(f"ip addr add 10.10.0.{number}/24 dev eth0")
    numbers = {name: number for number, name in enumerate(ADDRESSES, 1)}
    for sender, receiver, answers in [("a10", "b10", True), ("none", "trunk", True), ("a10", "a20", False),
                                      ("none", "b10", False), ("a20", "trunk", False)]:
        ping = f"ping -q -c 3 -i 0.2 -W 2 10.10.0.{numbers[receiver]}"
        done = lab.places[sender].run(ping, check=False)
        check_equal(done.returncode == 0, answers, f"{receiver} {'answers' if answers else 'does not answer'} {sender}")


@contextlib.contextmanager
def lab_of(settings):
    with contextlib.ExitStack() as stack:
        places = {name: stack.enter_context(Namespace(name)) for name in ADDRESSES}
        ends = {name: quiet_veth(place) for name, place in places.items()}
        for name, place in places.items():
            place.run(f"ip link set eth0 address {ADDRESSES[name]}")
        guests = [raw(name, ends[name], role="guest", **({"vlan": vlan} if vlan else {}))
                  for name, vlan in VLANS.items()]
        switch = stack.enter_context(daemon(config(*guests, raw("trunk", ends["trunk"]), **settings)))
        wait_until("all links are up", lambda: all(port["state"] == "up" for port in ports(switch).values()))
        seen = {name: stack.enter_context(sniffer(place, "eth0", ALL_TYPES)) for name, place in places.items()}
        yield Lab(switch, places, seen)


def main():
    for stages in (["multi-context-demux"], ["multi-context-demux", "specialization"]):
        say(", ".join(stages))
        with lab_of({"stages": stages}) as lab:
            frames_stay_in_their_vlan(lab)
            what_is_of_another_vlan_is_dropped(lab)
            kernels_talk(lab)
            lab.settle()


if __name__ == "__main__":
    run(main)
