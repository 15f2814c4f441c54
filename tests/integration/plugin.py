#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The sample stage is built outside of the source tree against an installed pktvirt, loaded, and stops a storm."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from support import (
    Namespace,
    Skip,
    TOP,
    check,
    check_contains,
    check_equal,
    config,
    daemon,
    drops,
    ethdev,
    frame,
    is_conserved,
    pktvirt,
    ports,
    quiet_veth,
    run,
    say,
    send_frames,
    wait_until,
    workspace,
)

BUILD = Path(os.environ.get("PKTVIRT_BUILD") or TOP / "build")
STATION, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
OPTIONS = {"rate-pps": 1, "burst": 20}
FLOOD = 500


def command(*argv, env=None):
    """Runs a build tool; its output is shown when it fails. A compiler's cache would leave files in our directory."""
    done = subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180,
                          env={**os.environ, "CCACHE_DISABLE": "1", **(env or {})}, check=False)
    check(done.returncode == 0, " ".join(map(str, argv[:2])), done.stdout + done.stderr)


def install(directory):
    """Installs the build into the directory. Returns the path for pkg-config there."""
    command("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", directory)
    file = next(directory.rglob("pktvirt.pc"))
    # What a build with --prefix would have written: here the prefix is below the directory.
    file.write_text(re.sub(r"^prefix=", f"prefix={directory}", file.read_text(), flags=re.MULTILINE))
    return file.parent


def build_out_of_tree(directory):
    """Copies the sample away and builds it there. Returns the shared object."""
    sources = shutil.copytree(TOP / "examples" / "storm-control", directory / "storm-control")
    command("meson", "setup", directory / "build", sources, env={"PKG_CONFIG_PATH": str(install(directory / "root"))})
    command("ninja", "-C", directory / "build")
    return next((directory / "build").glob("*storm-control.so"))


def options_of_the_plugin_are_checked(directory, configuration):
    path = directory / "config.json"
    path.write_text(json.dumps(configuration))
    accepted = pktvirt("--config", path, "--check-config")
    check_equal(accepted.returncode, 0, "a configuration with the plugin has no mistakes")
    path.write_text(json.dumps({**configuration, "stages": [{"storm-control": {"brust": 20}}]}))
    refused = pktvirt("--config", path, "--check-config")
    check_equal(refused.returncode, 2, "an unknown option of its stage is a mistake")
    check_contains(refused.stderr, 'unknown option "brust"; did you mean "burst"?', "the message names the right one")


def storm_is_stopped(switch, a):
    send_frames(a, "eth0", [frame("ff:ff:ff:ff:ff:ff", STATION)] * FLOOD)
    wait_until("the storm has come in", lambda: ports(switch)["wire0"]["rx"]["packets"] >= FLOOD)
    wait_until("broadcasts over the limit are dropped as storm-control.storm",
               lambda: drops(switch, "wire0", "storm-control.storm") > 0)
    wait_until("every frame is accounted for", lambda: is_conserved(switch))
    dropped, forwarded = drops(switch, "wire0", "storm-control.storm"), ports(switch)["wire1"]["tx"]["packets"]
    check_equal(dropped + forwarded, FLOOD, "each broadcast was forwarded or dropped by the stage")
    check(forwarded >= OPTIONS["burst"], "a burst's worth was let through", forwarded)
    check(dropped > FLOOD // 2, "most of the storm was dropped", dropped)
    stage = next(one for one in switch.ctl("show", "stages")["stages"] if one["name"] == "storm-control")
    check_equal((stage["packets"], stage["dropped"]), (FLOOD, dropped), "the stage has counted it")
    check_equal(stage["drops"], {"storm-control.storm": dropped}, "by its reason, too")


def other_frames_pass(switch, a, b):
    send_frames(b, "eth0", [frame(STATION, OTHER)])
    wait_until("a frame to one station passes", lambda: ports(switch)["wire0"]["tx"]["packets"] >= 1)
    before = ports(switch)["wire1"]["tx"]["packets"]
    send_frames(a, "eth0", [frame(OTHER, STATION)] * FLOOD)
    wait_until("and so does a flood of them", lambda: ports(switch)["wire1"]["tx"]["packets"] == before + FLOOD)


def unicast_frames_need_no_call(switch, a):
    """With templates the stage has decided about a flow after its first frames."""
    def stage():
        return next(one for one in switch.ctl("show", "stages")["stages"] if one["name"] == "storm-control")

    def path():
        return switch.ctl("show", "workers")["workers"][0]["path"]

    check_equal(path()["shape"], "templates", "the worker has templates, and stages")
    packets, before = stage()["packets"], path()["hits"]
    send_frames(a, "eth0", [frame(OTHER, STATION)] * FLOOD)
    wait_until("a flood to one station has been counted by the stage", lambda: stage()["packets"] == packets + FLOOD)
    check(path()["hits"] - before > FLOOD // 2, "and most of it was not handed to it", path())


def main():
    for program in ("meson", "ninja", "cc"):
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")
    if not (BUILD / "build.ninja").exists():
        raise Skip(f"{BUILD} is no build folder of meson; name another one with PKTVIRT_BUILD")
    with workspace() as directory, Namespace("a") as a, Namespace("b") as b:
        plugin = build_out_of_tree(directory)
        ends = [quiet_veth(namespace) for namespace in (a, b)]
        wires = [ethdev(f"wire{number}", f"net_af_packet{number},iface={end}") for number, end in enumerate(ends)]
        configuration = config(*wires, plugins=[str(plugin)], stages=[{"storm-control": OPTIONS}])
        say("the configuration")
        options_of_the_plugin_are_checked(directory, configuration)
        with daemon(configuration) as switch:
            say("the storm")
            storm_is_stopped(switch, a)
            other_frames_pass(switch, a, b)
        say("the same with templates of flows")
        configuration = config(*wires, plugins=[str(plugin)], stages=["specialization", {"storm-control": OPTIONS}])
        with daemon(configuration) as switch:
            storm_is_stopped(switch, a)
            other_frames_pass(switch, a, b)
            unicast_frames_need_no_call(switch, a)


if __name__ == "__main__":
    run(main)
