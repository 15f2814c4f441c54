#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guests with contexts cannot speak as others, hear what is for others, or cost others theirs.

Two guests have a configured address, the others claim theirs; outside are two wires. Each says what it must not, one
floods all others, and one dies again and again with frames under way to and from it. Argument: a configuration's name
without ".json", "contexts" (if there is none) for nothing but the stage, or "workers" for that with two workers.
"""

import contextlib
import os
import signal
import sys

from stations import BROADCAST, Flow, Guest, Stations, Storm, Wire, end_flows, letter, station_address, wait_busily
from support import (
    CPUS,
    Skip,
    addresses,
    check,
    check_equal,
    config,
    daemon,
    drops,
    is_conserved,
    ports,
    run,
    say,
    shipped_config,
    tap,
    tap_name,
    vhost,
    wait_until,
    workspace,
)

# What waits for a full ring is patient, so that a test that is held up itself loses nothing by that.
HOLD_US = 1000000
PATIENCE_S = HOLD_US / 1e6 / 4  # a ring is filled some times before it is a frame's turn
STAGE = {"multi-context-demux": {"hold-us": HOLD_US}}
GUESTS = ("vm0", "vm1", "vm2", "vm3", "vm4")
CONFIGURED = ("vm0", "vm3")
WIRES = ("wire0", "wire1")
ADDRESS = {name: station_address(number) for number, name in enumerate(GUESTS + WIRES, 1)}
NOBODY = station_address(0xEE)
SECOND = station_address(0xDD)
GROUP = "01:00:5e:00:00:05"
TIMES = 7
STORM_FRAMES = 20000  # that the switch takes of a storm, at least, and meanwhile
PAIR_FRAMES = 2000    # others exchange so many
TURNS = 4             # a guest dies
IN_FLIGHT = 1000      # frames each way, at least, before it does


# Who speaks as whom


def comes_to_nobody(switch, there, sender, sources, what):
    """Frames with the wrong source are dropped where they come in, whoever they are for."""
    before, table = drops(switch, sender, "spoofed_source"), fixed_addresses(switch)
    targets = [BROADCAST, GROUP, NOBODY, *[address for name, address in ADDRESS.items() if name != sender]]
    bad = [letter(target, source) for target in targets for source in sources]
    check_equal(there.exchange(sender, bad), {}, f"{what}: nothing has come to anybody")
    check_equal(drops(switch, sender, "spoofed_source") - before, len(bad), f"{what}: each was dropped at {sender}")
    check_equal(fixed_addresses(switch), table, f"{what}: everybody's address is where it was")


def fixed_addresses(switch):
    """Which port the addresses of guests are behind."""
    known = addresses(switch)
    return {name: known.get(address) for name, address in ADDRESS.items() if name in GUESTS}


def no_guest_speaks_as_another(switch, there):
    others = {
        "a second address": [SECOND],
        "an address that another guest has claimed": [ADDRESS["vm2"]],
        "an address that another guest was given": [ADDRESS["vm3"]],
        "an address of the wire": [ADDRESS["wire0"]],
        "a guest who is gone": [ADDRESS["vm4"]],
    }
    for sender in ("vm0", "vm1"):
        for what, sources in others.items():
            comes_to_nobody(switch, there, sender, sources, f"{sender} with {what}")
    check(SECOND not in addresses(switch), "no second address was learned")


def no_wire_speaks_as_a_guest(switch, there):
    comes_to_nobody(switch, there, "wire0", [ADDRESS["vm1"]], "a wire with an address that a guest has claimed")
    comes_to_nobody(switch, there, "wire1", [ADDRESS["vm0"]], "a wire with an address that a guest was given")


# Who hears what


def each_hears_what_is_for_it(there):
    for sender in ("vm0", "vm1", "wire0"):
        for receiver in ("vm0", "vm1", "vm2", "vm3", "wire0", "wire1"):
            if receiver != sender:
                sent = [letter(ADDRESS[receiver], ADDRESS[sender]) for _ in range(TIMES)]
                came = there.exchange(sender, sent)
                check_equal(came, {receiver: sent}, f"what {sender} says to {receiver} comes to nobody else")


def unknown_addresses_are_outside(there):
    for sender in ("vm0", "vm1"):
        sent = [letter(NOBODY, ADDRESS[sender]) for _ in range(TIMES)]
        came = there.exchange(sender, sent)
        check_equal(came, {"wire0": sent, "wire1": sent}, f"what {sender} says to nobody known goes to the wires only")
    sent = [letter(NOBODY, ADDRESS["wire0"]) for _ in range(TIMES)]
    check_equal(there.exchange("wire0", sent), {"wire1": sent}, "what a wire says to nobody known comes to no guest")


def groups_reach_everybody(there):
    for sender in ("vm0", "vm1", "wire0"):
        sent = [letter(target, ADDRESS[sender]) for target in (BROADCAST, GROUP) for _ in range(TIMES)]
        came = there.exchange(sender, sent)
        check_equal(came, {name: sent for name in came}, f"what {sender} says to a group comes to whoever hears it")
        check_equal(len(came), 5, f"and that is everybody but {sender}")


# Storms


def a_storm_costs_others_nothing(switch, there, destination, what):
    """vm1 floods; vm2 and vm3 go on, and take what comes to them."""
    flow = Flow(there["vm2"], there["vm3"], window=32)
    back = Flow(there["vm3"], there["vm2"], window=32)
    copies = dict.fromkeys(("vm0", "wire0", "wire1"), 0)

    def take_copies():
        for name in copies:
            copies[name] += len(there[name].receive())

    def is_enough():
        flow.pump()
        back.pump()
        take_copies()  # and asks the switch nothing meanwhile: for so long rings could stay full
        return min(flow.arrived, back.arrived) >= PAIR_FRAMES and storm.taken() >= STORM_FRAMES

    storm = Storm(there["vm1"], destination)
    with storm:
        wait_busily(f"{what}: others exchange their frames meanwhile", is_enough)
    end_flows([flow, back], lambda: [take_copies()] and storm.is_over())
    copies.update(vm2=back.others, vm3=flow.others)
    after = ports(switch)
    lost = {"vm2": back.lost, "vm3": flow.lost}
    seen = {name: after[name]["drops"] for name in lost}, switch.ctl("show", "workers")["workers"]
    held_up_s = max(flow.longest_s, back.longest_s)
    if any(lost.values()) and held_up_s > PATIENCE_S:
        say(f"of {what} nothing is known: the test itself was held up for {held_up_s:.1f} s; lost: {lost}")
    else:
        check(not any(lost.values()), f"{what}: of what others have sent nothing was lost", (lost, *seen))
    check_equal([after[name]["drops"].get("no_buffer", 0) for name in GUESTS], [0] * len(GUESTS),
                f"{what}: there were buffers for everybody")
    there.settle(switch)
    return copies


def storms(switch, there):
    copies = a_storm_costs_others_nothing(switch, there, BROADCAST, "a storm of broadcasts")
    check(all(copies.values()), "its copies reach each of the others", copies)
    copies = a_storm_costs_others_nothing(switch, there, NOBODY, "a storm to nobody known")
    check_equal([copies[name] for name in ("vm0", "vm2", "vm3")], [0, 0, 0], "none of it comes to a guest")
    check(copies["wire0"] > 0 and copies["wire1"] > 0, "it goes to the wires", copies)


# Death


class Victim:
    """A guest in a process of its own, which sends to another all the time and takes what comes to it."""

    def __init__(self, directory, address, target):
        ready, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._live(directory, address, target, told)
            finally:
                os._exit(1)
        os.close(told)
        check_equal(os.read(ready, 1), b"+", "the guest lives")
        os.close(ready)

    @staticmethod
    def _live(directory, address, target, told):
        with open(os.devnull, "w", encoding="ascii") as nowhere, contextlib.redirect_stdout(nowhere):
            guest = Guest(directory, "vm4", address)
        storm = Storm(guest, target)
        signal.signal(signal.SIGTERM, lambda *_: guest.frontend.connection.close())
        os.write(told, b"+")
        while True:
            storm.go_on()
            guest.receive()

    def die(self, how):
        """Killed, or its socket closed while its memory is still there."""
        os.kill(self.pid, how)

    def bury(self):
        """There is no process any more."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def in_flight(switch, there, address, flow):
    """Sends to the victim what there is room for, until enough has gone each way."""
    before = ports(switch)["vm4"]
    there["vm1"].receive()

    def is_enough():
        there["vm1"].send([letter(address, ADDRESS["vm1"]) for _ in range(min(32, there["vm1"].room()))])
        there["vm1"].receive()
        flow.pump()
        now = ports(switch)["vm4"]
        return all(now[way]["packets"] - before[way]["packets"] > IN_FLIGHT for way in ("rx", "tx"))

    wait_busily("frames are under way to it and from it", is_enough)


def dies_and_is_forgotten(switch, there, directory, how, flow, turn):
    """The guest at vm4 dies; returns its address."""
    address = station_address(0x40 + turn)
    victim = Victim(directory, address, ADDRESS["vm1"])
    try:
        in_flight(switch, there, address, flow)
        check_equal(addresses(switch).get(address), "vm4", "the address of the guest that will die is its own")
        victim.die(how)

        def is_down():
            there["vm1"].receive()
            flow.pump()
            return ports(switch)["vm4"]["state"] == "down" and address not in addresses(switch)

        wait_until(f"it has died by {how.name}, and its address is forgotten", is_down)
    finally:
        victim.bury()
    return address


def heirs_live(switch, there, directory, dead, turn):
    """Another guest at its port, with another address; and its own address is another's."""
    heir = station_address(0x60 + turn)
    with Guest(directory, "vm4", heir) as guest, Guest(directory, "vm5", dead) as thief:
        there.add(guest)
        there.add(thief)
        there.speak()
        check_equal([addresses(switch).get(one) for one in (heir, dead)], ["vm4", "vm5"],
                    "the next guest at the port has its address, and another one that of the dead")
        for name, address in (("vm4", heir), ("vm5", dead)):
            sent = [letter(address, ADDRESS["vm0"]) for _ in range(TIMES)]
            check_equal(there.exchange("vm0", sent), {name: sent}, f"what is for {name} comes to it")
            sent = [letter(ADDRESS["vm0"], address) for _ in range(TIMES)]
            check_equal(there.exchange(name, sent), {"vm0": sent}, f"what {name} says comes to who it is for")
        comes_to_nobody(switch, there, "vm4", [dead], "the next guest with the address of the dead one")
        there.remove("vm4")
        there.remove("vm5")
    wait_until("both have left", lambda: [ports(switch)[name]["state"] for name in ("vm4", "vm5")] == ["down"] * 2)


def deaths_cost_nobody_else(switch, there, directory):
    for turn in range(TURNS):
        how = (signal.SIGKILL, signal.SIGTERM)[turn % 2]
        flow = Flow(there["vm2"], there["vm3"])
        dead = dies_and_is_forgotten(switch, there, directory, how, flow, turn)
        flow.end()
        check_equal(flow.lost, 0, f"of the others' {flow.sent} frames none was lost")
        there.settle(switch)
        heirs_live(switch, there, directory, dead, turn)


# All of it


def settings_for(name):
    """The configuration but for its ports."""
    if name == "workers" and len(CPUS) < 2:
        raise Skip("this machine has one CPU")
    if name in ("contexts", "workers"):
        return {"workers": CPUS[: 1 + (name == "workers")], "stages": [STAGE]}
    settings = {key: value for key, value in shipped_config(f"{name}.json").items() if key != "ports"}
    return {**settings, "stages": [STAGE if stage == "multi-context-demux" else stage for stage in settings["stages"]]}


@contextlib.contextmanager
def running_switch(directory, settings):
    """The daemon with all but vm4 attached."""
    taps = {name: tap_name(number) for number, name in enumerate(WIRES)}
    guests = [vhost(name, directory, **({"mac": ADDRESS[name]} if name in CONFIGURED else {}))
              for name in (*GUESTS, "vm5")]
    wires = [tap(name, interface) for name, interface in taps.items()]
    with daemon(config(*guests, *wires, **settings)) as switch, contextlib.ExitStack() as stack:
        there = Stations()
        for name in GUESTS:
            there.add(stack.enter_context(Guest(directory, name, ADDRESS[name])))
        for name, interface in taps.items():
            there.add(stack.enter_context(Wire(name, interface, ADDRESS[name])))
        wait_until("all ports are up", lambda: all(ports(switch)[name]["state"] == "up" for name in ADDRESS))
        there.speak()
        yield switch, there


def main():
    settings = settings_for((sys.argv[1:] or ["contexts"])[0])
    with workspace() as directory, running_switch(directory, settings) as (switch, there):
        there.remove("vm4").close()
        wait_until("vm4 has left", lambda: ADDRESS["vm4"] not in addresses(switch))
        say("who speaks as whom")
        no_guest_speaks_as_another(switch, there)
        no_wire_speaks_as_a_guest(switch, there)
        say("who hears what")
        each_hears_what_is_for_it(there)
        unknown_addresses_are_outside(there)
        groups_reach_everybody(there)
        say("storms")
        storms(switch, there)
        say("death")
        deaths_cost_nobody_else(switch, there, directory)
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


if __name__ == "__main__":
    run(main)
