#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two daemons side by side, each with two guests that have the same addresses; a third of the same name is refused."""

import json
import os

from support import (
    CONTROL_DIRECTORY,
    check,
    check_contains,
    check_equal,
    check_ping,
    config,
    daemon,
    pktvirt,
    ports,
    run,
    running,
    say,
    transfer,
    uml,
    vhost,
    workspace,
)


def write_config(directory, name):
    """A configuration file without a control socket, so that it is at the place that the name gives it."""
    directory.mkdir()
    path = directory / "config.json"
    path.write_text(json.dumps(config(vhost("vm0", directory), vhost("vm1", directory), name=name)))
    return path


def third_of_the_same_name_is_refused(directory, name):
    refused = pktvirt("--config", write_config(directory / "third", name))
    check_equal(refused.returncode, 1, "a daemon of a name that is taken ends with status 1")
    check_contains(refused.stderr, f"{CONTROL_DIRECTORY}/{name}.ctl", "it says which socket is taken")
    check_contains(refused.stderr, 'give this one another "name"', "it says what to do")
    check_equal(os.listdir(directory / "third"), ["config.json"], "it has made no sockets")


def guests_of_one_switch_reach_each_other(switch, guests):
    name = switch.ctl("show", "config")["config"]["name"]
    check_ping(guests[0], "10.77.0.2")
    transfer(guests[0], guests[1], "10.77.0.2", 10)
    up = [port["state"] for port in ports(switch).values()]
    check_equal(up, ["up", "up"], f"both ports of {name} are up")


def main():
    with workspace() as directory:
        names = [f"one{os.getpid()}", f"two{os.getpid()}"]
        files = [write_config(directory / name, name) for name in names]
        with daemon(files[0]) as one, daemon(files[1]) as two:
            check(one.pid != two.pid, "two daemons run")
            guests = [uml(f"vm{i % 2}", directory / names[i // 2], i % 2 + 1) for i in range(4)]
            with running(*guests):
                guests_of_one_switch_reach_each_other(one, guests[:2])
                guests_of_one_switch_reach_each_other(two, guests[2:])
                say("a third one")
                third_of_the_same_name_is_refused(directory, names[0])
                guests_of_one_switch_reach_each_other(one, guests[:2])
                attached = [port["detail"]["attachments"] for port in ports(one).values()]
                check_equal(attached, [1, 1], "the first one's guests have stayed attached")
                say("the second one ends")
                two.signal(15)
                two.child.wait(60)
                guests_of_one_switch_reach_each_other(one, guests[:2])


if __name__ == "__main__":
    run(main)
