#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every combination of ring features, over one data path: the program vhost_suite drives the daemon's ports.

Argument: the data path, as the option "data-path" names it, or a name of CONFIGURATIONS. VHOST_SUITE is the program; a
second argument is a pattern of case names.
"""

import os
import subprocess
import sys

from support import GUEST_CPU, check_equal, config, daemon, is_conserved, ports, run, say, vhost, wait_until, workspace
from lab.daemon import find_program

QUEUES = 4
SUITE_S = 540  # the suite has deadlines of its own; this one is for a suite that is broken itself


def contexts(**options):
    """The stage, so that a full ring drops what it has no room for at once, as one case of the suite wants it."""
    return {"multi-context-demux": {"hold-us": 0, **options}}


# Names of data paths that are more than an option of the port: the option, and settings of the configuration.
CONFIGURATIONS = {
    "vio-contexts": ("vio", {"stages": [contexts()]}),
    "vio-shared": ("vio", {"stages": ["shared-buffer-rings"]}),
    "vio-uml": ("vio", {"baseline": "uml"}),
    "vio-eul": ("vio", {"baseline": "uml", "stages": [
        "signal-free-sync", "batched-syscalls", {"translation-cache": {"entries": 64}}, "shared-buffer-rings",
        "specialization"]}),
    "vio-xen": ("vio", {"baseline": "xen"}),
    "vio-xen-ioc": ("vio", {"baseline": "xen", "stages": ["io-channel"]}),
    "vio-window": ("vio", {"stages": [contexts(protection="window")]}),
    "vio-specialized": ("vio", {"stages": ["shared-buffer-rings", "specialization"]}),
}


def configuration(directory, name):
    """Two ports with one queue pair, two with several, and one that connects to the frontend.

    Contexts know their addresses from the start, since they are given nothing that is for nobody known.
    """
    data_path, settings = CONFIGURATIONS.get(name, (name, {}))
    several = {"queues": QUEUES}
    differs = {"vm0": {}, "vm1": {}, "mq0": {**several}, "mq1": {**several}, "client0": {"mode": "client"}}
    if "multi-context-demux" in str(settings):
        for number, options in enumerate(differs.values(), 1):
            options["mac"] = f"52:54:00:00:00:{number:02x}"  # as suite_make_frame() has it
    ports_wanted = [vhost(port, directory, data_path=data_path, **options) for port, options in differs.items()]
    return config(*ports_wanted, **settings)


def run_suite(directory, name, patterns):
    """Run the program; its lines are the test's."""
    argv = [find_program("VHOST_SUITE", "vhost_suite"), name, str(directory), *patterns]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as child:
        os.sched_setaffinity(child.pid, [GUEST_CPU])
        try:
            return child.wait(SUITE_S)
        finally:
            child.kill()


def main():
    name, *patterns = sys.argv[1:] or ["rte_vhost"]
    with workspace() as directory, daemon(configuration(directory, name)) as switch:
        say(f"the suite, on {name}")
        status = run_suite(directory, name, patterns)
        for port, report in ports(switch).items():  # first: they say why a frame has not come
            print(f"-- {port}: {report['rx']['packets']} in, {report['tx']['packets']} out, drops {report['drops']}")
        check_equal(status, 0, "every case passes")
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


if __name__ == "__main__":
    run(main)
