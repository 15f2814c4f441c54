# SPDX-License-Identifier: BSD-3-Clause
"""TCP streams and what they cost, by component: the workloads behind chapter 3 of Menon's thesis.

The switch's cycles are its own count, by what they went to:

    receive    taking frames from their port of entry, guest or wire
    stages     packet stages: aggregation, acknowledgments, offloads that are done in software
    switch     finding out where they go (the thesis: bridge, demultiplexing)
    transmit   bringing them to the port that they go out at; to a guest, with their bytes
    notify     telling the guest, a system call that interrupts it
    rest       events, mailboxes, and the polls around those that found something

The guest's are the CPU time of the processes of the host that it consists of, so they hold its kernel and its
program. All is read while the stream runs: what iperf3 takes to start and to report is not in it. Both directions of a
connection are in all numbers: acknowledgments are part of the cost of data.

A cost per packet is one per packet of the *wire*: aggregation makes fewer packets of them, and that must not look like
dearer ones.

A kernel of today merges what it receives by itself (GRO), which is what became of the thesis' aggregation; guests had
no such thing then. So there are streams to a guest as it is, and to one in which that is turned off.
"""

import contextlib
import re
import time
from concurrent.futures import ThreadPoolExecutor

from .cite import menon
from .fit import fit
from .iperf import iperf, iperf_server
from .netlat import netlat
from .workload import Metric, Point, WorkloadError, switch_counters, switch_sections

COMPONENTS = ("receive", "stages", "switch", "transmit", "notify", "rest")
AGGREGATION = "receive-aggregation"
SMALL_SEGMENT = 536  # bytes of a second stream, to tell what grows with bytes from what does not
SETTLE_S, EARLY_S = 0.4, 0.1  # after iperf3 was started, and before it can end: in between is what is looked at
HEADERS = 14 + 20 + 32  # of Ethernet, IPv4, and TCP with time stamps
KB = 1000


def cost_metrics(unit, figure):
    """The metrics of costs()."""
    parts = {f"switch_{part}": Metric(f"the switch: {part}", unit, figure=figure) for part in COMPONENTS}
    return {
        "guest_cycles": Metric("the guest", unit, figure=figure),
        "switch_cycles": Metric("the switch, all of it", unit),
        **parts,
        "both_cycles": Metric("guest and switch", unit),
    }


class TcpSend:
    """iperf3 from the guest, with sendfile() or with writes."""

    def __init__(self, name, summary, arguments, figures):
        self.name = name
        self.summary = summary
        self.metrics = {
            "rate": Metric("sent by the guest", "b/s", "higher", figure=figures),
            **cost_metrics("cycles/kB", menon("Figure 3.4")),
        }
        self._arguments = arguments

    def estimate_s(self, options):
        """About how long it takes."""
        return options.seconds + 1.5

    def run(self, link, options, say):
        """One stream; costs per kilobyte of its payload."""
        with iperf_server(link):
            say("sending")
            rate, spent = stream(link, options, self._arguments)
        return [Point("rate", rate), *costs(spent, payload(rate, spent) / KB)]


class TcpReceive:
    """iperf3 to the guest, from a sender that sends frames of one MTU, as they come from a wire. gro: whether the guest
    merges what it receives by itself, as it is used to."""

    metrics = {
        "rate": Metric("received by the guest", "b/s", "higher", figure=menon("Figure 3.7")),
        **cost_metrics("cycles/packet", menon("Figure 3.8, Figure 3.9")),
        "switch_aggregated": Metric("packets of the wire in one of the stage", "packets", "higher"),
        "switch_answers": Metric("packets from the guest for one of the wire", "packets"),
    }

    def __init__(self, name, summary, gro=True):
        self.name = name
        self.summary = summary
        self._gro = gro

    def estimate_s(self, options):
        """About how long it takes."""
        return options.seconds + 1.5

    def run(self, link, options, say):
        """Measure, with the guest as it is to be."""
        with contextlib.nullcontext() if self._gro else without_gro(link), iperf_server(link):
            say("receiving")
            return self.measured(link, options, say)

    def measured(self, link, options, _say):
        """One stream."""
        rate, spent = stream(link, options, "-R")
        return [Point("rate", rate), *received(spent)]


class TcpReceiveBytes(TcpReceive):
    """The same, and a second stream of small segments. Costs per packet at two sizes of frames give a line: what grows
    with the bytes (copies, checksums) and what does not. The thesis knows that from a profile of its functions."""

    metrics = {
        **TcpReceive.metrics,
        "switch_bytes": Metric("the switch: what grows with the bytes", "cycles/packet", figure=menon("Figure 3.8")),
        "guest_bytes": Metric("the guest: what grows with the bytes", "cycles/packet", figure=menon("Figure 3.8")),
        "both_overhead": Metric(
            "guest and switch, without stages and what grows with bytes", "cycles/packet", figure=menon("Figure 3.8")
        ),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 2 * options.seconds + 2.5

    def measured(self, link, options, say):
        """Two streams."""
        rate, large = stream(link, options, "-R")
        say(f"receiving segments of {SMALL_SEGMENT} bytes")
        _, small = stream(link, options, f"-R -M {SMALL_SEGMENT}")
        return [Point("rate", rate), *received(large), *by_bytes(large, small)]


@contextlib.contextmanager
def without_gro(link):
    """Has the near end's kernel not merge what it receives."""
    device = re.search(r"\bdev (\S+)", link.a.run(f"ip route get {link.b.ip}").text)[1]
    was_on = "generic-receive-offload: on" in link.a.run(f"ethtool -k {device}").text
    link.a.run(f"ethtool -K {device} gro off")
    try:
        yield
    finally:
        if was_on:
            link.a.run(f"ethtool -K {device} gro on")


# What is spent on a stream


def stream(link, options, arguments, read=None):
    """Bits per second of a stream, and what was spent on it for as long as it was looked at: see reading(), or what
    read(link) gives instead."""
    read = read or reading
    with ThreadPoolExecutor(max_workers=1) as other:
        said = other.submit(iperf, link, options, arguments)
        time.sleep(SETTLE_S)
        before = read(link)
        time.sleep(max(0.0, options.seconds - SETTLE_S - EARLY_S))
        spent = difference(before, read(link))
        rate = said.result()["sum_received"]["bits_per_second"]
    return rate, spent


def difference(before, after):
    """What came between two readings."""
    return {name: after[name] - before[name] for name in before}


def payload(rate, spent):
    """The bytes that a guest has sent: as the switch has counted them, or as the average of the whole stream has it."""
    if "switch" in spent:
        return spent["guest_bytes"] - HEADERS * spent["guest_packets"]
    return rate / 8 * spent["seconds"]


def reading(link):
    """When it is, and what was spent so far, in cycles: "guest", "switch", and "switch_…" of each component but
    "rest"; and how many packets have come from where. Of what there is."""
    found = {"seconds": time.monotonic()}
    seconds = link.a.cpu_seconds()
    counters = switch_counters(link)
    if seconds is not None:
        hz = counters["tsc_hz"] if counters else netlat(link.b, "clock")["tsc_hz"]
        found["guest"] = seconds * hz
    if counters:
        found["switch"] = counters["busy_cycles"]
        stages = link.daemon.ctl("show", "stages")["stages"]
        found.update({f"switch_{name}": cycles for name, cycles in switch_sections(stages).items()})
        found.update(packets(link.daemon.ctl("show", "ports")["ports"], stages))
    return found


def packets(ports, stages):
    """Packets and bytes that have come in from the wire and from guests, and what aggregation made of them."""
    stages = [one for one in stages if one["name"] == AGGREGATION]
    wire, guests = ([port["rx"] for port in ports if port["role"] == role] for role in ("wire", "guest"))
    return {
        "wire_packets": sum(rx["packets"] for rx in wire),
        "wire_bytes": sum(rx["bytes"] for rx in wire),
        "guest_packets": sum(rx["packets"] for rx in guests),
        "guest_bytes": sum(rx["bytes"] for rx in guests),
        "aggregated": sum(one["packets"] for one in stages),
        "aggregated_into": sum(one["emitted"] for one in stages),
    }


def wire_packets(spent):
    """How many came from the wire; None where there is no switch or no wire."""
    if "switch" not in spent:
        return None
    if spent["wire_packets"] <= 0:
        raise WorkloadError("no packet has come from the wire: costs are per packet of a wire port")
    return spent["wire_packets"]


def costs(spent, count):
    """The points of cost_metrics(), for each of so many."""
    values = {}
    if "guest" in spent:
        values["guest_cycles"] = spent["guest"]
    if "switch" in spent:
        parts = {name: spent[f"switch_{name}"] for name in COMPONENTS if name != "rest"}
        values["switch_cycles"] = spent["switch"]
        values.update({f"switch_{name}": cycles for name, cycles in parts.items()})
        values["switch_rest"] = spent["switch"] - sum(parts.values())
    if "guest" in spent and "switch" in spent:
        values["both_cycles"] = spent["guest"] + spent["switch"]
    return [Point(name, value / count) for name, value in values.items()]


def received(spent):
    """The points on a stream to the guest; none without a switch, which counts the packets of the wire."""
    count = wire_packets(spent)
    if count is None:
        return []
    merged = spent["aggregated_into"]
    return [
        *costs(spent, count),
        Point("switch_answers", spent["guest_packets"] / count),
        *([Point("switch_aggregated", spent["aggregated"] / merged)] if merged else []),
    ]


def by_bytes(large, small):
    """The points on what grows with the bytes, from streams of large and of small segments: for a packet of the large
    one. Stages are left out; what they look at is their own matter."""
    streams = [(spent, wire_packets(spent)) for spent in (large, small)]
    if None in (count for _, count in streams):
        return []
    each = [
        {"bytes": spent["wire_bytes"] / count, "switch": (spent["switch"] - spent["switch_stages"]) / count,
         **({"guest": spent["guest"] / count} if "guest" in spent else {})}
        for spent, count in streams
    ]  # fmt: skip
    names = [name for name in ("guest", "switch") if name in each[0]]
    grows = {name: fit([(one["bytes"], one[name]) for one in each]).slope * each[0]["bytes"] for name in names}
    points = [Point(f"{name}_bytes", value) for name, value in grows.items()]
    if len(names) == 2:
        points.append(Point("both_overhead", sum(each[0][name] - grows[name] for name in names)))
    return points
