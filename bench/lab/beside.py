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
    lines = [
        [f"{known[metric]['label']}, {known[metric]['unit']}",
         *(estimate_text(results.estimate(system, workload, metric)) for system in systems)]
        for metric in metrics
    ]  # fmt: skip
    return [title, "", *layout(["", *(f"{system} " for system in systems)], lines), ""]
