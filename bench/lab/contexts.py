# SPDX-License-Identifier: BSD-3-Clause
"""What Menon's thesis (EPFL 2009) has measured in chapter 5, and what of ours stands beside it: tables and plots of
bench/contexts. docs/contexts.md explains them.

There, a processor is saturated by one guest over two wires of 1 Gb/s, and the network interface does the work that
contexts do here: the switch has a CPU for itself, which is part of all shares.
"""

from .answering import built
from .beside import Ratio, Value, across, columns, over_x, table
from .cite import menon
from .cpu_split import FIXED_BPS, RECEIVE, RECEIVE_FIXED, SEND, SEND_FIXED, SHARES
from .crowd import Crowd
from .daemon import ask
from .light import SIZES, Fairness, FirstFrame, Idle, Memory
from .plot import Series, line_plot
from .report import Cells, bars
from .table import paragraph, significant, unit_scale
from .workload import Metric, Point, WorkloadError

STAGE = "multi-context-demux"
XEN, HLVI_IOC, CDNA = "xen.json", "xen-hlvi-ioc.json", "cdna.json"
XEN_CONTEXTS, BRIDGE, CONTEXTS = "xen, contexts", "bridge", "contexts"
WINDOW, VALIDATE = "contexts, window", "contexts, validate"
SINGLE = (XEN, XEN_CONTEXTS, HLVI_IOC, BRIDGE, CDNA)
SCALING = (XEN, BRIDGE, CDNA)
LIGHT = (BRIDGE, CONTEXTS)
SPREAD = "contexts, 2 workers"
FLOODED = (*LIGHT, SPREAD)
WORKERS = ("1 worker", "2 workers")
PROTECTIONS = {VALIDATE: "validate", WINDOW: "window"}

COLUMNS = ("rate", *SHARES)
MB = 1e6
# Of the thesis: Mb/s; hypervisor and driver domain, which is what the switch is here; guest; idle.
TABLE_5_1 = (
    ("thesis: Xen, Intel's interface", (1602 * MB, 19.8 + 35.7, 39.7, None, 3.0, None)),
    ("thesis: Xen, RiceNIC", (1674 * MB, 13.7 + 41.5, 39.5, None, 3.8, None)),
    ("thesis: CDNA, RiceNIC", (1867 * MB, 10.2 + 0.3, 37.8, None, 50.8, None)),
)
TABLE_5_2 = (
    ("thesis: Xen, Intel's interface", (1112 * MB, 25.7 + 36.8, 31.0, None, 5.0, None)),
    ("thesis: Xen, RiceNIC", (1075 * MB, 30.6 + 39.4, 28.8, None, 0.0, None)),
    ("thesis: CDNA, RiceNIC", (1874 * MB, 9.9 + 0.3, 48.0, None, 40.9, None)),
)
TABLE_5_3_SEND = (
    ("thesis: protection", (1867 * MB, 10.2 + 0.3, 37.8, None, 50.8, None)),
    ("thesis: none", (1867 * MB, 1.9 + 0.2, 37.0, None, 60.4, None)),
)
TABLE_5_3_RECEIVE = (
    ("thesis: protection", (1874 * MB, 9.9 + 0.3, 48.0, None, 40.9, None)),
    ("thesis: none", (1874 * MB, 1.9 + 0.2, 47.2, None, 50.2, None)),
)
DIRECTIONS = {"from": "a packet from the guest", "to": "a packet to the guest"}
DESCRIPTORS_TIMEOUT_S = 120
PROTECTED = ("none", "window", "validate-1", "validate-8")  # validate: with so many regions
KEPT_LEAST, FIRST_MOST_S, RESTING_MOST, JAIN_LEAST = 97.0, 100e-6, 2.0, 0.99
IDLE, FIRST, FAIR, MEMORY, CROWD = (one.name for one in (Idle, FirstFrame, Fairness, Memory, Crowd))


class Descriptors:
    """build/bench/contexts/protection: what a packet costs with each protection and with none. Nothing else runs."""

    name = "descriptors"
    summary = "cycles per packet with each protection, and with none, which only a benchmark may have"
    program = "bench/contexts/protection"
    metrics = {
        f"{direction}_{protection}": Metric(f"{label}, {protection}", "cycles/packet", "lower", "bytes of the frame",
                                            menon("Table 5.3"))
        for direction, label in DIRECTIONS.items()
        for protection in PROTECTED
    }  # fmt: skip

    def check(self):
        """WorkloadError if it was not built."""
        if not built(self.program).exists():
            raise WorkloadError(f"{built(self.program)} does not exist; build it with: make")

    def estimate_s(self, _options):
        """About how long it takes."""
        return 5

    def run(self, _link, _options, say):
        """Once."""
        say("cycles per packet")
        said = ask([built(self.program), "--json"], DESCRIPTORS_TIMEOUT_S)
        points = [
            Point(f"{one['direction']}_{one['protection']}", one["cycles"]["median"], one["frame"]) for one in said
        ]
        points = [point for point in points if point.metric in self.metrics]
        missing = set(self.metrics) - {point.metric for point in points}
        if missing:
            raise WorkloadError(f"{self.program} --json says nothing of {', '.join(sorted(missing))}")
        return points


# Tables


def single(full, fixed, said, systems, results):
    """The table of one direction: as fast as it goes, and at a rate that all reach."""
    rate = f"{FIXED_BPS / MB:g} Mb/s"
    return [
        *across(f"{full[0]}: as fast as it goes", full[1].name, COLUMNS, systems, results, said),
        *across(f"{full[0]}: {rate} offered", fixed.name, COLUMNS, systems, results),
    ]


def ratios(workload, pairs, results):
    """What systems are to others, in throughput."""
    known = [Ratio(label, paper, one, other, workload.name, "rate") for label, paper, one, other in pairs]
    return table("Throughput, ratios within a run", known, results)


PAIRS = (
    ("contexts alone: xen.json with them, to xen.json", XEN_CONTEXTS, XEN),
    ("contexts alone: cdna.json to xen-hlvi-ioc.json", CDNA, HLVI_IOC),
    ("contexts alone: cdna.json to a plain bridge", CDNA, BRIDGE),
    ("all of chapters 3 and 5: cdna.json to xen.json", CDNA, XEN),
)


def transmit(results):
    """Table 5.1."""
    papers = (None, None, None, 1867 / 1602)
    pairs = [(label, paper, one, other) for (label, one, other), paper in zip(PAIRS, papers)]
    return [
        *single(("Table 5.1, transmit", SEND), SEND_FIXED, TABLE_5_1, SINGLE, results),
        *ratios(SEND, pairs, results),
    ]


def receive(results):
    """Table 5.2."""
    papers = (None, None, None, 1874 / 1112)
    pairs = [(label, paper, one, other) for (label, one, other), paper in zip(PAIRS, papers)]
    return [
        *single(("Table 5.2, receive", RECEIVE), RECEIVE_FIXED, TABLE_5_2, SINGLE, results),
        *ratios(RECEIVE, pairs, results),
    ]


def protection(results):
    """Table 5.3."""
    systems = tuple(PROTECTIONS)
    return [
        *single(("Table 5.3, transmit", SEND), SEND_FIXED, TABLE_5_3_SEND, systems, results),
        *single(("Table 5.3, receive", RECEIVE), RECEIVE_FIXED, TABLE_5_3_RECEIVE, systems, results),
    ]


def descriptors(results):
    """The same of a packet alone, without a switch."""
    lines = []
    for direction, label in DIRECTIONS.items():
        metrics = {name: f"{direction}_{name}" for name in PROTECTED}
        rows = [
            Value(f"{size:g} bytes, {name}", None, Descriptors.name, Descriptors.name, metric, size)
            for size in results.xs(Descriptors.name, metrics["none"])
            for name, metric in metrics.items()
        ]
        lines += table(f"Table 5.3: {label}, cycles", rows, results)
    return lines


def scaling(results):
    """Throughput over the number of guests."""
    return [
        line
        for metric in ("sent", "received", "sent_busy", "received_busy", "sent_jain", "received_jain")
        for line in over_x("Guests that are active", CROWD, metric, SCALING, results)
    ]


def idle(results):
    """Two active guests beside idle ones."""
    metrics = [f"{what}_{size}" for size in SIZES for what in ("rate", "kept", "switch_cycles")]
    lines = [line for metric in metrics for line in over_x("Two active guests", IDLE, metric, LIGHT, results)]
    largest = max(results.xs(IDLE, f"kept_{SIZES[0]}"), default=None)
    for size in SIZES:
        known = results.estimate(CONTEXTS, IDLE, f"kept_{size}", largest)
        lines.append(met(f"{size} bytes, kept beside {largest:g} idle contexts" if largest else f"{size} bytes, kept",
                         known, KEPT_LEAST, "%", least=True))  # fmt: skip
    return [*lines, ""]


def latency(results):
    """The first frame after a rest, and what resting costs."""
    metrics = ("median", "p99", "floor", "beyond", "worker_cpu", "daemon_cpu")
    lines = [line for metric in metrics for line in over_x("All at rest", FIRST, metric, LIGHT, results)]
    largest = max(results.xs(FIRST, "median"), default=None)
    first = results.estimate(CONTEXTS, FIRST, "median", largest)
    resting = results.estimate(CONTEXTS, FIRST, "worker_cpu", largest)
    return [
        *lines,
        met("a frame after a rest, median", first, FIRST_MOST_S, "s"),
        met("the worker while all rest", resting, RESTING_MOST, "%"),
        "",
    ]


def fairness(results):
    """Shares under flood."""
    summary = f"{Fairness.summary[0].upper()}{Fairness.summary[1:]}"
    lines = columns(summary, FAIR, Fairness.metrics, FLOODED, results)
    for system in (CONTEXTS, SPREAD):
        for metric in ("jain_equal", "jain_mixed", "jain_weights"):
            known = results.estimate(system, FAIR, metric)
            lines.append(met(f"{system}: {Fairness.metrics[metric].label}", known, JAIN_LEAST, "", least=True))
    return [*lines, ""]


def memory(results):
    """What an attached guest costs."""
    return [
        line for metric in Memory.metrics for line in over_x("The daemon", MEMORY, metric, LIGHT, results)
    ]


def workers(results):
    """One worker and two."""
    lines = [
        line
        for metric in ("sent", "received", "sent_busy", "received_busy")
        for line in over_x("Guests on the CPUs of the workers", CROWD, metric, WORKERS, results)
    ]
    known = [
        Ratio(f"{metric}, {x:g} guests, two to one", None, WORKERS[1], WORKERS[0], CROWD, metric, x)
        for metric in ("sent", "received")
        for x in results.xs(CROWD, metric)
    ]
    return [*lines, *table("Two workers, ratios within a run", known, results)]


def met(what, known, target, unit, least=False):
    """Whether the Estimate of something meets a target, as a line."""
    factor, unit = unit_scale(known.median if known else target, unit)
    text = f"{significant(factor * target)} {unit}".rstrip()
    wanted = f"at least {text}" if least else f"less than {text}"
    if known is None:
        return paragraph(f"{what}: {wanted} is wanted; not measured.")
    ends = [value >= target if least else value < target for value in (known.low, known.high)]
    is_met = known.median >= target if least else known.median < target
    sure = "" if all(ends) == any(ends) == is_met and known.certain else ", but the interval does not show it"
    return paragraph(f"{what}: {wanted} is wanted; {'met' if is_met else 'not met'}{sure}.")


TABLES = {"transmit": transmit, "receive": receive, "protection": protection, "descriptors": descriptors,
          "scaling": scaling, "idle": idle, "latency": latency, "fairness": fairness, "memory": memory,
          "workers": workers}  # fmt: skip


def text(name, results):
    """The tables of an experiment, as lines."""
    return TABLES[name](results)


# Drawings


def split(title, workload, systems, results):
    """Shares of the CPUs, as bars."""
    return bars(title, workload.name, {share: share for share in SHARES}, systems, results)


def curve(title, workload, metric, systems, results):
    """A metric over x, a line for each system."""
    cells = Cells(results, workload, metric)
    lines = [
        Series(system, look, {x: cells.point(system, x) for x in cells.xs if cells.estimate(system, x)})
        for look, system in enumerate(systems)
    ]
    known = [one for one in lines if one.points]
    return line_plot(title, cells.facts["x_label"], f"{title}, {cells.unit}", known) if known else None


def crowd_plots(name, systems, results):
    """What all guests send and receive."""
    return {
        f"{name}-{metric}.svg": curve(f"{metric} by all guests", CROWD, metric, systems, results)
        for metric in ("sent", "received")
    }


PLOTS = {
    "transmit": lambda results: {
        "table-5.1.svg": split(f"Transmit, {FIXED_BPS / MB:g} Mb/s: shares of all CPUs", SEND_FIXED, SINGLE, results)
    },
    "receive": lambda results: {
        "table-5.2.svg": split(f"Receive, {FIXED_BPS / MB:g} Mb/s: shares of all CPUs", RECEIVE_FIXED, SINGLE, results)
    },
    "protection": lambda results: {},
    "descriptors": lambda results: {},
    "scaling": lambda results: crowd_plots("scaling", SCALING, results),
    "idle": lambda results: {
        f"idle-{size}.svg": curve(f"Kept beside idle guests, {size} bytes", IDLE, f"kept_{size}", LIGHT, results)
        for size in SIZES
    },
    "latency": lambda results: {
        "first-frame.svg": curve("A frame after a rest, median", FIRST, "median", LIGHT, results)
    },
    "fairness": lambda results: {
        "fairness.svg": bars(
            "Jain's index under flood", FAIR,
            {"equal sizes": "jain_equal", "mixed sizes": "jain_mixed", "weights": "jain_weights"}, FLOODED, results,
        )
    },
    "memory": lambda results: {},
    "workers": lambda results: crowd_plots("workers", WORKERS, results),
}  # fmt: skip


def drawings(name, results):
    """The plots that an experiment gives: name of the file -> SVG."""
    return {file: plot for file, plot in PLOTS[name](results).items() if plot}
