# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that differ only in their stages, as one running daemon that is switched between them.

    plan = LivePlan({"uml.json": effective_config("uml.json"), "eul.json": effective_config("eul.json")})
    with Daemon(plan.config) as daemon:
        plan.enter(daemon, "uml.json")

NotLive says why that cannot be done. The daemon is started with a configuration that lists every stage of all of them,
so that it knows the place and the options of each; then `pktvirt-ctl stage set` does the rest.
"""

import graphlib

from .daemon import DaemonError
from .process import LabError

# What the configurations need not have in common: what they are called, and what follows from their stages.
MAY_DIFFER = ("name", "description", "control-socket", "stages", "$schema", "$bindings")


class NotLive(LabError):
    """These configurations cannot share a daemon; the message says why."""


def listed(config):
    """The stages of an effective configuration: name -> options."""
    stages = {}
    for entry in config["stages"]:
        stages.update({entry: {}} if isinstance(entry, str) else entry)
    return stages


class LivePlan:
    """The configuration to start a daemon with, and how to make it one of those that were given.

    config   for Daemon: all that they have in common, with every stage of all
    targets  name -> the stages of that configuration
    """

    def __init__(self, configs):
        first = next(iter(configs))
        for name in configs:
            check_alike(first, configs[first], name, configs[name])
        self.targets = {name: listed(config) for name, config in configs.items()}
        common = {key: value for key, value in configs[first].items() if key not in MAY_DIFFER}
        self._all = every_stage(self.targets)
        stages = [{name: options} if options else name for name, options in self._all.items()]
        self.config = {**common, "stages": stages}

    def enter(self, daemon, name):
        """Switch what differs now. DaemonError if the daemon refuses, or if it is not what it is to be afterwards."""
        for command in changes(listed(daemon.ctl("show", "config")["config"]), self.targets[name], self._all):
            daemon.ctl("stage", "set", *command)
        found = listed(daemon.ctl("show", "config")["config"])
        if list(found.items()) != list(self.targets[name].items()):
            raise DaemonError(f"stages switched to those of {name}: expected {self.targets[name]}, there are {found}")

    def commands(self, before, after):
        """What is switched between two of the configurations: lists of words after "stage set"."""
        return changes(self.targets[before], self.targets[after], self._all)


def check_alike(first, config, name, other):
    """NotLive if two configurations differ in more than stages."""
    keys = [key for key in [*config, *other] if key not in MAY_DIFFER]
    differ = [key for key in dict.fromkeys(keys) if config.get(key) != other.get(key)]
    if differ:
        raise NotLive(f"{first} and {name} differ in {', '.join(differ)}; only stages can be switched while running")


def every_stage(targets):
    """All stages with the options that the first target with them has, in an order that is that of every target."""
    order = graphlib.TopologicalSorter()
    for stages in targets.values():
        names = list(stages)
        for before, name in zip([None, *names], names):
            order.add(name, *([before] if before else []))
    try:
        names = list(order.static_order())
    except graphlib.CycleError as error:
        raise NotLive(f"stages come in different orders: {', '.join(dict.fromkeys(error.args[1]))}") from None
    return {name: next(stages[name] for stages in targets.values() if name in stages) for name in names}


def changes(now, wanted, known):
    """The commands that make the stages `now` those `wanted`; `known`: the options with which a stage is turned on."""
    off = [[name, "off"] for name in now if name not in wanted]
    return off + [[name, *words] for name in wanted if (words := change(name, now, wanted[name], known))]


def change(name, now, options, known):
    """The words that make a stage have these options, or [] if it has."""
    has = now.get(name, known[name])
    words = [f"{key}={word(name, key, value)}" for key, value in options.items() if has.get(key) != value]
    return words or ([] if name in now else ["on"])


def word(name, key, value):
    """A value as pktvirt-ctl takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise NotLive(f"{name}.{key} = {value!r}: cannot be switched while running")
    return str(value)
