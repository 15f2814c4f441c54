# SPDX-License-Identifier: BSD-3-Clause
"""Many User-mode Linux guests on pktvirt and the host behind a tap of it; all send, or all receive, at once.

    with CrowdLink(config) as link:
        link.have(8)
        spent = link.streams("", "rx", seconds=3)

What a guest has sent and received is what the switch has counted at its port while all of them were at it.
"""

import contextlib
import itertools
import os
import time

from .daemon import Daemon
from .guest import Guest
from .links import BOOT_TIMEOUT_S, NETWORK, WHOLE_FRAMES, NamespaceEnd, with_socket
from .measure import guest_cpus
from .medians import jain
from .netns import Namespace, host
from .process import RunDir
from .workload import KILL_WAIT_S, PORT, Metric, Point, WorkloadError, switch_counters

COUNTS, QUICK_COUNTS = (1, 2, 4, 8, 24), (1, 2)
MEMORY_MB = 112  # of a guest: its image is unpacked in it
FIRST_ADDRESS = 10
SETTLE_S, SETTLE_EACH_S = 0.5, 0.05  # after all streams have begun
BEGUN_BYTES, BEGIN_S = 100_000, 60  # of a stream that has begun, and when it must have
AFTER_S = 60  # that streams would go on for
START_TRIES, START_PAUSE_S = 50, 0.1
_numbers = itertools.count()


class CrowdLink:
    """pktvirt with all ports of a configuration and a tap, and as many guests as have() was asked for.

    cpus   that guests and the far end have; those that no worker polls on, unless told otherwise
    """

    a = None

    def __init__(self, config, say=lambda _text: None, cpus=None):
        self._config = config
        self._cpus = cpus or guest_cpus(config["workers"])
        self._say = say
        self._stack = contextlib.ExitStack()
        self._guests = []  # (port, guest, what ends it)
        self.daemon = self.b = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            run_dir = RunDir()
            stack.callback(run_dir.remove)
            ports = [port for port in self._config["ports"] if "vhost-user" in port]
            self._ports = [with_socket(port, str(run_dir / port["name"])) for port in ports]
            wire = f"pv{os.getpid()}c{next(_numbers)}"
            config = {key: value for key, value in self._config.items() if key not in ("name", "control-socket")}
            namespace = stack.enter_context(Namespace("wire"))
            self._say("starting pktvirt")
            taps = [{"name": "wire0", "tap": {"interface": wire}}]
            self.daemon = stack.enter_context(Daemon({**config, "ports": self._ports + taps}))
            host("ip", "link", "set", wire, "netns", namespace.name)
            namespace.run(f"ip addr add {NETWORK}.2/24 dev {wire} && ip link set {wire} up")
            namespace.offload(wire, **WHOLE_FRAMES)
            self.b = NamespaceEnd(namespace, f"{NETWORK}.2", self._cpus)
            stack.callback(self._end_guests, 0)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self._stack.__exit__(*exception)

    def _end_guests(self, count):
        """End all but the first so many."""
        while len(self._guests) > count:
            self._guests.pop()[2].close()

    def have(self, count):
        """So many guests, booted and in reach of the host."""
        self._end_guests(count)
        new = range(len(self._guests), count)
        for number in new:
            port, ends = self._ports[number], contextlib.ExitStack()
            address = f"{NETWORK}.{FIRST_ADDRESS + number}/24"
            guest = Guest("uml", port["name"], port["vhost-user"]["socket"], address, mem_mb=MEMORY_MB, cpus=self._cpus)
            self._guests.append((port["name"], guest, ends))
            ends.enter_context(guest)
        self._say(f"booting up to {count} guests")
        for number in new:
            self._guests[number][1].wait_ready(BOOT_TIMEOUT_S)
        for number in new:
            self._guests[number][1].run(f"ping -q -c 1 -W 1 {self.b.ip} || ping -q -c 3 -W 2 {self.b.ip}")

    def streams(self, arguments, way, seconds):
        """One TCP stream of each guest, looked at while all of them are under way; see seen().

        way   that the data goes, as the switch sees it: "rx" from the guests, "tx" to them
        """
        with self._servers() as first:
            command = f"iperf3 -c {self.b.ip} -t {seconds + AFTER_S:g} {arguments}"
            jobs = [guest.spawn(f"{command} -p {first + n}") for n, (_, guest, _) in enumerate(self._guests)]
            try:
                self._wait_begun(way)
                time.sleep(SETTLE_S + SETTLE_EACH_S * len(self._guests))
                before = self.seen()
                time.sleep(seconds)
                after = self.seen()
            finally:
                for job in jobs:
                    job.kill()
        for job in jobs:
            job.wait(KILL_WAIT_S)
        return {name: value - before[name] for name, value in after.items()}

    def _wait_begun(self, way):
        """Wait until data of all streams has come."""
        before, end = self.seen(), time.monotonic() + BEGIN_S
        late = [name for name, _, _ in self._guests]
        while late:
            if time.monotonic() > end:
                raise WorkloadError(f"the streams of {', '.join(late)} have not begun within {BEGIN_S} s")
            time.sleep(START_PAUSE_S)
            now = self.seen()
            late = [name for name in late if now[name, way] < before[name, way] + BEGUN_BYTES]

    @contextlib.contextmanager
    def _servers(self):
        """iperf3 on the host, one for each guest."""
        numbers = range(PORT, PORT + len(self._guests))
        servers = [self.b.spawn(f"iperf3 -s -p {number}") for number in numbers]
        try:
            for _ in range(START_TRIES):
                listening = self.b.run("ss -ltnH", check=False).text
                if all(f":{number} " in listening for number in numbers):
                    break
                time.sleep(START_PAUSE_S)
            else:
                raise WorkloadError("iperf3 does not come up")
            yield PORT
        finally:
            for server in servers:
                server.kill()

    def seen(self):
        """What the switch has counted: "clock", "busy" in seconds, and (port of a guest, "rx" or "tx") -> bytes."""
        counters = switch_counters(self)
        ports = {port["name"]: port for port in self.daemon.ctl("show", "ports")["ports"]}
        seen = {"clock": time.monotonic(), "busy": counters["busy_cycles"] / counters["tsc_hz"]}
        for name, _, _ in self._guests:
            seen.update({(name, way): ports[name][way]["bytes"] for way in ("rx", "tx")})
        return seen


def crowd_link(config, _place, say):
    """For systems."""
    return CrowdLink(config, say)


def crowd_everywhere(config, _place, say):
    """The same with guests on all CPUs, those of the workers included."""
    return CrowdLink(config, say, sorted(os.sched_getaffinity(0)))


class Crowd:
    """Streams of all guests at once, from more and more of them."""

    name = "crowd"
    summary = "a TCP stream of each guest to the host, and one from it, over the number of guests"
    metrics = {
        "sent": Metric("sent by all guests", "b/s", "higher", "guests"),
        "received": Metric("received by all guests", "b/s", "higher", "guests"),
        "sent_busy": Metric("the switch while they send", "% of a CPU", "lower", "guests"),
        "received_busy": Metric("the switch while they receive", "% of a CPU", "lower", "guests"),
        "sent_jain": Metric("Jain's index of what each has sent", "", "higher", "guests"),
        "received_jain": Metric("Jain's index of what each has received", "", "higher", "guests"),
    }

    def __init__(self, counts=COUNTS, quick_counts=QUICK_COUNTS):
        self._all = {False: counts, True: quick_counts}

    def estimate_s(self, options):
        """About how long it takes."""
        counts = self._all[options.quick]
        return counts[-1] * 2 + sum(2 * (options.seconds + 1 + SETTLE_S + SETTLE_EACH_S * count) for count in counts)

    def run(self, link, options, say):
        """Both ways with each number of guests."""
        points = []
        for count in self._all[options.quick]:
            link.have(count)
            for metric, arguments, way in (("sent", "", "rx"), ("received", "-R", "tx")):
                say(f"{count} guests, {metric}")
                points += crowd_points(metric, way, count, link.streams(arguments, way, options.seconds))
        return points


def crowd_points(metric, way, count, seen):
    """The points on what was seen of streams that go one way."""
    each = [value for key, value in seen.items() if isinstance(key, tuple) and key[1] == way]
    if not all(each):
        raise WorkloadError(f"of {count} guests {each.count(0)} have {metric} nothing")
    return [
        Point(metric, 8 * sum(each) / seen["clock"], count),
        Point(f"{metric}_busy", 100 * seen["busy"] / seen["clock"], count),
        Point(f"{metric}_jain", jain(each), count),
    ]
