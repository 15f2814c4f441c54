# SPDX-License-Identifier: BSD-3-Clause
"""Workloads of iperf3."""

from .cite import koh
from .workload import GRACE_S, PORT, Metric, Point, WorkloadError, cost, cost_metrics, parsed, serving, switch_counters

STREAM_SIZES = (64, 256, 1024, 1472, 8192)
QUICK_SIZES = (64, 1472)
LARGEST_WRITE = 131072  # as iperf3 writes unless it is told otherwise
WRITE_SIZES = (128, 512, 1448, 16384, LARGEST_WRITE)  # 1448 bytes are a segment
QUICK_WRITE_SIZES = (1448, LARGEST_WRITE)
WRITE = "bytes per write"


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
    """iperf3, both ways, with writes of several sizes; small ones become whole segments where TCP gathers them."""

    name = "tcp-stream"
    summary = "a TCP stream from the guest, and one to it, over sizes of the sender's writes"
    metrics = {
        "send": Metric("sent by the guest", "b/s", "higher", WRITE, koh("Figure 5-3")),
        "receive": Metric("received by the guest", "b/s", "higher", WRITE, koh("Figure 5-4")),
        **cost_metrics(),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 2 * len(write_sizes(options)) * (options.seconds + 0.5) + 1

    def run(self, link, options, say):
        """For each size one stream after the other."""
        points = []
        with iperf_server(link):
            before = switch_counters(link)
            for size in write_sizes(options):
                for metric, way in (("send", ""), ("receive", "-R")):
                    say(f"{metric}, {size} bytes")
                    end = iperf(link, options, f"-l {size} {way}".rstrip())
                    points.append(Point(metric, end["sum_received"]["bits_per_second"], size))
            return points + cost(link, before)


def write_sizes(options):
    """Bytes that the sender of a TCP stream writes at a time."""
    return QUICK_WRITE_SIZES if options.quick else WRITE_SIZES


class UdpStream:
    """iperf3 with datagrams, as fast as the guest can send them; what arrives is counted."""

    name = "udp-stream"
    summary = "datagrams as fast as the guest sends them, over packet sizes"
    metrics = {
        "arrived": Metric("arrived", "b/s", "higher", "payload, bytes", koh("Figure 5-2")),
        "packets": Metric("arrived", "packets/s", "higher", "payload, bytes"),
        **cost_metrics(),
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
