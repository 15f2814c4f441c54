# SPDX-License-Identifier: BSD-3-Clause
"""Systems that are measured in turns, with the same workloads, so that what changes with time harms none of them.

    results = measure(Experiment(systems, workloads, runs=6), Progress(sys.stderr))
    results.estimate("eul.json", "udp-latency", "send", 1472).median
    results.ratio("eul.json", "uml.json", "tcp-rr", "rate").low

In each run, every system is measured once with every workload, one system after the other, in an order that changes
from run to run: each comes first as often as the others, and every other run goes backwards (A B B A for two). At any
moment one system is up, and nothing of the others. Systems that share a boot ("live") stay up for as long as no other
has its turn, and take turns within each workload; the others are started anew in every run. After a start each workload
is run once, for a short time, and what that gives is thrown away.

What fails is noted and does not keep the others from being measured; Ctrl-C ends it and keeps what there is.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .measure import waited_by_worker
from .medians import estimate, geometric_mean
from .process import LabError
from .table import Clock

TRIES = 2  # failures in a row after which a system is not started again, or not measured again with a workload


@dataclass(frozen=True)
class System:
    """What is measured.

    name     what it is called; no two of an experiment have the same
    summary  what it is, in words
    start    called with a function say(text), returns a context manager: the link that workloads are run on
    boot     systems with the same boot, other than None, share a link, that of the first of them that is measured
    enter    called with the link, makes it this system; once after a start, and when another of the same boot was it
    boot_s   about how long starting and stopping take
    facts    anything more that is to be in the results
    """

    name: str
    summary: str
    start: Callable
    boot: str | None = None
    enter: Callable = lambda _link: None
    boot_s: float = 5
    facts: dict = field(default_factory=dict)


@dataclass
class Experiment:
    """What is to be done.

    systems    list of System
    workloads  list of workloads: see workloads.py
    runs       how often each system is measured with each workload
    options    of the workloads; warm_up: the same, for what is thrown away
    inspect    called with a system and its link after its first start, returns facts about it
    """

    systems: list
    workloads: list
    runs: int
    options: object
    warm_up: object
    inspect: Callable = lambda _system, _link: {}

    def groups(self):
        """The systems, those that share a boot together: lists of System."""
        groups = {}
        for system in self.systems:
            groups.setdefault(system.boot or system.name, []).append(system)
        return list(groups.values())

    def steps(self, run):
        """What is measured in a run, in order: (system, workload), those of a group together."""
        for group in in_turn(self.groups(), run):
            for index, workload in enumerate(self.workloads):
                for system in in_turn(group, run + index):
                    yield system, workload

    def estimate_s(self):
        """About how long it takes."""
        each = sum(workload.estimate_s(self.options) for workload in self.workloads)
        return self.runs * sum(group[0].boot_s + self.warm_up_s() + len(group) * each for group in self.groups())

    def warm_up_s(self):
        """About how long the warming up after a start takes."""
        return sum(workload.estimate_s(self.warm_up) for workload in self.workloads)


def in_turn(things, run):
    """The order of a run: each comes first as often as the others, and every other run goes backwards."""
    first = run // 2 % len(things)
    order = things[first:] + things[:first]
    return order[::-1] if run % 2 else order


@dataclass
class Sample:
    """What one workload gave on one system.

    run, boot  numbers, from 0: of the run, and of the start of the system (of all starts)
    points     [metric, value, x or None]
    seconds    that it took
    waited     share of the time that the switch's workers waited for their CPU, None where that is not known
    stolen     share of the CPUs' time that the host of this (virtual) machine gave to others
    failure    why there are no points, or None
    """

    system: str
    workload: str
    run: int
    boot: int
    points: list = field(default_factory=list)
    seconds: float = 0.0
    waited: float | None = None
    stolen: float | None = None
    failure: str | None = None


@dataclass
class Results:
    """All that was measured, and what is to be known about it; made of what JSON has.

    facts      where, when, and with what
    systems    name -> {"summary", ...facts}
    workloads  name -> {"summary", "metrics": {name: {"label", "unit", "better", "x_label", "figure"}}}
    samples    in the order in which they were made
    failures   of what is no sample: sentences
    stopped    why not all was measured, or None
    """

    facts: dict = field(default_factory=dict)
    systems: dict = field(default_factory=dict)
    workloads: dict = field(default_factory=dict)
    samples: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    stopped: str | None = None

    def as_json(self):
        """For the file that is written."""
        return {**self.facts, **{name: value for name, value in asdict(self).items() if name != "facts"}}

    @classmethod
    def from_json(cls, content):
        """From such a file."""
        own = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        facts = {name: value for name, value in content.items() if name not in own}
        return cls(**{**own, "facts": facts, "samples": [Sample(**sample) for sample in content["samples"]]})

    def values(self, system, workload, metric, x=None):
        """run -> the number that this run gave."""
        return {
            sample.run: value
            for sample in self.samples
            if (sample.system, sample.workload) == (system, workload)
            for name, value, at in sample.points
            if (name, at) == (metric, x)
        }

    def xs(self, workload, metric):
        """At which x there are values, in order: [None] for a metric without."""
        points = [point for sample in self.samples if sample.workload == workload for point in sample.points]
        found = {x for name, _, x in points if name == metric}
        return sorted(found, key=lambda x: (x is not None, x))

    def estimate(self, system, workload, metric, x=None):
        """The Estimate of the median; None if there are no values."""
        return estimate(list(self.values(system, workload, metric, x).values()))

    def ratios(self, system, other, workload, metric, x=None):
        """run -> the one's number over the other's, of every run that has both."""
        ours, theirs = (self.values(name, workload, metric, x) for name in (system, other))
        return {run: ours[run] / theirs[run] for run in ours if theirs.get(run)}

    def ratio(self, system, other, workload, metric, x=None):
        """The Estimate of the median ratio within a run; None if there is none."""
        return estimate(list(self.ratios(system, other, workload, metric, x).values()))

    def overall_ratio(self, system, other, workload, metric):
        """The same over all x: within a run, the geometric mean of the ratios at every x that all such runs have."""
        by_x = [self.ratios(system, other, workload, metric, x) for x in self.xs(workload, metric)]
        by_x = [ratios for ratios in by_x if ratios and all(value > 0 for value in ratios.values())]
        runs = set.intersection(*map(set, by_x)) if by_x else set()
        return estimate([geometric_mean([ratios[run] for ratios in by_x]) for run in sorted(runs)])

    def missing(self):
        """Sentences on everything that was not measured."""
        if self.stopped:
            yield f"Not all was measured: {self.stopped}"
        yield from self.failures
        for sample in self.samples:
            if sample.failure:
                yield f"run {sample.run + 1}, {sample.system}, {sample.workload}: failed: {sample.failure}"


def measure(experiment, progress, facts=None):
    """Do it; returns Results. What keeps all of it from going on, Ctrl-C included, ends it and is noted."""
    results = Results(
        facts=dict(facts or {}),
        systems={system.name: {"summary": system.summary, **system.facts} for system in experiment.systems},
        workloads={workload.name: workload_facts(workload) for workload in experiment.workloads},
    )
    try:
        with Turns(experiment, results, progress) as turns:
            for run in range(experiment.runs):
                turns.make_run(run)
    except KeyboardInterrupt:
        results.stopped = "interrupted"
    except (LabError, OSError) as error:
        results.stopped = str(error)
    return results


def workload_facts(workload):
    """What reports have to know about a workload."""
    metrics = {name: asdict(metric) for name, metric in workload.metrics.items()}
    return {"summary": workload.summary, "metrics": metrics}


class Turns:
    """The systems, of which at most one is up. A context manager; leaving it ends the one that is up."""

    def __init__(self, experiment, results, progress):
        self._experiment = experiment
        self._results = results
        self._progress = progress
        self._clock = Clock(experiment.estimate_s())
        self._title = ""
        self._boot = -1  # number of the start
        self._run_of_boot = None
        self._up = contextlib.ExitStack()  # of the link that is up
        self._link = None
        self._group = None  # that the link belongs to
        self._system = None  # that the link is now
        self._warm = set()  # names of the workloads that were run since the start
        self._failed = {}  # system's, or (system's, workload's) name -> failures in a row

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def make_run(self, run):
        """Measure every system once with every workload."""
        self._progress.show(f"run {run + 1} of {self._experiment.runs}, {self._clock.left()}")
        given_up = set()  # groups that could not be started in this run
        for system, workload in self._experiment.steps(run):
            group = self._group_of(system)
            self._title = f"run {run + 1} of {self._experiment.runs}, {system.name}, {workload.name}"
            if group not in given_up and self._is_worth_trying(system, workload):
                if self._is_up(system, group, run):
                    self._measure(system, workload, run)
                else:
                    given_up.add(group)
            self._clock.done(workload.estimate_s(self._experiment.options))

    def _group_of(self, system):
        return system.boot or system.name

    def _is_worth_trying(self, system, workload):
        tried = (self._group_of(system), (system.name, workload.name))
        return all(self._failed.get(key, 0) < TRIES for key in tried)

    def say(self, text):
        """What is going on, for the progress of whatever is being done."""
        self._progress.show(self._title, f"{text}; {self._clock.left()}")

    def _is_up(self, system, group, run):
        """Whether the link is there and is this system now; starts it, or switches it over, if it is not."""
        stays = self._group == group and (system.boot or self._run_of_boot == run)
        if stays and self._system == system:
            return True
        try:
            if not stays:
                self._start(system, group, run)
            self._system = None
            system.enter(self._link)
        except LabError as error:
            self._failed[group] = self._failed.get(group, 0) + 1
            self._results.failures.append(f"run {run + 1}, {system.name}: failed: {error}")
            self._end()
            return False
        self._failed.pop(group, None)
        self._system = system
        self._note_facts(system)
        return True

    def _start(self, system, group, run):
        self._end()
        self._boot += 1
        self.say("starting")
        self._link = self._up.enter_context(system.start(self.say))
        self._group = group
        self._run_of_boot = run
        self._clock.done(system.boot_s)

    def _note_facts(self, system):
        known = self._results.systems[system.name]
        if "measured" not in known:
            known["measured"] = True
            known.update(self._experiment.inspect(system, self._link))

    def _end(self):
        """End the link that is up, if any. What goes wrong at that is noted."""
        up, self._up = self._up, contextlib.ExitStack()
        name = self._group
        self._link = self._group = self._system = None
        self._warm = set()
        try:
            up.close()
        except LabError as error:
            self._results.failures.append(f"{name}: failed at its end: {error}")

    def _measure(self, system, workload, run):
        sample = Sample(system.name, workload.name, run, self._boot)
        key = (system.name, workload.name)
        try:
            self._warm_up(workload)
            self.say("measuring")
            with metered(sample, self._link.daemon):
                points = workload.run(self._link, self._experiment.options, self.say)
            sample.points = [[point.metric, point.value, point.x] for point in points]
            self._failed.pop(key, None)
        except LabError as error:
            sample.failure = str(error)
            self._failed[key] = self._failed.get(key, 0) + 1
            self._end()  # it may have left anything behind: what follows is started anew
        self._results.samples.append(sample)

    def _warm_up(self, workload):
        if workload.name not in self._warm:
            self.say("warming up")
            workload.run(self._link, self._experiment.warm_up, self.say)
            self._warm.add(workload.name)
            self._clock.done(workload.estimate_s(self._experiment.warm_up))


# What else ran meanwhile


@contextlib.contextmanager
def metered(sample, daemon):
    """Notes in a sample how long it took, and for which shares of that something else had the CPUs."""
    before = reading(daemon)
    yield
    after = reading(daemon)
    sample.seconds = (after["time_ns"] - before["time_ns"]) / 1e9
    if before["waited"] and after["waited"]:
        sample.waited = (sum(after["waited"]) - sum(before["waited"])) / (1e9 * sample.seconds * len(after["waited"]))
    ticks = after["ticks"] - before["ticks"]
    sample.stolen = (after["stolen"] - before["stolen"]) / ticks if ticks else None


def reading(daemon):
    """The counters that metered() compares."""
    # user nice system idle iowait irq softirq steal: proc(5)
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return {
        "time_ns": time.monotonic_ns(),
        "waited": waited_by_worker(daemon.pid) if daemon else None,
        "ticks": sum(ticks),
        "stolen": ticks[7],
    }
