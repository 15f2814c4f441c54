# SPDX-License-Identifier: BSD-3-Clause
"""Tables of what a paper has measured beside what was measured here.

    lines = [Value("sendto, UML", 27.47e-6, "uml.json", "udp-latency", "send", 1472),
             Ratio("sendto, EUL to UML", 11.85 / 27.47, "eul.json", "uml.json", "udp-latency", "send", 1472)]
    print("\n".join(table("Table 5-1", lines, results)))

For each line: its label, the paper's number, and ours with its interval, both in the same unit.
"""

from dataclasses import dataclass

from .medians import estimate_text
from .table import layout, significant, unit_scale

HEADS = ["", "paper", "here "]


def exact(value):
    """A number of a paper, with the digits that it has there: four at most."""
    return f"{value:.4g}"


@dataclass(frozen=True)
class Value:
    """What one system gives in a metric; `paper` is in the unit of the metric, or None if the paper has no number."""

    label: str
    paper: float | None
    system: str
    workload: str
    metric: str
    x: float | None = None

    def row(self, results):
        """The cells."""
        known = results.estimate(self.system, self.workload, self.metric, self.x)
        largest = max([abs(value) for value in (self.paper, known and known.median) if value is not None], default=0)
        unit = results.workloads[self.workload]["metrics"][self.metric]["unit"]
        factor, unit = unit_scale(largest, unit)
        paper = "-" if self.paper is None else exact(factor * self.paper)
        return [f"{self.label}, {unit}" if unit else self.label, paper, estimate_text(known, factor)]


@dataclass(frozen=True)
class Ratio:
    """What a metric of one system is to that of another within a run; `paper` is the same in the paper, or None."""

    label: str
    paper: float | None
    system: str
    other: str
    workload: str
    metric: str
    x: float | None = None

    def row(self, results):
        """The cells."""
        known = results.ratio(self.system, self.other, self.workload, self.metric, self.x)
        return [self.label, "-" if self.paper is None else significant(self.paper), estimate_text(known)]


def rows(lines, results):
    """The rows of a table of such lines; a text is a line of its own."""
    return [one if isinstance(one, str) else one.row(results) for one in lines]


def table(title, lines, results):
    """Title and table as lines of text, and an empty one."""
    return [title, "", *layout(HEADS, rows(list(lines), results)), ""]


def columns(title, workload, metrics, systems, results):
    """A table of several metrics of a workload, with a column for each system, as lines of text."""
    known = results.workloads[workload]["metrics"]
    lines = []
    for metric in metrics:
        factor, unit = scale(metric, workload, systems, results)
        label = f"{known[metric]['label']}, {unit}" if unit else known[metric]["label"]
        estimates = [results.estimate(system, workload, metric) for system in systems]
        lines.append([label, *(estimate_text(one, factor) for one in estimates)])
    return [title, "", *layout(["", *(f"{system} " for system in systems)], lines), ""]


def across(title, workload, metrics, systems, results, said=()):
    """The same with a line for each system and a column for each metric; said: lines of a paper, (label, numbers in the
    units of the metrics)."""
    known = results.workloads[workload]["metrics"]
    scales = {metric: scale(metric, workload, systems, results) for metric in metrics}
    heads = [f"{known[metric]['label']}, {scales[metric][1]} " for metric in metrics]
    lines = [[label, *("-" if value is None else exact(factor * value) + " "
                       for value, (factor, _) in zip(values, scales.values()))] for label, values in said]  # fmt: skip
    lines += [
        [system, *(estimate_text(results.estimate(system, workload, metric), scales[metric][0]) for metric in metrics)]
        for system in systems
    ]
    return [title, "", *layout(["", *(head.replace(", ", "\n") for head in heads)], lines), ""]


def over_x(title, workload, metric, systems, results):
    """A line for each x of a metric, and a column for each system."""
    facts = results.workloads[workload]["metrics"][metric]
    xs = results.xs(workload, metric)
    factor, unit = scale(metric, workload, systems, results)
    lines = [[f"{x:g}", *(estimate_text(results.estimate(system, workload, metric, x), factor) for system in systems)]
             for x in xs]  # fmt: skip
    title = f"{title}: {facts['label']}, {unit}" if unit else f"{title}: {facts['label']}"
    return [title, "", *layout([facts["x_label"], *(f"{system} " for system in systems)], lines), ""] if lines else []


def scale(metric, workload, systems, results):
    """(factor, unit) in which all values of a metric are easily read."""
    medians = [
        known.median
        for system in systems
        for x in results.xs(workload, metric)
        if (known := results.estimate(system, workload, metric, x))
    ]
    return unit_scale(max(medians, key=abs, default=0), results.workloads[workload]["metrics"][metric]["unit"])
