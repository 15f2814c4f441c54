#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Contexts that go idle and wake up again: whatever the moment, no frame is lost and no guest is left waiting.

With one worker and with two. Guests are frontends of the test's own, and those of the program many_guests, which kick
only when they are asked to and must be called for what they get; beside them is a wire.
"""

import contextlib
import random
import time

from stations import Guest, Stations, Wire, letter, play_many_guests, station_address
from support import (
    CPUS,
    check,
    check_equal,
    config,
    contexts,
    daemon,
    is_conserved,
    ports,
    run,
    say,
    tap,
    tap_name,
    vhost,
    wait_until,
    workspace,
)

GUESTS = ("vm0", "vm1", "vm2")
WIRE = "wire0"
ADDRESS = {name: station_address(number) for number, name in enumerate((*GUESTS, WIRE), 1)}
WAKE_UPS = 100    # each when all are idle for sure
# After how long a context is idle, guests, frames at once, and the longest pause before. Those that are idle at once
# become so between one frame and the next.
MOMENTS = ((20, 2, 1, 80), (0, 2, 8, 5), (0, 3, 16, 5))
BATCHES = 3000
ENOUGH = 2000  # times that contexts became idle
SEED = 6


def all_are_idle(switch):
    """Whether no guest is polled."""
    return all(context["state"] in ("idle", "down") for context in contexts(switch).values())


def sleeps(switch):
    """How often each worker has slept."""
    return [worker["sleeps"] for worker in switch.show("workers")["workers"]]


def workers_sleep(switch):
    """When all contexts are idle, and more than once: a worker wakes up by itself now and then."""
    wait_until("all contexts are idle", lambda: all_are_idle(switch))
    before = sleeps(switch)
    wait_until("the workers sleep", lambda: all(now > then for now, then in zip(sleeps(switch), before)))
    check(all_are_idle(switch), "and all contexts are idle still")


def kicks_and_wires_wake_up(switch, there):
    """Each way that a frame can go, when all are idle."""
    dice, before = random.Random(SEED), contexts(switch)
    came = 0
    for _ in range(WAKE_UPS):
        sender, receiver = dice.sample(list(ADDRESS), 2)
        end = time.monotonic() + 60
        while not all_are_idle(switch) and time.monotonic() < end:
            continue
        sent = letter(ADDRESS[receiver], ADDRESS[sender])
        there[sender].send([sent])
        while not (frames := there[receiver].receive()) and time.monotonic() < end:
            continue
        came += frames == [sent]
    check_equal(came, WAKE_UPS, f"{WAKE_UPS} frames that found all contexts idle have come")
    after = contexts(switch)
    for name in GUESTS:
        idled, kicks = (after[name][key] - before[name][key] for key in ("idled", "kicks"))
        check(idled > 0 and kicks > 0, f"{name} was idle {idled} times, and {kicks} times its doorbell ended that")


def random_moments(switch, directory):
    """Guests that send when their contexts are about to become idle, or just have."""
    for idle_us, count, batch, pause_us in MOMENTS:
        switch.ctl("stage", "set", "multi-context-demux", f"idle-us={idle_us}")
        before = contexts(switch)
        play_many_guests(directory, count, batches=BATCHES, batch_max=batch, pause_us=pause_us, seed=SEED)
        after = contexts(switch)
        idled = sum(after[name]["idled"] - before[name]["idled"] for name in GUESTS[:count])
        check(idled >= ENOUGH, f"contexts that are idle after {idle_us} us have become so {idled} times meanwhile")


@contextlib.contextmanager
def stations(directory, interface):
    with Wire(WIRE, interface, ADDRESS[WIRE]) as wire, contextlib.ExitStack() as stack:
        yield Stations(wire, *[stack.enter_context(Guest(directory, name, ADDRESS[name])) for name in GUESTS])


def try_with(workers):
    interface = tap_name()
    with workspace() as directory:
        places = [vhost(name, directory) for name in GUESTS]
        switched = config(*places, tap(WIRE, interface), stages=["multi-context-demux"], workers=workers)
        with daemon(switched) as switch:
            with stations(directory, interface) as there:
                wait_until("all ports are up",
                           lambda: all(ports(switch)[name]["state"] == "up" for name in ADDRESS))
                there.speak()
                workers_sleep(switch)
                kicks_and_wires_wake_up(switch, there)
            wait_until("the guests have left",
                       lambda: all(ports(switch)[name]["state"] == "down" for name in GUESTS))
            random_moments(switch, directory)
            workers_sleep(switch)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            dropped = {reason for port in ports(switch).values() for reason in port["drops"]}
            check(dropped <= {"no_port", "port_down"}, "nothing was lost, whatever the moment", dropped)


def main():
    for workers in (CPUS[:1], CPUS[:2]):
        say(f"workers on CPUs {workers}")
        try_with(workers)


if __name__ == "__main__":
    run(main)
