#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What bench/contexts makes of what guests, the switch and the kernel say; without any of them."""
import pathlib
import signal
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

# pylint: disable=wrong-import-position
from lab import beside, contexts, cpu_split, crowd, document, experiment, light, medians, slices  # noqa: E402
from lab.workload import Metric, Point, WorkloadError  # noqa: E402
from lab.workloads import Options  # noqa: E402

QUICK = Options(seconds=1, quick=True)
WORKLOADS = {
    "transmit": (cpu_split.SEND, cpu_split.SEND_FIXED),
    "receive": (cpu_split.RECEIVE, cpu_split.RECEIVE_FIXED),
    "protection": (cpu_split.SEND, cpu_split.SEND_FIXED, cpu_split.RECEIVE, cpu_split.RECEIVE_FIXED),
    "descriptors": (contexts.Descriptors(),),
    "scaling": (crowd.Crowd(),),
    "idle": (light.Idle(),),
    "latency": (light.FirstFrame(),),
    "fairness": (light.Fairness(),),
    "memory": (light.Memory(),),
    "workers": (crowd.Crowd(),),
}  # fmt: skip
SYSTEMS = {
    "transmit": contexts.SINGLE, "receive": contexts.SINGLE, "protection": tuple(contexts.PROTECTIONS),
    "descriptors": ("descriptors",), "scaling": contexts.SCALING, "fairness": contexts.FLOODED,
    "workers": contexts.WORKERS,
}  # fmt: skip


def some_results(name, runs=6):
    """Results of an experiment that has given some number for everything."""
    found = experiment.Results(
        systems={system: {"summary": system} for system in SYSTEMS.get(name, contexts.LIGHT)},
        workloads={one.name: experiment.workload_facts(one) for one in WORKLOADS[name]},
    )
    for run in range(runs):
        for system in found.systems:
            for workload in WORKLOADS[name]:
                points = [[metric, 50.0 + run, x] for metric, facts in workload.metrics.items()
                          for x in ((1, 8) if facts.x_label else (None,))]  # fmt: skip
                found.samples.append(experiment.Sample(system, workload.name, run, run, points))
    return found


class Statistics(unittest.TestCase):
    """Jain's index, and quantiles."""

    def test_index_is_one_for_equal_shares_and_one_of_n_for_one_that_has_all(self):
        self.assertAlmostEqual(medians.jain([7, 7, 7, 7]), 1)
        self.assertAlmostEqual(medians.jain([9, 0, 0, 0]), 0.25)
        self.assertAlmostEqual(medians.jain([1, 3]), 16 / 20)
        self.assertEqual(medians.jain([0, 0]), 0)

    def test_quantile_is_the_least_value_that_such_a_share_does_not_exceed(self):
        values = list(range(100, 0, -1))
        self.assertEqual(medians.quantile(values, 0.99), 99)
        self.assertEqual(medians.quantile(values, 0.5), 50)
        self.assertEqual(medians.quantile(values, 0), 1)
        self.assertEqual(medians.quantile([5], 0.99), 5)


class Tables(unittest.TestCase):
    """Tables and plots of every experiment."""

    def test_every_experiment_has_tables_and_plots_of_what_its_workloads_give(self):
        self.assertEqual(set(WORKLOADS), set(contexts.TABLES))
        self.assertEqual(set(WORKLOADS), set(contexts.PLOTS))
        for name in WORKLOADS:
            text = "\n".join(contexts.text(name, some_results(name)))
            self.assertIn("52.5", text, name)
            for file, drawing in contexts.drawings(name, some_results(name)).items():
                self.assertTrue(file.endswith(".svg") and drawing.startswith("<svg"), file)

    def test_tables_can_be_printed_when_nothing_was_measured(self):
        for name in WORKLOADS:
            contexts.text(name, some_results(name, runs=0))
            self.assertEqual(contexts.drawings(name, some_results(name, runs=0)), {}, name)

    def test_paper_stands_above_our_systems_in_the_same_unit(self):
        metrics = {"rate": Metric("throughput", "b/s", "higher"), "idle": Metric("idle", "%", "higher")}
        found = experiment.Results(workloads={"one": {"metrics": {name: vars(one) for name, one in metrics.items()}}})
        found.samples = [experiment.Sample("ours", "one", run, run, [["rate", 2e9, None], ["idle", 40.0, None]])
                         for run in range(6)]  # fmt: skip
        lines = beside.across("Table", "one", ("rate", "idle"), ["ours"], found, [("theirs", (1602e6, None))])
        self.assertEqual(lines[2].split(), ["throughput", "idle"])
        self.assertEqual(lines[3].split(), ["Gb/s", "%"])
        self.assertEqual(lines[4].split(), ["theirs", "1.602", "-"])
        self.assertEqual(lines[5].split()[:2], ["ours", "2.00"])

    def test_target_is_said_to_be_met_only_where_the_interval_shows_it(self):
        def known(median, low, high):
            return medians.Estimate(median, low, high, True, 6)

        self.assertTrue(contexts.met("kept", known(98, 97.5, 99), 97, "%", least=True).endswith("wanted; met."))
        self.assertTrue(contexts.met("kept", known(96, 95, 96.5), 97, "%", least=True).endswith("wanted; not met."))
        self.assertIn("; met, but the", contexts.met("kept", known(98, 95, 99), 97, "%", least=True))
        self.assertIn("; not met, but the", contexts.met("time", known(150e-6, 90e-6, 200e-6), 100e-6, "s"))
        text = contexts.met("time", known(50e-6, 40e-6, 60e-6), 100e-6, "s")
        self.assertIn("less than 100 µs is wanted; met.", text)
        self.assertIn("not measured", contexts.met("time", None, 100e-6, "s"))


class Shares(unittest.TestCase):
    """Shares of the CPUs."""

    def test_shares_are_of_all_cpus_and_sum_up(self):
        cpus = cpu_split.os.cpu_count()
        spent = {"clock": 10.0, "nobody": 1.0, "busy": 2.0, "ran": 5.0, "guest": 0.5}
        found = cpu_split.shares(spent)
        self.assertAlmostEqual(found["switch"], 0.2 / cpus)
        self.assertAlmostEqual(found["idle"], 0.4 / cpus, msg="what workers ran without being busy is idle")
        self.assertAlmostEqual(found["asleep"], 0.1 / cpus)
        self.assertAlmostEqual(sum(found[name] for name in ("switch", "guest", "rest", "idle")), 1)

    def test_cpu_that_was_taken_from_a_busy_worker_makes_nothing_negative(self):
        found = cpu_split.shares({"clock": 1.0, "nobody": 0.0, "busy": 0.9, "ran": 0.5, "guest": 5.0})
        self.assertTrue(all(share >= 0 for share in found.values()), found)


class Crowds(unittest.TestCase):
    """Streams of many guests."""

    SEEN = {"clock": 2.0, "busy": 1.0, ("vm0", "rx"): 100, ("vm0", "tx"): 1, ("vm1", "rx"): 300, ("vm1", "tx"): 0}

    def test_rate_is_that_of_all_guests_one_way(self):
        points = {point.metric: point.value for point in crowd.crowd_points("sent", "rx", 2, self.SEEN)}
        self.assertEqual(points, {"sent": 1600.0, "sent_busy": 50.0, "sent_jain": 0.8})

    def test_guest_that_has_done_nothing_is_a_failure(self):
        with self.assertRaisesRegex(WorkloadError, "of 2 guests 1 have received nothing"):
            crowd.crowd_points("received", "tx", 2, self.SEEN)


class Light(unittest.TestCase):
    """Light guests."""

    def test_what_is_kept_is_the_median_of_the_ratios_of_adjacent_slices(self):
        pairs = [(light.Slice(alone, 0.1, 10, 1000), light.Slice(beside, 0.1, 10, 3000))
                 for alone, beside in ((100, 98), (50, 50), (200, 100), (80, 76), (100, 99))]  # fmt: skip
        points = {(point.metric, point.x): point.value for point in light.idle_points(64, {(64, 16): pairs})}
        self.assertAlmostEqual(points["kept_64", 16], 98)
        self.assertAlmostEqual(points["rate_64", 0], 530 / 0.5)
        self.assertAlmostEqual(points["rate_64", 16], 423 / 0.5)
        self.assertEqual((points["switch_cycles_64", 0], points["switch_cycles_64", 16]), (100, 300))

    def test_slice_without_a_cpu_is_no_failure_and_no_frames_at_all_are(self):
        nothing, some = light.Slice(0, 0.1, 0, 0), light.Slice(100, 0.1, 10, 1000)
        self.assertAlmostEqual(light.kept([(nothing, some), (some, nothing), (some, some), (some, some)]), 100)
        for pairs in ([(nothing, nothing)], [(nothing, some)], [(some, nothing)]):
            with self.assertRaisesRegex(WorkloadError, "no frames go round"):
                light.kept(pairs)

    def test_slices_alternate_and_who_is_first_too(self):
        seen = []
        pairs = slices.in_turns(lambda: seen.append("A") or "a", lambda: seen.append("B") or "b", 3)
        self.assertEqual(("".join(seen), pairs), ("ABBAAB", [("a", "b")] * 3))

    def test_processes_stand_but_while_they_run_and_go_on_after_an_error(self):
        sent = []
        processes = [types.SimpleNamespace(signal=lambda number, name=name: sent.append((name, number)))
                     for name in ("daemon", "guest")]  # fmt: skip
        stop = [("guest", signal.SIGSTOP), ("daemon", signal.SIGSTOP)]
        go_on = [("daemon", signal.SIGCONT), ("guest", signal.SIGCONT)]
        with self.assertRaises(KeyboardInterrupt), slices.Standing(*processes) as standing:
            self.assertEqual(sent, stop)
            with standing.running():
                self.assertEqual(sent, stop + go_on)
                raise KeyboardInterrupt
        self.assertEqual(sent, stop + go_on + stop + go_on)

    def test_first_frames_and_wakings_take_turns(self):
        guests = mock.Mock()
        guests.ping.side_effect = lambda *_: [90e-6, 100e-6, 110e-6]
        guests.wake.side_effect = lambda *_: [70e-6, 80e-6, 90e-6]
        points = {point.metric: point.value for point in light.first_frames(guests, 0, 6, 2)}
        self.assertEqual([call[0] for call in guests.method_calls], ["ping", "wake", "ping", "wake"])
        self.assertEqual((points["median"], points["p99"], points["floor"]), (100e-6, 110e-6, 80e-6))
        self.assertAlmostEqual(points["beyond"], 20e-6)

    def test_flood_gives_shares_by_sender(self):
        class Guests:
            """Of which each is delivered as much as its number says."""

            sent = {}

            def receive(self, _number, _rate):
                """One."""

            def send(self, number, _receiver, sizes, rate):
                """What it is told to."""
                self.sent[number] = (sizes, rate)

            def over(self, seconds):
                """As LightGuests."""
                return seconds, {number: {"delivered_bytes": 100 * number} for number in self.sent}

            def stop_sending(self):
                """All."""

        guests = Guests()
        seconds, done = light.flooded(guests, {1: [64], 2: [1514]}, {2: 5}, QUICK)
        self.assertEqual((seconds, guests.sent), (1, {1: ([64], 0), 2: ([1514], 5)}))
        self.assertEqual(done[2]["delivered_bytes"], 200)

    def test_ports_have_weights_at_their_end(self):
        ports = light.light_ports(4, (1, 2))
        self.assertEqual([port.get("weight") for port in ports], [None, None, 1, 2])
        self.assertEqual([port["name"] for port in ports], ["vm0", "vm1", "vm2", "vm3"])

    def test_memory_is_the_daemons_dpdks_or_a_guests(self):
        found = {mapping: light.owner(mapping) for mapping in
                 ("", "[heap]", "/memfd:nohuge (deleted)", "/memfd:lean-guest (deleted)", "/usr/lib/libc.so.6")}  # fmt: skip
        self.assertEqual(list(found.values()), ["private", "private", "pool", "shared", None])
        self.assertGreater(light.footprint("self")["private"], 1000)

    def test_buffers_that_the_switch_spoils_are_a_failure(self):
        guests = light.LightGuests([], [0])
        guests.ask = lambda _command: {"time_ns": 1, "contexts": [{"context": 0, "bogus": 2}]}
        with self.assertRaisesRegex(WorkloadError, "has given back 2 buffers"):
            guests.counters()

    def test_frames_that_are_lost_are_a_failure(self):
        guests = light.LightGuests([], [0])
        guests.ask = lambda _command, _timeout: {"latencies_ns": [5000], "lost": 1}
        with self.assertRaisesRegex(WorkloadError, "ping: 1 of 2 were lost"):
            guests.ping(0, 1, 2, 100, 64)


class Protections(unittest.TestCase):
    """The benchmark of descriptors."""

    def test_what_it_says_is_taken_over(self):
        said = [{"direction": direction, "frame": 60, "protection": name, "cycles": {"median": len(name)}}
                for direction in ("from", "to") for name in (*contexts.PROTECTED, "daemon")]  # fmt: skip
        with mock.patch.multiple(contexts, ask=lambda *_: said, built=lambda path: path):
            points = contexts.Descriptors().run(None, QUICK, lambda _text: None)
            self.assertEqual({point.metric for point in points}, set(contexts.Descriptors.metrics))
            self.assertIn(Point("to_window", 6, 60), points)
            del said[0]
            with self.assertRaisesRegex(WorkloadError, "says nothing of from_none"):
                contexts.Descriptors().run(None, QUICK, lambda _text: None)


class Document(unittest.TestCase):
    """Results in a document."""

    BEFORE = "# Title\n\n<!-- measured: one -->\nold\n<!-- end of one -->\n\ntext\n"

    def test_tables_replace_what_is_between_the_markers_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "page.md"
            path.write_text(self.BEFORE, encoding="utf-8")
            for _ in range(2):
                document.write(path, "one", "a \\1 b\n", {"plot.svg": "<svg/>"})
            wanted = "<!-- measured: one -->\n\n```\na \\1 b\n```\n\n![plot](page/plot.svg)\n\n<!-- end of one -->"
            self.assertEqual(path.read_text(encoding="utf-8"), f"# Title\n\n{wanted}\n\ntext\n")
            self.assertEqual((pathlib.Path(folder) / "page" / "plot.svg").read_text(encoding="utf-8"), "<svg/>")

    def test_document_without_markers_is_refused_before_anything_is_measured(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "page.md"
            path.write_text(self.BEFORE, encoding="utf-8")
            document.check(path, ["one"])
            with self.assertRaisesRegex(document.DocumentError, "no markers of two: expected <!-- measured: two -->"):
                document.check(path, ["one", "two"])
            with self.assertRaisesRegex(document.DocumentError, "No such file"):
                document.check(path.parent / "none.md", ["one"])

    def test_document_that_is_there_has_a_place_for_every_experiment(self):
        document.check(pathlib.Path(__file__).resolve().parents[2] / "docs" / "contexts.md", list(contexts.TABLES))


if __name__ == "__main__":
    unittest.main()
