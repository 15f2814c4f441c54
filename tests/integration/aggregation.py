#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Aggregation end to end: a stock guest and a stock kernel behind a wire, with the stages and without.

Over a good wire: the same bytes, packets that really were aggregated, at the sender no fewer acknowledgments than without
the stages and no more than one for every second segment, and a congestion window that grows as it does without; captures
of both ends in which tshark finds nothing odd. Over a wire that loses, doubles and reorders (plugins/impair.c): the same bytes, and no more retransmissions than
without the stages.

Usage: aggregation.py [uml|qemu [MIB]]   kind of the guest, and how much it gets: uml and 96 unless given

QEMU without KVM is slow, so that is run by hand.
"""

import contextlib
import json
import re
import subprocess
import os
import shutil
import sys
from pathlib import Path

from support import (
    Namespace,
    Skip,
    check,
    check_ping,
    config,
    daemon,
    is_conserved,
    ports,
    qemu,
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

KIND = sys.argv[1] if len(sys.argv) > 1 else "uml"
MIB = int(sys.argv[2]) if len(sys.argv) > 2 else 96
GUESTS = {"uml": uml, "qemu": qemu}
GUEST, OUTSIDE = "10.77.0.1", "10.77.0.9"
STAGES = ["receive-aggregation", "ack-offload", "offload"]
IMPAIRED = {"lose": 20, "double": 20, "reorder": 50}
STREAM_MIB = {"uml": 256, "qemu": 32}[KIND]
MODERATE = "200M"  # bits per second that a guest can take without losing frames
PATIENCE_US = 1000  # a burst waits for a guest that is slow, so that nothing is lost on a good wire
# Warnings and errors of tshark, but that a receiver is slower than its sender, or than its sender's patience (RFC 8985).
ODD = "tcp and _ws.expert.severity >= 0x00600000" + "".join(
    f" and not {harmless}" for harmless in ("tcp.analysis.window_full", "tcp.analysis.zero_window", "tcp.options.sack.dsack")
)


def impairment(seed):
    """The stage, as a configuration lists it."""
    return {"impair": {**IMPAIRED, "seed": seed}}


@contextlib.contextmanager
def switched(directory, stages, **settings):
    """A guest and a namespace behind a tap, with these stages; (daemon, guest, namespace)."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK) or not Path("/dev/net/tun").is_char_device():
        raise Skip("this machine has no /dev/net/tun")
    interface = tap_name()
    with Namespace("outside") as outside:
        guest_port = vhost("vm0", directory, full_wait_us=PATIENCE_US)
        configuration = config(guest_port, tap("wire0", interface), baseline="xen", stages=stages, **settings)
        with daemon(configuration) as switch, running(GUESTS[KIND]("vm0", directory, 1)) as (vm0,):
            host("ip", "link", "set", interface, "netns", outside.name)
            outside.run(f"ip addr add {OUTSIDE}/24 dev {interface} && ip link set {interface} up")
            outside.offload(interface, tso="off", gso="off", tx="off", gro="off")
            # The guest's kernel would aggregate by itself, and acknowledge less.
            vm0.run("ethtool -K eth0 gro off")
            check_ping(vm0, OUTSIDE)
            yield switch, vm0, outside, interface
            wait_until("every frame is accounted for", lambda: is_conserved(switch))


def stage(switch, name):
    """Counters of a stage."""
    return next(one for one in switch.ctl("show", "stages")["stages"] if one["name"] == name)


def tcp_counters(outside):
    """What the namespace's kernel has counted of TCP: name -> value."""
    lines = outside.run("cat /proc/net/snmp").stdout.splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Tcp:"))
    return dict(zip(names, map(int, values)))


def stream(vm0, outside, mib, rate="0"):
    """iperf3 from the namespace to the guest, at a rate if one is given: what iperf3 tells of the sender."""
    server = vm0.spawn("iperf3 -s -1")
    try:
        wait_until("the guest listens", lambda: "5201" in vm0.run("netstat -ltn", check=False).text)
        said = outside.run(f"iperf3 -c {GUEST} -n {mib}M -b {rate} -J", timeout=180)
        return json.loads(said.stdout)
    finally:
        server.kill()
        server.wait(10)


def acks_per_segment(vm0, outside):
    """Acknowledgments that come back to a stock sender for each segment that it sends, and its largest window."""
    before = tcp_counters(outside)
    said = stream(vm0, outside, STREAM_MIB)
    after = tcp_counters(outside)
    sent, came, again = (after[name] - before[name] for name in ("OutSegs", "InSegs", "RetransSegs"))
    windows = [one["streams"][0]["snd_cwnd"] for one in said["intervals"]]
    print(f"   {sent} segments, {came} acknowledgments, {again} sent again; window up to {max(windows)} bytes")
    return came / sent, max(windows), again / sent


def over_a_good_wire(directory):
    say("without the stages")
    with switched(directory, []) as (switch, vm0, outside, _):
        plain, plain_window, _ = acks_per_segment(vm0, outside)
    say("with the stages")
    with switched(directory, STAGES) as (switch, vm0, outside, interface):
        transfer(outside, vm0, GUEST, MIB)
        transfer(vm0, outside, OUTSIDE, 50)
        counters = stage(switch, "receive-aggregation")
        check(counters["emitted"] < 0.9 * counters["packets"], "packets were aggregated", counters)
        acks, window, _ = acks_per_segment(vm0, outside)
        made = stage(switch, "ack-offload")
        check(made["emitted"] > made["packets"], "acknowledgments were made", made)
        # Linux gathers what waits for a busy receiver, so a guest by itself acknowledges less than each second segment.
        check(acks > 0.75 * plain, "the sender gets no fewer acknowledgments than without the stages", (acks, plain))
        check(acks < 0.55, "and at most one for every second segment", acks)
        check(window > 0.5 * plain_window, "its window grows as it does without the stages", (window, plain_window))
        captures_are_clean(vm0, outside, interface, directory)


def captures_are_clean(vm0, outside, interface, directory):
    """What both ends see, as tshark understands it."""
    files = [directory / "outside.pcap", directory / "guest.pcap"]
    log = directory / "tcpdump.log"
    far = outside.spawn(["tcpdump", "-i", interface, "-s", "160", "-w", str(files[0]), "tcp"], log=log)
    near = vm0.spawn("tcpdump -i eth0 -s 160 -c 20000 -w /tmp/guest.pcap tcp")
    wait_until("tcpdump listens", lambda: "listening" in log.read_text())
    wait_until("tcpdump listens in the guest", lambda: vm0.run("test -s /tmp/guest.pcap", check=False).status == 0)
    stream(vm0, outside, 24, MODERATE)
    near.kill()
    far.stop(5)
    files[1].write_bytes(vm0.run("cat /tmp/guest.pcap", timeout=60).stdout)
    for file in files:
        argv = ["tshark", "-r", str(file), "-Y", ODD]
        read = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        check(read.returncode == 0, f"tshark reads {file.name}", read.stderr)
        check(not read.stdout.strip(), f"tshark finds nothing odd in {file.name}", read.stdout[:2000])


def over_a_bad_wire(directory):
    plugin = {"plugins": [os.environ["IMPAIR_PLUGIN"]]}
    rates = {}
    for name, stages in (("without", []), ("with", STAGES)):
        say(f"a wire that loses, doubles and reorders, {name} the stages")
        with switched(directory, [impairment(7), *stages], **plugin) as (switch, vm0, outside, _):
            transfer(outside, vm0, GUEST, MIB)
            transfer(vm0, outside, OUTSIDE, 50)
            rates[name] = acks_per_segment(vm0, outside)[2]
            lost = ports(switch)["wire0"]["drops"].get("impair.lost", 0)
            check(lost > 0, "the wire has lost frames", lost)
    check(rates["with"] <= 1.5 * rates["without"] + 0.002, "no more is sent again than without the stages", rates)


def main():
    if not shutil.which("tshark") or not shutil.which("tcpdump"):
        raise Skip("tshark and tcpdump are not installed")
    with workspace() as directory:
        over_a_good_wire(directory)
        over_a_bad_wire(directory)


if __name__ == "__main__":
    run(main)
