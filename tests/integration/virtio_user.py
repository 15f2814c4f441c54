#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two DPDK guests (testpmd on virtio-user) with two queue pairs each, on split and on packed rings."""

import re

from support import (
    CPUS,
    check,
    check_equal,
    config,
    daemon,
    is_conserved,
    ports,
    require_testpmd,
    run,
    running,
    say,
    testpmd,
    vhost,
    wait_until,
    workspace,
)
from lab.guest import TestpmdGuest

QUEUES = 2
ENOUGH = 20000


class Testpmd(TestpmdGuest):
    """testpmd with further arguments for its virtio-user device."""

    device_arguments = ""

    def _argv(self):
        argv = [f"{one}{self.device_arguments}" if str(one).startswith("--vdev=") else one for one in super()._argv()]
        return [*argv, "--txonly-multi-flow"]  # a switch spreads flows over the queues of a guest


def two_queue_guest(name, directory, number, device_arguments):
    """A guest at the port of its name."""
    guest = testpmd(name, directory, number, kind=Testpmd, queues=QUEUES)
    guest.device_arguments = device_arguments
    return guest


def queue_counters(guest, direction):
    """Packets of each queue of the guest's device; direction rx or tx."""
    text = guest.run("show port xstats 0").text
    found = dict(re.findall(rf"{direction}_q(\d+)_(?:good_)?packets: (\d+)", text))
    return [int(found[str(queue)]) for queue in range(QUEUES)]


def both_queues_carry_traffic(switch, sender, receiver):
    receiver.forward("rxonly")
    sender.run(f"set eth-peer 0 {receiver.mac}")
    sender.run("set txpkts 64")
    sender.forward("txonly")
    wait_until("frames of both queues go out", lambda: min(queue_counters(sender, "tx")) > ENOUGH)
    wait_until("frames come in at both queues", lambda: min(queue_counters(receiver, "rx")) > ENOUGH)
    sender.run("stop")
    wait_until("every frame is accounted for", lambda: is_conserved(switch))
    shown = ports(switch)
    check(shown["vm0"]["rx"]["packets"] > 2 * ENOUGH, "the switch has received them", shown["vm0"]["rx"])
    check(shown["vm1"]["tx"]["packets"] > 2 * ENOUGH, "and forwarded them", shown["vm1"]["tx"])
    receiver.run("stop")


def frames_go_round(switch, one, other):
    """Each guest returns every frame, so that both directions of all queues are busy at once."""
    before = {name: port["rx"]["packets"] for name, port in ports(switch).items()}
    other.run(f"set eth-peer 0 {one.mac}")
    other.forward("mac")
    one.run("set fwd mac")
    one.run("start tx_first 16")
    for name in before:
        wait_until(f"{name} sends without end",
                   lambda name=name: ports(switch)[name]["rx"]["packets"] > before[name] + ENOUGH)
    wait_until("frames come in at both queues of the first", lambda: min(queue_counters(one, "rx")) > ENOUGH)
    one.run("stop")
    other.run("stop")
    wait_until("every frame is accounted for", lambda: is_conserved(switch))


def ports_show_what_was_negotiated(switch, ring):
    for name, port in ports(switch).items():
        check_equal(port["queues"], {"configured": QUEUES, "active": QUEUES}, f"{name}: both queue pairs are in use")
        check_equal(port["detail"]["ring"], ring, f"{name}: the ring is {ring}")
        check("VIRTIO_NET_F_MQ" in port["detail"]["features"], f"{name}: multi-queue is negotiated", port["detail"])


def forward(ring, device_arguments, workers):
    """Traffic between two guests with the given ring layout."""
    with workspace() as directory:
        both = [vhost(name, directory, guest="virtio-user", queues=QUEUES) for name in ("vm0", "vm1")]
        guests = [two_queue_guest(f"vm{number}", directory, number + 1, device_arguments) for number in (0, 1)]
        with daemon({**config(*both), "workers": workers}) as switch, running(*guests) as (vm0, vm1):
            wait_until("both guests are attached",
                       lambda: all(port["state"] == "up" for port in ports(switch).values()))
            ports_show_what_was_negotiated(switch, ring)
            served = [worker["queues"] for worker in switch.ctl("show", "workers")["workers"]]
            check(all(served), f"each of {len(served)} workers serves queues: {served}")
            both_queues_carry_traffic(switch, vm0, vm1)
            frames_go_round(switch, vm0, vm1)


def main():
    require_testpmd(2)
    say("split rings, one worker")
    forward("split", "", CPUS[:1])
    say("packed rings, a worker for each CPU")
    forward("packed", ",packed_vq=1", CPUS[:2])


if __name__ == "__main__":
    run(main)
