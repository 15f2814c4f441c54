# SPDX-License-Identifier: BSD-3-Clause
"""A TCP stream, and what part of the machine's CPUs it takes: the workloads behind Tables 5.1 to 5.3 of Menon's thesis.

Shares are of the time of all CPUs together:

    switch   its workers, where they are busy: rounds in which they found something; and what the host's kernel does for
             the far end while a worker writes a frame to it
    guest    the processes of the host that the guest consists of
    idle     what nobody needs: CPUs that do nothing, and workers that look and find nothing
    rest     the far end, its kernel and its iperf3, and whatever else runs
    asleep   of the idle time that in which CPUs do nothing at all, so that somebody else could have them

A system that is faster needs more of the CPUs to do more. So there are streams of a rate that all of them reach, too:
there what is idle tells which one needs less, as in the thesis, where the wires are the limit.
"""

import os
import time
from pathlib import Path

from .cite import menon
from .iperf import iperf_server
from .measure import ran_by_worker
from .streams import stream
from .workload import Metric, Point, WorkloadError, switch_counters

FIXED_BPS = 500_000_000
SHARES = ("switch", "guest", "rest", "idle", "asleep")


class CpuSplit:
    """One stream. arguments are iperf3's; rate_bps: offered, None: as fast as it goes."""

    def __init__(self, name, summary, arguments, figure, rate_bps=None):
        self.name = name
        self.summary = summary
        self._arguments = f"{arguments} -b {rate_bps}" if rate_bps else arguments
        self.metrics = {
            "rate": Metric("throughput", "b/s", "higher", figure=figure),
            **{share: Metric(share, "%", "higher" if share in ("idle", "asleep") else "lower", figure=figure)
               for share in SHARES},
        }  # fmt: skip

    def estimate_s(self, options):
        """About how long it takes."""
        return options.seconds + 1.5

    def run(self, link, options, say):
        """Measure."""
        with iperf_server(link):
            say("streaming")
            rate, spent = stream(link, options, self._arguments.strip(), reading)
        return [Point("rate", rate), *(Point(name, 100 * share) for name, share in shares(spent).items())]


def reading(link):
    """Seconds: of the clock, and of CPUs those that nobody had, that workers ran, that they were busy, that the guest
    had."""
    ticks = cpu_ticks()
    counters = switch_counters(link)
    ran = ran_by_worker(link.daemon.pid)
    if not ran:
        raise WorkloadError("the kernel does not tell how long a thread has run (/proc/PID/task/TID/schedstat)")
    return {
        "clock": time.monotonic(),
        "nobody": ticks["idle"] + ticks["iowait"],
        "busy": counters["busy_cycles"] / counters["tsc_hz"],
        "ran": sum(ran) / 1e9,
        "guest": link.a.cpu_seconds(),
    }


def cpu_ticks():
    """Seconds of all CPUs, by what they were spent on."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # proc(5)
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    hz = os.sysconf("SC_CLK_TCK")
    return {name: int(word) / hz for name, word in zip(names, words)}


def shares(spent):
    """The shares, of a difference of readings."""
    total = spent["clock"] * os.cpu_count()
    in_vain = max(spent["ran"] - spent["busy"], 0.0)
    known = {"switch": spent["busy"] / total, "guest": spent["guest"] / total}
    idle = (spent["nobody"] + in_vain) / total
    return {**known, "rest": max(1 - sum(known.values()) - idle, 0.0), "idle": idle, "asleep": spent["nobody"] / total}


SEND = CpuSplit("send", "a TCP stream from the guest", "", menon("Table 5.1"))
RECEIVE = CpuSplit("receive", "a TCP stream to the guest", "-R", menon("Table 5.2"))
SEND_FIXED = CpuSplit(
    "send-fixed", f"a TCP stream of {FIXED_BPS / 1e6:g} Mb/s from the guest", "", menon("Table 5.1"), FIXED_BPS
)
RECEIVE_FIXED = CpuSplit(
    "receive-fixed", f"a TCP stream of {FIXED_BPS / 1e6:g} Mb/s to the guest", "-R", menon("Table 5.2"), FIXED_BPS
)
