# SPDX-License-Identifier: BSD-3-Clause
"""What Menon's thesis (EPFL 2009) has measured in chapter 3, and what of ours stands beside it: tables and figures of
bench/aggregation. docs/aggregation.md explains them.

There, several Gigabit interfaces and as many clients saturate one processor; here there is one wire, without a limit,
between two ends that share a machine. So ratios are what compares, and cycles rather than throughput: the peer runs on
the CPU that the guest has.
"""

from .beside import Ratio, Value, columns, table
from .fit import fit_inverse
from .medians import estimate_text
from .plot import Series, dot_plot, line_plot
from .report import Cells, bars
from .streams import COMPONENTS
from .table import layout, paragraph, percent, significant
from .workloads import BYTES, PLAIN, RECEIVE, SENDFILE, WORKLOADS, WRITE

XEN, IOC, HLVI, HLVI_IOC = "xen.json", "xen-ioc.json", "xen-hlvi.json", "xen-hlvi-ioc.json"
RA, RA_AO = "xen-ra.json", "xen-ra-ao.json"
LINUX, LINUX_OFFLOAD, UML_VECTOR = "native", "native-offload", "uml-vector"
TRANSMIT, RECEIVING, LATENCY = (XEN, IOC, HLVI, HLVI_IOC), (XEN, RA, RA_AO), (XEN, RA_AO)
WIRES = {f"wire {wire}": [{"offload": {"wire": wire}}, "io-channel"] for wire in ("all", "checksum", "none")}
LIMITS = {f"limit {limit}": limit for limit in (1, 2, 3, 5, 10, 20, 35)}
TRIPS = WORKLOADS["tcp-rr"]

MB = 1e6
LESS_THAN = 0.99  # of the round trips, from which on there is a loss

GROUPS = {"guest": "guest_cycles", **{part: f"switch_{part}" for part in COMPONENTS}}


def limited(limit):
    """The stages with which so many packets become one; 1: without aggregation."""
    return [] if limit == 1 else [{"receive-aggregation": {"limit": limit}}]


# Tables


def transmit(_results):
    """title -> lines, of what a guest sends."""
    send = (SENDFILE.name, "rate")
    copy = (WRITE.name, "rate")
    return {
        "Figure 3.2: transmit throughput, sendfile": [
            Value("Linux, with the offloads of its interface (four of 1 Gb/s)", 3760 * MB, LINUX_OFFLOAD, *send),
            Value("Linux, without", None, LINUX, *send),
            Value("User-mode Linux on its own transport (vector)", None, UML_VECTOR, *send),
            Value("Xen guest", 750 * MB, XEN, *send),
            Value("Xen guest, optimized", 3310 * MB, HLVI_IOC, *send),
            Ratio("  ratio of these", 3310 / 750, HLVI_IOC, XEN, *send),
        ],
        "Figure 3.3: what each optimization adds, sendfile": [
            Value("none", 750 * MB, XEN, *send),
            Value("I/O channel", None, IOC, *send),
            Value("high-level interface", 2794 * MB, HLVI, *send),
            Value("both", 3230 * MB, HLVI_IOC, *send),
            Ratio("I/O channel to none", None, IOC, XEN, *send),
            Ratio("high-level interface to none", 2794 / 750, HLVI, XEN, *send),
            Ratio("both to high-level interface", 3230 / 2794, HLVI_IOC, HLVI, *send),
        ],
        "Figure 3.4: cycles for as many bytes, high-level interface to none": [
            Ratio("guest", 1 / 4, HLVI, XEN, SENDFILE.name, "guest_cycles"),
            Ratio("switch (thesis: driver domain; VMM 0.526)", 1 / 2.1, HLVI, XEN, SENDFILE.name, "switch_cycles"),
            Ratio("guest and switch", None, HLVI, XEN, SENDFILE.name, "both_cycles"),
        ],
        "Figure 3.6: the same with writes, which copy": [
            Value("none", None, XEN, *copy),
            Value("I/O channel", None, IOC, *copy),
            Value("high-level interface", None, HLVI, *copy),
            Value("both", 1848 * MB, HLVI_IOC, *copy),
            Ratio("both to none", None, HLVI_IOC, XEN, *copy),
            Ratio("high-level interface to none", None, HLVI, XEN, *copy),
            Ratio("both to high-level interface", None, HLVI_IOC, HLVI, *copy),
            Ratio("both, guest's cycles to those of none", None, HLVI_IOC, XEN, WRITE.name, "guest_cycles"),
        ],
    }


def wires(_results):
    """The same of a wire port with all, some and no offloads."""
    send = (SENDFILE.name, "rate")
    return {
        "Figure 3.5: high-level interface, by what the wire port does itself": [
            Value("all: segments and checksums", None, "wire all", *send),
            Value("checksums", None, "wire checksum", *send),
            Value("none", 1461 * MB, "wire none", *send),
            Value("Guest-none: without the interface", 750 * MB, XEN, *send),
            Ratio("none to Guest-none", 1461 / 750, "wire none", XEN, *send),
            Ratio("none to Guest-none, guest's cycles", None, "wire none", XEN, SENDFILE.name, "guest_cycles"),
            Ratio("none to Guest-none, switch's cycles", None, "wire none", XEN, SENDFILE.name, "switch_cycles"),
        ]
    }


def receive(_results):
    """The same of what a guest receives."""
    then, now, rate = BYTES.name, RECEIVE.name, "rate"
    return {
        "Figure 3.7: receive throughput, kernels that merge nothing (GRO off), as then": [
            Value("Linux", 3452 * MB, LINUX_OFFLOAD, then, rate),
            Value("Xen guest", 1088 * MB, XEN, then, rate),
            Value("Xen guest, receive aggregation", None, RA, then, rate),
            Value("Xen guest, and acknowledgment offload", 1877 * MB, RA_AO, then, rate),
            Ratio("  receive aggregation to none", 1.45, RA, XEN, then, rate),
            Ratio("  both to none (the thesis says 86 % more)", 1877 / 1088, RA_AO, XEN, then, rate),
        ],
        "The same, kernels of today (GRO)": [
            Value("Linux, optimized (there: as its CPU would allow)", 5050 * MB, LINUX_OFFLOAD, now, rate),
            Value("Xen guest", None, XEN, now, rate),
            Value("Xen guest, receive aggregation", None, RA, now, rate),
            Value("Xen guest, and acknowledgment offload", None, RA_AO, now, rate),
            Ratio("  receive aggregation to none", None, RA, XEN, now, rate),
            Ratio("  both to none", None, RA_AO, XEN, now, rate),
            Ratio("  both to none, cycles of guest and switch", None, RA_AO, XEN, now, "both_cycles"),
        ],
        "Figure 3.8: cycles per packet of the wire, both to none, GRO off": [
            Ratio("what is per packet, without aggregating", 1 / 3.7, RA_AO, XEN, then, "both_overhead"),
            Ratio("guest", None, RA_AO, XEN, then, "guest_cycles"),
            Ratio("switch", None, RA_AO, XEN, then, "switch_cycles"),
            Ratio("guest and switch", None, RA_AO, XEN, then, "both_cycles"),
        ],
    }


def latency(_results):
    """The same of requests and responses."""
    return {
        "Table 3.1: requests per second over TCP": [
            Value("Xen guest", 6965, XEN, TRIPS.name, "rate"),
            Value("Xen guest, aggregation and acknowledgment offload", 6953, RA_AO, TRIPS.name, "rate"),
            Ratio("  ratio", 6953 / 6965, RA_AO, XEN, TRIPS.name, "rate"),
        ]
    }


TABLES = {"transmit": transmit, "wire": wires, "receive": receive, "latency": latency}


def text(name, results):
    """The tables of an experiment, as lines."""
    parts = TABLES[name](results) if name in TABLES else {}
    lines = [line for title, content in parts.items() for line in table(title, content, results)]
    return lines + [line for more in MORE.get(name, ()) for line in more(results)]


def breakdown(title, workload, metrics, systems):
    """What prints a table of components."""
    return lambda results: columns(title, workload.name, metrics, systems, results)


def limits(results):
    """Figure 3.9: what is spent by limit, and the curve next to it."""
    heads = {"switch_aggregated": "packets in one", "guest_cycles": "guest", "switch_cycles": "switch",
             "both_cycles": "both"}  # fmt: skip
    known = [[results.estimate(name, PLAIN.name, metric) for metric in heads] for name in LIMITS]
    rows = [[name, *map(estimate_text, estimates)] for name, estimates in zip(LIMITS, known)]
    heads_text = ["", *(f"{head} " for head in heads.values())]
    yield from ["Figure 3.9: cycles per packet of the wire by limit, GRO off", "", *layout(heads_text, rows), ""]
    for metric in ("guest_cycles", "switch_cycles", "both_cycles"):
        yield paragraph(f"{PLAIN.metrics[metric].label}: {curve_text(limit_points(metric, results))}")
    yield ""


def limit_points(metric, results):
    """(limit, median) of a metric."""
    known = {limit: results.estimate(name, PLAIN.name, metric) for name, limit in LIMITS.items()}
    return [(limit, one.median) for limit, one in known.items() if one]


def curve_text(points):
    """The x + y/k next to some (k, cycles), in words."""
    curve = fit_inverse(points)
    if curve is None:
        return "too few limits were measured to tell"
    whole = curve.at(1)
    share = f", y is {percent(100 * curve.slope / whole)} of it" if whole > 0 else ""
    return (
        f"{significant(curve.base)} + {significant(curve.slope)}/k cycles; without aggregation that is "
        f"{significant(whole)}{share}. The residual is {significant(curve.residual)} cycles."
    )


def no_loss(results):
    """Whether the rate of Table 3.1 is kept."""
    ratio = results.ratio(RA_AO, XEN, TRIPS.name, "rate")
    yield paragraph(f"A loss beyond {percent(100 * (1 - LESS_THAN))}: {loss_text(ratio)}.")
    yield ""


def loss_text(ratio):
    """What the Estimate of a ratio says about it."""
    if ratio is None or not ratio.certain:
        return "not known, too few runs"
    if ratio.low >= LESS_THAN:
        return "none, the whole interval is above that"
    return "yes, the whole interval is below that" if ratio.high < LESS_THAN else "not known, the interval holds both"


COSTS = [*GROUPS.values(), "switch_cycles", "both_cycles"]
MERGED = ["switch_aggregated", "switch_answers"]
BY_BYTES = ["guest_bytes", "switch_bytes", "both_overhead"]
MORE = {
    "transmit": [
        breakdown("Figure 3.4: sendfile, by component", SENDFILE, COSTS, TRANSMIT),
        breakdown("The same with writes", WRITE, COSTS, TRANSMIT),
    ],
    "wire": [breakdown("The same by component", SENDFILE, COSTS, (*WIRES, XEN))],
    "receive": [
        breakdown("Figure 3.8: receive, by component, GRO off", BYTES, COSTS + BY_BYTES + MERGED, RECEIVING),
        breakdown("The same, GRO on", RECEIVE, COSTS + MERGED, RECEIVING),
    ],
    "limit": [limits],
    "latency": [no_loss],
}


# Drawings


def rates(title, workload, systems, results):
    """Throughput of some systems, one beside the other."""
    cells = Cells(results, workload.name, "rate")
    known = [name for name in systems if cells.estimate(name, None)]
    lines = [Series(name, look, {None: cells.point(name, None)}) for look, name in enumerate(known)]
    return dot_plot(title, cells.unit, lines) if lines else None


def limit_plot(results):
    """Figure 3.9, with the curves next to it."""
    lines = []
    for look, metric in enumerate(("both_cycles", "switch_cycles", "guest_cycles")):
        cells = Cells(results, PLAIN.name, metric)
        known = {limit: cells.point(name, None) for name, limit in LIMITS.items() if cells.estimate(name, None)}
        curve = fit_inverse([(limit, one.median) for limit, (one, _) in known.items()])
        if curve:
            ks = [k / 4 for k in range(4 * min(known), 4 * max(known) + 1)]
            drawn = [(k, curve.at(1 / k)) for k in ks]
            lines.append(Series(PLAIN.metrics[metric].label, look, known, drawn))
    title = "Figure 3.9: cycles per packet, and x + y/k"
    return line_plot(title, "limit of receive-aggregation", "cycles/packet", lines) if lines else None


def drawings(name, results):
    """The figures that an experiment gives: name of the file -> SVG."""
    all_senders = [one for one in (LINUX_OFFLOAD, LINUX, UML_VECTOR, *TRANSMIT) if one in results.systems]
    receivers = [LINUX_OFFLOAD, *RECEIVING]
    plots = {
        "transmit": lambda: {
            "figure-3.2.svg": rates("Figure 3.2: transmit throughput", SENDFILE, all_senders, results),
            "figure-3.3.svg": rates("Figure 3.3: what each optimization adds", SENDFILE, TRANSMIT, results),
            "figure-3.4.svg": bars("Figure 3.4: cycles by component", SENDFILE.name, GROUPS, TRANSMIT, results),
            "figure-3.6.svg": rates("Figure 3.6: transmit throughput with writes", WRITE, TRANSMIT, results),
        },
        "wire": lambda: {"figure-3.5.svg": rates("Figure 3.5: offloads of the wire", SENDFILE, (*WIRES, XEN), results)},
        "receive": lambda: {
            "figure-3.7.svg": rates("Figure 3.7: receive throughput, GRO off", BYTES, receivers, results),
            "figure-3.7-gro.svg": rates("Receive throughput, GRO on", RECEIVE, receivers, results),
            "figure-3.8.svg": bars("Figure 3.8: cycles by component, GRO off", BYTES.name, GROUPS, RECEIVING, results),
        },
        "limit": lambda: {"figure-3.9.svg": limit_plot(results)},
        "latency": lambda: {"table-3.1.svg": rates("Table 3.1: requests per second", TRIPS, LATENCY, results)},
    }
    return {file: plot for file, plot in plots[name]().items() if plot}
