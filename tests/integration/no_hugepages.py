#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Without hugepages the daemon says so in one line and works; SIGTERM and SIGINT end it with nothing left behind."""

import os
import re
import signal
import stat

from support import (
    DPDK_DIRECTORY,
    check,
    check_equal,
    check_ping,
    config,
    daemon,
    find_program,
    hugepage_files,
    names_in,
    run,
    running,
    say,
    tap,
    tap_name,
    uml,
    vhost,
    wait_until,
    workspace,
)

# The daemon as on a machine that has no hugepages, whatever this one has.
WRAPPER = """#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/mm/hugepages && exec "$0" "$@"' {} "$@"
"""


def hide_hugepages(directory):
    """Lets the laboratory start the daemon where no hugepages are to be seen."""
    wrapper = directory / "pktvirt"
    wrapper.write_text(WRAPPER.format(find_program("PKTVIRT_BIN", "pktvirt")))
    wrapper.chmod(0o755)
    os.environ["PKTVIRT_BIN"] = str(wrapper)


def one_line_is_said_about_it(switch):
    lines = switch.log.read_text().splitlines()
    said = [line for line in lines if re.search("huge", line, re.IGNORECASE)]
    check_equal(len(said), 1, "one line is about hugepages: " + "".join(said[:1]))
    check(said[0].startswith("pktvirt: memory: running without hugepages"), "it says that there are none", said)
    check(re.search(r"sysctl vm\.nr_hugepages=\d+$", said[0]), "it says how to get them", said)
    warned = [line for line in lines if re.match("(EAL|pktvirt: dpdk):", line)]
    check_equal(warned, [], "the library warns of nothing")


def nothing_is_left(name, directory, interface):
    sockets = [path.name for path in directory.iterdir() if stat.S_ISSOCK(path.lstat().st_mode)]
    check_equal(sockets, [], "no sockets are left")
    check_equal(hugepage_files([name]), [], "no hugepage files are left")
    check(not os.path.exists(f"/sys/class/net/{interface}"), "no tap is left")
    check_equal(names_in(DPDK_DIRECTORY / name), [], "no runtime files are left")


def ends_in_order(directory, number):
    """Two guests and a tap, ended by a signal while the guests are attached."""
    interface = tap_name()
    switched = config(vhost("vm0", directory), vhost("vm1", directory), tap("tap0", interface))
    with daemon(switched) as switch, running(uml("vm0", directory, 1), uml("vm1", directory, 2)) as (vm0, vm1):
        name = switch.ctl("show", "config")["config"]["name"]
        check_ping(vm0, "10.77.0.2")
        check_ping(vm1, "10.77.0.1")
        check(os.path.exists(f"/sys/class/net/{interface}"), "the tap is there")
        one_line_is_said_about_it(switch)
        switch.signal(number)
        wait_until(f"{number.name} ends the daemon", lambda: switch.child.status is not None)
        check_equal(switch.child.status, 0, "its exit status is 0")
        nothing_is_left(name, directory, interface)


def main():
    with workspace() as directory:
        hide_hugepages(directory)
        for number in (signal.SIGTERM, signal.SIGINT):
            say(number.name)
            ends_in_order(directory, number)


if __name__ == "__main__":
    run(main)
