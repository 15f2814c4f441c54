# SPDX-License-Identifier: BSD-3-Clause
"""What Results say, as one HTML file that needs nothing else: what was compared, how it came out, tables, and plots.

It is well-formed XML too. For people who have not read anything else of this project.
"""

from html import escape
from pathlib import Path

from . import report
from .measure import write_json
from .medians import BETTER, WORSE, estimate_text, verdict
from .plot import Series, dot_plot, line_plot, size_text

STYLE = """
body { font: 16px/1.5 sans-serif; color: #1b1b1b; background: #fff; max-width: 62em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; line-height: 1.25; } h2 { font-size: 1.3em; margin-top: 2em; border-bottom: 1px solid #ccc; }
h3 { font-size: 1em; margin: 1.5em 0 0; }
.result { background: #f3f6f9; border-left: 4px solid #0072b2; padding: .6em 1em; }
.result p { margin: .4em 0; } .small { color: #555; font-size: .88em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88em; margin: 1em 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .6em; text-align: right; border-bottom: 1px solid #e2e2e2; vertical-align: baseline; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #888; }
td { white-space: nowrap; } td small { color: #555; } td.group { padding-top: .8em; font-weight: bold; }
td.x { padding-left: 1.8em; } td.small, td.better, td.worse { white-space: normal; min-width: 8em; }
.better { color: #00563f; font-weight: bold; } .worse { color: #a33c00; font-weight: bold; }
figure { margin: 1em 0 2em; break-inside: avoid; } svg { width: 100%; max-width: 760px; height: auto; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } }
"""
HOW_TO_READ = (
    "In the plots a mark is the median of all runs, the bar through it the interval, and a faint dot a single run. "
    "Where the bars of two systems do not overlap, they differ; where they do, the ratio in the table, which compares "
    "runs that were made shortly after each other, can still tell them apart."
)


def write_report(folder, results):
    """Write results.json, report.txt and report.html into a folder that exists; returns the path of the last."""
    folder = Path(folder)
    write_json(folder / "results.json", results.as_json())
    (folder / "report.txt").write_text(report.text_report(results), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(html_report(results), encoding="utf-8")
    return page


def tag(name, content, **attributes):
    """An element around what is HTML already; "class_" is class."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{given}>{content}</{name}>"


def text(name, content, **attributes):
    """An element around a text."""
    return tag(name, escape(content), **attributes)


def html_report(results):
    """The whole page."""
    title = title_text(results)
    head = f'<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width"/>\n{text("title", title)}'
    parts = [text("h1", title), *compared_part(results), *result_part(results), *how_part(results)]
    for workload in results.workloads:
        parts += workload_part(results, workload)
    page = "\n".join([tag("head", f"{head}\n{tag('style', STYLE)}"), tag("body", "\n".join(parts))])
    return "<!DOCTYPE html>\n" + tag("html", page, lang="en") + "\n"


def title_text(results):
    """What the page is about."""
    test, base, _ = report.compared(results)
    return f"pktvirt: {test} compared with {base}" if test else "pktvirt: " + report.listing(list(results.systems))


def compared_part(results):
    """What was compared, in words."""
    difference = " ".join(report.difference(results))
    yield text("p", difference) if difference else ""
    items = [system_item(name, facts) for name, facts in results.systems.items()]
    yield tag("ul", "\n".join(items))


def system_item(name, facts):
    """A system in the list."""
    bindings = [f"{primitive}={bound}" for primitive, bound in facts.get("bindings", {}).items()]
    bound = text("span", f" It runs with {', '.join(bindings)}.", class_="small") if bindings else ""
    return tag("li", f"{text('b', name)}: {escape(facts['summary'])}.{bound}")


def result_part(results):
    """The result: a sentence for each workload, and what is missing."""
    yield text("h2", "Result")
    said = [tag("p", f"{text('b', name)}: {escape(what)}") for name, what in report.sentences(results).items()]
    wrong = [text("p", what) for what in [*report.disturbances(results), *results.missing()]]
    yield tag("div", "\n".join(said + wrong) or text("p", "See the tables."), class_="result")


def how_part(results):
    """How it was measured, and how to read what follows."""
    yield text("h2", "How it was measured")
    yield text("p", report.method_text(results))
    yield text("p", report.machine_text(results), class_="small")
    yield text("p", report.explanation(results))
    if report.order(results):
        yield text("p", HOW_TO_READ)


def workload_part(results, workload):
    """The table and the plots of a workload, if there is anything."""
    metrics = report.tables(results, workload)
    if not metrics:
        return
    yield text("h2", workload)
    yield text("p", results.workloads[workload]["summary"] + ".")
    yield table(results, metrics, report.heads(results), main_numbers)
    test, _, others = report.compared(results)
    if test and others:
        yield table(results, metrics, [f"{test} to {name}" for name in others], other_numbers)
    for cells in metrics:
        yield from plots(results, cells)


def table(results, metrics, names, numbers):
    """A table of a workload: a row for each metric and x, with the cells that numbers(results, cells, x) gives."""
    head = tag("thead", tag("tr", "".join(text("th", name) for name in ["", *names])))
    rows = [row for cells in metrics for row in metric_rows(results, cells, len(names), numbers)]
    return tag("div", tag("table", head + "\n" + tag("tbody", "\n".join(rows))), class_="wide")


def metric_rows(results, cells, width, numbers):
    """The rows of a metric: one, or a title and one for each x."""
    if cells.xs != [None]:
        yield tag("tr", text("td", cells.title, class_="group", colspan=str(width + 1)))
    for x in cells.xs:
        first = text("td", cells.title) if x is None else text("td", size_text(x), class_="x")
        yield tag("tr", first + "".join(numbers(results, cells, x)))


def main_numbers(results, cells, x):
    """The medians, the ratio of TEST to BASE, and the verdict."""
    test, base, _ = report.compared(results)
    for name in report.order(results):
        yield number(estimate_text(cells.estimate(name, x), cells.factor))
    if test:
        ratio = cells.ratio(test, base, x)
        word = verdict(ratio, cells.facts["better"]) if ratio else ""
        yield number(estimate_text(ratio))
        shown = {BETTER: "better", WORSE: "worse"}.get(word, "small")
        yield text("td", report.verdict_text(ratio, cells.facts["better"]), class_=shown)


def other_numbers(_results, cells, x):
    """The ratios of TEST to the others."""
    return map(number, cells.others_row(x))


def number(written):
    """A number, and smaller what is behind it."""
    first, _, interval = written.strip().partition(" ")
    return tag("td", escape(first) + (" " + text("small", interval) if interval else ""))


def plots(results, cells):
    """The plots of a metric: over x, and of what has none. Of nothing but zeros there is none."""
    all_series = list(series(results, cells))
    if not any(value for one in all_series for value in one.values()):
        return
    better = f"{cells.facts['better']} is better"
    figure = f" Compare: {cells.facts['figure']}." if cells.facts["figure"] else ""
    caption = text("h3", cells.facts["label"][:1].upper() + cells.facts["label"][1:])
    note = text("figcaption", f"{better.capitalize()}.{figure}", class_="small")
    unit = cells.unit or cells.facts["label"]
    if None in cells.xs:
        alone = [Series(one.name, one.look, {None: one.points[None]}) for one in all_series if None in one.points]
        yield tag("figure", caption + dot_plot(cells.title, unit, alone) + note)
    sized = {one: {x: at for x, at in one.points.items() if x is not None} for one in all_series}
    over_x = [Series(one.name, one.look, points) for one, points in sized.items()]
    if any(sized.values()):
        yield tag("figure", caption + line_plot(cells.title, cells.facts["x_label"] or "", unit, over_x) + note)


def series(results, cells):
    """What every system gave, in the unit of the cells."""
    for look, name in enumerate(report.order(results)):
        points = {x: cells.point(name, x) for x in cells.xs if cells.estimate(name, x)}
        yield Series(name, look, points)
