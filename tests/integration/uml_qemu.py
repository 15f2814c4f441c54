#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A User-mode Linux and a QEMU guest, told apart by their first messages: ping and 20 MiB each way."""

from support import (
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    is_conserved,
    ports,
    qemu,
    run,
    running,
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)

MIB = 20


def each_guest_is_offered_what_it_can_take(switch):
    shown = {name: port["detail"] for name, port in ports(switch).items()}
    check_equal(shown["vm0"]["frontend"], "uml", "vm0 is known to be User-mode Linux")
    check_equal(shown["vm1"]["frontend"], "qemu", "vm1 is known to be QEMU")
    check("VIRTIO_F_VERSION_1" in shown["vm1"]["features"], "QEMU's guest is a virtio 1 driver", shown["vm1"])
    offered = {row["name"]: row for row in switch.ctl("doctor", "vm0")["features"]}
    check(offered["VIRTIO_NET_F_CTRL_VQ"]["accepted"], "User-mode Linux uses the control queue that we serve")
    check(not offered["VIRTIO_F_RING_PACKED"]["offered"], "it is not offered packed rings")


def main():
    with workspace() as directory:
        switched = config(vhost("vm0", directory), vhost("vm1", directory))
        guests = uml("vm0", directory, 1), qemu("vm1", directory, 2)
        with daemon(switched) as switch, running(*guests) as (vm0, vm1):
            check_ping(vm0, "10.77.0.2")
            check_ping(vm1, "10.77.0.1")
            transfer(vm0, vm1, "10.77.0.2", MIB)
            transfer(vm1, vm0, "10.77.0.1", MIB)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            each_guest_is_offered_what_it_can_take(switch)


if __name__ == "__main__":
    run(main)
