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

# Names of data paths that are more than an option of the port: the option, and settings of the configuration.
CONFIGURATIONS = {
    "vio-shared": ("vio", {"stages": ["shared-buffer-rings"]}),
    "vio-uml": ("vio", {"baseline": "uml"}),
    "vio-eul": ("vio", {"baseline": "uml", "stages": [
        "signal-free-sync", "batched-syscalls", {"translation-cache": {"entries": 64}}, "shared-buffer-rings",
        "specialization"]}),
    "vio-xen": ("vio", {"baseline": "xen"}),
    "vio-xen-ioc": ("vio", {"baseline": "xen", "stages": ["io-channel"]}),
    "vio-window": ("vio", {"stages": [{"multi-context-demux": {"protection": "window"}}]}),
    "vio-specialized": ("vio", {"stages": ["shared-buffer-rings", "specialization"]}),
}


def configuration(directory, name):
    """Two ports with one queue pair, two with several, and one that connects to the frontend."""
    data_path, settings = CONFIGURATIONS.get(name, (name, {}))
    return config(
        *[vhost(port, directory, data_path=data_path) for port in ("vm0", "vm1")],
        *[vhost(port, directory, data_path=data_path, queues=QUEUES) for port in ("mq0", "mq1")],
        vhost("client0", directory, data_path=data_path, mode="client"),
        **settings,
    )


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
        check_equal(run_suite(directory, name, patterns), 0, "every case passes")
        wait_until("every frame is accounted for", lambda: is_conserved(switch))
        for port, report in ports(switch).items():
            print(f"-- {port}: {report['rx']['packets']} in, {report['tx']['packets']} out, drops {report['drops']}")


if __name__ == "__main__":
    run(main)
