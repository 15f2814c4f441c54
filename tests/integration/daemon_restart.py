#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The daemon is killed and started again under running guests that listen on their sockets: their traffic resumes.

Usage: daemon_restart.py [qemu|qemu-packed|virtio-user]…    both unless given
"""

import os
import sys
from pathlib import Path

from support import (
    DEADLINE_S,
    Namespace,
    Transfer,
    addresses,
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    ethdev,
    ports,
    qemu,
    require_testpmd,
    run,
    running,
    say,
    shell,
    succeeds,
    testpmd,
    transfer,
    vhost,
    wait_until,
    workspace,
)

GATE = "/tmp/go-on"


def is_up(switch):
    """Whether the guest is attached."""
    return ports(switch)["vm0"]["state"] == "up"


def kill_and_start_again(switch, namespace):
    """What follows is a daemon of the same name, and its predecessor's sockets are still there."""
    switch.kill()
    check(not succeeds(namespace, "busybox ping -c 1 -W 1 10.77.0.1"), "without the daemon nothing is forwarded")
    check(Path(switch.config["control-socket"]).is_socket(), "its control socket is left behind")
    switch.stop()
    switch.start(DEADLINE_S)
    wait_until("the guest is attached again", lambda: is_up(switch))


def traffic_resumes_for_qemu(switch, directory, wire, ring="split"):
    features = ["-global", f"virtio-net-device.packed={'on' if ring == 'packed' else 'off'}"]
    with running(qemu("vm0", directory, 1, server=True, extra=features)) as (vm0,):
        wait_until("QEMU's guest is attached", lambda: is_up(switch))
        check_equal(ports(switch)["vm0"]["detail"]["ring"], ring, "its ring is the one that is asked for")
        check_ping(wire, "10.77.0.1")
        with Transfer(vm0, wire, "10.77.0.9", 8, port=5002, gate=GATE) as across:
            wait_until("a transfer has begun", lambda: ports(switch)["vm0"]["rx"]["bytes"] > 1 << 20)
            for time in ("first", "second"):
                say(f"the daemon is killed for the {time} time")
                kill_and_start_again(switch, wire)
                check_ping(wire, "10.77.0.1")
                check_ping(vm0, "10.77.0.9")
                check_equal(addresses(switch).get(vm0.mac), "vm0", "its address is learned again")
                transfer(wire, vm0, "10.77.0.1", 4)
                transfer(vm0, wire, "10.77.0.9", 4)
            shell(vm0, f"touch {GATE}")
            across.finish()


def traffic_resumes_for_qemu_packed(switch, directory, wire):
    """QEMU does not know the place in a packed ring when its backend is gone; the port remembers it."""
    traffic_resumes_for_qemu(switch, directory, wire, ring="packed")


def traffic_resumes_for_virtio_user(switch, directory, wire):
    """testpmd answers ARP and echo requests by itself in its mode icmpecho."""
    with running(testpmd("vm0", directory, 1, server=True)) as (vm0,):
        vm0.forward("icmpecho")
        wait_until("testpmd is attached", lambda: is_up(switch))
        check_ping(wire, "10.77.0.1")
        say("the daemon is killed")
        kill_and_start_again(switch, wire)
        check_ping(wire, "10.77.0.1")
        check_equal(addresses(switch).get(vm0.mac), "vm0", "its address is learned again")


def with_wire(test):
    """Runs a test with a guest's port in client mode and a wire into a namespace."""
    with workspace() as directory, Namespace("wire") as wire:
        host_end = wire.veth("10.77.0.9/24")
        wire.offload(tx="off")
        two_ports = vhost("vm0", directory, mode="client"), ethdev("wire0", f"net_af_packet0,iface={host_end}")
        names = {"name": f"again{os.getpid()}", "control_socket": str(directory / "ctl")}
        with daemon(config(*two_ports, **names)) as switch:
            test(switch, directory, wire)


KINDS = {"qemu": traffic_resumes_for_qemu, "qemu-packed": traffic_resumes_for_qemu_packed,
         "virtio-user": traffic_resumes_for_virtio_user}


def main():
    for kind in sys.argv[1:] or KINDS:
        say(kind)
        if kind == "virtio-user":
            require_testpmd(1)
        with_wire(KINDS[kind])


if __name__ == "__main__":
    run(main)
