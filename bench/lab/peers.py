# SPDX-License-Identifier: BSD-3-Clause
"""The switches that bench/switch measures: pktvirt in three ways, testpmd in its mode "io", and OVS-DPDK.

All are one polling thread on a given CPU between two vhost-user sockets on which they listen, with their packet memory
in hugepages. Each tells how many packets it has forwarded and for how many cycles of the time stamp counter it was
busy; see the classes for what that means.
"""

import json
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .daemon import Daemon, effective_config
from .process import Child, LabError, RunDir, tail
from .testpmd import polling_thread, testpmd

START_TIMEOUT_S = 30
COMMAND_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10


class PeerError(LabError):
    """A switch did not start, died, or does not answer."""


@dataclass(frozen=True)
class PeerCounters:
    """What a switch has done since it started. `drops` is what it says itself that it has dropped, by reason.

    The cycles are of its polling thread; of idle ones only the difference between two readings means anything.
    """

    time_ns: int
    packets: int
    busy_cycles: int
    idle_cycles: int
    drops: Counter = field(default_factory=Counter)


class Peer:
    """A switch under test. A subclass has start(), stop(), counters(), pid and signal().

    memory_mb   hugepages that it takes, in MiB
    """

    name = label = None
    memory_mb = 0

    def __init__(self, cpu):
        self.cpu = cpu
        self.sockets = ()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def polling_thread(self):
        """Thread id of what polls."""
        return polling_thread(self.pid)

    @classmethod
    def check(cls):
        """LabError if it cannot run here."""


class Pktvirt(Peer):
    """The daemon. Busy are the polling rounds in which a packet came in, as a whole: its own busy_cycles."""

    memory_mb = 320
    data_path = "rte_vhost"
    baseline = "none"
    stages = ()

    def __init__(self, cpu):
        super().__init__(cpu)
        self._run_dir = self._daemon = None

    @classmethod
    def config(cls, directory, cpu):
        """Its configuration with the sockets in a directory."""
        return {
            "workers": [cpu],
            "baseline": cls.baseline,
            "ports": [
                {
                    "name": name,
                    "vhost-user": {
                        "socket": f"{directory}/{name}",
                        "guest": "virtio-user",
                        "data-path": cls.data_path,
                    },
                }
                for name in ("vm0", "vm1")
            ],
            "stages": list(cls.stages),
        }

    @classmethod
    def check(cls):
        """The daemon refuses what it does not have."""
        directory = RunDir()
        try:
            path = directory / "config.json"
            path.write_text(json.dumps(cls.config(directory.path, 0)))
            effective_config(path)
        except LabError as error:
            raise PeerError(f"{cls.name}: refused by pktvirt; leave it out with --peers:\n{error}") from None
        finally:
            directory.remove()

    def start(self):
        """Start the daemon."""
        self._run_dir = RunDir()
        config = self.config(self._run_dir.path, self.cpu)
        self.sockets = tuple(port["vhost-user"]["socket"] for port in config["ports"])
        self._daemon = Daemon(config).start(START_TIMEOUT_S)
        if "without hugepages" in tail(self._daemon.log):
            raise PeerError(f"{self.name}: there are too few hugepages: {tail(self._daemon.log)}")

    @property
    def pid(self):
        """Process id."""
        return self._daemon.pid

    def signal(self, number):
        """Send the process a signal."""
        self._daemon.signal(number)

    def counters(self):
        """PeerCounters."""
        shown = self._daemon.ctl("show", "workers")
        (worker,) = shown["workers"]
        return PeerCounters(
            time_ns=shown["time_ns"],
            packets=worker["packets"],
            busy_cycles=worker["busy_cycles"],
            idle_cycles=worker["idle_cycles"],
            drops=Counter(worker["drops"]),
        )

    def facts(self):
        """What was measured."""
        version = self._daemon.ctl("version")
        return f"pktvirt {version['pktvirt']} (DPDK {version['dpdk'].split()[-1]})"

    def stop(self):
        """End it."""
        try:
            if self._daemon:
                self._daemon.stop()
        finally:
            self._daemon = None
            if self._run_dir:
                self._run_dir.remove()


class PktvirtShared(Pktvirt):
    """Our own data path; payload goes from guest to guest in one copy."""

    name, label = "pktvirt-shared", "pktvirt, shared buffers"
    data_path, stages = "vio", ("shared-buffer-rings",)


class PktvirtCopy(Pktvirt):
    """Our own data path with two copies."""

    name, label = "pktvirt-copy", "pktvirt, copies"
    data_path = "vio"


class PktvirtRteVhost(Pktvirt):
    """DPDK's data path in our switch."""

    name, label = "pktvirt-rte-vhost", "pktvirt, rte_vhost"


class PktvirtEul(Pktvirt):
    """All techniques of Koh et al. (LCN 2006), over the baseline of User-mode Linux; the worker polls."""

    name, label = "pktvirt-eul", "pktvirt, all techniques"
    data_path, baseline = "vio", "uml"
    stages = (
        {"signal-free-sync": {"mode": "poll"}},
        "batched-syscalls",
        "translation-cache",
        "shared-buffer-rings",
        "specialization",
    )


def without(stage):
    """The same but for one of them, which is done User-mode Linux's way."""
    rest = tuple(one for one in PktvirtEul.stages if stage not in one)
    names = {"name": f"without-{stage}", "label": f"without {stage}", "stages": rest}
    return type(f"Without_{stage}", (PktvirtEul,), names)


class Testpmd(Peer):
    """testpmd --forward-mode=io between two net_vhost devices: it moves packets and looks at none.

    Busy are the polls of a queue that gave packets, up to where these are sent (record-core-cycles). What is left of
    the time counts as idle: empty polls, also those in a round in which the other queue gave packets, and the loop
    around them. pktvirt and OVS count all of such a round as busy.
    """

    name, label = "testpmd", "testpmd io"
    memory_mb = 192

    def __init__(self, cpu):
        super().__init__(cpu)
        self._run_dir = self._testpmd = None

    def start(self):
        """Start testpmd and its forwarding."""
        self._run_dir = RunDir()
        self.sockets = tuple(str(self._run_dir / name) for name in ("vm0", "vm1"))
        vdevs = [f"net_vhost{number},iface={path},queues=1" for number, path in enumerate(self.sockets)]
        self._testpmd = testpmd("testpmd", self.cpu, self.memory_mb, vdevs, ["--forward-mode=io"])
        self._testpmd.start()
        self._testpmd.wait_ready(START_TIMEOUT_S)
        self._testpmd.run("set record-core-cycles on")
        self._testpmd.run("start")

    @property
    def pid(self):
        """Process id."""
        return self._testpmd.child.pid

    def signal(self, number):
        """Send the process a signal."""
        self._testpmd.child.signal(number)

    def counters(self):
        """PeerCounters."""
        now, time_ns = timed(self._testpmd.forwarded)
        return PeerCounters(
            time_ns=time_ns,
            packets=now.packets,
            busy_cycles=now.busy_cycles,
            idle_cycles=time_ns * now.tsc_mhz // 1000 - now.busy_cycles,
            drops=Counter(tx_dropped=now.dropped),
        )

    def facts(self):
        """What was measured."""
        argv = ["pkg-config", "--modversion", "libdpdk"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
        return f"testpmd (DPDK {said.stdout.strip() or 'unknown'})"

    def stop(self):
        """End it."""
        if self._testpmd:
            self._testpmd.stop()
            self._testpmd = None
        if self._run_dir:
            self._run_dir.remove()


class Ovs(Peer):
    """OVS-DPDK: a bridge in user space with the action "normal", all settings at their defaults.

    Busy ("processing") are the iterations of its thread in which packets came in, as a whole. It has a database, a
    directory and a network namespace of its own; the machine's Open vSwitch, if it runs, is not touched.

    namespace   a netns.Namespace to run in instead
    wire        a tap in it that is made, and is a third port of the bridge
    """

    name, label = "ovs", "OVS-DPDK"
    memory_mb = 1024
    DAEMON = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
    BRIDGE = "bench"

    def __init__(self, cpu, namespace=None, wire=None):
        super().__init__(cpu)
        self._run_dir = self._database = self._daemon = None
        self._inside = namespace.prefix if namespace else ["unshare", "--net"]
        self._wire = wire

    @classmethod
    def check(cls):
        """It is a package of its own."""
        if not Path(cls.DAEMON).exists():
            raise PeerError(f"{cls.name}: {cls.DAEMON} is missing: scripts/deps bench, or leave it out")

    def start(self):
        """Start database and daemon, and make the bridge."""
        self._run_dir = RunDir()
        self.sockets = tuple(str(self._run_dir / name) for name in ("vm0", "vm1"))
        self._start_database()
        self._configure()
        self._start_daemon()
        self._make_bridge()

    def _start_database(self):
        self._run("ovsdb-tool", "create", self._run_dir / "conf.db", self.SCHEMA)
        self._database = self._child(
            "ovsdb-server",
            self._run_dir / "conf.db",
            f"--remote=punix:{self._run_dir / 'db.sock'}",
            f"--unixctl={self._run_dir / 'db.ctl'}",
        )
        self._wait_for(self._run_dir / "db.sock", self._database)
        self._vsctl("--no-wait", "init")

    def _configure(self):
        settings = {
            "dpdk-init": "true",
            "dpdk-socket-mem": f"{self.memory_mb}",
            "dpdk-socket-limit": f"{self.memory_mb}",
            "dpdk-extra": "--in-memory --no-pci --no-telemetry --iova-mode=va",
            "pmd-cpu-mask": f"{1 << self.cpu:#x}",
        }
        words = [f'other_config:{key}="{value}"' for key, value in settings.items()]
        self._vsctl("--no-wait", "set", "Open_vSwitch", ".", *words)

    def _start_daemon(self):
        self._daemon = self._child(
            *self._inside,
            self.DAEMON,
            f"unix:{self._run_dir / 'db.sock'}",
            f"--unixctl={self._run_dir / 'vswitchd.ctl'}",
            f"--pidfile={self._run_dir / 'vswitchd.pid'}",
        )
        self._wait_for(self._run_dir / "vswitchd.ctl", self._daemon)

    def _make_bridge(self):
        add = ["add-br", self.BRIDGE, "--", "set", "Bridge", self.BRIDGE, "datapath_type=netdev"]
        for socket in self.sockets:
            name = Path(socket).name
            add += ["--", "add-port", self.BRIDGE, name]
            add += ["--", "set", "Interface", name, "type=dpdkvhostuser"]
        if self._wire:
            add += ["--", "add-port", self.BRIDGE, "wire0", "--", "set", "Interface", "wire0", "type=dpdk"]
            # net_tap wants as many queues in as out, of which OVS asks for one a thread, its main one included.
            add += [f"options:dpdk-devargs=net_tap0,iface={self._wire}", "options:n_rxq=2"]
        self._vsctl(*add)
        for socket in self.sockets:
            self._wait_for(Path(socket), self._daemon)

    @property
    def _environment(self):
        """All of its directories are ours, also those that EAL would litter."""
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY")
        return {name: str(self._run_dir.path) for name in names}

    def _child(self, *argv):
        return Child(argv, log=self._run_dir / "log", env=self._environment)

    def _run(self, *argv):
        """Run a program to its end; returns what it printed."""
        command = ["env", *(f"{name}={value}" for name, value in self._environment.items()), *map(str, argv)]
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": COMMAND_TIMEOUT_S}
        try:
            done = subprocess.run(command, check=False, **options)
        except subprocess.TimeoutExpired:
            log = tail(self._run_dir / "log")
            raise PeerError(f"{argv[0]}: no answer after {COMMAND_TIMEOUT_S} s; {log}") from None
        if done.returncode:
            raise PeerError(f"{' '.join(map(str, argv))}: {done.stderr.strip()}\n{tail(self._run_dir / 'log')}")
        return done.stdout

    def _vsctl(self, *words):
        return self._run("ovs-vsctl", f"--db=unix:{self._run_dir / 'db.sock'}", f"--timeout={START_TIMEOUT_S}", *words)

    def _appctl(self, *words):
        return self._run("ovs-appctl", "-t", self._run_dir / "vswitchd.ctl", *words)

    def _wait_for(self, path, child):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not path.exists():
            if child.status is not None:
                raise PeerError(f"{child.argv[0]} ended with status {child.status}: {child.log_tail()}")
            if time.monotonic() > deadline:
                raise PeerError(f"{child.argv[0]}: {path} is not there after {START_TIMEOUT_S} s: {child.log_tail()}")
            time.sleep(0.02)

    @property
    def pid(self):
        """Process id."""
        return self._daemon.pid

    def signal(self, number):
        """Send the process a signal."""
        self._daemon.signal(number)

    def counters(self):
        """PeerCounters."""
        text, time_ns = timed(lambda: self._appctl("dpif-netdev/pmd-stats-show"))
        shown = re.findall(r"^ +([\w .]+): (\d+)", text.split("main thread:")[0], re.MULTILINE)
        numbers = {key: int(value) for key, value in shown}
        return PeerCounters(
            time_ns=time_ns,
            packets=numbers["packets received"],
            busy_cycles=numbers["processing cycles"],
            idle_cycles=numbers["idle cycles"],
            drops=Counter(failed_upcall=numbers["miss with failed upcall"]),
        )

    def facts(self):
        """What was measured."""
        first, second = self._run(self.DAEMON, "--version").splitlines()[:2]
        return f"OVS {first.split()[-1]} ({second})"

    def stop(self):
        """End both daemons."""
        for child in (self._daemon, self._database):
            if child:
                child.stop(STOP_TIMEOUT_S)
        self._daemon = self._database = None
        if self._run_dir:
            self._run_dir.remove()


def timed(read):
    """What a function gives, and when: the middle of the time that it took, in nanoseconds."""
    start = time.monotonic_ns()
    return read(), (start + time.monotonic_ns()) // 2


USUAL_PEERS = (PktvirtShared, PktvirtCopy, PktvirtRteVhost, Testpmd, Ovs)
# What each technique is worth beside all others, measured without a kernel in the way.
WITHOUT = tuple(
    without(stage) for stage in ("batched-syscalls", "translation-cache", "shared-buffer-rings", "specialization")
)
PEERS = {peer.name: peer for peer in (*USUAL_PEERS, PktvirtEul, *WITHOUT)}
