# SPDX-License-Identifier: BSD-3-Clause
"""What lab.experiment can measure: pktvirt with a configuration, and the systems that it is compared with.

    systems, mode = pktvirt_systems(["uml.json", "eul.json"], Place("uml", "guest", None), live=None)
    systems += [other_system("native", place)]
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .daemon import Daemon, DaemonError, effective_config
from .experiment import System
from .guest import BootedGuest
from .links import NativeLink, OvsLink, PktvirtLink, UmlTapLink, with_socket
from .live import LivePlan, NotLive
from .measure import BOOT_ESTIMATE_S, find_config, guest_cpus
from .process import RunDir

# Debian packages whose versions are noted in results.
PACKAGES = ("libdpdk-dev", "user-mode-linux", "qemu-system-x86", "iperf3", "nginx", "wrk", "httperf",
            "openvswitch-switch-dpdk")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where all systems are measured: the kind of guests, what they talk to ("wire" or "guest"), b/s or None; words, if
    that does not say it."""

    kind: str
    peer: str
    rate_bps: int | None
    words: str | None = None

    def text(self):
        """In words."""
        if self.words:
            return self.words
        guests = {"uml": "User-mode Linux", "qemu": "QEMU", "virtio-user": "virtio-user"}[self.kind]
        other = "another guest" if self.peer == "guest" else "the host, over a wire"
        limit = f" limited to {self.rate_bps / 1e9:g} Gb/s" if self.rate_bps else ""
        return f"a {guests} guest and {other}{limit}"


# What each daemon has for itself.
UNIQUE = ("name", "control-socket")

# name -> (what it is, how to make its link at a Place)
OTHERS = {
    "native": ("Linux itself: network namespaces over veth, no guest", lambda place: NativeLink(place.rate_bps)),
    "native-offload": (
        "the same, with the offloads of an interface: TSO where it sends, GRO where it receives",
        lambda place: NativeLink(place.rate_bps, offloads=True),
    ),
    "uml-legacy": (
        "User-mode Linux with its old tap transport, on a bridge",
        lambda place: UmlTapLink(transport="legacy", rate_bps=place.rate_bps),
    ),
    "uml-vector": (
        "User-mode Linux with its vector transport, on a bridge",
        lambda place: UmlTapLink(transport="vector", rate_bps=place.rate_bps),
    ),
    "ovs": (
        "Open vSwitch on DPDK, with a bridge in user space, all settings at their defaults",
        lambda place: OvsLink(kind=place.kind, peer=place.peer, rate_bps=place.rate_bps),
    ),
}


def other_system(name, place):
    """One of OTHERS; LabError if it cannot be there."""
    summary, new_link = OTHERS[name]
    new_link(place)  # which says at once what it cannot do
    boot_s = 1 if name.startswith("native") else BOOT_ESTIMATE_S.get(place.kind, 5)
    return System(name, summary, lambda _say: new_link(place), boot_s=boot_s)


def pktvirt_systems(names, place, live=None):
    """pktvirt with each of these configurations, as they are given to bench/ab; returns (systems, how, in words).

    live   True: in one daemon, or NotLive; False: a daemon for each; None: in one daemon if that can be
    """
    return configured_systems(effective_configs(names), place, live)


def effective_configs(names):
    """name -> effective configuration, of files, or of names that are in configs/."""
    configs = {}
    for name in names:
        configs[unique(name, configs)] = effective_config(find_config(name))
    return configs


def configured_systems(configs, place, live=None):
    """The same with effective configurations: name -> configuration."""
    configs = {name: {key: one[key] for key in one if key not in UNIQUE} for name, one in configs.items()}
    if live is False:
        return restarted(configs, place), "Each starts anew in every run (--restart)."
    try:
        plan = LivePlan(configs)
        probe(plan)
    except NotLive as error:
        if live:
            raise
        return restarted(configs, place), f"Each starts anew in every run: {error}."
    how = "pktvirt is one daemon, whose stages are switched between measurements (--live)."
    return switched(plan, configs, place), how


def variants(base, lists):
    """name -> effective configuration, of one that is shipped with other lists of stages: name -> stages."""
    config = shipped(base)
    return {name: effective({**config, **with_stages(base, stages)}) for name, stages in lists.items()}


def with_stages(base, stages):
    """What is different in a configuration with other stages."""
    return {"description": f"{base} with {', '.join(map(stage_text, stages)) or 'no stage'}", "stages": stages}


def shipped(name):
    """A configuration as it is written in a file."""
    return json.loads(Path(find_config(name)).read_text(encoding="utf-8"))


def effective(config):
    """The effective configuration that one of that content comes to."""
    run_dir = RunDir()
    try:
        path = run_dir / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        return effective_config(str(path))
    finally:
        run_dir.remove()


def stage_text(entry):
    """A stage of a list in words: {"offload": {"wire": "none"}} -> "offload (wire none)"."""
    if isinstance(entry, str):
        return entry
    ((name, options),) = entry.items()
    return f"{name} ({', '.join(f'{key} {value}' for key, value in options.items())})"


def unique(name, names):
    """The name; of one that is compared with itself, with a number."""
    return name if name not in names else f"{name} ({len(names) + 1})"


def restarted(configs, place, **options):
    """A system for each configuration, with a boot of its own."""
    return [system(name, config, config, place, **options) for name, config in configs.items()]


def switched(plan, configs, place):
    """A system for each configuration, all on the same boot."""
    return [
        system(name, config, plan.config, place, boot="live", enter=enter(plan, name))
        for name, config in configs.items()
    ]


def pktvirt_link(config, place, say):
    """A guest on pktvirt, and what it talks to."""
    return PktvirtLink(config, kind=place.kind, peer=place.peer, rate_bps=place.rate_bps, say=say)


def system(name, config, started_with, place, link=pktvirt_link, **options):
    """The System of an effective configuration; link(config, place, say) is what it is measured with."""

    def start(say):
        return link(started_with, place, say)

    facts = {
        "effective_config": config,
        "bindings": {bound["primitive"]: bound["implementation"] for bound in config["$bindings"]},
        "worker_cpus": config["workers"],
        "guest_cpus": guest_cpus(config["workers"]),
    }
    boot_s = BOOT_ESTIMATE_S.get(place.kind, 5)
    return System(name, config.get("description", "pktvirt"), start, boot_s=boot_s, facts=facts, **options)


def enter(plan, name):
    """What makes a link's daemon the one of this name."""
    return lambda link: plan.enter(link.daemon, name)


def probe(plan):
    """NotLive if a daemon without guests cannot be started with the plan, and be switched to all of it."""
    run_dir = RunDir()
    ports = [port for port in plan.config["ports"] if "vhost-user" in port]
    ports = [with_socket(port, str(run_dir / port["name"])) for port in ports]
    try:
        with Daemon({**plan.config, "ports": ports}) as daemon:
            for name in [*plan.targets, *reversed(plan.targets)]:
                plan.enter(daemon, name)
    except DaemonError as error:
        raise NotLive(f"pktvirt cannot switch between them while it runs: {error}") from None
    finally:
        run_dir.remove()


# With what was measured


def inspect(_system, link):
    """Versions of what a link consists of."""
    versions = {}
    if link.daemon:
        said = link.daemon.ctl("version")
        versions = {"pktvirt": said["pktvirt"], "DPDK": said["dpdk"].split()[-1]}
    if isinstance(link.a, BootedGuest):
        versions["Linux of the guest"] = link.a.run("uname -r").text.strip()
    return {"versions": versions}


def package_versions():
    """package -> version, of those that are installed."""
    argv = ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${db:Status-Status}\n", *PACKAGES]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return {}  # no Debian
    words = [line.split() for line in said.splitlines()]
    return {line[0]: line[1] for line in words if line[2:] == ["installed"]}
