#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench/contexts and the light guests that it has (bench/light-contexts): what these do, an experiment from end to end
into a document, and one that is interrupted."""
import json
import re
import signal
import subprocess

from support import CPUS, TOP, check, check_contains, check_equal, names_in, run, say, wait_until, workspace

from lab import image
from lab.answering import AnsweringError
from lab.light import LightLink, light_ports
from lab.systems import effective

PROGRAM = str(TOP / "bench" / "contexts" / "contexts")
TIMEOUT_S = 300
PORTS = 6
FRAMES = 32


def light_guests_do_what_they_are_told(stages):
    say(f"light guests, {stages or 'no stage'}")
    config = effective({"workers": CPUS[:1], "ports": light_ports(PORTS), "stages": stages})
    with LightLink(config) as link, link.guests() as guests:

        def counted(number, counter):
            return guests.counters()[1].get(number, {}).get(counter, 0)

        def attached():
            return sum(port["state"] == "up" for port in link.daemon.ctl("show", "ports")["ports"])

        guests.attach(PORTS)
        check_equal(attached(), PORTS, "all are attached")
        guests.attach(3)
        wait_until("three are attached", lambda: attached() == 3)
        guests.attach(PORTS)
        check_equal(attached(), PORTS, "and again all")
        check_equal(len(guests.ping(0, 1, 5, 1, 64)), 5, "each frame comes after a rest")
        check_equal(len(guests.wake(5, 1, CPUS[0])), 5, "a thread is woken after a rest, without a switch")
        guests.receive(0)
        before = counted(3, "delivered_bytes")
        guests.send(3, 0, [64, 1514])
        wait_until("frames of one that floods come", lambda: counted(3, "delivered_bytes") > before + 100 * 1514)
        guests.stop_sending()
        sent = counted(3, "tx_packets")
        check_equal(counted(3, "tx_packets"), sent, "it sends no more when it is stopped")
        goes_round(guests, counted)
        for command, answer in (("send 0 9 64", "expected FROM TO"), ("send 0 1 59", "sizes of 60 to 1514"),
                                ("dance", "unknown command"), (f"attach {PORTS + 1}", "at most as many"),
                                ("ping 0 1 0 0 64", "expected FROM TO COUNT"),
                                ("wake 1 1", "expected COUNT IDLE_MS CPU"),
                                ("wake 1 1 1000", "no thread on that CPU")):  # fmt: skip
            check_contains(refused(guests, command), answer, f"{command!r} is refused")


def goes_round(guests, counted):
    """Frames that go round are not lost."""
    before = [(counted(number, "rx_packets"), counted(number, "tx_packets")) for number in (1, 2)]
    guests.loop(1, 2, FRAMES, [64])
    wait_until("frames go round", lambda: counted(1, "rx_packets") > before[0][0] + 100 * FRAMES)

    def all_has_come():
        guests.stop_sending()  # which takes what comes, too
        after = [(counted(number, "rx_packets"), counted(number, "tx_packets")) for number in (1, 2)]
        received, sent = (sum(two[way] for two in after) - sum(two[way] for two in before) for way in (0, 1))
        return received == sent

    wait_until("all that went round has come in at the end", all_has_come)


def refused(guests, command):
    """What the program says to a command with a mistake in it."""
    try:
        return f"it is obeyed: {guests.ask(command)}"
    except AnsweringError as error:
        return str(error)


def experiment_goes_into_a_document(directory):
    say("an experiment")
    page, report = directory / "page.md", directory / "report"
    page.write_text("before\n<!-- measured: latency -->\n<!-- end of latency -->\nafter\n")
    argv = [PROGRAM, "--quick", "--only", "latency", "--report", str(report), "--document", str(page)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)
    check(done.returncode == 0 and "failed" not in done.stdout, "it ends well", done.stdout + done.stderr)
    results = json.loads((report / "latency" / "results.json").read_text())
    check_equal({sample["system"] for sample in results["samples"]}, {"bridge", "contexts"}, "both are measured")
    check_contains(page.read_text(), "a frame after a rest, median", "the document has the table")
    check_contains(page.read_text(), "the kernel alone", "and what the kernel takes of it")
    check(page.read_text().startswith("before\n") and page.read_text().endswith("after\n"), "and what it had")
    check((directory / "page" / "first-frame.svg").exists(), "and a plot beside it")
    argv = [PROGRAM, "--quick", "--only", "idle", "--document", str(page)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)
    check_contains(done.stderr, "no markers of idle", "a document without a place for results is refused")


def interrupted_experiment_leaves_nothing(directory):
    say("an experiment that is interrupted")
    argv = [PROGRAM, "--quick", "--only", "scaling", "--report", str(directory / "interrupted")]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as program:  # fmt: skip
        for line in program.stderr:
            if re.match("run 1 of 2, .*, crowd", line):
                program.send_signal(signal.SIGINT)
                break
        text, rest = program.communicate(timeout=TIMEOUT_S)
    check(program.returncode == 1, "its status says that something is missing", rest)
    check_contains(text, "Not all was measured: interrupted", "so does its text")
    left = [name for name in names_in("/run/netns") if name.startswith(f"pv{program.pid}-")]
    left += [name for name in names_in("/sys/class/net") if name.startswith(f"pv{program.pid}")]
    check_equal(left, [], "no namespace or interface is left")


def main():
    image.ensure("uml")
    with workspace() as directory:
        light_guests_do_what_they_are_told([])
        light_guests_do_what_they_are_told(["multi-context-demux"])
        experiment_goes_into_a_document(directory)
        interrupted_experiment_leaves_nothing(directory)


if __name__ == "__main__":
    run(main)
