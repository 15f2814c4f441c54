#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guests that are shut out, or die, with frames under way in both directions: the others go on, and every frame is
accounted for. A guest that is let in again goes on where it stood.

Argument: "copied" or "shared" for how a guest's frames get to their receivers, or "signals".
"""

import sys

from frontend import RING_SIZE, Frontend, VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1
from hostile_frontend import BROADCAST, HOSTILE, STATION, WINDOW, check_delivery, frontend, is_in_state
from support import (
    CPUS,
    check,
    check_contains,
    check_equal,
    config,
    daemon,
    ethdev,
    frame,
    is_conserved,
    ports,
    refused,
    run,
    say,
    settle,
    vhost,
    wait_until,
    workspace,
)

SETTINGS = {
    "copied": {},
    "shared": {"workers": [CPUS[0], CPUS[-1]], "stages": ["shared-buffer-rings"]},
    "signals": {"baseline": "uml"},
}[sys.argv[1] if len(sys.argv) > 1 else "copied"]
ROUNDS = 20


class Flood:
    """A guest that fills its ring again and again, from a station that nobody else is."""

    def __init__(self, guest, destination=BROADCAST):
        self.guest = guest
        self.frame = frame(destination, HOSTILE, 1000)

    def go_on(self):
        ring = self.guest.transmitting
        ring.take_used()
        self.guest.send([self.frame] * (RING_SIZE - (ring.offered - ring.taken)))


def nothing_is_under_way(switch, *guests):
    """Every frame is accounted for, and what has come to these guests is forgotten."""
    settle(switch, *guests)
    wait_until("every frame is accounted for", lambda: is_conserved(switch))
    for guest in guests:
        rest_of(guest)


def rest_of(guest):
    """What has come to a guest."""
    return len(guest.receive())


def a_revoked_guest_is_left_alone(switch, vm0, vm1, vm2):
    """Nothing of its rings is used, and nothing comes to it."""
    check_equal(switch.ctl("context", "revoke", "vm2")["state"], "revoked", "it is revoked")
    there = ports(switch)["vm2"]
    check_equal((there["state"], there["detail"]["connected"], there["detail"]["revoked"]), ("revoked", True, True),
                "its port says so, and its guest is connected")
    rest_of(vm2)
    vm2.transmitting.take_used()
    before = vm2.transmitting.taken
    vm2.send([frame(BROADCAST, HOSTILE)] * 8)
    check_delivery("beside it", vm0, vm1)
    check_equal((rest_of(vm2), len(vm2.transmitting.take_used())), (0, 0), "nothing was given to it, nor taken from it")
    vm2.ask(1)  # GET_FEATURES
    check_equal(vm2.transmitting.taken, before, "its messages are answered")
    check_equal(switch.ctl("context", "grant", "vm2")["state"], "up", "it is granted")
    wait_until("what it had sent is taken now", vm2.all_is_taken)
    wait_until("and comes to the others", lambda: rest_of(vm0) + rest_of(vm1) > 0)
    nothing_is_under_way(switch, vm0, vm1, vm2)
    check_delivery("from it", vm2, vm0, WINDOW)
    nothing_is_under_way(switch, vm0, vm1, vm2)
    check_delivery("to it", vm0, vm2, WINDOW)
    nothing_is_under_way(switch, vm0, vm1, vm2)


def guests_are_revoked_in_a_burst(switch, vm0, vm1, vm2):
    """Frames from it and to it are under way each time."""
    flood = Flood(vm2, "52:54:00:00:00:77")  # flooded to all, and so to those who check what comes

    class Listener:
        """Gives what came of the other station only."""

        def receive(self):
            return [one for one in vm1.receive() if one[6:12] == bytes.fromhex(STATION.replace(":", ""))]

    class Speaker:
        """Is deaf to the flood."""

        def send(self, frames):
            vm0.send(frames)

        def receive(self):
            vm0.receive()
            return []

    done = []

    def meanwhile():
        vm0.receive()
        vm2.receive()
        flood.go_on()
        switch.ctl("context", "revoke", "vm2")
        flood.go_on()
        switch.ctl("context", "grant", "vm2")
        done.append(1)
        return len(done) >= ROUNDS

    taken = flood.guest.transmitting.taken
    wait_until("frames go to and fro", lambda: [flood.go_on(), vm2.all_is_taken()] and vm2.transmitting.taken > taken)
    try_delivery(f"revoked and granted {ROUNDS} times beside it", Speaker(), Listener(), meanwhile)
    nothing_is_under_way(switch, vm0, vm1, vm2)


def try_delivery(what, sender, receiver, meanwhile):
    """As check_delivery(), to a receiver that may be too slow for a flood: what comes is right and in order."""
    head = frame(BROADCAST, STATION, 14)
    sent, arrived = [], []

    def is_done():
        so_far = meanwhile()
        arrived.extend(receiver.receive())
        sender.receive()
        sent.append((head + len(sent).to_bytes(4, "little")).ljust(60, b"\0"))
        sender.send(sent[-1:])
        return so_far and len(arrived) >= ROUNDS // 2

    wait_until(f"{what}: frames arrive", is_done)
    numbers = [int.from_bytes(one[14:18], "little") for one in arrived]
    check(numbers == sorted(set(numbers)) and all(one in sent for one in arrived), f"{what}: as they were sent, in order")


def one_that_attaches_anew_stays_out(switch, directory, vm0, vm1):
    with frontend(directory, "vm2").attach():
        is_in_state(switch, "vm2", "up")
        switch.ctl("context", "revoke", "vm2")
    with frontend(directory, "vm2").attach() as vm2:
        wait_until("the next guest is there", lambda: ports(switch)["vm2"]["detail"]["attached"])
        check_equal(ports(switch)["vm2"]["state"], "revoked", "and stays out")
        vm2.stop_rings()
        vm2.start_rings()
        vm2.ask(1)
        check_equal(ports(switch)["vm2"]["state"], "revoked", "also when it starts its rings anew")
        check_delivery("beside it", vm0, vm1, WINDOW)
        check_equal(rest_of(vm2), 0, "nothing was given to it")
        switch.ctl("context", "grant", "vm2")
        is_in_state(switch, "vm2", "up")
        check_delivery("to it, when it is granted", vm0, vm2, WINDOW)
        nothing_is_under_way(switch, vm0, vm1)
    wait_until("it is gone", lambda: not ports(switch)["vm2"]["detail"]["connected"])
    switch.ctl("context", "revoke", "vm2")
    check_equal(switch.ctl("context", "grant", "vm2")["state"], "down", "one that is not there may be granted, too")


def guests_die_in_a_burst(switch, directory, vm0, vm1):
    for number in range(ROUNDS):
        features = VIRTIO_F_VERSION_1 | (VIRTIO_F_RING_PACKED if number % 2 else 0)
        with Frontend(directory / "vm2.sock", features).attach() as vm2:
            Flood(vm2).go_on()
            vm0.send([frame(BROADCAST, STATION)] * 8)
    wait_until("all are gone", lambda: ports(switch)["vm2"]["state"] == "down")
    nothing_is_under_way(switch, vm0, vm1)
    check_delivery(f"after {ROUNDS} guests have died in a burst", vm0, vm1)


def the_other_data_path_just_stays_down(switch, directory, vm0, vm1):
    with frontend(directory, "vm3").attach() as vm3:
        is_in_state(switch, "vm3", "up")
        switch.ctl("context", "revoke", "vm3")
        check_delivery("beside a guest of rte_vhost that is revoked", vm0, vm1, WINDOW)
        check_equal(rest_of(vm3), 0, "nothing was given to it")
        switch.ctl("context", "grant", "vm3")
        check_delivery("to it", vm0, vm3, WINDOW)
        nothing_is_under_way(switch, vm0, vm1)


def mistakes_are_told(switch):
    check_contains(refused(switch, "context", "revoke", "vm"), 'no port "vm"', "who is not there cannot be revoked")
    check_contains(refused(switch, "context", "revoke", "wire0"), 'port "wire0" is a wire and no context', "nor a wire")
    check_contains(refused(switch, "context", "grant", "vm0"), '"vm0" is not revoked', "nor granted who has it")
    switch.ctl("context", "revoke", "vm0")
    check_contains(refused(switch, "context", "revoke", "vm0"), '"vm0" is revoked already', "nor revoked twice")
    switch.ctl("context", "grant", "vm0")


def main():
    with workspace() as directory:
        there = [vhost("vm0", directory), vhost("vm1", directory), vhost("vm2", directory, guest="virtio-user"),
                 vhost("vm3", directory, data_path="rte_vhost"),
                 ethdev("wire0", "net_null0,no-rx=1")]
        with daemon(config(*there, **SETTINGS)) as switch, \
             frontend(directory, "vm0").attach() as vm0, frontend(directory, "vm1").attach() as vm1:
            is_in_state(switch, "vm1", "up")
            rest_of(vm0), rest_of(vm1)
            with frontend(directory, "vm2").attach() as vm2:
                is_in_state(switch, "vm2", "up")
                say("revoked")
                a_revoked_guest_is_left_alone(switch, vm0, vm1, vm2)
                say("in a burst")
                guests_are_revoked_in_a_burst(switch, vm0, vm1, vm2)
            say("attached while it is revoked")
            one_that_attaches_anew_stays_out(switch, directory, vm0, vm1)
            say("killed in a burst")
            guests_die_in_a_burst(switch, directory, vm0, vm1)
            say("the data path rte_vhost")
            the_other_data_path_just_stays_down(switch, directory, vm0, vm1)
            say("mistakes")
            mistakes_are_told(switch)


if __name__ == "__main__":
    run(main)
