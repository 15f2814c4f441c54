# SPDX-License-Identifier: BSD-3-Clause
"""What is run over a link (links.py): each workload gives numbers, some of them at several x.

    for point in WORKLOADS["tcp-rr"].run(link, Options(seconds=5), print):
        print(point.metric, point.x, point.value)
"""

import contextlib
import json
import time
from dataclasses import dataclass

from .process import LabError

PORT = 5201
START_TRIES = 50
START_PAUSE_S = 0.1
GRACE_S = 30
LATENCY_RUNS = 200  # as in Koh et al., section 5.1
LATENCY_SIZES = (64, 256, 1024, 1472, 4096, 16384, 65000)
STREAM_SIZES = (64, 256, 1024, 1472, 8192)
QUICK_SIZES = (64, 1472)


class WorkloadError(LabError):
    """A workload gave no number; the message says why."""


@dataclass(frozen=True)
class Metric:
    """What a number is: label and unit, which direction is better, what x is (None: there is none), and the figure or
    table of Koh et al. (LCN 2006) that shows the same."""

    label: str
    unit: str
    better: str = "lower"
    x_label: str | None = None
    figure: str | None = None


@dataclass(frozen=True)
class Point:
    """A number of a metric, at x."""

    metric: str
    value: float
    x: float | None = None


@dataclass(frozen=True)
class Options:
    """Seconds of a timed measurement; quick: few sizes and runs, to see whether it works."""

    seconds: float
    quick: bool = False


@contextlib.contextmanager
def serving(end, command, other, probe):
    """Has one end run a server, and waits until a command of the other shows that it is there."""
    server = end.spawn(command)
    try:
        for _ in range(START_TRIES):
            if other.run(probe, check=False).status == 0:
                break
            time.sleep(START_PAUSE_S)
        else:
            raise WorkloadError(f"{command!r} does not come up")
        yield
    finally:
        server.kill()


def cost(link, before):
    """What the switch spent on each packet since `before`: Points, none where there is no pktvirt."""
    after = switch_counters(link)
    if not after or after["packets"] == before["packets"]:
        return []
    packets = after["packets"] - before["packets"]
    return [
        Point("switch_cycles", (after["busy_cycles"] - before["busy_cycles"]) / packets),
        Point("switch_masks", (after["mask_calls"] - before["mask_calls"]) / packets),
    ]


def switch_counters(link):
    """What the workers have done so far, in all; None without pktvirt."""
    if link.daemon is None:
        return None
    workers = link.daemon.ctl("show", "workers")["workers"]
    total = {key: sum(worker[key] for worker in workers) for key in ("packets", "busy_cycles")}
    return {**total, "mask_calls": sum(worker["signals"]["mask_calls"] for worker in workers)}


COST = {
    "switch_cycles": Metric("the switch's cycles per packet", "cycles"),
    "switch_masks": Metric("calls of sigprocmask() per packet", "calls", figure="Table 4-1"),
}


def parsed(said, command):
    """The JSON that a command printed."""
    try:
        return json.loads(said.text)
    except ValueError:
        raise WorkloadError(f"{command}: no JSON: {said.text[:200]!r}") from None


class UdpLatency:
    """netlat: how long sendto() takes, and how long a datagram there and back."""

    name = "udp-latency"
    summary = "time of sendto(), and of a datagram there and back, from 64 B to 64 KiB"
    metrics = {
        "send": Metric("sendto() of a datagram", "s", "lower", "payload, bytes", "Table 5-1, Figure 5-1"),
        "round_trip": Metric("a datagram there and back", "s", "lower", "payload, bytes"),
        **COST,
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return (1 if options.quick else 4) + 2

    def run(self, link, options, say):
        """Measure each size."""
        runs = LATENCY_RUNS // 4 if options.quick else LATENCY_RUNS
        serve = f"{link.b.program('netlat')} serve {PORT}"
        points = []
        with serving(link.b, serve, link.a, self._command(link, "echo", 1, 1) + " | grep -q lost...0"):
            before = switch_counters(link)
            for size in QUICK_SIZES if options.quick else LATENCY_SIZES:
                say(f"{size} bytes")
                for mode, metric in (("send", "send"), ("echo", "round_trip")):
                    command = self._command(link, mode, size, runs)
                    result = parsed(link.a.run(command, timeout=GRACE_S + runs), command)
                    if result["lost"] > runs // 10:
                        raise WorkloadError(f"{command}: {result['lost']} of {runs} datagrams were lost")
                    points.append(Point(metric, result["mean_us"] * 1e-6, size))
            return points + cost(link, before)

    @staticmethod
    def _command(link, mode, size, runs):
        return f"{link.a.program('netlat')} {mode} {link.b.ip} {PORT} {size} {runs}"


class TcpRr:
    """netlat: one byte there and back, over one TCP connection."""

    name = "tcp-rr"
    summary = "round trips of one byte over a TCP connection"
    metrics = {"rate": Metric("round trips", "trips/s", "higher"), **COST}

    def estimate_s(self, options):
        """About how long it takes."""
        return options.seconds + 1

    def run(self, link, options, say):
        """Count round trips for a while."""
        program = link.a.program("netlat")
        serve = f"{link.b.program('netlat')} serve {PORT}"
        with serving(link.b, serve, link.a, f"{program} rr {link.b.ip} {PORT} 1"):
            before = switch_counters(link)
            command = f"{program} rr {link.b.ip} {PORT} {max(1, round(options.seconds))}"
            result = parsed(link.a.run(command, timeout=options.seconds + GRACE_S), command)
            return [Point("rate", result["rate"]), *cost(link, before)]


def iperf(link, options, arguments):
    """What iperf3 reports at the end, from the near end to the far one."""
    command = f"iperf3 -c {link.b.ip} -p {PORT} -t {options.seconds:g} -J {arguments}"
    report = parsed(link.a.run(command, timeout=options.seconds + GRACE_S, check=False), command)
    if "error" in report:
        raise WorkloadError(f"{command}: {report['error']}")
    return report["end"]


def iperf_server(link):
    """Has the far end run iperf3."""
    probe = f"iperf3 -c {link.b.ip} -p {PORT} -n 1K"
    return serving(link.b, f"iperf3 -s -p {PORT}", link.a, probe)


class TcpStream:
    """iperf3, both ways."""

    name = "tcp-stream"
    summary = "a TCP stream from the guest, and one to it"
    metrics = {
        "send": Metric("sent by the guest", "b/s", "higher", figure="Figure 5-3"),
        "receive": Metric("received by the guest", "b/s", "higher", figure="Figure 5-4"),
        **COST,
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 2 * options.seconds + 2

    def run(self, link, options, say):
        """One stream after the other."""
        with iperf_server(link):
            before = switch_counters(link)
            say("sending")
            sent = iperf(link, options, "")["sum_received"]["bits_per_second"]
            say("receiving")
            received = iperf(link, options, "-R")["sum_received"]["bits_per_second"]
            return [Point("send", sent), Point("receive", received), *cost(link, before)]


class UdpStream:
    """iperf3 with datagrams, as fast as the guest can send them; what arrives is counted."""

    name = "udp-stream"
    summary = "datagrams as fast as the guest sends them, over packet sizes"
    metrics = {
        "arrived": Metric("arrived", "b/s", "higher", "payload, bytes", "Figure 5-2"),
        "packets": Metric("arrived", "packets/s", "higher", "payload, bytes"),
        **COST,
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return len(QUICK_SIZES if options.quick else STREAM_SIZES) * (options.seconds + 0.5) + 1

    def run(self, link, options, say):
        """Each size for a while."""
        points = []
        with iperf_server(link):
            before = switch_counters(link)
            for size in QUICK_SIZES if options.quick else STREAM_SIZES:
                say(f"{size} bytes")
                total = iperf(link, options, f"-u -b 0 -l {size}")["sum"]
                arrived = max(total["packets"] - total["lost_packets"], 0) / total["seconds"]
                points += [Point("arrived", arrived * size * 8, size), Point("packets", arrived, size)]
            return points + cost(link, before)


WORKLOADS = {workload.name: workload for workload in (UdpLatency(), UdpStream(), TcpStream(), TcpRr())}
