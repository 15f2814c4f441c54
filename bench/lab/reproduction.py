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
        "place": {"guest": place.kind, "peer": place.peer, "rate_bps": place.rate_bps, "text": place.text()},
        "mode": how,
        "cpus": {"workers": systems[0].facts["worker_cpus"], "guests": systems[0].facts["guest_cpus"]},
    }
    return Experiment(systems, workloads, runs, options, WARM_UP, inspect), facts
