# SPDX-License-Identifier: BSD-3-Clause
"""What Results say, in words and as a table of text; lab.report_html says the same with plots.

facts["compare"] of the Results names what is compared: a list of systems, first TEST, then BASE, then all others. The
ratios and verdicts are those of TEST to BASE. Without it there is a table, and no verdict.
"""

from .live import listed
from .measure import DISTURBED, cpu_text
from .medians import BETTER, CONFIDENCE, ENOUGH, SAME, TOO_FEW, WORSE, estimate, estimate_text, verdict
from .plot import Series, bar_plot, size_text
from .table import layout, paragraph, significant, unit_scale

PERCENT = f"{100 * CONFIDENCE:.0f} %"


def compared(results):
    """(TEST, BASE, the others), or (None, None, all)."""
    names = results.facts.get("compare") or [None, None, *results.systems]
    return names[0], names[1], names[2:]


def order(results):
    """The systems of which something was measured, as they are shown: BASE, TEST, the others."""
    test, base, others = compared(results)
    measured = {sample.system for sample in results.samples if sample.points}
    return [name for name in (base, test, *others) if name in measured]


# What was compared


def difference(results):
    """Sentences on what TEST has that BASE has not."""
    test, base, _ = compared(results)
    if test is None:
        return []
    configs = [results.systems[name].get("effective_config") for name in (base, test)]
    if None in configs:
        return []
    return list(stage_changes(base, listed(configs[0]), test, listed(configs[1]))) + list(other_changes(*configs))


def stage_changes(base, before, test, after):
    """What is different in the lists of stages."""
    added, removed = ([name for name in one if name not in other] for one, other in ((after, before), (before, after)))
    both = [name for name in after if name in before]
    changed = [change for name in both for change in option_changes(name, before[name], after[name])]
    if added:
        yield f"{test} adds {listing(added)}."
    if removed:
        yield f"{test} leaves out {listing(removed)}."
    if changed:
        yield f"{test} changes {listing(changed)}."
    if not added and not removed and not changed:
        yield f"{test} lists the same stages as {base}."
    elif both:
        yield f"Both have {listing(both)}."


def option_changes(name, before, after):
    """The options that are different."""
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            yield f"{name}.{key} from {before.get(key)} to {after.get(key)}"


def other_changes(before, after):
    """What else is different in the configurations."""
    keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
    keys = [key for key in keys if key not in ("name", "description", "stages", "control-socket") and key[0] != "$"]
    if keys:
        changes = [key if key == "ports" else f"{key} from {before.get(key)} to {after.get(key)}" for key in keys]
        yield f"They also differ in {listing(changes)}."


def listing(words):
    """["a", "b", "c"] -> "a, b and c" """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# What came out


def change_text(ratio):
    """A ratio in words: "57 % lower", "3.02 times as high"."""
    if ratio >= 2:
        return f"{significant(ratio)} times as high"
    share = f"{float(f'{100 * abs(ratio - 1):.2g}'):g} %"
    return f"{share} {'higher' if ratio > 1 else 'lower'}" if share != "0 %" else "equal"


def ratio_text(ratio):
    """A ratio with its interval."""
    return f"{significant(ratio.median)} [{significant(ratio.low)}, {significant(ratio.high)}]"


def verdict_text(ratio, better):
    """The verdict on a ratio, with the factor: "better: 57 % lower"."""
    if ratio is None:
        return ""
    word = verdict(ratio, better)
    return f"{word}: {change_text(ratio.median)}" if word in (BETTER, WORSE) else word


def sentences(results):
    """workload -> one sentence on how TEST did in it; for those that have a ratio."""
    test, base, _ = compared(results)
    found = {}
    for workload, facts in results.workloads.items():
        said = {BETTER: [], WORSE: [], SAME: [], TOO_FEW: []}
        for name, metric in facts["metrics"].items():
            ratio = results.overall_ratio(test, base, workload, name) if test else None
            if ratio:
                text = f"{metric['label']} {change_text(ratio.median)} (ratio {ratio_text(ratio)})"
                word = verdict(ratio, metric["better"])
                said[word].append(metric["label"] if word == SAME else text)
        if any(said.values()):
            found[workload] = sentence(test, base, said)
    return found


def sentence(test, base, said):
    """One sentence from the metrics of each verdict."""
    if said[TOO_FEW]:
        return f"Too few runs for a verdict. {test} to {base}, in the median: {'; '.join(said[TOO_FEW])}."
    parts = [f"{word}: {'; '.join(said[word])}" for word in (BETTER, WORSE) if said[word]]
    if not parts:
        return f"No difference shown between {test} and {base}: {listing(said[SAME])}."
    same = f"; no difference shown in {listing(said[SAME])}" if said[SAME] else ""
    return f"{test} is {', and '.join(parts)}{same}."


# How it was measured


def machine_text(results):
    """Where, with what and when."""
    facts = results.facts
    machine = facts["machine"]
    memory = f"{machine['memory_mb'] / 1024:.1f} GiB of memory"
    versions = {}
    for system in results.systems.values():
        versions.update(system.get("versions", {}))
    parts = [
        f"{machine['cpu']}, {machine['cpus']} CPUs, {memory}, Linux {facts['kernel']}",
        *([", ".join(f"{name} {version}" for name, version in versions.items())] if versions else []),
        f"commit {facts['commit']}, {facts['date'][:16].replace('T', ' ')}",
    ]
    return "; ".join(parts)


def method_text(results):
    """How it was measured."""
    runs = len({sample.run for sample in results.samples})
    text = f"{runs} of {results.facts['runs']} runs, in each of which the systems took turns. {results.facts['mode']}"
    if "place" in results.facts:
        text += f" Traffic is between {results.facts['place']['text']}."
    cpus = results.facts.get("cpus")
    if cpus:
        text += f" The switch polls on {cpu_text(cpus['workers'])}, the guests have {cpu_text(cpus['guests'])}."
    return text


def explanation(results):
    """What the numbers are."""
    test, base, _ = compared(results)
    text = f"Medians; in brackets {PERCENT} intervals by order statistics, which assume nothing about the distribution."
    if test:
        text += (
            f" The ratio is {test} to {base} within a run. A verdict is given where its interval does not hold 1; of "
            "comparisons that are really equal, one in twenty will still get one."
        )
    return text + (
        f" * Fewer than {ENOUGH} values: no {PERCENT} interval exists, what is in brackets is the smallest and the "
        "largest, and there is no verdict." if has_few(results) else ""
    )


def has_few(results):
    """Whether anything was measured too rarely for an interval."""
    return any(
        len(results.values(system, workload, metric, x)) < ENOUGH
        for system in order(results)
        for workload, facts in results.workloads.items()
        for metric in facts["metrics"]
        for x in results.xs(workload, metric)
    )


def disturbances(results):
    """Sentences on what else had the CPUs meanwhile."""
    for what, shares in (
        ("something else ran on the CPUs of the switch's workers", [sample.waited for sample in results.samples]),
        ("this machine's own host gave its CPUs to others", [sample.stolen for sample in results.samples]),
    ):
        known = [share for share in shares if share is not None]
        much = [share for share in known if share > DISTURBED]
        if much:
            yield (
                f"In {len(much)} of {len(known)} measurements {what}, for up to {100 * max(much):.0f} % of the time: "
                "all numbers suffer."
            )


# The table


class Cells:
    """The numbers of one metric at one x, with the unit that all its rows have."""

    def __init__(self, results, workload, metric):
        self._results, self._workload, self.metric = results, workload, metric
        self.facts = results.workloads[workload]["metrics"][metric]
        medians = [known.median for name in order(results) for x in self.xs if (known := self.estimate(name, x))]
        self.factor, self.unit = unit_scale(max(medians, key=abs, default=0), self.facts["unit"])

    @property
    def xs(self):
        """Where there are values."""
        return self._results.xs(self._workload, self.metric)

    @property
    def title(self):
        """Label and unit, and what x is."""
        title = f"{self.facts['label']}, {self.unit}" if self.unit else self.facts["label"]
        return f"{title}, by {self.facts['x_label']}" if self.facts["x_label"] else title

    def estimate(self, system, x):
        """The Estimate of a system."""
        return self._results.estimate(system, self._workload, self.metric, x)

    def point(self, system, x):
        """The same in the unit of these cells, and all values."""
        found = self._results.values(system, self._workload, self.metric, x)
        values = [self.factor * value for value in found.values()]
        return estimate(values), values

    def ratio(self, system, other, x):
        """The Estimate of one system's ratio to another."""
        return self._results.ratio(system, other, self._workload, self.metric, x)

    def row(self, x):
        """The medians of all systems, and of TEST to BASE the ratio and the verdict."""
        test, base, _ = compared(self._results)
        medians = [estimate_text(self.estimate(name, x), self.factor) for name in order(self._results)]
        if test is None:
            return medians
        ratio = self.ratio(test, base, x)
        return [*medians, estimate_text(ratio), verdict_text(ratio, self.facts["better"])]

    def others_row(self, x):
        """The ratios of TEST to all others."""
        test, _, others = compared(self._results)
        return [estimate_text(self.ratio(test, name, x)) for name in others]


def bars(title, workload, groups, systems, results):
    """Metrics of a workload as bars, in groups: name of a group -> metric, all of the same unit; as SVG. None if nothing
    of it was measured."""
    found = {
        system: {group: list(results.values(system, workload, metric).values()) for group, metric in groups.items()}
        for system in systems
    }
    measured = [max(values) for of_one in found.values() for values in of_one.values() if values]
    if not measured:
        return None
    unit = results.workloads[workload]["metrics"][next(iter(groups.values()))]["unit"]
    factor, unit = unit_scale(max(measured), unit)
    lines = []
    for look, (system, of_one) in enumerate(found.items()):
        scaled = {group: [factor * value for value in values] for group, values in of_one.items() if values}
        lines.append(Series(system, look, {group: (estimate(values), values) for group, values in scaled.items()}))
    return bar_plot(title, f"{title}, {unit}", lines)


def tables(results, workload):
    """The Cells of every metric of a workload that has values."""
    metrics = [Cells(results, workload, metric) for metric in results.workloads[workload]["metrics"]]
    return [cells for cells in metrics if cells.xs]


def heads(results):
    """The heads of the columns that Cells.row() gives."""
    test, base, _ = compared(results)
    return [*order(results), *([f"{test} to {base}", "verdict"] if test else [])]


def text_rows(results, make_row):
    """The lines of a table: a title for each workload and each metric with x."""
    for workload in results.workloads:
        metrics = tables(results, workload)
        if metrics:
            yield workload
        for cells in metrics:
            if cells.xs == [None]:
                yield ["  " + cells.title, *make_row(cells, None)]
            else:
                yield "  " + cells.title
                yield from (["    " + size_text(x), *make_row(cells, x)] for x in cells.xs if x is not None)


def text_table(names, rows):
    """The table as text. The heads stand above numbers that may be followed by a mark."""
    return "\n".join(layout(["", *(name + " " for name in names)], rows))


def text_report(results):
    """Everything, as text."""
    blocks = [paragraph(said, indent="") for said in [" ".join(difference(results)), machine_text(results)] if said]
    blocks.append(paragraph(method_text(results), indent=""))
    if order(results):
        blocks.append(text_table(heads(results), list(text_rows(results, Cells.row))))
    test, _, others = compared(results)
    if test and others:
        others = [f"{test}\nto {name}" for name in others]
        blocks.append(text_table(others, list(text_rows(results, Cells.others_row))))
    if order(results):
        blocks.append(paragraph(explanation(results), indent=""))
    blocks += ["\n".join(paragraph(f"{name}: {said}") for name, said in sentences(results).items())]
    blocks += [paragraph(said) for said in [*disturbances(results), *results.missing()]]
    return "\n\n".join(block for block in blocks if block) + "\n"
