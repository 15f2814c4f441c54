#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench/ab with real guests: a comparison from end to end, one that is interrupted, and mistakes in its arguments."""
import json
import signal
import subprocess
import sys

from support import TOP, check, check_contains, check_equal, names_in, run, say, workspace

from lab import image

AB = str(TOP / "bench" / "ab")
WORKLOAD = "tcp-rr"
TIMEOUT_S = 300
PAIR = ["uml.json", "eul.json"]


def comparison_gives_everything(directory):
    say("a comparison")
    report = directory / "report"
    argv = [AB, *PAIR, "--quick", "--workload", WORKLOAD, "--live", "--with", "native", "--report", str(report)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)
    check(done.returncode == 0 and "failed" not in done.stdout, "it ends well", done.stdout + done.stderr)
    check_contains(done.stdout, "too few runs", "of two runs there is no verdict")
    check_contains(done.stderr, "run 2 of 2", "it says how far it is")
    results = json.loads((report / "results.json").read_text())
    systems = [sample["system"] for sample in results["samples"]]
    check_equal(sorted(systems), sorted([*PAIR, "native"] * 2), "each system is measured in each run")
    check(all(sample["points"] for sample in results["samples"]), "each measurement has values")
    for fact in ("machine", "kernel", "commit", "date", "packages"):
        check(fact in results, f"the results have: {fact}")
    bindings = [results["systems"][name]["bindings"]["host-io"] for name in PAIR]
    check_equal(bindings, ["per-packet", "per-burst"], "and what each configuration binds")
    check_contains((report / "report.html").read_text(), "<svg", "the page has plots")


def interrupted_comparison_keeps_what_was_measured(directory):
    say("a comparison that is interrupted")
    file = directory / "results.json"
    argv = [AB, *PAIR, "--quick", "--workload", WORKLOAD, "--restart", "--runs", "100", "--json", str(file)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as program:  # fmt: skip
        seen = []
        for line in program.stderr:
            seen.append(line)
            if line.startswith("run 2 of 100, eul.json"):
                program.send_signal(signal.SIGINT)
                break
        text, rest = program.communicate(timeout=TIMEOUT_S)
    check(program.returncode == 1, "its status says that something is missing", "".join(seen) + rest)
    check_contains(text, "Not all was measured: interrupted", "so does its text")
    results = json.loads(file.read_text())
    check_equal(results["stopped"], "interrupted", "and its file")
    measured = [sample["system"] for sample in results["samples"] if sample["run"] == 0 and sample["points"]]
    check_equal(measured, PAIR, "what was measured before is there")
    left = [name for name in names_in("/run/netns") if name.startswith(f"pv{program.pid}-")]
    left += [name for name in names_in("/sys/class/net") if name.startswith(f"pv{program.pid}")]
    check_equal(left, [], "no namespace or interface is left")


def mistakes_are_explained():
    say("mistakes")
    for argv, text in (
        (["nothing.json", "eul.json"], "nothing.json: no such file"),
        (["--workload", "tcp-r"], "'tcp-r': expected some of"),
        (["--workload", "tcp-r"], 'did you mean "tcp-rr"?'),
        (["--with", "xen"], "'xen': expected some of native, native-offload, uml-legacy, uml-vector, ovs"),
        (["--guest", "virtio-user"], "'virtio-user': expected uml or qemu: these guests run no programs; bench/switch"),
        (["--guest", "xen"], "'xen': expected uml or qemu\n"),
        (["--rate", "1T"], "'1T': expected 1M to 100G bits per second"),
        (["--runs", "0"], "'0': expected 1 to 1000"),
        (["uml.json", "fast.json", "--live"], "uml.json and fast.json differ in baseline; only stages can be switched"),
        (["--json", "/nowhere/file"], "/nowhere/file: No such file or directory"),
    ):
        done = subprocess.run([AB, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        check(done.returncode in (1, 2) and not done.stdout, f"{' '.join(argv)} is refused", done.stdout)
        check_contains(done.stderr, text, "with the reason")


def main():
    image.ensure("uml")
    mistakes_are_explained()
    with workspace() as directory:
        comparison_gives_everything(directory)
        interrupted_comparison_keeps_what_was_measured(directory)


if __name__ == "__main__":
    WORKLOAD = sys.argv[1] if sys.argv[1:] else WORKLOAD
    run(main)
