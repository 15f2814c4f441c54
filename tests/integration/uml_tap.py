#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A User-mode Linux guest and an interface of the kernel, in a namespace; a system call per frame or per burst.

Usage: uml_tap.py [tap|raw]…    both unless given: a tap, or a packet socket on one end of a veth pair
"""

import contextlib
import os
import sys
from pathlib import Path

from support import (
    Namespace,
    Skip,
    Transfer,
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    is_conserved,
    ports,
    raw,
    run,
    running,
    say,
    tap,
    tap_name,
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)
from lab.netns import host

MIB = 50
ADDRESS = "10.77.0.9"


@contextlib.contextmanager
def a_tap(outside):
    """The port, its interface, and what gives the namespace the kernel's end of it."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK) or not Path("/dev/net/tun").is_char_device():
        raise Skip("this machine has no /dev/net/tun")
    interface = tap_name()

    def move():
        host("ip", "link", "set", interface, "netns", outside.name)
        outside.run(f"ip addr add {ADDRESS}/24 dev {interface} && ip link set {interface} up")

    yield tap("host0", interface), interface, move
    check(outside.run(["ip", "link", "show", interface], check=False).returncode != 0, "the tap went with the daemon")


@contextlib.contextmanager
def a_raw_port(outside):
    """The same. Checksums are left to a device that a veth does not have."""
    interface = outside.veth(f"{ADDRESS}/24")
    outside.offload(tx="on", tso="off", gso="off")
    yield raw("host0", interface), interface, lambda: None


KINDS = {"tap": a_tap, "raw": a_raw_port}


def calls(switch):
    """System calls and frames of the port so far."""
    detail = ports(switch)["host0"]["detail"]
    return detail["system_calls"], detail["system_call_frames"]


def notifications_per_frame(switch):
    """Of the guest, so far."""
    return ports(switch)["vm0"]["detail"]["notifications_per_frame"]


def calls_per_frame_under_load(switch, vm0, outside):
    """Moves data both ways; returns the system calls per frame meanwhile."""
    calls_before, frames_before = calls(switch)
    transfer(vm0, outside, ADDRESS, MIB)
    transfer(outside, vm0, "10.77.0.1", MIB)
    calls_after, frames = calls(switch)
    check(frames - frames_before > 2 * (MIB << 20) / 1500, "the port has counted the frames", frames - frames_before)
    print(f"   {calls_after - calls_before} system calls for {frames - frames_before} frames")
    return (calls_after - calls_before) / (frames - frames_before)


def ways_change_while_data_flows(switch, source, target, address):
    """Goes over from one way to the other and back until the transfer is done."""
    changes = 0
    with Transfer(source, target, address, MIB) as moving:
        while not moving.ended() or changes < 2:
            switch.ctl("stage", "set", "batched-syscalls", ("off", "on")[changes % 2])
            changes += 1
        moving.finish()
    if changes % 2:
        switch.ctl("stage", "set", "batched-syscalls", "on")
    check(True, f"the way was changed {changes} times meanwhile")


def measure(kind, implementation, stages):
    """Runs a guest with the stages over UML's baseline; returns the system calls per frame."""
    with workspace() as directory, Namespace("outside") as outside, KINDS[kind](outside) as (port, interface, move):
        switched = config(vhost("vm0", directory), port, baseline="uml", stages=stages)
        with daemon(switched) as switch, running(uml("vm0", directory, 1)) as (vm0,):
            bound = switch.ctl("show", "stages")["primitives"]
            check(implementation in [one["implementation"] for one in bound], f"frames cross {implementation}", bound)
            move()
            check_ping(vm0, ADDRESS)
            check_ping(outside, "10.77.0.1")
            per_frame = calls_per_frame_under_load(switch, vm0, outside)
            print(f"   {notifications_per_frame(switch):.4f} notifications of the guest per frame")
            check(0 < notifications_per_frame(switch) <= 1, "the guest is notified once per frame at most")
            if stages:
                ways_change_while_data_flows(switch, vm0, outside, ADDRESS)
                ways_change_while_data_flows(switch, outside, vm0, "10.77.0.1")
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            check_equal(ports(switch)["host0"]["detail"]["interface"], interface, "the port names its interface")
    return per_frame


def main():
    for kind in sys.argv[1:] or KINDS:
        say(f"{kind}: the baseline")
        single = measure(kind, "per-packet", [])
        check(single >= 1, "the baseline makes at least one system call per frame", f"{single:.2f}")
        say(f"{kind}: the stage batched-syscalls")
        batched = measure(kind, "per-burst", ["batched-syscalls"])
        check(batched < 1, "the stage makes less than one system call per frame", f"{batched:.2f}")


if __name__ == "__main__":
    run(main)
