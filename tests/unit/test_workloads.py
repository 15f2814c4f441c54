#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The workloads of bench/ab, over links that are not there: what they make of what programs and the switch say."""
import json
import os
import pathlib
import sys
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

# pylint: disable=wrong-import-position
from lab import eul, http_load, iperf, netlat, process, streams, workload  # noqa: E402
from lab.single_packet import SinglePacket  # noqa: E402
from lab.workloads import WORKLOADS, Options  # noqa: E402

QUICK = Options(seconds=1, quick=True)
WHOLE = Options(seconds=5)

WRK = """Running 3s test @ http://10.77.0.1:8080/document
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.24ms    3.48ms  23.64ms   71.72%
    Req/Sec   618.63     80.99   797.00     70.00%
  1853 requests in 3.01s, 58.33MB read
Requests/sec:    615.91
Transfer/sec:     19.39MB
"""
HTTPERF = """httperf --hog --timeout=1 --client=0/1 --server=10.77.0.1 --port=8080 --uri=/document --rate=1200
httperf: warning: open file limit > FD_SETSIZE; limiting max. # of open files to FD_SETSIZE
Maximum connect burst length: 9

Total: connections 3207 requests 1905 replies 930 test-duration 4.000 s

Connection rate: 802.1 conn/s (1.2 ms/conn, <=1022 concurrent connections)
Connection time [ms]: min 4.1 avg 824.5 max 1000.6 median 870.5 stddev 200.3
Connection time [ms]: connect 3.0
Connection length [replies/conn]: 1.000

Request rate: 476.5 req/s (2.1 ms/req)
Request size [B]: 70.0

Reply rate [replies/s]: min 0.0 avg 0.0 max 0.0 stddev 0.0 (0 samples)
Reply time [ms]: response 800.4 transfer 23.5
Reply size [B]: header 242.0 content 32768.0 footer 0.0 (total 33010.0)
Reply status: 1xx=0 2xx=920 3xx=0 4xx=10 5xx=0

CPU time [s]: user 0.03 system 1.73 (user 0.7% system 43.2% total 43.9%)
Net I/O: 6457.5 KB/s (52.9*10^6 bps)

Errors: total 2675 client-timo 2282 socket-timo 0 connrefused 0 connreset 0
Errors: fd-unavail 393 addrunavail 0 ftab-full 0 other 0
"""


class End:
    """An end whose programs say what a test wants them to: netlat's mode, or the first word of a command, -> its JSON,
    or its text. A program that says None is not there."""

    def __init__(self, kind, said):
        self.kind = kind
        self.ip = "10.77.0.1"
        self.said = said
        self.commands = []
        self.looks = 0

    def program(self, name):
        """As if it were in the path."""
        return name

    def cpu_seconds(self):
        """A guest has had two seconds more whenever it is looked at."""
        self.looks += 1
        return None if self.kind == "native" else 2.0 * self.looks

    def spawn(self, command):
        """A server, of which only the end matters."""
        self.commands.append(command)
        return types.SimpleNamespace(kill=lambda: self.commands.append("kill"), wait=lambda _timeout: None)

    def run(self, command, timeout=60, check=True):
        """What it says of the mode, or of the program; nothing of others."""
        self.commands.append(command)
        first, second = command.split()[:2]
        if first == "command":  # command -v PROGRAM
            return types.SimpleNamespace(text="", status=127 * (self.said.get(command.split()[2], "") is None))
        said = self.said.get(second if first == "netlat" else first, {})
        return types.SimpleNamespace(text=said if isinstance(said, str) else json.dumps(said), status=0)


class Switch:
    """A daemon whose workers are busy with a packet, and 1000 cycles, whenever they are looked at."""

    def __init__(self):
        self.looks = 0

    def show(self, _what):
        """The workers."""
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
        "wrk": WRK,
        "httperf": HTTPERF,
        **said,
    }
    return types.SimpleNamespace(name=f"a {kind}", a=End(kind, said), b=End("native", said), daemon=daemon)


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


class Streams(unittest.TestCase):
    """tcp-stream and udp-stream."""

    END = {"sum_received": {"bits_per_second": 2e9}, "sum": {"packets": 100, "lost_packets": 10, "seconds": 2.0}}

    def test_tcp_goes_both_ways_with_writes_of_each_size(self):
        where = link(iperf3={"end": self.END}, daemon=Switch())
        found = measure("tcp-stream", where)
        for size in iperf.QUICK_WRITE_SIZES:
            self.assertEqual((found["send", size], found["receive", size]), (2e9, 2e9))
        self.assertEqual(found["switch_cycles", None], 1000)
        streams = [command.split("-J ")[1] for command in where.a.commands if "-J" in command]
        self.assertEqual(streams, [f"-l {size}{way}" for size in iperf.QUICK_WRITE_SIZES for way in ("", " -R")])

    def test_all_sizes_include_those_of_quick_runs(self):
        self.assertLess(set(iperf.QUICK_WRITE_SIZES), set(iperf.WRITE_SIZES))
        self.assertLess(set(iperf.QUICK_SIZES), set(iperf.STREAM_SIZES))

    def test_datagrams_that_are_lost_have_not_arrived(self):
        found = measure("udp-stream", link(iperf3={"end": self.END}))
        self.assertEqual((found["packets", 64], found["arrived", 64]), (45, 45 * 64 * 8))

    def test_what_iperf3_complains_about_is_a_failure(self):
        with self.assertRaisesRegex(workload.WorkloadError, "-l 1448: unable to connect$"):
            measure("tcp-stream", link(iperf3={"error": "unable to connect"}))


class Paper(unittest.TestCase):
    """The tables of bench/eul."""

    def test_every_line_is_about_what_a_workload_gives(self):
        given = {name: set(WORKLOADS[name].metrics) for name in WORKLOADS}
        given["single-packet"] = set(SinglePacket.metrics)
        sizes = {"udp-latency": netlat.QUICK_SIZES, "udp-stream": iperf.QUICK_SIZES, "pps": netlat.FRAMES,
                 "tcp-stream": iperf.QUICK_WRITE_SIZES}  # fmt: skip
        lines = [line for content in eul.tables().values() for line in content]
        lines += [*eul.beside_native(("native", "uml-legacy", "uml-vector", *eul.STEPS)), *eul.at_a_gigabit()]
        lines += [*eul.added(), *eul.alone()]
        for line in lines:
            if isinstance(line, str):
                continue
            self.assertIn(line.metric, given[line.workload], line)
            if line.workload in WORKLOADS and WORKLOADS[line.workload].metrics[line.metric].x_label:
                self.assertTrue(line.x in sizes[line.workload] or line.x == netlat.SIZES[-1], line)
            else:
                self.assertIsNone(line.x, line)


class HttpLoad(unittest.TestCase):
    """http."""

    def test_what_wrk_prints(self):
        self.assertEqual(http_load.wrk_rate(WRK), 615.91)
        self.assertEqual(http_load.wrk_rate(WRK + "  Non-2xx or 3xx responses: 1853\n"), 0)
        self.assertEqual(http_load.wrk_rate("unable to connect to 10.77.0.1:8080 Connection refused\n"), 0)

    def test_what_httperf_prints(self):
        completed, reply_time = http_load.httperf_result(HTTPERF)
        self.assertAlmostEqual(completed, 920 / 4, msg="only documents count")
        self.assertAlmostEqual(reply_time, 0.8239)
        self.assertIsNone(http_load.httperf_result("httperf: failed to connect\n"))

    def test_rates_go_from_well_below_to_above_what_can_be_served(self):
        for most in (3, 70, 300, 615.91, 700, 12345):
            offered = http_load.rates(most, WHOLE)
            self.assertLess(offered[0], max(most / 4, 2), most)
            self.assertGreater(offered[-1], 1.4 * most, most)
            self.assertTrue(set(http_load.rates(most, QUICK)) <= set(offered), most)
            for before, after in zip(offered, offered[1:]):
                self.assertTrue(before < after < 1.6 * before or after < 10, offered)

    def test_similar_systems_are_offered_the_same_rates(self):
        self.assertEqual(http_load.rates(500, WHOLE), http_load.rates(700, WHOLE))
        self.assertGreaterEqual(len(set(http_load.rates(300, WHOLE)) & set(http_load.rates(700, WHOLE))), 7)

    def test_slower_system_is_offered_what_the_faster_one_was(self):
        http = http_load.Http()
        for most in ("1300.00", "615.91"):
            points = http.run(link(wrk=WRK.replace("615.91", most)), QUICK, lambda _text: None)
            self.assertEqual([point.x for point in points if point.metric == "completed"], [320, 1300, 2600])
        points = http.run(link("qemu"), QUICK, lambda _text: None)
        self.assertEqual([point.x for point in points if point.metric == "completed"], [160, 640, 1300])

    def test_reply_time_of_nothing_is_left_out(self):
        found = measure("http", link(httperf=HTTPERF.replace("2xx=920", "2xx=0")))
        self.assertEqual({metric for metric, _ in found}, {"most", "completed"})

    def test_missing_program_is_said_with_what_to_do(self):
        for program in ("nginx", "wrk", "httperf"):
            said = f"^{program} is missing; install it with: scripts/deps bench"
            with self.assertRaisesRegex(workload.WorkloadError, said):
                measure("http", link(**{program: None}))

    def test_server_is_ended_and_nothing_is_left(self):
        where = link()
        measure("http", where)
        self.assertEqual(where.a.commands[-1], "kill")
        nginx = next(command for command in where.a.commands if command.startswith("nginx -e stderr -p "))
        self.assertFalse(pathlib.Path(nginx.split()[4]).exists())


class Counters:
    """A daemon with the stage receive-aggregation that has done the same once more whenever it is looked at."""

    def __init__(self):
        self.looks = dict.fromkeys(("workers", "stages", "ports"), 0)

    def ctl(self, _show, what):
        """As show()."""
        return self.show(what)

    def show(self, what):
        """The workers, stages or ports."""
        self.looks[what] += 1
        return getattr(self, what)(self.looks[what])

    @staticmethod
    def workers(done):
        """1000 cycles in all."""
        signals = {"mask_calls": 0}
        return {"tsc_hz": 1000, "workers": [{"packets": done, "busy_cycles": 1000 * done, "signals": signals}]}

    @staticmethod
    def stages(done):
        """100, 200, 300, 50 and 150 of them with a name; five packets become one."""
        core = {"receive": 100, "switch": 200, "transmit": 300, "notify": 50}
        packet = {"name": "receive-aggregation", "kind": "packet", "cycles": 150 * done}
        packet.update(packets=10 * done, emitted=2 * done)
        mechanism = {"name": "io-channel", "kind": "mechanism", "primitive": "grant"}
        sections = [{"name": name, "kind": "core", "cycles": cycles * done} for name, cycles in core.items()]
        return {"stages": [*sections, packet, mechanism]}

    @staticmethod
    def ports(done):
        """Ten packets of the wire, of 1000 bytes, and one of a guest, with a payload of 1000."""
        wire, guest = {"packets": 10 * done, "bytes": 10_000 * done}, {"packets": done, "bytes": 1066 * done}
        return {"ports": [{"role": "wire", "rx": wire}, {"role": "guest", "rx": guest}]}


class Streams(unittest.TestCase):
    """tcp-sendfile, tcp-write, tcp-receive and what they cost."""

    @staticmethod
    def link(kind="uml", daemon=None):
        """A link over which iperf3 sends eight megabits per second."""
        said = {
            "iperf3": {"end": {"sum_received": {"bits_per_second": 8e6}}},
            "clock": {"tsc_hz": 500},
            "ip": "10.77.0.2 dev eth0 src 10.77.0.1\n",
            "ethtool": "generic-receive-offload: on\n",
        }
        return link(kind, daemon=daemon, **said)

    def setUp(self):
        for name in ("SETTLE_S", "EARLY_S"):
            self.addCleanup(setattr, streams, name, getattr(streams, name))
        streams.SETTLE_S, streams.EARLY_S = 0, 1  # there is nothing to wait for

    def test_costs_of_sending_are_those_of_a_kilobyte_of_payload(self):
        found = measure("tcp-sendfile", self.link(daemon=Counters()))
        self.assertEqual(found["rate", None], 8e6)
        self.assertEqual(found["switch_cycles", None], 1000)
        self.assertEqual(found["guest_cycles", None], 2000, "two seconds, at 1000 Hz")

    def test_without_a_switch_the_payload_is_what_the_rate_says(self):
        spent = {"seconds": 2.0, "guest": 1}
        self.assertEqual(streams.payload(8e6, spent), 2e6)

    def test_parts_are_the_whole(self):
        found = measure("tcp-receive", self.link(daemon=Counters()))
        parts = {part: found[f"switch_{part}", None] for part in streams.COMPONENTS}
        self.assertEqual(parts, {"receive": 10, "stages": 15, "switch": 20, "transmit": 30, "notify": 5, "rest": 20})
        self.assertEqual(sum(parts.values()), found["switch_cycles", None])
        self.assertEqual(found["both_cycles", None], found["switch_cycles", None] + found["guest_cycles", None])

    def test_costs_are_those_of_packets_of_the_wire(self):
        found = measure("tcp-receive", self.link(daemon=Counters()))
        self.assertEqual(found["switch_cycles", None], 100, "1000 for ten, not for the two that they became")
        self.assertEqual(found["switch_aggregated", None], 5)
        self.assertEqual(found["switch_answers", None], 0.1)

    def test_costs_that_are_not_known_are_left_out(self):
        self.assertEqual(set(measure("tcp-write", self.link())), {("rate", None), ("guest_cycles", None)})
        self.assertEqual(set(measure("tcp-receive", self.link())), {("rate", None)})
        self.assertEqual(set(measure("tcp-write", self.link("native"))), {("rate", None)})

    def test_guest_merges_nothing_where_it_is_not_to_and_does_again_afterwards(self):
        where = self.link()
        measure("tcp-receive-plain", where)
        switched = [command for command in where.a.commands if command.startswith("ethtool -K")]
        self.assertEqual(switched, ["ethtool -K eth0 gro off", "ethtool -K eth0 gro on"])
        where = self.link()
        measure("tcp-receive", where)
        self.assertFalse([command for command in where.a.commands if command.startswith("ethtool")])

    def test_what_grows_with_the_bytes(self):
        def spent(size, packets):
            """A guest that takes 400 cycles and one for a byte, and a switch that takes 600 and two."""
            switch = packets * (600 + 2 * size + 70)
            return {"guest": packets * (400 + size), "switch": switch, "switch_stages": packets * 70,
                    "wire_packets": packets, "wire_bytes": packets * size}  # fmt: skip

        points = {point.metric: point.value for point in streams.by_bytes(spent(1500, 10), spent(600, 40))}
        for metric, value in (("guest_bytes", 1500), ("switch_bytes", 3000), ("both_overhead", 1000)):
            self.assertAlmostEqual(points[metric], value, msg=metric)

    def test_no_packet_of_the_wire_is_a_failure(self):
        with self.assertRaisesRegex(workload.WorkloadError, "no packet has come from the wire"):
            streams.received({"switch": 1, "wire_packets": 0})

    def test_cpu_time_is_that_of_a_session_with_those_that_have_ended(self):
        line = "42 (a) b (c) S 1 40 {session} 0 -1 0 0 0 0 0 7 5 2 1 20 0 1 0 0"
        self.assertEqual(process.session_ticks(line.format(session=40), 40), 15)
        self.assertEqual(process.session_ticks(line.format(session=41), 40), 0)

    def test_processes_that_end_meanwhile_are_passed_over(self):
        with mock.patch.object(pathlib.Path, "exists", side_effect=ProcessLookupError):  # as of a file of one in /proc
            self.assertGreaterEqual(process.cpu_seconds(os.getsid(0)), 0)
            process.kill_group(2**22, "no such mark")


class Figures(unittest.TestCase):
    """What a metric is to be compared with."""

    def test_figure_is_named_with_its_paper(self):
        figures = [metric.figure for one in WORKLOADS.values() for metric in one.metrics.values() if metric.figure]
        self.assertIn("Table 3.1 of Menon (thesis, EPFL 2009)", figures)
        for figure in figures:
            self.assertRegex(figure, r"^(Figure|Table) .* of (Koh et al\. \(LCN 2006\)|Menon \(thesis, EPFL 2009\))$")


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
