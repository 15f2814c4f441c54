#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A QEMU guest is migrated under traffic from one port of the daemon to another: connections and data survive.

QEMU sends the guest's memory while the guest runs, and again what was written meanwhile. What the guest wrote it
knows by itself; what the switch wrote it knows only from the log that the switch keeps. So data arrives that nothing
but the switch has written before the guest is at its destination: a program that does not read leaves it in the
buffers of the receive ring, queued at its socket. If a page is missing in the log, the program reads something else.

Argument: "shared" for the stage shared-buffer-rings; there QEMU announces the guest, else the guest itself does.
"""

import re
import sys

from support import (
    ALL_TYPES,
    Namespace,
    Running,
    Transfer,
    addresses,
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    ethdev,
    is_conserved,
    ports,
    qemu,
    quiet_veth,
    run,
    running,
    say,
    shell,
    sniffer,
    succeeds,
    uml,
    vhost,
    wait_until,
    workspace,
)

GATE = "/tmp/go-on"
AWAIT_GATE = f"until [ -e {GATE} ]; do busybox usleep 20000; done"
QUEUE_BYTES = 1 << 20  # at least so much is unread at the socket
ROOM_BYTES = 1 << 23
KEPT_MIB, UNREAD_MIB, ACROSS_MIB = 16, 8, 8
KEPT_PORT, UNREAD_PORT, ACROSS_PORT = 5003, 5004, 5005
HELD_UP_MS, LET_GO_MS = 1, 60_000  # how long the guest may stand still: never short enough, always long enough
PACE, SLOW_PACE, FULL_PACE = 1 << 24, 1 << 22, 1 << 30  # bytes per second of the migration: first, held up, let go
PROGRAMS = 4 * "/bin/busybox "  # some MiB; pages of zeroes would cost QEMU next to nothing
WRITE = f"while :; do busybox cat {PROGRAMS} >/tmp/busy; busybox usleep 50000; done"
ARP, RARP = 0x0806, 0x8035  # types of frames
MODES = {"copied": ([], "on"), "shared": (["shared-buffer-rings"], "off")}  # stages, guest_announce


# The migration, as QEMU sees it


def migration(guest):
    """What the source tells about its migration."""
    told = guest.qmp("query-migrate")
    if told.get("status") == "failed":
        raise AssertionError(f"the migration failed: {told}")
    return told


def passes(guest):
    """How often it has looked what was written. The second time, it has sent all of the memory once."""
    return migration(guest).get("ram", {}).get("dirty-sync-count", 0)


def begin_migration(source, target):
    """It goes on until it is let go, as the guest writes more than is sent."""
    uri = f"unix:{target.run_dir / 'migration'}"
    target.qmp("migrate-incoming", uri=uri)
    source.qmp("migrate-set-parameters", downtime_limit=HELD_UP_MS, max_bandwidth=PACE)
    source.qmp("migrate", uri=uri)
    wait_until("all of the memory was sent once", lambda: passes(source) >= 2)
    source.qmp("migrate-set-parameters", max_bandwidth=SLOW_PACE)
    # The guest's kernel clears buffers before it offers them: those that are on offer now must be sent as they are.
    wait_until("what was written meanwhile was sent", lambda: passes(source) >= 4)


def complete_migration(source, target):
    check_equal(migration(source)["status"], "active", "the migration is still under way")
    source.qmp("migrate-set-parameters", downtime_limit=LET_GO_MS, max_bandwidth=FULL_PACE)
    wait_until("the migration is complete", lambda: migration(source)["status"] == "completed")
    wait_until("the guest runs at its destination", lambda: target.qmp("query-status")["status"] == "running")
    target.take_over()


# The traffic


def queued(guest, port):
    """Bytes that have arrived for the connection to this port of the guest and were not read yet."""
    state = shell(guest, "busybox cat /proc/net/tcp /proc/net/tcp6 2>/dev/null").stdout
    found = re.search(rf":{port:04X} [0-9A-F]+:[0-9A-F]{{4}} 01 [0-9A-F]+:([0-9A-F]+) ", state)
    return int(found[1], 16) if found else 0


def size(guest, file):
    """Size of a file in the guest, 0 if there is none."""
    return int(shell(guest, f"busybox stat -c %s {file}").stdout or 0)


def keeping(file):
    """How a receiver writes what arrives to a file, and looks at it only when it may go on."""
    return f"busybox cat >{file}; {AWAIT_GATE}; busybox sha256sum {file} >&2"


def is_announcement(frame, mac):
    """Whether a frame tells where an address is: a RARP packet of it, or an ARP request for one's own address."""
    source, kind = frame[6:12].hex(":"), int.from_bytes(frame[12:14], "big")
    return source == mac and (kind == RARP or kind == ARP and frame[28:32] == frame[38:42])


def is_kind_of_announcement(frame, announcer):
    """Whether it comes from whom it should: QEMU asks the switch for a RARP packet, a guest sends ARP."""
    return int.from_bytes(frame[12:14], "big") == (ARP if announcer == "on" else RARP)


# The test


def migrate_under_traffic(switch, vm0, vm1, peer):
    """Between the beginning and the end of the migration data arrives that is read, and data that is not."""
    unread = f"{AWAIT_GATE}; busybox sha256sum >&2"
    shell(vm0, f"echo 4096 {ROOM_BYTES} {ROOM_BYTES} >/proc/sys/net/ipv4/tcp_rmem")
    with Transfer(vm0, peer, "10.77.0.2", ACROSS_MIB, port=ACROSS_PORT, gate=GATE) as across:
        say("the migration begins")
        with Running(vm0, WRITE):
            begin_migration(vm0, vm1)
            with (
                Transfer(peer, vm0, "10.77.0.1", UNREAD_MIB, UNREAD_PORT, receive=unread) as waiting,
                Transfer(peer, vm0, "10.77.0.1", KEPT_MIB, KEPT_PORT, receive=keeping("/tmp/kept")) as kept,
            ):
                wait_until("a file has arrived meanwhile", lambda: size(vm0, "/tmp/kept") == KEPT_MIB << 20)
                wait_until("data is waiting to be read", lambda: queued(vm0, UNREAD_PORT) >= QUEUE_BYTES)
                complete_migration(vm0, vm1)
                check_moved(switch, vm1)
                check_ping(peer, "10.77.0.1")
                check_ping(vm1, "10.77.0.2")
                check(not across.ended(), "a connection of the time before is still there")
                shell(vm1, f"touch {GATE}")
                for transfer in (waiting, kept, across):
                    transfer.finish()


def check_moved(switch, guest):
    wait_until("its old port is down", lambda: ports(switch)["vm0"]["state"] == "down")
    check_equal(ports(switch)["vm1"]["state"], "up", "its new port is up")
    wait_until("its address is learned there", lambda: addresses(switch).get(guest.mac) == "vm1")


def test(switch, directory, wire, announcer):
    make = {"extra": ["-global", f"virtio-net-device.guest_announce={announcer}"]}
    with running(qemu("vm0", directory, 1, **make), uml("vm2", directory, 2)) as (vm0, peer):
        check_ping(peer, "10.77.0.1")
        check_equal(addresses(switch).get(vm0.mac), "vm0", "the guest's address is learned at its first port")
        announces = "VIRTIO_NET_F_GUEST_ANNOUNCE" in ports(switch)["vm0"]["detail"]["features"]
        check_equal(announces, announcer == "on", "the guest announces itself only if it is to")
        vm1 = qemu("vm1", directory, 1, incoming=vm0, **make)
        with (
            running(vm1),
            sniffer(wire, "eth0", ALL_TYPES) as frames,
            Running(peer, "busybox ping -i 0.05 10.77.0.1 >/dev/null"),
        ):
            wait_until("the destination has opened its monitor", (vm1.run_dir / "qmp").is_socket)
            migrate_under_traffic(switch, vm0, vm1, peer)
            told = wait_until("the others were told", lambda: [f for f in frames() if is_announcement(f, vm1.mac)])
            check(any(is_kind_of_announcement(frame, announcer) for frame in told), "by whom it should be", told)
        check(not succeeds(wire, "busybox ping -c 1 -W 1 10.77.0.1"), "it is gone when its new process is")
    wait_until("every frame is accounted for", lambda: is_conserved(switch))


def main():
    for mode in sys.argv[1:] or MODES:
        say(mode)
        stages, announcer = MODES[mode]
        with workspace() as directory, Namespace("wire") as wire:
            wire0 = ethdev("wire0", f"net_af_packet0,iface={quiet_veth(wire, address='10.77.0.9/24')}")
            guests = [vhost(name, directory) for name in ("vm0", "vm1", "vm2")]
            with daemon(config(*guests, wire0, stages=stages)) as switch:
                test(switch, directory, wire, announcer)


if __name__ == "__main__":
    run(main)
