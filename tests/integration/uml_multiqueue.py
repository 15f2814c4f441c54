#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""User-mode Linux guests whose control queue the switch serves: several queue pairs, address, modes, MTU."""

import re

from support import (
    Running,
    Skip,
    addresses,
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    is_conserved,
    listens,
    ports,
    run,
    running,
    say,
    shell,
    succeeds,
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)

MTU = 1400
MIB = 20
STREAMS = 16
OTHER_MAC = "52:54:00:77:77:77"
SECOND_TRANSMIT_RING = 3
MODEL = {f"VIRTIO_NET_F_{name}" for name in ("CTRL_VQ", "CTRL_RX", "CTRL_MAC_ADDR", "CTRL_VLAN", "MTU")}


def require_ethtool(guest):
    """The guest's image has ethtool only where the host has it."""
    if not succeeds(guest, "which ethtool"):
        raise Skip("ethtool is not installed, and so not in the guest's image; apt-get install ethtool")


def done(guest, command):
    """Run a command in a guest that must succeed; returns what it printed."""
    result = shell(guest, command)
    check_equal(result.returncode, 0, f"{guest.name}: {command}")
    return result.stdout


def control(switch, port):
    """What a port's control queue was asked for."""
    return ports(switch)[port]["detail"]["control"]


def pairs(guest):
    """Queue pairs of the guest's device: at most, and in use."""
    most, used = re.findall(r"^Combined:\s*(\d+)", done(guest, "ethtool -l eth0"), re.MULTILINE)
    return int(most), int(used)


def features_are_accepted(switch, port, expected, refused):
    accepted = {one["name"] for one in switch.ctl("doctor", port)["features"] if one["accepted"]}
    check(expected <= accepted, f"the guest at {port} uses {', '.join(sorted(expected))}", sorted(accepted))
    check(not refused & accepted, f"the guest at {port} does not use {', '.join(sorted(refused))}", sorted(accepted))
    check("VHOST_USER_PROTOCOL_F_CONFIG" in accepted, f"the guest at {port} reads its configuration space")


def guest_knows_its_device(guest, expected):
    check_equal(pairs(guest), (expected, 1), f"{guest.name}: {expected} queue pairs, one in use")
    check_equal(done(guest, "cat /sys/class/net/eth0/mtu").strip(), str(MTU), f"{guest.name} has the port's MTU")


def guest_uses_pairs(switch, guest, number):
    done(guest, f"ethtool -L eth0 combined {number}")
    check_equal(pairs(guest)[1], number, f"{guest.name} uses {number} queue pairs")
    check_equal(ports(switch)[guest.name]["queues"]["active"], number, f"and the port of {guest.name}, too")


def both_pairs_carry_frames(switch, sender, receiver):
    with Running(receiver, "iperf3 -s -1"):
        wait_until("iperf3 listens", lambda: listens(receiver, 5201))
        done(sender, f"iperf3 -c 10.77.0.2 -P {STREAMS} -t 2")
    ring = ports(switch)[sender.name]["detail"]["rings"][SECOND_TRANSMIT_RING]
    check(ring["copied"] + ring["shared"] > 100, f"{sender.name} has sent on its second queue", ring)


def data_arrives_both_ways(vm0, vm1):
    check_ping(vm0, "10.77.0.2")
    check_ping(vm1, "10.77.0.1")
    transfer(vm0, vm1, "10.77.0.2", MIB)
    transfer(vm1, vm0, "10.77.0.1", MIB)


def modes_reach_the_switch(switch, guest):
    for word, mode in (("promisc", "promiscuous"), ("allmulti", "all_multicast")):
        for sign, state in (("", True), ("-", False)):
            done(guest, f"ifconfig eth0 {sign}{word}")
            check_equal(control(switch, guest.name)[mode], state, f"the port knows it: {mode} is {state}")


def address_can_be_changed(switch, guest, neighbour):
    done(guest, f"ip link set eth0 address {OTHER_MAC}")
    check_ping(guest, neighbour)
    check_equal(addresses(switch).get(OTHER_MAC), guest.name, f"the new address is behind {guest.name}")
    done(guest, f"ip link set eth0 address {guest.mac}")
    check_ping(guest, neighbour)


def only_address_of_a_port_cannot(guest, neighbour):
    check(not succeeds(guest, f"ip link set eth0 address {OTHER_MAC}"), f"{guest.name} is refused another address")
    check_equal(done(guest, "cat /sys/class/net/eth0/address").strip(), guest.mac, f"{guest.name} keeps its own")
    check_ping(guest, neighbour)


def commands_of_a_guest_whose_switch_is_gone_fail(switch, guest):
    switch.stop()
    wait_until(f"{guest.name} does not wait for a switch that is gone",
               lambda: not succeeds(guest, "ethtool -L eth0 combined 2"))


def main():
    with workspace() as directory:
        guests = uml("vm0", directory, 1), uml("vm1", directory, 2)
        wanted = config(vhost("vm0", directory, queues=2, mtu=MTU),
                        vhost("vm1", directory, mtu=MTU, mac=guests[1].mac))
        with daemon(wanted) as switch, running(*guests) as (vm0, vm1):
            require_ethtool(vm0)
            say("what the guests are offered")
            features_are_accepted(switch, "vm0", MODEL | {"VIRTIO_NET_F_MQ"}, {"VIRTIO_NET_F_MAC"})
            features_are_accepted(switch, "vm1", MODEL | {"VIRTIO_NET_F_MAC"}, {"VIRTIO_NET_F_MQ"})
            guest_knows_its_device(vm0, 2)
            guest_knows_its_device(vm1, 1)
            say("one queue pair, two, one")
            data_arrives_both_ways(vm0, vm1)
            guest_uses_pairs(switch, vm0, 2)
            data_arrives_both_ways(vm0, vm1)
            both_pairs_carry_frames(switch, vm0, vm1)
            guest_uses_pairs(switch, vm0, 1)
            check(not succeeds(vm0, "ethtool -L eth0 combined 3"), "three queue pairs are refused")
            check_ping(vm0, "10.77.0.2")
            say("modes and addresses")
            modes_reach_the_switch(switch, vm0)
            address_can_be_changed(switch, vm0, "10.77.0.2")
            only_address_of_a_port_cannot(vm1, "10.77.0.1")
            check_equal(control(switch, "vm0")["refused"], 0, "no other command was refused")
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            say("the switch ends")
            commands_of_a_guest_whose_switch_is_gone_fail(switch, vm0)


if __name__ == "__main__":
    run(main)
