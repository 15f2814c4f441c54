#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest is killed in the middle of its traffic and comes back at its port; the other guests do not notice."""

from support import (
    Running,
    Transfer,
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
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)

GATE = "/tmp/go-on"


def kill_in_mid_traffic(switch, victim, peer):
    """Kills the guest while it sends without end."""
    with Running(peer, "busybox nc -l -p 6000 -e busybox sh -c 'busybox cat >/dev/null'"):
        wait_until("the peer listens", lambda: listens(peer, 6000))
        before = ports(switch)["vm0"]["rx"]["packets"]
        with Running(victim, "busybox nc 10.77.0.2 6000 -e busybox cat /dev/zero"):
            wait_until("vm0 sends", lambda: ports(switch)["vm0"]["rx"]["packets"] > before + 1000)
            victim.kill()


def dead_guest_is_forgotten(switch, mac):
    wait_until("the port of the dead guest is down", lambda: ports(switch)["vm0"]["state"] == "down")
    # First the port goes down, then the workers let go of it, and then its addresses go.
    wait_until("its address is forgotten", lambda: mac not in addresses(switch))
    check_equal([ports(switch)[name]["state"] for name in ("vm1", "vm2")], ["up", "up"], "the other ports are up")


def attachments(switch):
    """How often a guest was attached to each port."""
    return [ports(switch)[name]["detail"]["attachments"] for name in ("vm0", "vm1", "vm2")]


def main():
    with workspace() as directory:
        names = ["vm0", "vm1", "vm2"]
        vm0, vm1, vm2 = [uml(name, directory, number) for number, name in enumerate(names, 1)]
        with daemon(config(*[vhost(name, directory) for name in names])) as switch, running(vm1, vm2):
            with running(vm0):
                check_ping(vm0, "10.77.0.2")
                check_equal(addresses(switch).get(vm0.mac), "vm0", "the address of vm0 is learned")
                say("vm0 is killed while vm2 is in the middle of a transfer")
                across = Transfer(vm2, vm1, "10.77.0.2", 20, gate=GATE)
                with across:
                    kill_in_mid_traffic(switch, vm0, vm1)
                    dead_guest_is_forgotten(switch, vm0.mac)
                    check(not across.ended(), "the transfer of the others is still under way")
                    vm0.stop()
                    say("vm0 comes back")
                    with running(vm0):
                        wait_until("its port is up again", lambda: ports(switch)["vm0"]["state"] == "up")
                        check_ping(vm0, "10.77.0.2")
                        check_equal(addresses(switch).get(vm0.mac), "vm0", "its address is learned again")
                        transfer(vm0, vm2, "10.77.0.3", 20)
                        transfer(vm2, vm0, "10.77.0.1", 20)
                        shell(vm2, f"touch {GATE}")
                        across.finish()
                        check_equal(attachments(switch), [2, 1, 1], "only vm0 was attached a second time")
                        wait_until("every frame is accounted for", lambda: is_conserved(switch))


if __name__ == "__main__":
    run(main)
