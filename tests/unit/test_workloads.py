#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The workloads of bench/ab, over links that are not there: what they make of what programs and the switch say."""
import json
import pathlib
import sys
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

# pylint: disable=wrong-import-position
from lab import netlat, workload  # noqa: E402
from lab.workloads import WORKLOADS, Options  # noqa: E402

QUICK = Options(seconds=1, quick=True)


class End:
    """An end whose netlat says what a test wants it to: mode -> what it prints."""

    def __init__(self, kind, said):
        self.kind = kind
        self.ip = "10.77.0.1"
        self.said = said
        self.commands = []

    def program(self, name):
        """As if it were in the path."""
        return name

    def spawn(self, command):
        """A server, of which only the end matters."""
        self.commands.append(command)
        return types.SimpleNamespace(kill=lambda: self.commands.append("kill"), wait=lambda _timeout: None)

    def run(self, command, timeout=60, check=True):
        """What it says of the mode; nothing of others."""
        self.commands.append(command)
        return types.SimpleNamespace(text=json.dumps(self.said.get(command.split()[1], {})), status=0)


class Switch:
    """A daemon whose workers are busy with a packet, and 1000 cycles, whenever they are looked at."""

    def __init__(self):
        self.looks = 0

    def ctl(self, *_words):
        """show workers"""
        self.looks += 1
        worker = {"packets": self.looks, "busy_cycles": 1000 * self.looks, "signals": {"mask_calls": 20 * self.looks}}
        return {"tsc_hz": 2_000_000_000, "workers": [worker, worker]}


def link(kind="uml", lost=0, daemon=None, **said):
    """A link with both ends alike."""
    times = {"mean_us": 20.0, "ci95_us": 1.5}
    said = {
        "send": times,
        "echo": {"runs": 50, "lost": lost, "back": {**times, "mean_us": 50.0}, "there": {**times, "mean_us": 30.0}},
        "rr": {"rate": 1000.0},
        **said,
    }
    return types.SimpleNamespace(a=End(kind, said), b=End("native", said), daemon=daemon)


def measure(name, where):
    """(metric, x) -> value; of every run all metrics are those that the workload says it has."""
    found = {(point.metric, point.x): point.value for point in WORKLOADS[name].run(where, QUICK, lambda _text: None)}
    assert {metric for metric, _ in found} <= set(WORKLOADS[name].metrics), found
    return found


class Latency(unittest.TestCase):
    """udp-latency."""

    def test_times_are_in_seconds_at_each_size(self):
        found = measure("udp-latency", link())
        for size in netlat.QUICK_SIZES:
            self.assertAlmostEqual(found["send", size], 20e-6)
            self.assertAlmostEqual(found["deliver_out", size], 30e-6)
            self.assertAlmostEqual(found["deliver_in", size], 30e-6)
            self.assertAlmostEqual(found["round_trip", size], 50e-6)
        self.assertAlmostEqual(found["deliver_in_ci95", None], 1.5e-6)

    def test_delivery_is_left_out_where_the_ends_have_counters_of_their_own(self):
        found = measure("udp-latency", link("qemu"))
        self.assertFalse([metric for metric, _ in found if metric.startswith("deliver")])
        self.assertIn(("round_trip", 64), found)

    def test_switch_is_measured_with_single_packets_of_each_direction(self):
        found = measure("udp-latency", link(daemon=Switch()))
        self.assertAlmostEqual(found["switch_out", 1472], 0.5e-6)
        self.assertAlmostEqual(found["switch_in", 1472], 0.5e-6)
        self.assertEqual(found["switch_masks", None], 20)
        self.assertNotIn(("switch_out", 64), measure("udp-latency", link()), "without a switch there is none")

    def test_loss_is_a_failure(self):
        with self.assertRaisesRegex(workload.WorkloadError, "6 of 50 datagrams of 64 bytes were lost"):
            measure("udp-latency", link(lost=6))
        measure("udp-latency", link(lost=5))

    def test_servers_of_both_ends_are_ended(self):
        where = link()
        measure("udp-latency", where)
        for end in (where.a, where.b):
            self.assertEqual(end.commands[-1], "kill")


class PacketRate(unittest.TestCase):
    """pps."""

    def test_frames_are_as_large_as_they_are_said_to_be(self):
        where = link(flood={"sent": 100, "arrived": 90, "rate": 45.0}, daemon=Switch())
        found = measure("pps", where)
        self.assertEqual([found["rate", frame] for frame in netlat.FRAMES], [45.0, 45.0])
        self.assertEqual(found["switch_cycles", 64], 1000)
        payloads = [int(command.split()[4]) for command in where.a.commands if " flood " in command]
        self.assertEqual(payloads, [64 - 42, 1514 - 42])

    def test_nothing_that_arrives_is_a_failure(self):
        with self.assertRaisesRegex(workload.WorkloadError, "^0 of 100 frames of 64 bytes arrived"):
            measure("pps", link(flood={"sent": 100, "arrived": 0, "rate": 0.0}))


class SwitchCost(unittest.TestCase):
    """What the switch spends on a packet."""

    def test_it_is_that_of_the_packets_since_then(self):
        before = {"packets": 10, "busy_cycles": 5000, "mask_calls": 0, "tsc_hz": 1e9}
        after = {"packets": 14, "busy_cycles": 9000, "mask_calls": 8, "tsc_hz": 1e9}
        self.assertEqual(workload.per_packet(before, after), {"cycles": 1000, "seconds": 1e-6, "masks": 2})

    def test_without_packets_there_is_none(self):
        same = {"packets": 10, "busy_cycles": 5000, "mask_calls": 0, "tsc_hz": 1e9}
        self.assertIsNone(workload.per_packet(same, same))
        self.assertEqual(workload.cost(link(), None), [])


if __name__ == "__main__":
    unittest.main()
