# SPDX-License-Identifier: BSD-3-Clause
"""Workloads of bench/guest-programs/netlat.c."""

from .cite import koh, menon
from .workload import (
    GRACE_S,
    PORT,
    Metric,
    Point,
    WorkloadError,
    cost,
    cost_metrics,
    parsed,
    per_packet,
    serving,
    switch_counters,
)

RUNS = 200  # as in Koh et al., section 5.1
MTU_PAYLOAD = 1472
SIZES = (64, 256, 1024, MTU_PAYLOAD, 4096, 16384, 65000)
QUICK_SIZES = (64, MTU_PAYLOAD)
FRAMES = (64, 1514)
HEADERS = 14 + 20 + 8  # of Ethernet, IPv4 and UDP
PAYLOAD = {"x_label": "payload, bytes"}
FRAME = "frame, bytes"


def netlat(end, mode, *arguments, seconds=0):
    """Run it at one end against the server of the other, or by itself; returns what it prints. `seconds` that it takes
    anyway."""
    command = " ".join([end.program("netlat"), mode, *map(str, arguments)])
    return parsed(end.run(command, timeout=seconds + GRACE_S), command)


def netlat_server(end, other):
    """Has an end run it as server, for the other."""
    probe = f"{other.program('netlat')} echo {end.ip} {PORT} 64 1"
    return serving(end, f"{end.program('netlat')} serve {PORT}", other, probe)


class UdpLatency:
    """netlat: how long sendto() takes, how long until a datagram is delivered and until it is back; and what the switch
    does for a lone packet. Means of so many runs, "±" is half of their 95 % interval, as in the paper. Datagrams are
    paced, so that none waits for another."""

    name = "udp-latency"
    summary = "time of sendto(), of the delivery of a datagram, and of one there and back, from 64 B to 64 KiB"
    metrics = {
        "send": Metric("sendto() of a datagram", "s", **PAYLOAD, figure=koh("Table 5-1, Figure 5-1")),
        "deliver_out": Metric("from sendto() in the guest to delivery", "s", **PAYLOAD),
        "deliver_in": Metric(
            "from sendto() of the peer to delivery in the guest", "s", **PAYLOAD, figure=koh("Table 5-1")
        ),
        "round_trip": Metric("a datagram there and back", "s", **PAYLOAD),
        "switch_out": Metric("the switch's time for a packet from the guest", "s", **PAYLOAD, figure=koh("Table 5-1")),
        "switch_in": Metric("the switch's time for a packet to the guest", "s", **PAYLOAD, figure=koh("Table 5-1")),
        "send_ci95": Metric(f"± of sendto() at {MTU_PAYLOAD} bytes", "s"),
        "deliver_out_ci95": Metric(f"± of delivery at {MTU_PAYLOAD} bytes", "s"),
        "deliver_in_ci95": Metric(f"± of delivery in the guest at {MTU_PAYLOAD} bytes", "s"),
        **cost_metrics(),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 3 if options.quick else 9

    def run(self, link, options, say):
        """Measure each size."""
        runs = RUNS // 4 if options.quick else RUNS
        points = []
        with netlat_server(link.b, link.a), netlat_server(link.a, link.b):
            before = switch_counters(link)
            for size in QUICK_SIZES if options.quick else SIZES:
                say(f"{size} bytes")
                points += self._sending(link, size, runs) + self._exchanges(link, size, runs)
            return points + cost(link, before)

    def _sending(self, link, size, runs):
        """One way, to where nobody waits; also from the far end, for the switch's part in packets to the guest."""
        before = switch_counters(link)
        points = mean("send", self.send(link.a, link.b, size, runs), size)
        if size <= MTU_PAYLOAD:  # a larger one is several packets, that come together
            points += switch_time(link, before, "switch_out", size)
            before = switch_counters(link)
            self.send(link.b, link.a, size, runs)
            points += switch_time(link, before, "switch_in", size)
        return points

    @staticmethod
    def send(end, other, size, runs):
        """Paced datagrams one way; what netlat prints."""
        return netlat(end, "send", other.ip, PORT, size, runs, seconds=runs / 100)

    def _exchanges(self, link, size, runs):
        """There and back, begun by either end."""
        ours, theirs = (self._exchange(*ends, size, runs) for ends in ((link.a, link.b), (link.b, link.a)))
        points = [Point("round_trip", ours["back"]["mean_us"] * 1e-6, size)]
        if counters_are_one(link):
            points += mean("deliver_out", ours["there"], size) + mean("deliver_in", theirs["there"], size)
        return points

    @staticmethod
    def _exchange(end, other, size, runs):
        result = netlat(end, "echo", other.ip, PORT, size, runs, seconds=runs)
        if result["lost"] > runs // 10:
            raise WorkloadError(f"{result['lost']} of {runs} datagrams of {size} bytes were lost, or their answers")
        return result


def counters_are_one(link):
    """Whether both ends of a link read the same time stamp counter, so that one can tell how long something from the
    other was under way. Processes of the host and of User-mode Linux do; in a virtual machine of QEMU the counter has
    an offset, and may have a scale, which nothing tells to the guest."""
    return all(end.kind in ("uml", "native") for end in (link.a, link.b))


def mean(metric, times, size):
    """Points of what netlat prints of some times; the interval only at one size."""
    points = [Point(metric, times["mean_us"] * 1e-6, size)]
    return points + ([Point(f"{metric}_ci95", times["ci95_us"] * 1e-6)] if size == MTU_PAYLOAD else [])


def switch_time(link, before, metric, x):
    """How long the switch was busy with each packet since `before`, as one Point; none where there is no pktvirt."""
    spent = per_packet(before, switch_counters(link))
    return [Point(metric, spent["seconds"], x)] if spent else []


class PacketRate:
    """netlat: small and large datagrams as fast as the guest can send them, many with a call."""

    name = "pps"
    summary = "packets per second of the smallest and the largest frames, one way"
    metrics = {
        "rate": Metric("arrived", "packets/s", "higher", x_label=FRAME),
        **cost_metrics(x_label=FRAME),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return len(FRAMES) * (options.seconds + 0.5) + 1

    def run(self, link, options, say):
        """Each size for a while."""
        points = []
        with netlat_server(link.b, link.a):
            for frame in FRAMES:
                say(f"{frame} bytes")
                before = switch_counters(link)
                seconds = whole(options.seconds)
                result = netlat(link.a, "flood", link.b.ip, PORT, frame - HEADERS, seconds, seconds=seconds)
                if result["arrived"] < 2:
                    raise WorkloadError(f"{result['arrived']} of {result['sent']} frames of {frame} bytes arrived")
                points += [Point("rate", result["rate"], frame), *cost(link, before, frame)]
        return points


def whole(seconds):
    """As netlat takes them."""
    return max(1, round(seconds))


class TcpRr:
    """netlat: one byte there and back, over one TCP connection."""

    name = "tcp-rr"
    summary = "round trips of one byte over a TCP connection"
    metrics = {"rate": Metric("round trips", "trips/s", "higher", figure=menon("Table 3.1")), **cost_metrics()}

    def estimate_s(self, options):
        """About how long it takes."""
        return options.seconds + 1

    def run(self, link, options, say):
        """Count round trips for a while."""
        with netlat_server(link.b, link.a):
            before = switch_counters(link)
            seconds = whole(options.seconds)
            result = netlat(link.a, "rr", link.b.ip, PORT, seconds, seconds=seconds)
            return [Point("rate", result["rate"]), *cost(link, before)]
