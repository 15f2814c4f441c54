# SPDX-License-Identifier: BSD-3-Clause
"""What Koh et al. (LCN 2006) have measured, and what of ours stands beside it: tables and figures of bench/eul.

The paper's times are those of a User-mode Linux core that sends or receives a datagram. The techniques work on the
switch here, so the time that stands beside them is the switch's own for such a packet, and ratios are what compares.
"""

from .beside import Ratio, Value, exact, table
from .iperf import LARGEST_WRITE
from .plot import Reference, Series, line_plot
from .report import Cells, bars

# The paper's order: each adds one technique to those before.
STEPS = ("uml.json", "uml+ulsm.json", "uml+ulsm+agsc.json", "uml+ulsm+agsc+atca.json", "uml+ulsm+agsc+atca+sskb.json",
         "eul.json")  # fmt: skip
UML, ULSM, AGSC, ATCA, SSKB, EUL = STEPS
# Each technique by itself, on UML's own way in everything else.
ALONE = {f"uml, {stage}": stage for stage in
         ("signal-free-sync", "batched-syscalls", "translation-cache", "shared-buffer-rings", "specialization")}  # fmt: skip

LONE, LATENCY = "single-packet", "udp-latency"
US = 1e-6
MTU = 1472
TCP_SENT, TCP_RECEIVED = ("tcp-stream", "send", LARGEST_WRITE), ("tcp-stream", "receive", LARGEST_WRITE)
OUT, IN = "a packet from the guest", "a packet to the guest"
LAYERS = ("receive", "switch", "transmit", "events", "notify")


def steps(before, after, metric, label, paper):
    """The lines on one metric of two configurations that differ in a technique; paper: both its numbers, or None."""
    one, other = paper or (None, None)
    ratio = other / one if paper and one else None
    return [
        Value(f"{label}, {before}", one, before, LONE, metric),
        Value(f"{label}, {after}", other, after, LONE, metric),
        Ratio("  ratio", ratio, after, before, LONE, metric),
    ]


def layers(before, after):
    """The lines of a figure that shows layers; the paper has no numbers with it."""
    return [line for layer in LAYERS for line in steps(before, after, f"out_{layer}", layer, None)]


def tables():
    """title -> lines, in the order of the paper."""
    return {
        "Table 4-1: user-level signal masking": [
            Value(f"sigprocmask() calls for {OUT}, {UML}", 20, UML, LONE, "out_masks"),
            Value(f"sigprocmask() calls for {OUT}, {ULSM}", 0, ULSM, LONE, "out_masks"),
            *steps(UML, ULSM, "out_work", OUT, (27.83 * US, 16.37 * US)),
        ],
        "Figure 4-2: its gains, by layer": layers(UML, ULSM),
        "Table 4-2: aggregated system calls": [
            Value("getpid() in the guest, which no technique of a switch changes", 6.83 * US, UML, LONE, "getpid"),
            *steps(ULSM, AGSC, "out_work", OUT, (16.37 * US, 15.08 * US)),
            *steps(ULSM, AGSC, "out_calls", f"system calls for {OUT}", None),
            *steps(ULSM, AGSC, "in_calls", f"system calls for {IN}", None),
        ],
        "Figure 4-3: gains of the address translation cache, by layer": layers(AGSC, ATCA),
        "Table 4-3: shared socket buffers, time in the virtual network devices": steps(
            ATCA, SSKB, "out_ports", OUT, (2.90 * US, 1.68 * US)
        ),
        "Table 4-4: network stack specialization": steps(SSKB, EUL, "out_switch", OUT, (3.23 * US, 2.83 * US)),
        "Table 5-1: all techniques": [
            *steps(UML, EUL, "out_work", OUT, (27.47 * US, 11.85 * US)),
            *steps(UML, EUL, "in_work", IN, (40.62 * US, 18.17 * US)),
            *steps(UML, EUL, "out", f"{OUT}, and telling the guest", None),
            *steps(UML, EUL, "in", f"{IN}, and telling the guest", None),
        ],
    }


def beside_native(systems):
    """The lines of section 5, as the paper tells it: what EUL is to UML, and to Linux itself."""
    values = [
        ("sendto() of 1472 bytes", 27.47 * US, UML, LATENCY, "send", MTU),
        ("sendto() of 1472 bytes", 11.85 * US, EUL, LATENCY, "send", MTU),
        ("HTTP, most that is served", 300, UML, "http", "most", None),
        ("HTTP, most that is served", 700, EUL, "http", "most", None),
    ]
    known = [
        ("sendto() of 64 bytes, to UML", 0.4, EUL, UML, LATENCY, "send", 64),
        ("UDP throughput, MTU, to UML", 3.0, EUL, UML, "udp-stream", "arrived", MTU),
        ("TCP sent, to UML", None, EUL, UML, *TCP_SENT),
        ("TCP received, to UML", None, EUL, UML, *TCP_RECEIVED),
        ("HTTP, most requests per second, to UML", 700 / 300, EUL, UML, "http", "most", None),
        ("sendto() of 64 KB by UML, to native Linux", 10.0, UML, "native", LATENCY, "send", 65000),
        ("sendto() of 64 KB, to native Linux", 3.0, EUL, "native", LATENCY, "send", 65000),
        ("UDP throughput, MTU, to native Linux", 1.0, EUL, "native", "udp-stream", "arrived", MTU),
        ("TCP sent, to native Linux", 0.95, EUL, "native", *TCP_SENT),
        ("TCP received, to native Linux", 0.95, EUL, "native", *TCP_RECEIVED),
    ]
    others = [name for name in ("uml-legacy", "uml-vector") if name in systems]
    extra = [
        (f"{what}, to {name}", None, EUL, name, *measured)
        for name in others
        for what, measured in (("TCP sent", TCP_SENT), ("TCP received", TCP_RECEIVED))
    ]
    measured = [Value(f"{label}, {system}", paper, system, *rest) for label, paper, system, *rest in values]
    ratios = [Ratio(label, paper, *rest) for label, paper, *rest in known + extra]
    return measured + [one for one in ratios if one.other in systems]


def at_a_gigabit():
    """The lines on a wire that is limited to 1 Gb/s, as the paper's was."""
    return [
        Value("UDP throughput, MTU, native", 916e6, "native", "udp-stream", "arrived", MTU),
        Ratio("UDP throughput, MTU, to native Linux", 1.0, EUL, "native", "udp-stream", "arrived", MTU),
        Ratio("TCP sent, to native Linux", 0.95, EUL, "native", *TCP_SENT),
        Ratio("TCP received, to native Linux", 0.95, EUL, "native", *TCP_RECEIVED),
        Ratio("TCP sent by UML, to native Linux", None, UML, "native", *TCP_SENT),
        Ratio("TCP received by UML, to native Linux", None, UML, "native", *TCP_RECEIVED),
    ]


def alone():
    """The lines on each technique without the others; the paper has not measured that."""
    what = ((OUT, LONE, "out_work", None), (IN, LONE, "in_work", None),
            ("cycles per packet at full rate, 1514 bytes", "pps", "switch_cycles", 1514))  # fmt: skip
    for label, workload, metric, x in what:
        yield f"{label}, to {UML}"
        for name in ALONE:
            yield Ratio(f"  {ALONE[name]}", None, name, UML, workload, metric, x)
        yield Ratio("  all", None, EUL, UML, workload, metric, x)


def added():
    """The lines on each technique on top of those before it, in the paper's order."""
    for before, after in zip(STEPS, STEPS[1:]):
        yield Ratio(f"{after}", None, after, before, "pps", "switch_cycles", 1514)
    yield Ratio(f"{EUL}, to {UML}", None, EUL, UML, "pps", "switch_cycles", 1514)


def text(name, results):
    """The tables of an experiment of bench/eul, as lines."""
    if name == "techniques":
        parts = {
            **tables(),
            "Each technique added: cycles per packet at full rate, 1514 bytes": added(),
            "Each technique by itself": alone(),
        }
    elif name == "whole":
        parts = {"Section 5: EUL beside the others": beside_native(results.systems)}
    else:
        parts = {"The same on a wire of 1 Gb/s": at_a_gigabit()}
    return [line for title, content in parts.items() for line in table(title, content, results)]


# The paper's figures with measurements at several x, and what belongs beside them: name of the file -> title, workload,
# metric.
FIGURES = {
    "figure-5-1": ("Figure 5-1: latency of outgoing datagrams", LATENCY, "send"),
    "figure-5-2": ("Figure 5-2: UDP throughput", "udp-stream", "arrived"),
    "figure-5-3": ("Figure 5-3: TCP sending throughput", "tcp-stream", "send"),
    "figure-5-4": ("Figure 5-4: TCP receiving throughput", "tcp-stream", "receive"),
    "figure-5-5": ("Figure 5-5: HTTP server throughput", "http", "completed"),
    "figure-5-6": ("Figure 5-6: HTTP server reply time", "http", "reply_time"),
    "delivery": ("Delivery of outgoing datagrams, which the paper does not have", LATENCY, "deliver_out"),
}
# What the paper's text says of them: name of the file -> (system, value, x; None: the most that the system reaches).
SAID = {
    "figure-5-1": ((UML, 27.47 * US, MTU), (EUL, 11.85 * US, MTU)),
    "figure-5-2": (("native", 916e6, None),),
    "figure-5-5": ((UML, 300, None), (EUL, 700, None)),
}
# The paper's figures of gains by layer: name of the file -> title, the configurations without and with a technique.
GAINS = {
    "figure-4-2": ("Figure 4-2: a packet from the guest, by layer, and user-level signal masking", UML, ULSM),
    "figure-4-3": ("Figure 4-3: a packet from the guest, by layer, and the address translation cache", AGSC, ATCA),
}


def figure(name, results):
    """The plot over x, as SVG; None if nothing of it was measured."""
    title, workload, metric = FIGURES[name]
    if workload not in results.workloads:
        return None
    cells = Cells(results, workload, metric)
    xs = [x for x in cells.xs if x is not None]
    lines = [
        Series(system, look, {x: cells.point(system, x) for x in xs if cells.estimate(system, x)})
        for look, system in enumerate(results.systems)
    ]
    if not any(one.points for one in lines):
        return None
    said = list(references(name, cells.factor, lines))
    return line_plot(title, cells.facts["x_label"], f"{title}, {cells.unit}", lines, said)


def references(name, factor, lines):
    """What the paper says of a figure, about those of its systems that are in the plot."""
    looks = {one.name: one.look for one in lines if one.points}
    for system, value, x in SAID.get(name, ()):
        if system in looks:
            yield Reference(f"paper: {exact(factor * value)} ({system})", factor * value, looks[system], x)


def gains(name, results):
    """The plot by layer, as SVG; None if nothing of it was measured."""
    title, *systems = GAINS[name]
    return bars(title, LONE, {layer: f"out_{layer}" for layer in LAYERS}, systems, results)


def drawings(name, results):
    """What an experiment of bench/eul gives to look at: name of the file -> SVG."""
    draw, names = (gains, GAINS) if name == "techniques" else (figure, FIGURES)
    drawn = {f"{one}.svg": draw(one, results) for one in names}
    return {file: plot for file, plot in drawn.items() if plot}
