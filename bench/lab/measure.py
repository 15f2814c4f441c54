# SPDX-License-Identifier: BSD-3-Clause
"""What bench/demo measures: two guests on a switch, and the tests that are run between them.

    setup = plan("eul.json", "uml")
    with Bench(setup, progress) as bench:
        outcomes = [run_test(bench, test, seconds=5) for test in TESTS]

What is reported was measured: by iperf3 and ping in the guests, and by the switch's own counters, read before and
after each test. A test that fails has a reason in place of numbers and does not keep the others from being run.
"""

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket as sockets
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import image
from .daemon import REPO, Daemon, DaemonError, control_socket, effective_config
from .guest import Guest
from .process import LabError, tail
from .table import scaled

KINDS = ("uml", "qemu")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
BOOT_TIMEOUT_S = 90
BOOT_ESTIMATE_S = {"uml": 5, "qemu": 20}
REACH_TIMEOUT_S = 15
TICK_S = 0.2
IPERF3_PORT = 5201
IPERF3_GRACE_S = 20  # to start, connect and report
PINGS = 20
PING_INTERVAL_S = 0.05
PING_TIMEOUT_S = 30
# What a sender without hardware support can just send. Datagrams are large (and travel in six fragments), because
# a system call of a User-mode Linux guest takes some 30 us.
UDP_OFFERED_BPS = {"native": 100e6, "tcg": 50e6, "kvm": 1e9}
UDP_DATAGRAM_BYTES = 8192
DISTURBED = 0.05  # share of the time that the workers waited for their CPU from which on it is said


class MeasureError(LabError):
    """A measurement could not be made; the message says why."""


# What is measured with


@dataclass(frozen=True)
class Setup:
    """A configuration, the ports that the guests attach to, and where everything runs.

    name           what the configuration is called
    config         its file, as ./pktvirt is given it
    kind           of the guests: "uml" or "qemu"
    ports          (name, socket, whether the guest listens on it) of the two ports
    control        control socket of the daemon
    bindings       primitive -> bound implementation
    worker_cpus    host CPUs of the switch's workers
    guest_cpus     host CPUs of both guests
    """

    name: str
    config: str
    kind: str
    ports: tuple
    control: str
    bindings: dict
    worker_cpus: list
    guest_cpus: list


def plan(config, kind):
    """The Setup for a configuration and a kind of guests. LabError if two guests cannot attach to it."""
    file = find_config(config)
    effective = effective_config(file)
    ports = [port_of(port) for port in effective["ports"] if "vhost-user" in port][:2]
    if len(ports) < 2:
        raise MeasureError(f"{config}: two ports of type vhost-user are needed, it has {len(ports)}")
    workers = effective["workers"]
    return Setup(
        name=config,
        config=file,
        kind=kind,
        ports=tuple(ports),
        control=control_socket(effective),
        bindings={bound["primitive"]: bound["implementation"] for bound in effective["$bindings"]},
        worker_cpus=workers,
        guest_cpus=guest_cpus(workers),
    )


def find_config(name):
    """The file of a configuration: a name that is no file here is one of configs/, wherever we were started."""
    shipped = REPO / "configs" / name
    return str(shipped) if shipped.exists() and not Path(name).exists() else name


def port_of(port):
    """Name, socket and whether the guest listens, of a port of an effective configuration."""
    return port["name"], port["vhost-user"]["socket"], port["vhost-user"]["mode"] == "client"


def guest_cpus(workers):
    """The guests get the CPUs that no worker polls on, or all where none is left."""
    ours = os.sched_getaffinity(0)
    return sorted(ours - set(workers)) or sorted(ours)


class Bench:
    """The daemon of a setup with two guests, booted and in reach of each other. A context manager.

    Entering it raises LabError if any of this does not come about; leaving it stops everything, and raises
    DaemonError if the daemon died or would not stop.
    """

    def __init__(self, setup, progress):
        self.setup = setup
        self.progress = progress
        self.daemon = None
        self.guests = []
        self._started = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._started = stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self._started.__exit__(*exception)

    def _start(self, stack):
        self.progress.show(f"preparing the image of {self.setup.kind} guests")
        image.ensure(self.setup.kind)
        self.progress.show("starting pktvirt")
        for path in (self.setup.control, *(socket for _, socket, _ in self.setup.ports)):
            check_free(path)
        self.daemon = stack.enter_context(Daemon(self.setup.config))
        self.guests = [stack.enter_context(guest) for guest in self._new_guests()]
        self._wait_booted()
        self._wait_reachable()

    def _new_guests(self):
        for (name, socket, listens), address in zip(self.setup.ports, ADDRESSES):
            options = {"server": True} if listens else {}
            yield Guest(self.setup.kind, name, socket, f"{address}/24", cpus=self.setup.guest_cpus, **options)

    def _wait_booted(self):
        step = "booting " + " and ".join(guest.name for guest in self.guests)
        start = time.monotonic()
        for guest in self.guests:
            while not guest.channel.ready.wait(TICK_S):
                self.check_alive()
                waited = time.monotonic() - start
                if waited > BOOT_TIMEOUT_S:
                    console = tail(guest.log)
                    raise MeasureError(f"guest {guest.name}: not up after {BOOT_TIMEOUT_S} s; console:\n{console}")
                self.progress.show(step, f"{waited:.0f} s")
            guest.wait_ready(0)

    def _wait_reachable(self):
        """The ports may come up a moment after the guests, and the first packets may be lost."""
        first, second = self.guests
        self.progress.show(f"waiting until {first.name} reaches {second.name}")
        deadline = time.monotonic() + REACH_TIMEOUT_S
        while first.run(f"ping -q -c 1 -W 1 {ADDRESSES[1]}", check=False).status:
            self.check_alive()
            if time.monotonic() > deadline:
                raise MeasureError(f"{first.name} gets no answer from {second.name} within {REACH_TIMEOUT_S} s")

    def check_alive(self):
        """DaemonError if the daemon has died. (What waits for a guest that dies is told by its channel.)"""
        status = self.daemon.child.status
        if status is not None:
            raise DaemonError(f"pktvirt ended with status {status}; end of its log:\n{tail(self.daemon.log, 5)}")

    def finish(self, job, timeout, tick):
        """Wait for a guest's job and return its result; calls tick() meanwhile. MeasureError after `timeout` s."""
        deadline = time.monotonic() + timeout
        while (result := job.poll()) is None:
            self.check_alive()
            if time.monotonic() > deadline:
                job.kill()
                raise MeasureError(f"{job.command!r} had not ended after {timeout:g} s")
            tick()
            time.sleep(TICK_S)
        return result

    def counters(self):
        """The switch's counters as they are now."""
        shown = self.daemon.ctl("show", "workers")
        ports = self.daemon.ctl("show", "ports")["ports"]
        return Counters(
            packets=sum(worker["packets"] for worker in shown["workers"]),
            busy_cycles=sum(worker["busy_cycles"] for worker in shown["workers"]),
            waited_ns=waited_ns(self.daemon.pid),
            time_ns=shown["time_ns"],
            workers=len(shown["workers"]),
            drops=Counter({(port["name"], reason): n for port in ports for reason, n in port["drops"].items()}),
        )


def check_free(path):
    """MeasureError if somebody listens on a socket that the daemon will need."""
    with sockets.socket(sockets.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(path)
        raise MeasureError(f"{path} is in use: stop the pktvirt that runs there, or use another configuration")


@dataclass(frozen=True)
class Counters:
    """What the switch has done since it started, over all workers, and when that was read."""

    packets: int
    busy_cycles: int
    waited_ns: int | None
    time_ns: int
    workers: int
    drops: Counter


def waited_ns(pid):
    """How long the workers' threads could not run because their CPU was taken; None if the kernel does not tell."""
    waited = waited_by_worker(pid)
    return None if waited is None else sum(waited)


def waited_by_worker(pid):
    """The same for each worker."""
    return of_workers(pid, 1)


def ran_by_worker(pid):
    """For how many nanoseconds each worker has run; None if the kernel does not tell."""
    return of_workers(pid, 0)


def of_workers(pid, field):
    """A field of schedstat (proc(5)) of each worker's thread."""
    values = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            if (task / "comm").read_text().startswith("rte-worker"):
                values.append(int((task / "schedstat").read_text().split()[field]))
    except OSError:
        return None
    return values


# The tests


# What the test of each protocol gives.
METRICS = {
    "ping": ("loss_percent", "rtt_min_ms", "rtt_avg_ms", "rtt_max_ms", "cycles_per_packet"),
    "tcp": ("throughput_bps", "retransmits", "packets_per_s", "cycles_per_packet"),
    "udp": ("throughput_bps", "offered_bps", "sent_bps", "loss_percent", "packets_per_s", "cycles_per_packet"),
}


@dataclass(frozen=True)
class Test:
    """A test between two guests: protocol "ping", "tcp" or "udp", from one guest to another (their indices)."""

    protocol: str
    sender: int
    receiver: int

    def title(self, setup):
        """The test's name, such as "TCP vm0 to vm1"."""
        name = "ping" if self.protocol == "ping" else self.protocol.upper()
        return f"{name} {setup.ports[self.sender][0]} to {setup.ports[self.receiver][0]}"

    def has(self, metric):
        """Whether this test gives this metric, if it does not fail."""
        return metric in METRICS[self.protocol]


TESTS = (Test("ping", 0, 1), Test("tcp", 0, 1), Test("tcp", 1, 0), Test("udp", 0, 1))


@dataclass
class Outcome:
    """What a test gave.

    metrics   name, as in METRICS -> number; only what was measured
    drops     (port, reason) -> packets that the switch dropped meanwhile
    waited    share of the time that the workers waited for their CPU, or None
    failure   why metrics are missing, or None
    """

    test: Test
    title: str
    metrics: dict = field(default_factory=dict)
    drops: Counter = field(default_factory=Counter)
    waited: float | None = None
    failure: str | None = None

    def as_json(self):
        """For the files that are written."""
        drops = {}
        for (port, reason), packets in self.drops.items():
            drops.setdefault(port, {})[reason] = packets
        record = {"test": self.title, **self.metrics, "drops": drops, "workers_waited": self.waited}
        return {**record, "failure": self.failure} if self.failure else record


def run_test(bench, test, seconds):
    """Run a test, saying so; returns its Outcome. Nothing in it raises LabError: that becomes its failure."""
    outcome = Outcome(test, test.title(bench.setup))
    try:
        before = bench.counters()
        measured, lasted_s = {"ping": ping, "tcp": tcp, "udp": udp}[test.protocol](bench, test, seconds)
        outcome.metrics |= measured
        add_switch_metrics(outcome, before, bench.counters(), lasted_s)
    except LabError as error:
        outcome.failure = str(error)
    return outcome


def add_switch_metrics(outcome, before, after, lasted_s):
    """What the counters say about a test in which traffic flowed for `lasted_s` seconds."""
    packets = after.packets - before.packets
    outcome.drops = after.drops - before.drops
    if before.waited_ns is not None and after.waited_ns is not None:
        available_ns = (after.time_ns - before.time_ns) * after.workers
        outcome.waited = (after.waited_ns - before.waited_ns) / available_ns
    if packets == 0:
        raise MeasureError("the switch has counted no packets")
    outcome.metrics["cycles_per_packet"] = (after.busy_cycles - before.busy_cycles) / packets
    if outcome.test.has("packets_per_s"):
        outcome.metrics["packets_per_s"] = packets / lasted_s


# Each returns its metrics and for how many seconds traffic flowed.


def ping(bench, test, _seconds):
    """Round trips of small packets, a fixed number of them."""
    command = f"ping -q -c {PINGS} -i {PING_INTERVAL_S} -W 2 {ADDRESSES[test.receiver]}"
    job = bench.guests[test.sender].spawn(command)
    title = test.title(bench.setup)
    text = bench.finish(job, PING_TIMEOUT_S, lambda: bench.progress.show(title)).text
    lost = re.search(r"(\d+)% packet loss", text)
    times = re.search(r"min/avg/max = ([\d.]+)/([\d.]+)/([\d.]+) ms", text)
    if not lost or not times:
        raise MeasureError(f"no answer to any of {PINGS} pings")
    rtt = dict(zip(("rtt_min_ms", "rtt_avg_ms", "rtt_max_ms"), map(float, times.groups())))
    return {"loss_percent": float(lost[1]), **rtt}, PINGS * PING_INTERVAL_S


def tcp(bench, test, seconds):
    """One TCP connection, as fast as it goes."""
    end = iperf3(bench, test, seconds)
    metrics = {
        "throughput_bps": end["sum_received"]["bits_per_second"],
        "retransmits": end["sum_sent"]["retransmits"],
    }
    return metrics, end["sum_sent"]["seconds"]


def udp(bench, test, seconds):
    """One UDP flow at an offered rate; throughput is what arrived, loss the share of what was sent that did not.

    iperf3's own count of lost datagrams is that of gaps between those that arrive: it misses what is lost at the end.
    """
    offered_bps = UDP_OFFERED_BPS[accelerator(bench.setup.kind)]
    end = iperf3(bench, test, seconds, "-u", "-l", UDP_DATAGRAM_BYTES, "-b", f"{offered_bps:.0f}")
    sent, received = end["sum_sent"], end["sum_received"]
    if not sent["bytes"]:
        raise MeasureError("iperf3 has sent nothing")
    metrics = {
        "throughput_bps": received["bits_per_second"],
        "offered_bps": offered_bps,
        "sent_bps": sent["bits_per_second"],
        "loss_percent": 100 * (sent["bytes"] - received["bytes"]) / sent["bytes"],
    }
    return metrics, sent["seconds"]


def iperf3(bench, test, seconds, *options):
    """Run iperf3 from the test's sender to its receiver; returns the "end" of its report."""
    sender, receiver = bench.guests[test.sender], bench.guests[test.receiver]
    server = receiver.spawn(f"iperf3 -s -1 -p {IPERF3_PORT}")
    try:
        receiver.run(f"until netstat -ltn | grep -q :{IPERF3_PORT}; do usleep 20000; done", timeout=IPERF3_GRACE_S)
        client = ["iperf3", "-J", "-c", ADDRESSES[test.receiver], "-p", IPERF3_PORT, "-t", f"{seconds:g}", *options]
        job = sender.spawn(client)
        tick = countdown(bench.progress, test.title(bench.setup), seconds)
        return iperf3_end(bench.finish(job, seconds + IPERF3_GRACE_S, tick))
    finally:
        server.kill()


def countdown(progress, title, seconds):
    """A function that shows a test and how far it is."""
    start = time.monotonic()
    return lambda: progress.show(title, f"{min(time.monotonic() - start, seconds):.0f} of {seconds:g} s")


def iperf3_end(result):
    """The "end" of iperf3's report; MeasureError with its own words if there is none. (Its exit status is 0.)"""
    try:
        report = json.loads(result.text)
    except ValueError:
        said = result.stderr.decode(errors="replace").strip() or result.text.strip()
        raise MeasureError(f"iperf3 ended with status {result.status}: {said[:200]}") from None
    if "error" in report or "sum_sent" not in report.get("end", {}):
        raise MeasureError(f"iperf3: {report.get('error', 'its report is empty')}")
    return report["end"]


# What is said about it


def machine_facts():
    """Where and from which commit is measured."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {"cpu": cpu_model(), "cpus": os.cpu_count(), "memory_mb": memory_mb()},
        "kernel": platform.release(),
        "commit": commit(),
    }


def facts(bench):
    """Where and with what was measured, for the header and the files."""
    version = bench.daemon.ctl("version")
    return {
        **machine_facts(),
        "versions": {"pktvirt": version["pktvirt"], "dpdk": version["dpdk"].split()[-1], **guest_versions(bench)},
        "guests": {"kind": bench.setup.kind, "accelerator": accelerator(bench.setup.kind)},
    }


def guest_versions(bench):
    """Versions of what makes a guest: its kernel, iperf3, and QEMU."""
    guest = bench.guests[0]
    versions = {"guest_kernel": guest.run("uname -r").text.strip(), "iperf3": guest.run("iperf3 -v").text.split()[1]}
    if bench.setup.kind == "qemu":
        said = subprocess.run([image.QEMU, "--version"], capture_output=True, text=True, timeout=10, check=True)
        versions["qemu"] = said.stdout.split()[3]  # QEMU emulator version 7.2.22 (...)
    return versions


def setup_json(setup):
    """A setup, for the files that are written."""
    return {
        "config": setup.name,
        "bindings": setup.bindings,
        "worker_cpus": setup.worker_cpus,
        "guest_cpus": setup.guest_cpus,
    }


def accelerator(kind):
    """How a guest of this kind runs."""
    return "native" if kind == "uml" else image.accel(image.guest_dir())


def cpu_model():
    """The processor's name."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def memory_mb():
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def commit():
    """The commit that was measured, marked if the files differ from it; None without git."""
    if not shutil.which("git"):
        return None
    argv = ["git", "-C", str(REPO), "describe", "--always", "--abbrev=12", "--dirty"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout.strip() or None


def headline(setup, given):
    """One sentence on the guests and the switch, for the top of a table."""
    versions = given["versions"]
    emulator = f"QEMU {versions['qemu']}, " if "qemu" in versions else ""
    guests = f"{setup.kind} guests ({emulator}{given['guests']['accelerator']}, Linux {versions['guest_kernel']})"
    switch = f"pktvirt {versions['pktvirt']} on {cpu_text(setup.worker_cpus)}"
    bound = f"{setup.name} binds {binding_text(setup.bindings)}"
    return f"{guests} on {cpu_text(setup.guest_cpus)}, {switch}; {bound}"


def binding_text(bindings):
    """{"host-io": "per-burst"} -> "host-io=per-burst" """
    return ", ".join(f"{primitive}={implementation}" for primitive, implementation in bindings.items())


def cpu_text(cpus):
    """[0, 2, 3, 4] -> "CPUs 0,2-4" """
    spans = []
    for cpu in cpus:
        if spans and cpu == spans[-1][-1] + 1:
            spans[-1] = (spans[-1][0], cpu)
        else:
            spans.append((cpu, cpu))
    listed = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
    return f"CPU{'s' if len(cpus) > 1 else ''} {listed}"


def remarks(outcome):
    """What else has to be said about a test: sentences without its name."""
    if outcome.failure:
        yield f"failed: {outcome.failure}"
    for (port, reason), packets in sorted(outcome.drops.items()):
        yield f"{packets} packets dropped at {port}: {reason}"
    sent, offered = outcome.metrics.get("sent_bps"), outcome.metrics.get("offered_bps")
    if sent and sent < 0.9 * offered:
        yield f"of {scaled(offered, 'b/s')} offered, the guest could send {scaled(sent, 'b/s')}"


def disturbance(outcomes):
    """A sentence if the workers had to wait for their CPU, which makes the numbers worse than they are; or None."""
    shares = [outcome.waited for outcome in outcomes if outcome.waited is not None]
    disturbed = [share for share in shares if share > DISTURBED]
    if not disturbed:
        return None
    return (
        f"In {len(disturbed)} of {len(shares)} tests something else ran on the switch's CPU, for up to "
        f"{100 * max(disturbed):.0f} % of the time: all numbers suffer, most of all cycles per packet."
    )


# What a program of this kind does at its ends

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_program(name, main, progress):
    """Run main() and return the exit status, 0 or 1, after all it had started was stopped, whatever happens."""
    for number in ENDING_SIGNALS:
        signal.signal(number, interrupt_once)
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: no second complaint at exit
        return 1
    except (LabError, OSError) as error:
        complaint = str(error)
    except KeyboardInterrupt:
        complaint = "interrupted; everything that was started is stopped"
    progress.clear()
    print(f"{name}: {complaint}", file=sys.stderr)
    return 1


def interrupt_once(_number, _frame):
    """End the program in order, as Ctrl-C does; a second signal must not interrupt that."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def write_json(path, content):
    """Write a result file."""
    Path(path).write_text(json.dumps(content, indent=2) + "\n")


# Arguments


def duration(text):
    """A number of seconds, for argparse."""
    with contextlib.suppress(ValueError):
        if 1 <= (value := float(text)) <= 3600:
            return value
    raise ArgumentTypeError(f"{text!r}: expected 1 to 3600 seconds")


def count(text):
    """How often something is done, for argparse."""
    if text.isdecimal() and 1 <= int(text) <= 1000:
        return int(text)
    raise ArgumentTypeError(f"{text!r}: expected 1 to 1000")


def writable(path):
    """A file that can be written, for argparse: that it cannot must be known before anything is measured."""
    was_there = Path(path).exists()
    try:
        with open(path, "a", encoding="utf-8"):
            pass
        if not was_there:
            Path(path).unlink()  # nothing empty is left where nothing comes to be written
        return path
    except OSError as error:
        raise ArgumentTypeError(f"{path}: {error.strerror}") from None


def folder(path):
    """A folder in which files can be written; made if it is not there. For argparse."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentTypeError(f"{path}: {error.strerror}") from None
    for name in ("results.json", "report.txt", "report.html"):
        writable(f"{path}/{name}")
    return path
