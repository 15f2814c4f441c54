#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A User-mode Linux guest and a network namespace, over a veth pair that a DPDK driver has hold of.

Usage: uml_ethdev.py [af_packet|af_xdp]…    both unless given
"""

import socket
import sys

from support import (
    Namespace,
    Skip,
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    ethdev,
    is_conserved,
    ports,
    run,
    running,
    say,
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)

MIB = 50
AF_XDP = 44
DEVARGS = {
    "af_packet": "net_af_packet0,iface={}",
    "af_xdp": "net_af_xdp0,iface={},start_queue=0,queue_count=1",
}


def require(driver):
    """Skip when the kernel cannot do what the driver is made of."""
    if driver == "af_xdp":
        try:
            socket.socket(AF_XDP, socket.SOCK_RAW).close()
        except OSError as error:
            raise Skip(f"this kernel has no AF_XDP sockets: {error}") from None


def payload_is_copied_once(port, guest):
    """What stayed in the guest's memory was copied into one buffer of the pool, which is AF_XDP's UMEM."""
    shared = sum(ring["shared"] for ring in guest["detail"]["rings"])
    check(shared > 0, "payload is shared", guest["detail"])
    check_equal(port["linearized"], shared, "each frame whose payload was shared is copied once")


def guest_reaches_namespace(driver, stages):
    """Ping and a checked transfer each way."""
    with workspace() as directory, Namespace("wire") as wire:
        host_end = wire.veth("10.77.0.9/24")
        wire.offload(tx="off")  # checksums, which no hardware adds on a veth
        switched = config(vhost("vm0", directory), ethdev("wire0", DEVARGS[driver].format(host_end)), stages=stages)
        with daemon(switched) as switch, running(uml("vm0", directory, 1)) as (vm0,):
            check_ping(vm0, "10.77.0.9")
            check_ping(wire, "10.77.0.1")
            transfer(vm0, wire, "10.77.0.9", MIB)
            transfer(wire, vm0, "10.77.0.1", MIB)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            port, guest = ports(switch)["wire0"], ports(switch)["vm0"]
            check_equal((port["type"], port["role"]), ("ethdev", "wire"), "the device is a wire")
            check_equal(port["detail"]["driver"], f"net_{driver}", "the driver is the one asked for")
            if stages:
                payload_is_copied_once(port, guest)


def main():
    for driver in sys.argv[1:] or DEVARGS:
        require(driver)
        for stages in ([], ["shared-buffer-rings"]):
            say(" ".join([driver, *stages]))
            guest_reaches_namespace(driver, stages)


if __name__ == "__main__":
    run(main)
