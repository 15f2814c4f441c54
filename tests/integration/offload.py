#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""User-mode Linux guests that send and take large packets: to each other, to a kernel that takes them, or frames of a
wire, or frames with unfinished checksums, and to a guest that takes nothing; what each gets is looked at.
"""

import contextlib
import json
import os
import sys
import tempfile

from support import (
    Namespace,
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
    shell,
    tap,
    tap_name,
    transfer,
    uml,
    vhost,
    wait_until,
    workspace,
)
from lab.daemon import DaemonError
from lab.netns import host

MIB = 24
MIB_EACH_WAY = 12  # to the kernel, of IPv4 and of IPv6
FRAMES = 2000  # that are looked at
ADDRESS = "10.77.0.9"
ADDRESS_6 = "fd77::9"
FRAME_MAX = 1514  # without tags
FROM_GUEST = ("CSUM", "HOST_TSO4", "HOST_TSO6", "HOST_ECN", "HOST_UFO")
TO_GUEST = ("GUEST_CSUM", "GUEST_TSO4", "GUEST_TSO6", "GUEST_ECN", "GUEST_UFO")

# Looks at frames of TCP with data that arrive: how long the longest is, and how many checksums are not right.
LOOK = """
import array, json, socket, struct, sys
HEADER = {0x0800: 20, 0x86dd: 40}
def fold(data):
    words = array.array("H", data + b"\\0" * (len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total
def right(frame, kind):
    at = 14 + HEADER[kind]
    if kind == 0x0800:
        addresses, length, ip = frame[26:34], struct.unpack(">H", frame[16:18])[0] - 20, fold(frame[14:34])
    else:
        addresses, length, ip = frame[22:54], struct.unpack(">H", frame[18:20])[0], 0xffff
    return ip == 0xffff and fold(addresses + struct.pack(">II", length, 6) + frame[at:at + length]) == 0xffff
seen = {"frames": 0, "longest": 0, "wrong": 0}
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.setsockopt(263, 23, 1)  # not what goes out
    sock.bind((sys.argv[1], 3))
    print("ready", flush=True)
    while seen["frames"] < int(sys.argv[2]):
        frame = sock.recv(1 << 17)
        kind = struct.unpack(">H", frame[12:14])[0]
        if kind not in HEADER or frame[23 if kind == 0x0800 else 20] != 6 or len(frame) < 1000:
            continue
        seen["frames"] += 1
        seen["longest"] = max(seen["longest"], len(frame))
        seen["wrong"] += not right(frame, kind)
print(json.dumps(seen), flush=True)
"""


@contextlib.contextmanager
def looking(namespace, device, frames):
    """Looks at the next so many frames; gives a function that waits for the end, and returns what was seen."""
    with tempfile.TemporaryFile() as output:
        child = namespace.spawn([sys.executable, "-c", LOOK, device, str(frames)], stdio={"stdout": output})

        def lines():
            return os.pread(output.fileno(), 4096, 0).decode().splitlines()

        try:
            wait_until("somebody looks at frames", lines)
            yield lambda: json.loads(wait_until("enough frames were seen", lambda: lines()[1:])[0])
        finally:
            child.kill()


def software(switch, port):
    """What the offload driver has done for a port."""
    return ports(switch)[port]["software_offload"]


def done_meanwhile(switch, port, action):
    """The same, while something is done."""
    before = software(switch, port)
    action()
    return {key: value - before[key] for key, value in software(switch, port).items()}


def mean_length(switch, port, direction, action):
    """Bytes of a frame of a port on average, while something is done."""
    before = ports(switch)[port][direction]
    action()
    after = ports(switch)[port][direction]
    return (after["bytes"] - before["bytes"]) / (after["packets"] - before["packets"])


def offered(switch, port):
    """Of the offloads, those that the guest was offered and has taken, and what doctor would have changed for others."""
    answers = {one["name"].removeprefix("VIRTIO_NET_F_"): one for one in switch.ctl("doctor", port)["features"]}
    accepted = {name for name in FROM_GUEST + TO_GUEST if answers[name]["accepted"]}
    return accepted, {answers[name]["change"] for name in FROM_GUEST + TO_GUEST if name not in accepted}


def give_addresses(*guests):
    """Of IPv6, fd77::NUMBER."""
    for number, guest in enumerate(guests, 1):
        check_equal(shell(guest, f"ip -6 addr add fd77::{number}/64 dev eth0").returncode, 0,
                    f"{guest.name} has an address of IPv6")


def bad_checksums(guest):
    """Segments of TCP that a guest's kernel has found wrong."""
    names, values = [line.split() for line in shell(guest, "grep ^Tcp: /proc/net/snmp").stdout.splitlines()]
    return int(values[names.index("InCsumErrors")])


def passes_large(switch, source, target, address):
    """Between guests that both have the offloads."""
    length = 0.0

    def move():
        transfer(source, target, address, MIB)

    def move_and_measure():
        nonlocal length
        length = mean_length(switch, source.name, "rx", move)

    made = done_meanwhile(switch, target.name, move_and_measure)
    check(length > 5000, f"{source.name} sends large packets", f"{length:.0f} bytes on average")
    check_equal(made, {"checksums": 0, "segmented": 0, "segments": 0}, f"{target.name} takes them as they are")


def reaches_the_kernel(switch, vm0, outside, interface, wire):
    """What the kernel is given, with `wire` of its offloads in use."""
    switch.ctl("stage", "set", "offload", f"wire={wire}")
    seen = {}

    def move():
        with looking(outside, interface, FRAMES if wire != "all" else 100) as result:
            transfer(vm0, outside, ADDRESS, MIB_EACH_WAY)
            transfer(vm0, outside, ADDRESS_6, MIB_EACH_WAY)
            seen.update(result())

    made = done_meanwhile(switch, "host0", move)
    check((seen["longest"] > FRAME_MAX) == (wire == "all"),
          "large packets come out" if wire == "all" else f"no frame is longer than {FRAME_MAX} bytes", seen)
    check((made["segmented"] > 0) == (wire != "all"), f"{'nothing' if wire == 'all' else 'what is large'} was cut", made)
    if wire != "all":
        check(made["segments"] > 2 * (MIB_EACH_WAY << 20) / 1500, "the segments are counted", made)
    if wire == "none":
        check_equal(seen["wrong"], 0, "every checksum is right")
    else:
        check(seen["wrong"] > seen["frames"] / 2, "the checksums are left to the kernel", seen)  # some are right by chance
    check((made["checksums"] > 0) == (wire == "none"),
          f"checksums of small packets were {'made' if wire == 'none' else 'left, too'}", made)


def refuses_to_be_switched(switch):
    """What guests are offered stays."""
    for change in ("off", "direction=to-guest"):
        try:
            switch.ctl("stage", "set", "offload", change)
            told = "nothing"
        except DaemonError as error:
            told = str(error)
        check("what guests are offered would change" in told, f"stage set offload {change} is refused", told)


def guests_with_everything():
    """Two guests and a tap."""
    interface = tap_name()
    with workspace() as directory, Namespace("outside") as outside:
        switched = config(vhost("vm0", directory), vhost("vm1", directory), tap("host0", interface), stages=["offload"])
        guests = uml("vm0", directory, 1), uml("vm1", directory, 2)
        with daemon(switched) as switch, running(*guests) as (vm0, vm1):
            host("ip", "link", "set", interface, "netns", outside.name)
            outside.run(f"ip addr add {ADDRESS}/24 dev {interface} && ip link set {interface} up && "
                        f"ip -6 addr add {ADDRESS_6}/64 dev {interface} nodad")
            check_equal(offered(switch, "vm0"), (set(FROM_GUEST + TO_GUEST), set()), "guests have all offloads")
            give_addresses(vm0, vm1)
            check_ping(vm0, "10.77.0.2")
            check_ping(vm0, ADDRESS)
            wait_until("vm0 reaches the kernel by IPv6",
                       lambda: shell(vm0, f"busybox ping -6 -c 1 {ADDRESS_6}").returncode == 0)
            say("from guest to guest")
            passes_large(switch, vm0, vm1, "10.77.0.2")
            passes_large(switch, vm1, vm0, "fd77::1")
            say("to the kernel")
            for wire in ("all", "checksum", "none"):
                reaches_the_kernel(switch, vm0, outside, interface, wire)
            transfer(outside, vm0, "10.77.0.1", MIB)
            refuses_to_be_switched(switch)
            wait_until("every frame is accounted for", lambda: is_conserved(switch))


def guests_that_take_nothing():
    """They send large packets and are sent frames; everything else is in its best mode. The kernel is behind a veth."""
    stages = ["batched-syscalls", "shared-buffer-rings", "specialization", {"offload": {"direction": "from-guest"}}]
    with workspace() as directory, Namespace("outside") as outside:
        interface = outside.veth(f"{ADDRESS}/24")
        outside.offload(tso="off", gso="off")
        switched = config(vhost("vm0", directory), vhost("vm1", directory), raw("host0", interface), stages=stages)
        guests = uml("vm0", directory, 1), uml("vm1", directory, 2)
        with daemon(switched) as switch, running(*guests) as (vm0, vm1):
            accepted, change = offered(switch, "vm0")
            check_equal(accepted, set(FROM_GUEST), "guests have the offloads for what they send")
            check_equal({text.split(";")[0] for text in change}, {'list the stage "offload", with "direction": "both"'},
                        "doctor says how they would have the others")
            give_addresses(vm0, vm1)
            check_ping(vm0, "10.77.0.2")
            check_ping(vm0, ADDRESS)
            say("from guest to guest")
            for source, target, address in ((vm0, vm1, "10.77.0.2"), (vm1, vm0, "fd77::1")):
                made = done_meanwhile(switch, target.name, lambda: transfer(source, target, address, MIB))
                check(made["segmented"] > 0 and made["segments"] > (MIB << 20) / 1500, "all was cut in software", made)
                check_equal(bad_checksums(target), 0, f"{target.name} has found every checksum right")
            say("to the kernel and from it")
            made = done_meanwhile(switch, "host0", lambda: transfer(vm0, outside, ADDRESS, MIB))
            check_equal(made["segments"], 0, "the kernel takes large packets")
            transfer(outside, vm0, "10.77.0.1", MIB)
            shared = sum(ring["shared"] for ring in ports(switch)["vm0"]["detail"]["rings"])
            check(shared > 0, "large packets are shared", ports(switch)["vm0"]["detail"])
            wait_until("every frame is accounted for", lambda: is_conserved(switch))


def main():
    guests_with_everything()
    guests_that_take_nothing()


if __name__ == "__main__":
    run(main)
