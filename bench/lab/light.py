# SPDX-License-Identifier: BSD-3-Clause
"""Many light guests (bench/light-contexts) on pktvirt, and what is measured with them: idle ones beside active ones,
the first frame after a rest, shares under flood, and memory.

    with LightLink(config) as link, link.guests() as guests:
        guests.attach(258)
        guests.loop(0, 1, 128, [64])

All are in one process on the CPU that guests have, which sleeps while none of them has anything to do.
"""

import contextlib
import math
import statistics
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from .answering import Answering
from .daemon import Daemon
from .links import with_socket
from .measure import guest_cpus, ran_by_worker
from .medians import jain, quantile
from .process import RunDir, cpu_seconds
from .slices import Standing, in_turns
from .workload import Metric, Point, WorkloadError, switch_counters

QUEUE = 256
PROGRAM = "bench/light-contexts/light-contexts"
ATTACH_TIMEOUT_S = 60
MANY = 65535  # guests: all there are
GUEST_MEMORY = "memfd:lean-guest"
DPDK_MEMORY = ("memfd:nohuge", "memfd:seg", "anon_hugepage", "hugepages", "rtemap")  # without hugepages, and with them
WARM_UP_S = 0.3
SLICE_S, SETTLE_S, SLICE_MORE_S = 0.1, 0.03, 0.01  # measured, before that, and what asking takes
TWIN_S = 5  # to start a second daemon, and to attach all guests
ACTIVE = 2
IDLE_COUNTS, QUICK_IDLE_COUNTS = (0, 16, 64, 256), (0, 16)
SIZES = (64, 1514)
FRAMES = 96  # that go round each way: a multiple of the bursts, and no ring runs over
IDLE_MS = 100
PINGS, QUICK_PINGS, PINGS_AT_A_TIME = 100, 10, 5
FLOODERS = 8
TAKEN_PER_S = 50_000  # frames that the receiver of a flood takes: fewer than any flood
POLITE_PER_S = TAKEN_PER_S // FLOODERS // 5  # a fifth of an equal share
MIXED_SIZES = (64, 128, 256, 512, 768, 1024, 1280, 1514)
WEIGHTS = (1, 2, 4)
PORTS = ACTIVE + max(IDLE_COUNTS)
FAIRNESS_PORTS = 1 + FLOODERS + len(WEIGHTS)


class LightGuests(Answering):
    """The guests of a LightLink, of which none is attached at first. Numbers are those of the ports."""

    def __init__(self, sockets, cpus):
        super().__init__(PROGRAM, [QUEUE, *sockets], cpus)

    def attach(self, count):
        """Have the first so many attached, each of which the switch knows the address of."""
        self.ask(f"attach {count}", ATTACH_TIMEOUT_S)
        self.ask("hello")

    def send(self, sender, receiver, sizes, rate=0):
        """Have one send, so many frames a second, or as fast as it goes."""
        self.ask(f"send {sender} {receiver} {','.join(map(str, sizes))} {rate}")

    def receive(self, number, rate=0):
        """Have one take what comes, so many frames a second, or all."""
        self.ask(f"receive {number} {rate}")

    def loop(self, one, other, frames, sizes):
        """Have so many frames go round between two, each way."""
        self.ask(f"loop {one} {other} {frames} {','.join(map(str, sizes))}")

    def stop_sending(self):
        """End all of this."""
        self.ask("stop")

    def ping(self, sender, receiver, count, idle_ms, size):
        """Seconds that a frame took, each after a rest; WorkloadError if any was lost."""
        return self._latencies(f"ping {sender} {receiver} {count} {idle_ms} {size}", count, idle_ms)

    def wake(self, count, idle_ms, cpu):
        """The same of a thread that sleeps on a CPU, until it says that it is awake: no switch is in it."""
        return self._latencies(f"wake {count} {idle_ms} {cpu}", count, idle_ms)

    def _latencies(self, command, count, idle_ms):
        said = self.ask(command, count * (1 + idle_ms / 1000) + 10)
        if said["lost"]:
            what = command.split()[0]
            raise WorkloadError(f"{what}: {said['lost']} of {count} were lost, each after {idle_ms} ms of rest")
        return [ns / 1e9 for ns in said["latencies_ns"]]

    def counters(self, count=MANY):
        """When it is, in seconds, and number -> counters of those of the first so many that did anything."""
        said = self.ask(f"stats {count}")
        contexts = {one["context"]: one for one in said["contexts"]}
        bogus = sum(one["bogus"] for one in contexts.values())
        if bogus:
            raise WorkloadError(f"the switch has given back {bogus} buffers twice, or with a wrong length or sender")
        return said["time_ns"] / 1e9, contexts

    def over(self, seconds, count=MANY):
        """What the first so many do in so many seconds: (seconds, number -> what was added to the counters)."""
        start, before = self.counters(count)
        time.sleep(seconds)
        end, after = self.counters(count)
        return end - start, {
            number: {name: value - before.get(number, {}).get(name, 0) for name, value in counters.items()}
            for number, counters in after.items()
        }


class LightLink:
    """pktvirt with all ports of a configuration, and nobody attached."""

    a = b = None

    def __init__(self, config, say=lambda _text: None):
        self._config = config
        self._say = say
        self._run_dir = None
        self.daemon = None

    def __enter__(self):
        self._run_dir = RunDir()
        ports = [with_socket(port, str(self._run_dir / port["name"])) for port in self._config["ports"]]
        self._sockets = [port["vhost-user"]["socket"] for port in ports]
        config = {key: value for key, value in self._config.items() if key not in ("name", "control-socket")}
        self._say("starting pktvirt")
        try:
            self.daemon = Daemon({**config, "ports": ports}).start()
        except BaseException:
            self._run_dir.remove()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.daemon.stop()
        finally:
            self._run_dir.remove()

    @property
    def worker_cpu(self):
        """The CPU of the first worker."""
        return self._config["workers"][0]

    def alike(self):
        """Another one with the same configuration."""
        return LightLink(self._config, self._say)

    def smaller(self, count):
        """Another one, with the first so many ports."""
        return LightLink({**self._config, "ports": self._config["ports"][:count]}, self._say)

    def guests(self):
        """LightGuests, started when entered; all are gone when it is left."""
        return LightGuests(self._sockets, guest_cpus(self._config["workers"]))


def light_ports(count, weights=()):
    """Ports of a configuration for so many guests; the last ones have weights."""
    options = [{}] * (count - len(weights)) + [{"weight": weight} for weight in weights]
    return [
        {"name": f"vm{number}", **more, "vhost-user": {"socket": f"/run/pktvirt/vm{number}.sock"}}
        for number, more in enumerate(options)
    ]


def light_link(config, _place, say):
    """For systems."""
    return LightLink(config, say)


@dataclass(frozen=True)
class Slice:
    """What has come in at both active guests in so many seconds, and what the workers did meanwhile."""

    frames: int
    seconds: float
    packets: int
    cycles: int

    @property
    def rate(self):
        """Frames a second."""
        return self.frames / self.seconds


class Round(Standing):
    """Two guests of a LightLink between whom frames go round, in slices. While none is measured all of it stands."""

    def __init__(self, link, guests):
        super().__init__(link.daemon, guests.child)
        self._link = link
        self._guests = guests

    @contextlib.contextmanager
    def going(self, size):
        """Frames of that size are under way."""
        with self.running():
            self._guests.loop(0, 1, FRAMES, [size])
            time.sleep(WARM_UP_S)
        yield
        with self.running():
            self._guests.stop_sending()

    def slice(self):
        """A Slice of it. The cycles in which it stood are not in it."""
        with self.running():
            time.sleep(SETTLE_S)
            before = switch_counters(self._link)
            seconds, done = self._guests.over(SLICE_S, ACTIVE)
            after = switch_counters(self._link)
        frames = sum(done.get(number, {}).get("rx_packets", 0) for number in range(ACTIVE))
        return Slice(frames, seconds, *(after[key] - before[key] for key in ("packets", "busy_cycles")))


class Idle:
    """Frames go round between two guests, beside others that are attached and do nothing.

    What is kept is relative to the same without these: a second daemon with the same configuration, so with as many
    ports, at the same time on the same CPUs, to which only the two are attached. Both are measured in turns, in many
    short slices (see slices.py), and what is kept is the median of the ratios of adjacent ones: what else wants a CPU
    for a moment spoils a slice, and with it a sum over all, but not the median. Rates and cycles are over all slices;
    those without idle ones over all that the second daemon had.
    """

    name = "idle"
    summary = "frames that go round between two guests, over the number of guests beside them that do nothing"
    metrics = {
        **{f"rate_{size}": Metric(f"{size} bytes", "frames/s", "higher", "idle guests") for size in SIZES},
        **{f"kept_{size}": Metric(f"{size} bytes, kept", "%", "higher", "idle guests") for size in SIZES},
        **{f"switch_cycles_{size}": Metric(f"{size} bytes, the switch's cycles per frame", "cycles", "lower",
                                           "idle guests") for size in SIZES},
    }  # fmt: skip

    def estimate_s(self, options):
        """About how long it takes."""
        compared = (len(idle_counts(options)) - 1) * len(SIZES)
        each = WARM_UP_S + slice_pairs(options) * (SETTLE_S + SLICE_S + SLICE_MORE_S)
        return compared * 2 * each + TWIN_S

    def run(self, link, options, say):
        """More and more idle ones."""
        found = {}  # (size, count) -> pairs of a Slice alone and one beside so many
        with link.alike() as other, other.guests() as two, link.guests() as all_guests:
            two.attach(ACTIVE)
            with Round(other, two) as alone:
                for count in idle_counts(options)[1:]:
                    say(f"{count} idle")
                    all_guests.attach(ACTIVE + count)
                    with Round(link, all_guests) as beside:
                        for size in SIZES:
                            say(f"{count} idle, {size} bytes")
                            with alone.going(size), beside.going(size):
                                found[size, count] = in_turns(alone.slice, beside.slice, slice_pairs(options))
        return [point for size in SIZES for point in idle_points(size, found)]


def slice_pairs(options):
    """How many pairs of slices: each system is measured for the seconds of a measurement."""
    return max(math.ceil(options.seconds / SLICE_S), 2)


def idle_points(size, found):
    """The points on frames of a size, of (size, count) -> pairs of Slices."""
    pairs_of = {count: pairs for (its_size, count), pairs in found.items() if its_size == size}
    yield from slices_points(size, 0, [alone for pairs in pairs_of.values() for alone, _ in pairs])
    for count, pairs in pairs_of.items():
        yield from slices_points(size, count, [beside for _, beside in pairs])
        yield Point(f"kept_{size}", kept(pairs), count)


def kept(pairs):
    """The median ratio of rates, in per cent, of the second to the first of each pair of Slices. Pairs whose first one
    has not had a CPU at all say nothing."""
    ratios = [beside.rate / alone.rate for alone, beside in pairs if alone.frames]
    if not any(ratios):
        raise WorkloadError("no frames go round")
    return 100 * statistics.median(ratios)


def slices_points(size, count, slices):
    """The points on a rate and on cycles, over all of the Slices."""
    frames, seconds, packets, cycles = (sum(values) for values in zip(*map(astuple, slices)))
    yield Point(f"rate_{size}", frames / seconds, count)
    if packets:
        yield Point(f"switch_cycles_{size}", cycles / packets, count)


def idle_counts(options):
    """Over how many."""
    return QUICK_IDLE_COUNTS if options.quick else IDLE_COUNTS


class FirstFrame:
    """All guests rest, and then one of them sends one frame to another. Both have used all of their buffers before, as
    guests have that are not just starting: the first touch of a page is a page fault."""

    name = "first-frame"
    summary = f"the time of a frame after {IDLE_MS} ms of rest of all, and what the switch needs meanwhile"
    metrics = {
        "median": Metric("a frame after a rest, median", "s", "lower", "guests attached"),
        "p99": Metric("a frame after a rest, 99th percentile", "s", "lower", "guests attached"),
        "floor": Metric("the kernel alone: a thread is woken and answers, median", "s", "lower", "guests attached"),
        "beyond": Metric("a frame beyond the kernel alone, difference of medians", "s", "lower", "guests attached"),
        "worker_cpu": Metric("the worker while all rest", "% of a CPU", "lower", "guests attached"),
        "daemon_cpu": Metric("the daemon while all rest", "% of a CPU", "lower", "guests attached"),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 2 * (2 * pings(options) * (IDLE_MS + 1) / 1000 + options.seconds + 3)

    def run(self, link, options, say):
        """With two guests, and with all."""
        points = []
        with link.guests() as guests:
            for count in (ACTIVE, idle_counts(options)[-1]):
                guests.attach(count)
                say(f"{count} attached")
                guests.loop(0, 1, FRAMES, [SIZES[0]])
                time.sleep(WARM_UP_S)
                guests.stop_sending()
                points += first_frames(guests, link.worker_cpu, pings(options), count)
                points += resting(link, options.seconds, count)
        return points


def pings(options):
    """How many frames."""
    return QUICK_PINGS if options.quick else PINGS


def first_frames(guests, cpu, pings_wanted, count):
    """The points on so many frames, and on a thread on that CPU that is woken as often; in turns, some at a time, so
    that both find the same machine."""
    times, woken = [], []
    while len(times) < pings_wanted:
        times += guests.ping(0, 1, PINGS_AT_A_TIME, IDLE_MS, SIZES[0])
        woken += guests.wake(PINGS_AT_A_TIME, IDLE_MS, cpu)
    median, floor = statistics.median(times), statistics.median(woken)
    yield Point("median", median, count)
    yield Point("p99", quantile(times, 0.99), count)
    yield Point("floor", floor, count)
    yield Point("beyond", median - floor, count)


def resting(link, seconds, count):
    """The points on CPU time while nobody does anything."""
    time.sleep(WARM_UP_S)
    start, worker, daemon = time.monotonic(), ran_by_worker(link.daemon.pid), cpu_seconds(link.daemon.pid)
    time.sleep(max(seconds, 1))
    lasted = time.monotonic() - start
    if worker:
        ran = sum(ran_by_worker(link.daemon.pid)) - sum(worker)
        yield Point("worker_cpu", 100 * ran / 1e9 / lasted, count)
    yield Point("daemon_cpu", 100 * (cpu_seconds(link.daemon.pid) - daemon) / lasted, count)


class Fairness:
    """Guests flood one receiver, which takes fewer frames than they send. Their shares are what is delivered."""

    name = "fairness"
    summary = f"{FLOODERS} guests flood one that takes {TAKEN_PER_S} frames a second"
    metrics = {
        "jain_equal": Metric("Jain's index, frames of 1514 bytes", "", "higher"),
        "jain_mixed": Metric("Jain's index of bytes, each with a size of its own", "", "higher"),
        "jain_weights": Metric("Jain's index of bytes by weight, weights 1, 2, 4", "", "higher"),
        "polite": Metric("delivered of a polite guest among flooders", "%", "higher"),
        **{f"share_{weight}": Metric(f"share of weight {weight}", "%", "higher") for weight in WEIGHTS},
        "delivered": Metric("delivered, frames of 1514 bytes", "b/s", "higher"),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 4 * (options.seconds + WARM_UP_S + 0.2) + 1

    def run(self, link, options, say):
        """One after the other."""
        everyone = range(1, 1 + FLOODERS)
        weighted = range(1 + FLOODERS, 1 + FLOODERS + len(WEIGHTS))
        with link.guests() as guests:
            guests.attach(FAIRNESS_PORTS)
            say("equal sizes")
            seconds, equal = flooded(guests, {number: [1514] for number in everyone}, {}, options)
            say("mixed sizes")
            _, mixed = flooded(guests, {number: [size] for number, size in zip(everyone, MIXED_SIZES)}, {}, options)
            say("weights")
            _, by_weight = flooded(guests, {number: [1514] for number in weighted}, {}, options)
            say("a polite one")
            _, rude = flooded(guests, {number: [1514] for number in everyone}, {1: POLITE_PER_S}, options)
        shares = [by_weight[number]["delivered_bytes"] for number in weighted]
        return [
            Point("jain_equal", jain([equal[number]["delivered_bytes"] for number in everyone])),
            Point("jain_mixed", jain([mixed[number]["delivered_bytes"] for number in everyone])),
            Point("jain_weights", jain([share / weight for share, weight in zip(shares, WEIGHTS)])),
            *(Point(f"share_{weight}", 100 * share / sum(shares)) for share, weight in zip(shares, WEIGHTS)),
            Point("polite", 100 * rude[1]["delivered_packets"] / max(rude[1]["tx_packets"], 1)),
            Point("delivered", 8 * sum(equal[number]["delivered_bytes"] for number in everyone) / seconds),
        ]


def flooded(guests, sizes, rates, options):
    """What comes of number -> sizes that are sent to guest 0, some at rates; see LightGuests.over()."""
    guests.receive(0, TAKEN_PER_S)
    for number, its_sizes in sizes.items():
        guests.send(number, 0, its_sizes, rates.get(number, 0))
    time.sleep(WARM_UP_S)
    seconds, done = guests.over(options.seconds)
    guests.stop_sending()
    if not any(done[number]["delivered_bytes"] for number in sizes):
        raise WorkloadError("nothing was delivered")
    return seconds, done


class Memory:
    """What guests cost in memory: what a daemon with ports and guests for them has more than one for two, by each. So
    it has daemons of its own; that of the link does nothing meanwhile."""

    name = "memory"
    summary = "memory of the daemon for each guest: its port, and it attached, with one frame sent"
    metrics = {
        "private": Metric("memory of its own, for each guest", "KiB", "lower", "guests"),
        "shared": Metric("pages of guests that it has touched, for each", "KiB", "lower", "guests"),
        "pool": Metric("memory of DPDK's, for each guest", "KiB", "lower", "guests"),
        "descriptors": Metric("open files, for each guest", "files", "lower", "guests"),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 4 * len(idle_counts(options))

    def run(self, link, options, say):
        """More and more of them."""
        before = footprint_with(link, ACTIVE)
        points = []
        for count in idle_counts(options)[1:]:
            say(f"{count} guests")
            after = footprint_with(link, ACTIVE + count)
            points += [Point(name, (after[name] - before[name]) / count, count) for name in before]
        return points


def footprint_with(link, count):
    """footprint() of a daemon like that of the link, with so many guests."""
    with link.smaller(count) as other, other.guests() as guests:
        guests.attach(count)
        return footprint(other.daemon.pid)


def footprint(pid):
    """KiB and open files of a process, by the names of Memory's metrics."""
    found = {"private": 0, "shared": 0, "pool": 0, "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir()))}
    whose = None
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            whose = owner(" ".join(words[5:]))
        elif words[0] in ("Rss:", "Private_Hugetlb:", "Shared_Hugetlb:") and whose:
            found[whose] += int(words[1])
    return found


def owner(mapping):
    """Whose memory it is that is mapped from such a file, by the names of Memory's metrics; None: the program's."""
    if GUEST_MEMORY in mapping:
        return "shared"
    if any(name in mapping for name in DPDK_MEMORY):
        return "pool"
    return "private" if not mapping or mapping.startswith("[") else None
