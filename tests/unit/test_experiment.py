#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What bench/ab is made of, without a system: statistics, the order of measuring, live switching, verdicts, reports."""
import contextlib
import io
import itertools
import json
import math
import pathlib
import random
import re
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree as xml
from dataclasses import dataclass

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

# pylint: disable=wrong-import-position
from lab import aggregation, beside, eul, experiment, fit, live, measure, medians, plot  # noqa: E402
from lab import report, report_html, systems, table  # noqa: E402
from lab.process import LabError  # noqa: E402
from lab.single_packet import SinglePacket  # noqa: E402
from lab.workloads import WORKLOADS  # noqa: E402


class Statistics(unittest.TestCase):
    """Medians, intervals and verdicts."""

    def test_intervals_are_those_of_the_tables(self):
        # As the tables of the sign test have them: which of the ordered values are the ends.
        for n, rank in {6: 1, 8: 1, 9: 2, 11: 2, 12: 3, 20: 6, 30: 10}.items():
            self.assertEqual(medians.interval(range(1, n + 1)), (rank, n + 1 - rank, True), n)

    def test_there_is_no_interval_of_fewer_than_six_values(self):
        for n in range(1, medians.ENOUGH):
            self.assertEqual(medians.interval(range(n)), (0, n - 1, False))
        self.assertTrue(medians.interval(range(medians.ENOUGH))[2])

    def test_interval_holds_the_median_as_often_as_it_says(self):
        source = random.Random(1)
        held = 0
        for _ in range(2000):
            low, high, _ = medians.interval([source.expovariate(1) for _ in range(10)])
            held += low <= math.log(2) <= high
        self.assertGreater(held / 2000, 0.965)  # with ten values it is 97.9 %

    def test_verdict_is_given_only_where_the_interval_excludes_one(self):
        for low, high, better, expected in (
            (0.4, 0.5, "lower", medians.BETTER),
            (0.4, 0.5, "higher", medians.WORSE),
            (2.0, 3.0, "higher", medians.BETTER),
            (2.0, 3.0, "lower", medians.WORSE),
            (0.9, 1.1, "lower", medians.SAME),
            (1.0, 1.1, "lower", medians.SAME),
            (1.0, 1.0, "lower", medians.SAME),
        ):
            known = medians.Estimate((low + high) / 2, low, high, True, 6)
            self.assertEqual(medians.verdict(known, better), expected, known)
        self.assertEqual(medians.verdict(medians.Estimate(0.1, 0.1, 0.1, False, 5), "lower"), medians.TOO_FEW)

    def test_change_in_words(self):
        for ratio, words in ((0.43, "57 % lower"), (1.123, "12 % higher"), (3.02, "3.02 times as high"), (1, "equal")):
            self.assertEqual(report.change_text(ratio), words)

    def test_units_are_scaled(self):
        for largest, unit, expected in (
            (27.5e-6, "s", (1e6, "µs")),
            (2, "s", (1, "s")),
            (3e9, "b/s", (1e-9, "Gb/s")),
            (5, "requests/s", (1, "requests/s")),
            (5000, "%", (1, "%")),
            (0, "b/s", (1, "b/s")),
        ):
            self.assertEqual(table.unit_scale(largest, unit), expected)


# Measuring, with systems that are not there


@dataclass
class Metric:
    """As in lab.workloads."""

    label: str
    unit: str
    better: str = "lower"
    x_label: str | None = None
    figure: str | None = None


Point = types.SimpleNamespace


class Workload:
    """Gives what a link says; `fails` is called with the name of the link before that."""

    summary = "as a test needs it"

    def __init__(self, name, fails=lambda _name: None, xs=(None,)):
        self.name = name
        self.fails = fails
        self.xs = xs
        self.metrics = {"time": Metric("time", "s", x_label="size" if xs != (None,) else None)}

    def estimate_s(self, _options):
        """Not true."""
        return 1

    def run(self, link, options, say):
        """Points, and a line in the link's log."""
        say("running")
        link.log.append((link.name, self.name, options))
        self.fails(link.name)
        return [Point(metric="time", value=link.value, x=x) for x in self.xs]


class Systems:
    """Makes systems; `log` has everything that was done, `up` the names of those that are up."""

    def __init__(self):
        self.log = []
        self.up = []

    def new(self, name, value=1.0, boot=None, fails=lambda: None):
        """A system that gives a value."""

        @contextlib.contextmanager
        def start(_say):
            fails()
            self.log.append(("start", boot or name))
            self.up.append(name)
            try:
                yield types.SimpleNamespace(name=None, value=None, daemon=None, log=self.log)
            finally:
                self.up.remove(name)
                self.log.append(("stop", boot or name))

        def enter(link):
            link.name, link.value = name, value

        return experiment.System(name, f"the system {name}", start, boot=boot, enter=enter)

    def order(self, options="real"):
        """The systems in the order in which they were measured."""
        return [entry[0] for entry in self.log if entry[2:] == (options,)]

    def starts(self):
        """What was started, in order."""
        return [entry[1] for entry in self.log if entry[0] == "start"]


def run(systems, workloads, runs, **more):
    """Measure; returns Results."""
    planned = experiment.Experiment(systems, workloads, runs, options="real", warm_up="warm", **more)
    return experiment.measure(planned, table.Progress(io.StringIO()))


class Measuring(unittest.TestCase):
    """The engine."""

    def setUp(self):
        self.systems = Systems()

    def tearDown(self):
        self.assertEqual(self.systems.up, [], "nothing is left running")

    def test_two_systems_take_turns(self):
        run([self.systems.new("A"), self.systems.new("B")], [Workload("w")], 4)
        self.assertEqual("".join(self.systems.order()), "ABBA" "BAAB")

    def test_each_of_many_comes_first_equally_often(self):
        names = "ABC"
        run([self.systems.new(name) for name in names], [Workload("w")], 6)
        order = self.systems.order()
        turns = [order[start : start + 3] for start in range(0, 18, 3)]
        for turn in turns:
            self.assertEqual(sorted(turn), list(names))
        for name in names:
            self.assertEqual(sum(turn[0] == name for turn in turns), 2)

    def test_each_run_starts_anew_and_warms_up(self):
        run([self.systems.new("A"), self.systems.new("B")], [Workload("v"), Workload("w")], 2)
        self.assertEqual(self.systems.starts(), ["A", "B", "B", "A"])
        self.assertEqual(len(self.systems.order("warm")), 8)
        first = self.systems.log.index(("start", "A"))
        expected = [("A", "v", "warm"), ("A", "v", "real"), ("A", "w", "warm"), ("A", "w", "real"), ("stop", "A")]
        self.assertEqual(self.systems.log[first + 1 : first + 6], expected)

    def test_live_systems_share_one_boot_and_alternate_within_a_workload(self):
        live_ones = [self.systems.new(name, boot="live") for name in "AB"]
        results = run(live_ones, [Workload("v"), Workload("w")], 3)
        self.assertEqual(self.systems.starts(), ["live"])
        self.assertEqual([sample.boot for sample in results.samples], [0] * 12)
        self.assertEqual(len(self.systems.order("warm")), 2)
        order = self.systems.order()
        self.assertEqual({tuple(sorted(order[start : start + 2])) for start in range(0, 12, 2)}, {("A", "B")})

    def test_only_one_system_is_up_at_any_time(self):
        seen = []
        watch = Workload("w", fails=lambda _name: seen.append(len(self.systems.up)))
        live_ones = [self.systems.new(name, boot="live") for name in "AB"]
        run([*live_ones, self.systems.new("P")], [watch], 3)
        self.assertEqual(set(seen), {1})
        self.assertEqual(sorted(self.systems.order()), list("AAABBBPPP"))

    def test_failure_is_noted_and_the_others_go_on(self):
        def fails(name):
            if name == "A":
                raise LabError("no traffic")

        results = run([self.systems.new("A"), self.systems.new("B")], [Workload("w", fails), Workload("v")], 4)
        self.assertEqual(len(results.values("B", "w", "time")), 4)
        self.assertEqual(len(results.values("A", "v", "time")), 4)
        complaints = list(results.missing())
        self.assertEqual(len(complaints), experiment.TRIES, "what keeps failing is given up")
        self.assertIn("run 1, A, w: failed: no traffic", complaints)

    def test_system_that_does_not_start_is_noted_and_given_up(self):
        def fails():
            raise LabError("no image")

        results = run([self.systems.new("A", fails=fails), self.systems.new("B")], [Workload("w"), Workload("v")], 4)
        self.assertEqual(len(results.samples), 8)
        self.assertEqual(list(results.missing()), [f"run {n}, A: failed: no image" for n in (1, 2)])

    def test_interrupt_ends_what_is_up_and_keeps_what_there_is(self):
        count = itertools.count()

        def fails(_name):
            if next(count) == 5:
                raise KeyboardInterrupt

        results = run([self.systems.new("A"), self.systems.new("B")], [Workload("w", fails)], 4)
        self.assertEqual(results.stopped, "interrupted")
        self.assertEqual([sample.system for sample in results.samples], ["A", "B"])
        self.assertIn("Not all was measured: interrupted", report.text_report(with_facts(results)))

    def test_facts_are_asked_of_every_system_once(self):
        asked = []

        def inspect(system, _link):
            asked.append(system.name)
            return {"versions": {system.name: "1"}}

        results = run([self.systems.new("A"), self.systems.new("B")], [Workload("w")], 3, inspect=inspect)
        self.assertEqual(asked, ["A", "B"])
        self.assertEqual(results.systems["B"]["versions"], {"B": "1"})


class Numbers(unittest.TestCase):
    """What Results make of the samples."""

    def setUp(self):
        self.results = experiment.Results()
        for number, (base, test) in enumerate(((10, 5), (20, 11), (30, 14), (8, 4), (100, 50), (12, 6))):
            for name, value in (("base", base), ("test", test)):
                points = [["time", float(value), 64], ["time", 2.0 * value, 128], ["lost", 0.0, None]]
                self.results.samples.append(experiment.Sample(name, "w", number, number, points))

    def test_ratios_are_within_a_run(self):
        ratios = self.results.ratios("test", "base", "w", "time", 64)
        self.assertEqual(list(ratios.values()), [0.5, 0.55, 14 / 30, 0.5, 0.5, 0.5])
        self.assertEqual(self.results.ratio("test", "base", "w", "time", 64).median, 0.5)

    def test_overall_ratio_is_the_geometric_mean_over_x(self):
        self.results.samples[1].points[1][1] = 4 * 10.0
        overall = self.results.overall_ratio("test", "base", "w", "time")
        self.assertAlmostEqual(overall.high, math.sqrt(0.5 * 2))
        self.assertEqual(overall.count, 6)

    def test_nothing_has_a_ratio_to_zero(self):
        self.assertIsNone(self.results.ratio("test", "base", "w", "lost"))
        self.assertIsNone(self.results.overall_ratio("test", "base", "w", "lost"))

    def test_run_without_its_pair_gives_no_ratio(self):
        del self.results.samples[0]
        self.assertNotIn(0, self.results.ratios("test", "base", "w", "time", 64))

    def test_json_gives_the_same_results(self):
        again = experiment.Results.from_json(json.loads(json.dumps(self.results.as_json())))
        self.assertEqual(again, self.results)


def config(stages, **more):
    """An effective configuration."""
    return {"name": "x", "baseline": "uml", "workers": [0], "ports": [], "stages": stages, "$bindings": [], **more}


class Live(unittest.TestCase):
    """Plans for switching stages."""

    def test_stages_are_switched_on_and_off(self):
        plan = live.LivePlan({"a": config([]), "b": config(["x", {"y": {"size": 3, "fast": True}}])})
        self.assertEqual(plan.config["stages"], ["x", {"y": {"size": 3, "fast": True}}])
        self.assertEqual(plan.commands("a", "b"), [["x", "on"], ["y", "on"]])
        self.assertEqual(plan.commands("b", "a"), [["x", "off"], ["y", "off"]])

    def test_options_are_switched(self):
        old, new = {"y": {"size": 3, "fast": True}}, {"y": {"size": 4, "fast": False}}
        plan = live.LivePlan({"a": config([old]), "b": config([new]), "none": config([])})
        self.assertEqual(plan.commands("a", "b"), [["y", "size=4", "fast=false"]])
        self.assertEqual(plan.commands("none", "b"), [["y", "size=4", "fast=false"]])
        self.assertEqual(plan.commands("none", "a"), [["y", "on"]])
        self.assertEqual(plan.commands("a", "a"), [])

    def test_order_of_both_lists_is_kept(self):
        plan = live.LivePlan({"a": config(["p", "r"]), "b": config(["p", "q", "r"])})
        self.assertEqual(plan.config["stages"], ["p", "q", "r"])
        with self.assertRaisesRegex(live.NotLive, "stages come in different orders"):
            live.LivePlan({"a": config(["p", "r"]), "b": config(["r", "p"])})

    def test_what_is_no_stage_is_refused(self):
        with self.assertRaisesRegex(live.NotLive, "^a and b differ in baseline, workers; only stages can be switched"):
            live.LivePlan({"a": config([]), "b": config([], baseline=None, workers=[1])})
        live.LivePlan({"a": config([]), "b": config([], description="other words")})

    def test_daemon_is_asked_until_it_is_so_and_checked(self):
        daemon = FakeDaemon(config(["x", "y"])["stages"])
        plan = live.LivePlan({"a": config([]), "b": config(["x", "y"])})
        plan.enter(daemon, "a")
        self.assertEqual(daemon.stages, [])
        plan.enter(daemon, "b")
        self.assertEqual(daemon.stages, ["x", "y"])
        daemon.deaf = True
        with self.assertRaisesRegex(LabError, "stages switched to those of a"):
            plan.enter(daemon, "a")


class FakeDaemon:
    """As much of a Daemon as switching needs."""

    def __init__(self, stages):
        self.stages = stages
        self.deaf = False

    def ctl(self, *words):
        """Show the stages, or switch one."""
        if words == ("show", "config"):
            return {"config": {"stages": self.stages}}
        _, _, name, state = words
        if not self.deaf:
            self.stages = [one for one in self.stages if one != name] + ([name] if state == "on" else [])
        return {}


# Reports


def with_facts(results):
    """The results with what bench/ab knows about them."""
    results.facts = {
        "date": "2026-01-02T03:04:05+0000",
        "machine": {"cpu": "A <CPU> & more", "cpus": 2, "memory_mb": 2048},
        "kernel": "6.1.0",
        "commit": "0123456789ab-dirty",
        "compare": ["B", "A", *[name for name in results.systems if name not in "AB"]],
        "runs": 6,
        "mode": "Each was started anew.",
        **results.facts,
    }
    return results


def canned(runs, factor=0.5, others=("native",)):
    """Results of B, which takes so much of the time of A, and others."""
    source = random.Random(3)
    sized, plain = Workload("sized", xs=(64, 1024, 65536)), Workload("plain")
    results = experiment.Results(
        systems={name: {"summary": f"the system {name}"} for name in ("A", "B", *others)},
        workloads={one.name: experiment.workload_facts(one) for one in (sized, plain)},
    )
    for number in range(runs):
        for name in results.systems:
            for workload in (sized, plain):
                base = 1e-5 * (factor if name == "B" else 1)
                points = [["time", base * (1 + (x or 0) / 1024) * source.uniform(0.95, 1.05), x] for x in workload.xs]
                results.samples.append(experiment.Sample(name, workload.name, number, number, points, stolen=0.0))
    results.systems["A"]["effective_config"] = config(["x", {"y": {"size": 3}}])
    results.systems["B"]["effective_config"] = config(["x", {"y": {"size": 4}}, "translation-cache"])
    return with_facts(results)


def check_inside(test, drawing):
    """Fail if anything of a drawing has a place outside."""
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', drawing).groups())
    for axis, limit in (("x", width), ("y", height)):
        for place in re.findall(rf' c?{axis}[12]?="([-\d.]+)"', drawing):
            test.assertTrue(0 <= float(place) <= limit, f"{axis} = {place} of {limit}")


class Reports(unittest.TestCase):
    """Text and HTML."""

    def test_difference_is_told_in_words(self):
        expected = ["B adds translation-cache.", "B changes y.size from 3 to 4.", "Both have x and y."]
        self.assertEqual(report.difference(canned(1)), expected)

    def test_verdict_and_factor_are_told_once_a_workload(self):
        said = report.sentences(canned(6))
        self.assertEqual(list(said), ["sized", "plain"])
        self.assertRegex(said["plain"], r"^B is better: time \d+ % lower \(ratio 0\.\d+ \[0\.\d+, 0\.\d+\]\)\.$")
        self.assertIn("No difference shown between B and A: time.", report.sentences(canned(6, factor=1.0))["plain"])
        self.assertIn("B is worse: time", report.sentences(canned(6, factor=1.5))["plain"])
        self.assertTrue(report.sentences(canned(5))["plain"].startswith("Too few runs for a verdict."))

    def test_text_says_that_few_runs_give_no_interval(self):
        self.assertIn("no 95 % interval exists", report.text_report(canned(5)))
        self.assertNotIn("no 95 % interval exists", report.text_report(canned(6)))

    def test_text_has_every_median(self):
        results = canned(6)
        text = report.text_report(results)
        for name in results.systems:
            median = 1e6 * results.estimate(name, "plain", "time").median
            self.assertIn(table.significant(median), text)
        self.assertIn("time, µs, by size", text)

    def test_disturbance_is_said(self):
        results = canned(6)
        results.samples[0].waited = 0.4
        self.assertIn("for up to 40 % of the time", report.text_report(results))

    def test_page_is_well_formed_and_needs_nothing_else(self):
        for results in (canned(6), canned(2), canned(6, others=()), canned(0)):
            page = report_html.html_report(results)
            xml.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
            self.assertNotIn("://", page.replace('xmlns="http://www.w3.org/2000/svg"', ""))
            self.assertIsNone(re.search(r"<script|<link|<img|@import|url\(|\bsrc=|\bhref=", page))

    def test_page_has_a_plot_for_each_metric_with_every_value(self):
        results = canned(6)
        page = report_html.html_report(results)
        drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
        self.assertEqual(len(drawings), 2)
        for drawing, xs in zip(drawings, (3, 1)):
            self.assertEqual(drawing.count('fill-opacity="0.3"'), 3 * xs * 6)
            for name in results.systems:
                self.assertIn(f">{name}</text>", drawing)

    def test_nothing_is_drawn_outside(self):
        page = report_html.html_report(canned(6, others=("native", "uml-vector", "a-rather-long-name")))
        for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
            check_inside(self, drawing)

    def test_asking_whether_files_can_be_written_leaves_none(self):
        with tempfile.TemporaryDirectory() as directory:
            kept = pathlib.Path(directory) / "report.txt"
            kept.write_text("of before", encoding="utf-8")
            measure.folder(directory)
            self.assertEqual([path.name for path in pathlib.Path(directory).iterdir()], ["report.txt"])
            self.assertEqual(kept.read_text(encoding="utf-8"), "of before")

    def test_files_are_written(self):
        with tempfile.TemporaryDirectory() as directory:
            results = canned(6)
            page = report_html.write_report(directory, results)
            self.assertEqual(page.name, "report.html")
            folder = pathlib.Path(directory)
            names = sorted(path.name for path in folder.iterdir())
            self.assertEqual(names, ["report.html", "report.txt", "results.json"])
            again = experiment.Results.from_json(json.loads((folder / "results.json").read_text()))
            self.assertEqual(report.text_report(again), (folder / "report.txt").read_text())


class Beside(unittest.TestCase):
    """Tables beside a paper's numbers."""

    def test_both_numbers_have_the_same_unit(self):
        results = canned(6)
        lines = ["Table 1", beside.Value("time, B", 27.47e-6, "B", "plain", "time"),
                 beside.Ratio("B to A", 0.43, "B", "A", "plain", "time")]  # fmt: skip
        title, value, ratio = beside.rows(lines, results)
        self.assertEqual(title, "Table 1")
        self.assertEqual(value[:2], ["time, B, µs", "27.47"])
        self.assertAlmostEqual(float(value[2].split()[0]), 5, delta=0.3)
        self.assertEqual(ratio[:2], ["B to A", "0.430"])
        self.assertAlmostEqual(float(ratio[2].split()[0]), 0.5, delta=0.05)

    def test_number_that_is_not_there_is_a_dash(self):
        row = beside.Value("time, C", None, "C", "plain", "time").row(canned(6))
        self.assertEqual(row, ["time, C, s", "-", "-"])

    def test_systems_stand_side_by_side(self):
        lines = beside.columns("Figure 1", "plain", ["time"], ["A", "B", "C"], canned(6))
        self.assertEqual(lines[:2], ["Figure 1", ""])
        self.assertEqual(lines[2].split(), ["A", "B", "C"])
        self.assertRegex(lines[3], r"^time, µs +\S+ \[.*\] +\S+ \[.*\] +-$")


def measured(systems, workloads, xs=(64, 1024, 1472), runs=2):
    """Results in which each system has numbers for every metric of the workloads."""
    results = experiment.Results(
        systems={name: {"summary": name} for name in systems},
        workloads={one.name: experiment.workload_facts(one) for one in workloads},
    )
    for number, name, workload in itertools.product(range(runs), systems, workloads):
        points = [
            [metric, 1e-5 * (1 + number + len(name)), x]
            for metric, facts in workload.metrics.items()
            for x in (xs if facts.x_label else (None,))
        ]
        results.samples.append(experiment.Sample(name, workload.name, number, number, points))
    return results


class Figures(unittest.TestCase):
    """The drawings of bench/eul."""

    def test_gains_have_a_bar_for_each_layer_and_configuration(self):
        drawings = eul.drawings("techniques", measured(eul.STEPS, [SinglePacket()]))
        self.assertEqual(list(drawings), ["figure-4-2.svg", "figure-4-3.svg"])
        for drawing in drawings.values():
            xml.fromstring(drawing)
            check_inside(self, drawing)
            self.assertEqual(drawing.count('fill-opacity="0.6"'), 2 * len(eul.LAYERS))
            self.assertEqual(drawing.count('fill-opacity="0.3"'), 2 * 2 * len(eul.LAYERS))
            for layer in eul.LAYERS:
                self.assertIn(f">{layer}</text>", drawing)
        self.assertIn(f">{eul.ULSM}</text>", drawings["figure-4-2.svg"])

    def test_layer_without_any_time_is_a_bar_of_nothing(self):
        results = measured(eul.STEPS, [SinglePacket()])
        for sample in results.samples:
            sample.points = [[metric, 0.0, x] for metric, _, x in sample.points]
        check_inside(self, eul.drawings("techniques", results)["figure-4-2.svg"])

    def test_each_figure_of_section_5_is_drawn(self):
        workloads = [WORKLOADS[name] for name in ("udp-latency", "udp-stream", "tcp-stream", "http")]
        drawings = eul.drawings("whole", measured((eul.UML, eul.EUL, "native"), workloads))
        self.assertEqual(list(drawings), [*(f"figure-5-{number}.svg" for number in range(1, 7)), "delivery.svg"])
        for drawing in drawings.values():
            xml.fromstring(drawing)
            check_inside(self, drawing)

    def test_numbers_of_the_paper_are_where_their_system_is(self):
        results = measured((eul.UML, "native"), [WORKLOADS["udp-latency"], WORKLOADS["http"]])
        drawings = eul.drawings("whole", results)
        self.assertIn(">paper: 27.47 (uml.json)</text>", drawings["figure-5-1.svg"])
        self.assertIn(">paper: 300 (uml.json)</text>", drawings["figure-5-5.svg"])
        self.assertNotIn("(eul.json)", drawings["figure-5-1.svg"] + drawings["figure-5-5.svg"])
        self.assertNotIn("paper", drawings["figure-5-6.svg"])

    def test_number_at_a_size_that_was_not_reached_is_left_out(self):
        results = measured((eul.UML, eul.EUL), [WORKLOADS["udp-latency"]], xs=(64, 1024))
        self.assertNotIn("paper", eul.drawings("whole", results)["figure-5-1.svg"])

    def test_what_was_not_measured_is_not_drawn(self):
        self.assertEqual(eul.drawings("whole", measured((), [WORKLOADS["http"]])), {})
        self.assertEqual(eul.drawings("techniques", measured((eul.UML,), [])), {})


class Fits(unittest.TestCase):
    """Lines and curves by least squares."""

    def test_curve_that_is_one_is_found(self):
        points = [(k, 1000 + 3000 / k) for k in (1, 2, 3, 5, 10, 20, 35)]
        curve = fit.fit_inverse(points)
        self.assertAlmostEqual(curve.base, 1000)
        self.assertAlmostEqual(curve.slope, 3000)
        self.assertAlmostEqual(curve.residual, 0)
        self.assertEqual(curve.count, 7)
        self.assertAlmostEqual(curve.at(1 / 4), 1750)

    def test_residual_is_what_is_left(self):
        line = fit.fit([(0, 1), (0, 3), (1, 1), (1, 3)])
        self.assertEqual((line.base, line.slope, line.residual), (2, 0, 1))

    def test_one_place_makes_no_line(self):
        self.assertIsNone(fit.fit([]))
        self.assertIsNone(fit.fit_inverse([(3, 10), (3, 12)]))

    def test_curve_in_words(self):
        text = aggregation.curve_text([(1, 4000), (2, 2500), (4, 1750)])
        self.assertEqual(
            text,
            "1000 + 3000/k cycles; without aggregation that is 4000, y is 75.0 % of it. The residual is 0 cycles.",
        )
        self.assertIn("too few", aggregation.curve_text([(1, 4000)]))

    def test_loss_is_told_only_where_the_interval_tells_it(self):
        for low, high, certain, said in (
            (0.992, 1.01, True, "none"),
            (0.99, 1.2, True, "none"),
            (0.9, 0.98, True, "yes"),
            (0.98, 1.02, True, "not known, the interval"),
            (0.995, 1.0, False, "not known, too few runs"),
        ):
            known = medians.Estimate((low + high) / 2, low, high, certain, 6)
            self.assertTrue(aggregation.loss_text(known).startswith(said), known)
        self.assertEqual(aggregation.loss_text(None), "not known, too few runs")


class Thesis(unittest.TestCase):
    """What bench/aggregation makes of its results."""

    EXPERIMENTS = {
        "transmit": (
            [*aggregation.TRANSMIT, "native", "native-offload", "uml-vector"],
            [aggregation.SENDFILE, aggregation.WRITE],
        ),
        "wire": ([*aggregation.WIRES, aggregation.XEN], [aggregation.SENDFILE]),
        "receive": ([*aggregation.RECEIVING, "native-offload"], [aggregation.BYTES, aggregation.RECEIVE]),
        "limit": (list(aggregation.LIMITS), [aggregation.PLAIN]),
        "latency": (list(aggregation.LATENCY), [aggregation.TRIPS]),
    }

    def results(self, name, runs=6):
        """Results of an experiment."""
        return measured(*self.EXPERIMENTS[name], runs=runs)

    def test_tables_have_every_figure(self):
        texts = {name: "\n".join(aggregation.text(name, self.results(name))) for name in self.EXPERIMENTS}
        for name, figures in (("transmit", (2, 3, 4, 6)), ("wire", (5,)), ("receive", (7, 8)), ("limit", (9,))):
            for figure in figures:
                self.assertIn(f"Figure 3.{figure}: ", texts[name])
        self.assertIn("Table 3.1: ", texts["latency"])
        self.assertIn("A loss beyond 1.00 %: none", texts["latency"])
        for name, text in texts.items():
            self.assertNotRegex(text, r"(?m) -$", f"{name}: everything was measured")

    def test_what_was_not_measured_is_a_dash_and_no_drawing(self):
        for name in self.EXPERIMENTS:
            nothing = self.results(name, runs=0)
            self.assertEqual(aggregation.drawings(name, nothing), {}, name)
            self.assertRegex("\n".join(aggregation.text(name, nothing)), r" -\b|-$|too few", name)

    def test_drawings_are_well_formed(self):
        found = {}
        for name in self.EXPERIMENTS:
            found.update(aggregation.drawings(name, self.results(name)))
        figures = [f"figure-3.{number}.svg" for number in range(2, 10)]
        self.assertTrue({*figures, "table-3.1.svg"} <= set(found), sorted(found))
        for drawing in found.values():
            xml.fromstring(drawing)
            check_inside(self, drawing)
        self.assertIn("stroke-dasharray", found["figure-3.9.svg"], "the fit is drawn")

    def test_every_ratio_of_the_thesis_is_that_of_its_numbers(self):
        ratios = [
            line
            for make in aggregation.TABLES.values()
            for lines in make(None).values()
            for line in lines
            if isinstance(line, beside.Ratio) and line.paper
        ]
        rounded = sorted(round(line.paper, 2) for line in ratios)
        self.assertEqual(rounded, [0.25, 0.27, 0.48, 1.0, 1.16, 1.45, 1.73, 1.95, 3.73, 4.41])

    def test_stages_with_options_in_words(self):
        self.assertEqual(systems.stage_text("io-channel"), "io-channel")
        options = {"receive-aggregation": {"limit": 5, "checksum": "port"}}
        self.assertEqual(systems.stage_text(options), "receive-aggregation (limit 5, checksum port)")


class Axes(unittest.TestCase):
    """Ticks and places."""

    def test_sizes_that_double_are_on_a_logarithmic_axis(self):
        self.assertTrue(plot.is_geometric([64, 128, 256, 512, 1024]))
        self.assertFalse(plot.is_geometric([100, 200, 300, 400, 500]))
        self.assertFalse(plot.is_geometric([0, 1, 2]))

    def test_values_are_within_their_axis(self):
        for values in ([3.2, 9.7], [0.0, 0.0], [1e-6, 2e-3], [-1.0, 5.0], [950.0, 999.0], [7.0]):
            axis = plot.value_axis(values, 300, 30)
            for value in values:
                self.assertTrue(29.9 <= axis(value) <= 300.1, values)
            self.assertGreaterEqual(len(plot.ticks(axis)), 2, values)

    def test_names_do_not_overlap(self):
        places = plot.apart([100.0, 101.0, 102.0, 290.0, 295.0], 17, 30, 300)
        gaps = [after - before for before, after in zip(places, places[1:])]
        self.assertGreaterEqual(min(gaps), 17)
        self.assertTrue(30 <= min(places) and max(places) <= 300)


if __name__ == "__main__":
    unittest.main()
