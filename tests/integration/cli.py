#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The command line: exit statuses and messages, and that what does not start leaves nothing behind."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess

from support import (
    DPDK_DIRECTORY,
    Skip,
    check,
    check_contains,
    check_equal,
    check_ping,
    config,
    daemon,
    ethdev,
    find_program,
    note_name,
    pktvirt,
    ports,
    raw,
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
from lab.netns import host

WRONG_ABI = "const struct { unsigned abi; const void *stages; } pv_plugin = { 4711, 0 };"
NO_PLUGIN = "int something_else;"


def write(directory, content, name="config.json"):
    """A configuration file of an object or a text; returns its path."""
    path = directory / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return path


def refused(what, done, status, *messages):
    """Checks the status and messages of a run that failed."""
    check_equal(done.returncode, status, f"{what}: status {status}")
    for message in messages:
        check_contains(done.stderr, message, f"{what}: it says so")


def good(directory, **settings):
    """A configuration without mistakes."""
    return config(vhost("vm0", directory), **settings)


def information_is_printed(directory):
    version = pktvirt("--version")
    check(re.fullmatch(r"pktvirt \d+\.\d+\.\d+, DPDK [\d.]+\n", version.stdout), "--version", version.stdout)
    check_equal(version.returncode, 0, "its status is 0")
    stages = pktvirt("--list-stages")
    check(stages.returncode == 0 and "\nbatched-syscalls " in stages.stdout, "--list-stages", stages.stdout)
    listed = json.loads(pktvirt("--list-stages", "--json").stdout)
    check("batched-syscalls" in [stage["name"] for stage in listed["stages"]], "--list-stages --json")
    known = pktvirt("--help-stage", "batched-syscalls")
    check(known.returncode == 0 and "Koh et al." in known.stdout, "--help-stage names the source", known.stdout)
    for option in ("--help", "--print-schema"):
        check_equal(pktvirt(option).returncode, 0, option)
    checked = pktvirt("--config", write(directory, good(directory)), "--check-config")
    check_equal(checked.returncode, 0, "--check-config of a good one")
    check_contains(checked.stdout, "no mistakes: 1 port, 0 stages, 1 worker", "it says what is in it")


def printed_configuration_is_accepted_again(directory):
    for stages in ([], ["batched-syscalls"]):
        path = write(directory, good(directory, baseline="uml", stages=stages))
        printed = pktvirt("--config", path, "--print-config")
        check_equal(printed.returncode, 0, f"--print-config with stages {stages}")
        bound = json.loads(printed.stdout)["$bindings"]
        check(all(one["why"] for one in bound) and bound, "it says what is bound and why", bound)
        again = write(directory, printed.stdout, "again.json")
        check_equal(pktvirt("--config", again, "--check-config").returncode, 0, "what it prints is accepted")
        check_equal(pktvirt("--config", again, "--print-config").stdout, printed.stdout, "and means the same")


def mistakes_of_usage_are_refused():
    refused("an unknown option", pktvirt("--chekc-config"), 2,
            'unknown option "--chekc-config"; did you mean "--check-config"?')
    refused("an option like no other", pktvirt("--zzzzzzzz"), 2, 'unknown option "--zzzzzzzz"; see pktvirt --help')
    refused("an option without its value", pktvirt("--config"), 2, "--config needs a value")
    refused("an argument too many", pktvirt("eul.json"), 2, 'unexpected argument "eul.json"')
    refused("an unknown log level", pktvirt("--log-level", "loud"), 2, '"loud": expected error, warning, info or debug')
    refused("an unknown stage", pktvirt("--help-stage", "batched-syscals"), 2, 'did you mean "batched-syscalls"?')


def mistakes_of_the_configuration_are_refused(directory):
    refused("no such file", pktvirt("--config", "no-such.json", cwd=directory), 2, "no-such.json: no such file",
            "configs/no-such.json")
    refused("no JSON", pktvirt("--config", write(directory, '{\n  "ports": [,]\n}')), 2, "config.json:2: ")
    refused("a directory", pktvirt("--config", directory), 2, "Is a directory")
    vm0 = vhost("vm0", directory)
    wrong = {
        "an unknown key": ({"ports": [vm0], "baselnie": "uml"}, 'unknown option "baselnie"; did you mean "baseline"?'),
        "an unknown stage": ({"ports": [vm0], "stages": ["no-stage"]}, 'stages[0]: unknown stage "no-stage"'),
        "a value out of range": ({"ports": [vm0], "packets": 7}, "packets: 7: expected 2048 to 4194304"),
        "no ports": ({}, "ports: missing"),
        "a CPU that does not exist": ({"ports": [vm0], "workers": [9999]},
                                      "workers[0]: 9999: this machine offers CPUs"),
        "a socket twice": ({"ports": [vm0, {**vm0, "name": "vm1"}]}, "already the socket of ports[0]"),
        "a path too long for a socket": ({"ports": [vhost("v" * 31, directory / ("d" * 100))]},
                                         "expected a string of 1 to 107 characters"),
        "an empty plugin": ({"ports": [vm0], "plugins": [""]}, "plugins[0]"),
    }
    for what, (content, message) in wrong.items():
        for arguments in (["--check-config"], []):
            refused(what, pktvirt("--config", write(directory, content), *arguments), 2, message)
    both = pktvirt("--config", write(directory, {"ports": [vm0], "packets": 7, "stages": ["no-stage"]}))
    refused("two mistakes", both, 2, "packets: 7", "no-stage")


def other_files_are_never_replaced(directory):
    file = directory / "vm0.sock"
    file.write_text("precious")
    inode = file.stat().st_ino
    for arguments in (["--check-config"], []):
        refused("a regular file in the place of the socket",
                pktvirt("--config", write(directory, good(directory)), *arguments), 2,
                f'"{file}": a regular file is there; it is not replaced')
    check((file.read_text(), file.stat().st_ino) == ("precious", inode), "the file is as it was")
    file.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(file))
        listener.listen()
        refused("somebody listens on the socket", pktvirt("--config", write(directory, good(directory))), 1,
                "another process listens there")
    check(file.is_socket(), "the socket of somebody else is still there")
    with daemon(good(directory)) as switch:
        check_equal(ports(switch)["vm0"]["state"], "down", "the stale socket is replaced")


def missing_directories_are_made(directory):
    deep = directory / "not" / "yet" / "there"
    with daemon(config(vhost("vm0", deep))):
        check((deep / "vm0.sock").is_socket(), "the directory of a socket is made")


def plugins_that_cannot_be_loaded_are_refused(directory):
    (directory / "text.so").write_text("no shared object")
    cases = {"missing.so": "No such file or directory", "text.so": "file too short|invalid ELF header"}
    for name, source, message in (("abi.so", WRONG_ABI, "built for plugin ABI 4711, this pktvirt has"),
                                  ("none.so", NO_PLUGIN, "not a pktvirt plugin: it does not export pv_plugin")):
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", directory / name, "-"], input=source, text=True,
                       timeout=60, check=True)
        cases[name] = message
    for name, message in cases.items():
        done = pktvirt("--config", write(directory, good(directory, plugins=[str(directory / name)])))
        refused(f"the plugin {name}", done, 2, f'plugins[0]: "{directory / name}": ')
        check(re.search(message, done.stderr), f"the plugin {name}: the reason is given", done.stderr)


def nothing_remains(directory, name, interface):
    """After a daemon with control socket, a guest's socket and a tap."""
    there = [str(path) for path in directory.rglob("*") if path.is_socket()]
    there += [interface] if os.path.exists(f"/sys/class/net/{interface}") else []
    there += [str(DPDK_DIRECTORY / name)] if (DPDK_DIRECTORY / name).exists() else []
    check_equal(there, [], "neither sockets, nor a tap, nor runtime files remain")


def full_config(directory, name, *more_ports):
    """A configuration with a port of each kind that leaves traces."""
    note_name(name)
    interface = tap_name()
    return interface, config(vhost("vm0", directory), tap("tap0", interface), *more_ports, name=name,
                             control_socket=str(directory / "ctl"))


def devices_that_dpdk_refuses_end_the_start(directory):
    for devargs in ("net_nosuchdriver0", "net_af_packet0,iface=nosuchinterface", "net_af_packet0,nosuchkey=1"):
        name = f"refused{os.getpid()}"
        interface, content = full_config(directory, name, ethdev("wire0", devargs))
        done = pktvirt("--config", write(directory, content))
        refused(devargs, done, 1, f'wire0: devargs "{devargs}": ')
        nothing_remains(directory, name, interface)
    name = f"shared{os.getpid()}"
    interface, content = full_config(directory, name, ethdev("wire0", "net_null0"), ethdev("wire1", "net_null0,no-rx=1"))
    done = pktvirt("--config", write(directory, content))
    refused("a device of two ports", done, 1, 'wire1: devargs "net_null0,no-rx=1": the device of port "wire0"')
    nothing_remains(directory, name, interface)


def interfaces_that_are_none_end_the_start(directory):
    """A raw port needs one of Ethernet that exists."""
    tap_there = f"pv{os.getpid()}t9"
    host("ip", "tuntap", "add", tap_there, "mode", "tap")
    mistakes = {
        tap_there[:-1] + "8": f'there is none of that name; did you mean "{tap_there}"?',
        "nosuchone": "there is none of that name: expected one of: lo",
        "lo": "it is not of Ethernet, as it must be",
    }
    try:
        for number, (given, expected) in enumerate(mistakes.items()):
            name = f"missing{os.getpid()}-{number}"
            interface, content = full_config(directory, name, raw("raw0", given))
            done = pktvirt("--config", write(directory, content))
            refused(given, done, 1, f'raw0: raw interface "{given}": {expected}')
            nothing_remains(directory, name, interface)
    finally:
        host("ip", "link", "del", tap_there)


def told_to_end_while_it_starts(directory):
    name = f"early{os.getpid()}"
    interface, content = full_config(directory, name)
    path = write(directory, content)
    moments = {
        "at once": (lambda: True, (0, -signal.SIGTERM)),
        "when its control socket appears": ((directory / "ctl").is_socket, (0,)),
        "when its tap appears": (lambda: os.path.exists(f"/sys/class/net/{interface}"), (0,)),
        "when its guest's socket appears": ((directory / "vm0.sock").is_socket, (0,)),
    }
    for moment, (is_there, statuses) in moments.items():
        with background(path) as process:
            wait_until(f"SIGTERM {moment}", is_there)
            process.send_signal(signal.SIGTERM)
            check(process.wait(60) in statuses, f"SIGTERM {moment} ends it: status {process.returncode}")
        nothing_remains(directory, name, interface)


@contextlib.contextmanager
def background(path):
    """The daemon, started without waiting for it."""
    argv = [find_program("PKTVIRT_BIN", "pktvirt"), "--config", path]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def second_guest_is_refused(directory):
    """A second connection to a port that has its guest."""
    with daemon(config(vhost("vm0", directory), vhost("vm1", directory))) as switch:
        with running(uml("vm0", directory, 1), uml("vm1", directory, 2)) as (vm0, vm1):
            check_ping(vm0, "10.77.0.2")
            with socket.socket(socket.AF_UNIX) as second:
                second.settimeout(60)
                second.connect(str(directory / "vm0.sock"))
                check_equal(closed_or_data(second), b"", "a second connection is closed")
            check_contains(switch.log.read_text(), "vm0: second connection to ", "the log says so")
            check_ping(vm0, "10.77.0.2")
            check_ping(vm1, "10.77.0.1")
            check_equal(ports(switch)["vm0"]["detail"]["attachments"], 1, "the first one has stayed attached")


def closed_or_data(client):
    """What the other end sends; nothing when it closes the connection, in whatever way."""
    try:
        return client.recv(100)
    except ConnectionResetError:
        return b""


def main():
    if not os.path.exists("/dev/net/tun"):
        raise Skip("this machine has no /dev/net/tun")
    with workspace() as directory:
        say("information")
        information_is_printed(directory)
        printed_configuration_is_accepted_again(directory)
        say("mistakes")
        mistakes_of_usage_are_refused()
        mistakes_of_the_configuration_are_refused(directory)
        other_files_are_never_replaced(directory)
        plugins_that_cannot_be_loaded_are_refused(directory)
        say("starting")
        missing_directories_are_made(directory)
        devices_that_dpdk_refuses_end_the_start(directory)
        interfaces_that_are_none_end_the_start(directory)
        told_to_end_while_it_starts(directory)
        say("connections")
        second_guest_is_refused(directory)


if __name__ == "__main__":
    run(main)
