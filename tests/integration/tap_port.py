#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Taps whose interface somebody removes: the port is down, costs nothing any more, and the other one goes on.

With a system call per frame and signals (the baseline uml), with reads that are posted and signals, and polling.
"""

from support import (
    check,
    check_equal,
    config,
    daemon,
    ports,
    run,
    say,
    tap,
    tap_name,
    wait_until,
    workspace,
)
from lab.netns import host

WAYS = {
    "per packet, signals": {"baseline": "uml"},
    "per burst, signals": {"baseline": "uml", "stages": ["batched-syscalls"]},
    "per burst, polling": {},
}


def state_of(switch, port):
    """The port's state and that of its interface."""
    seen = ports(switch)[port]
    return seen["state"], seen["detail"]["link"]


def rounds(switch):
    """How often the worker has looked at its ports."""
    return switch.ctl("show", "workers")["workers"][0]["rounds"]


def frames_go_on(switch, interface):
    """What the kernel itself sends when an interface comes up is enough: it arrives at the port."""
    before = ports(switch)["tap1"]["rx"]["packets"]

    def has_come():
        host("ip", "link", "set", interface, "down")
        host("ip", "link", "set", interface, "up")
        return ports(switch)["tap1"]["rx"]["packets"] > before

    wait_until("the other port goes on", has_come)


def interface_is_removed(settings):
    names = [tap_name(0), tap_name(1)]
    with workspace(), daemon(config(tap("tap0", names[0]), tap("tap1", names[1]), **settings)) as switch:
        wait_until("both are up", lambda: [state_of(switch, port) for port in ("tap0", "tap1")] == [("up", "up")] * 2)
        host("ip", "link", "del", names[0])
        wait_until("the port of the interface that was removed is down",
                   lambda: state_of(switch, "tap0") == ("down", "gone"))
        calls, before = ports(switch)["tap0"]["detail"]["system_calls"], rounds(switch)
        frames_go_on(switch, names[1])
        check(rounds(switch) > before, "the worker has looked at its ports")
        check_equal(ports(switch)["tap0"]["detail"]["system_calls"], calls, "what is left of the other is left alone")
        check_equal(state_of(switch, "tap1"), ("up", "up"), "the other port is up")


def main():
    for way, settings in WAYS.items():
        say(way)
        interface_is_removed(settings)


if __name__ == "__main__":
    run(main)
