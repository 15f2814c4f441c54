# SPDX-License-Identifier: BSD-3-Clause
"""What programs that compare systems set up alike, whatever they print of it: bench/ab, and those of lab/paper.py.

    experiment, facts = prepared(systems, workloads, how, place, args)
    results = measure(experiment, progress, {**facts, "compare": names})
"""

from .experiment import Experiment
from .measure import machine_facts
from .systems import inspect, package_versions
from .workloads import Options

WARM_UP = Options(seconds=1, quick=True)


def prepared(systems, workloads, how, place, args, runs=None):
    """The Experiment, and the facts that reports tell about it. Starts no guest.

    systems  the first is a configuration of pktvirt
    place    None for what has none: then no system need be one of pktvirt
    how      configurations are exchanged, in words
    args     of the program: runs, seconds, quick
    runs     if others than those of the arguments
    """
    runs = runs or args.runs
    options = Options(seconds=args.seconds, quick=args.quick)
    facts = {
        **machine_facts(),
        "packages": package_versions(),
        "runs": runs,
        "seconds": args.seconds,
        "quick": args.quick,
        "mode": how,
        **(where(systems[0], place) if place else {}),
    }
    return Experiment(systems, workloads, runs, options, WARM_UP, inspect), facts


def where(system, place):
    """The facts on the place, and on the CPUs of a system."""
    return {
        "place": {"guest": place.kind, "peer": place.peer, "rate_bps": place.rate_bps, "text": place.text()},
        "cpus": {"workers": system.facts["worker_cpus"], "guests": system.facts["guest_cpus"]},
    }
