#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Self test of the guest laboratory (bench/lab): what other tests rely on. Needs no daemon.

Exit status: 0, 1 for a failure, 77 if something that it needs is not installed.
Arguments: names of tests to run (default: all).
"""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from lab import CommandFailed, CommandTimeout, Daemon, Guest, GuestError, ImageError, LabError, Namespace  # noqa: E402
from lab import http_load, image  # noqa: E402
from lab import process as lab_process  # noqa: E402
from lab.links import GuestEnd, NativeLink  # noqa: E402
from lab.netns import host  # noqa: E402
from lab.workloads import WORKLOADS, Options  # noqa: E402


def expect(condition, what):
    """Fail the test with a sentence that says what was expected."""
    if not condition:
        raise AssertionError(what)


def expect_error(error, text, action, *args, **options):
    """Fail unless the action raises this error with this text; returns the error."""
    try:
        action(*args, **options)
    except error as caught:
        expect(text in str(caught), f"expected {text!r} in {caught}")
        return caught
    raise AssertionError(f"expected {error.__name__} with {text!r}")


def check_channel(kind):
    """Everything that Guest.run() and spawn() promise."""
    with Guest(kind, "vm0", ip="10.77.0.1/24") as guest:
        guest.wait_ready(60)
        expect(guest.run("hostname").text == "vm0\n", "the guest has its name")
        blob = os.urandom(50_000)
        result = guest.run("cat; head -c 300000 /bin/busybox >&2; exit 3", input=blob, check=False)
        expect(result.stdout == blob, "standard input and output are binary clean")
        expect((len(result.stderr), result.status) == (300_000, 3), "standard error and status come through")
        expect(guest.run(["echo", "a  b", "$HOME"]).text == "a  b $HOME\n", "a list is not interpreted by the shell")
        slow, fast = guest.spawn("sleep 1; echo slow"), guest.spawn("echo fast")
        expect(fast.wait(10).text == "fast\n" and slow.wait(10).text == "slow\n", "jobs run side by side")
        late = expect_error(CommandTimeout, "had not ended", guest.run, "echo part; sleep 60", timeout=0.5)
        expect(late.result.stdout == b"part\n", "a command that was killed still gives its output")
        expect(guest.run("pidof sleep", check=False).status == 1, "a command that timed out is killed")
        guest.run("iperf3 -s -D")
        guest.run("iperf3 -c 127.0.0.1 -n 1M", timeout=20)
        expect_error(CommandFailed, "status 127", guest.run, "no-such-command")
        doomed = guest.spawn("sleep 60")
        guest.run("echo $$")
        guest.kill()
        expect_error(GuestError, "the guest ended", doomed.wait, 10)
        run_dir = guest.run_dir.path
    expect(not run_dir.exists(), "stop removes the run directory")


def uml_guest_runs_commands():
    check_channel("uml")


def qemu_guest_runs_commands():
    check_channel("qemu")


def uml_guest_has_the_hosts_counter():
    """What delivery times rest on: the sender's reading of the time stamp counter means something to the receiver."""
    here = [image.own_program("netlat"), "clock"]
    with Guest("uml", "vm0") as guest:
        guest.wait_ready(60)
        before, there, after = (json.loads(said) for said in (host(*here).stdout, guest.run("netlat clock").text,
                                                              host(*here).stdout))  # fmt: skip
    expect(before["tsc"] < there["tsc"] < after["tsc"], f"one counter, in turns: {before}, {there}, {after}")
    rates = before["tsc_hz"], there["tsc_hz"]
    expect(max(rates) < 1.05 * min(rates), f"it has the same rate by either clock: {rates}")
    expect(there["step_us"] < 1000, f"the guest's clock is no coarse one: {there}")


def stop_takes_less_than_a_second():
    with Guest("uml", "vm0") as guest:
        guest.wait_ready(60)
        started = time.monotonic()
        guest.stop()
        expect(time.monotonic() - started < 1, "a guest stops within a second")


def poweroff_ends_the_process():
    with Guest("uml", "vm0") as guest:
        guest.wait_ready(60).spawn("halt")
        expect(guest.child.wait(10) == 0, "halt ends User-mode Linux")


def a_guest_that_loses_its_agent_says_so():
    with Guest("uml", "vm0") as guest:
        guest.wait_ready(60).spawn("killall -9 awk")
        expect(guest.child.wait(10) == 0, "the guest ends in good order, which is no panic")
        expect("has ended with status 137" in guest.log.read_text(errors="replace"), "its console says what has ended")


def processes_with(marker):
    """Ids of live processes that have the marker in their command line."""
    found = []
    for process in lab_process.processes():
        try:
            if marker.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            pass  # it has just ended
    return found


def guests_die_with_a_killed_launcher():
    name = f"killed{os.getpid()}"
    script = (
        f"import sys; sys.path.insert(0, {str(BENCH)!r})\n"
        "from lab import Guest, Namespace\n"
        "with Namespace('dead') as space, Guest('uml', sys.argv[1]) as guest:\n"
        "    guest.wait_ready(60)\n"
        "    print(space.name, guest.run_dir.path, flush=True)\n"
        "    guest.child.wait(None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, name], stdout=subprocess.PIPE, text=True) as launcher:
        space, run_dir = launcher.stdout.readline().split()
        expect(len(processes_with(f"umid={name}")) > 1, "User-mode Linux has processes besides its main one")
        launcher.send_signal(signal.SIGKILL)
    left = until_gone(lambda: processes_with(f"umid={name}") + [run_dir] * Path(run_dir).exists()
                      + [space] * Path("/run/netns", space).exists())
    expect(not left, f"nothing is left behind, but there is {left}")


def until_gone(look, timeout=10):
    """Poll until nothing is found; returns what is still there. (The end of a stranger is no event for us.)"""
    deadline = time.monotonic() + timeout
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def pasted_command_lines_give_a_shell():
    uml = [*image.uml_command(), "mem=256M", f"initrd={image.ensure('uml')}/uml.initramfs", "con=null", "con0=fd:0,fd:1"]
    talk_to_console([*uml, f"uml_dir=/tmp/pv-uml-{os.getpid()}/", "rdinit=/init"], "poweroff -f")
    os.rmdir(f"/tmp/pv-uml-{os.getpid()}")


def pasted_qemu_line_gives_a_shell():
    folder = image.ensure("qemu")
    qemu = [image.QEMU, "-nographic", "-m", "256M", "-kernel", f"{folder}/qemu.vmlinuz"]
    qemu += ["-initrd", f"{folder}/qemu.initramfs", "-append", "console=ttyS0 rdinit=/init quiet"]
    talk_to_console(qemu, "halt -f")


def interactive_boot_gives_a_shell():
    talk_to_console([BENCH / "guest", "boot", "--name", "vm7", "--interactive"], "poweroff", "This is guest vm7")


def talk_to_console(argv, farewell, greeting="This is guest"):
    """Run a console program on a terminal, use its shell, say farewell and expect it to end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], list(map(str, argv)))
    end = os.pidfd_open(pid)
    try:
        read_until(terminal, greeting, "# ")
        os.write(terminal, b"echo $((6 * 7))-answer\n")
        read_until(terminal, "42-answer")
        os.write(terminal, farewell.encode() + b"\n")
        drain_until(end, terminal)
    finally:
        # The janitor that bench/guest starts has to live on: it cleans up behind it.
        for stray in [pid, *([] if argv[0] == BENCH / "guest" else children(pid))]:
            try:
                os.kill(stray, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.waitpid(pid, 0)
        os.close(terminal)
        os.close(end)


def children(pid):
    """Processes that the process on our terminal started."""
    output = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, timeout=10)
    return list(map(int, output.stdout.split()))


def read_until(terminal, *texts, timeout=60):
    """Read a terminal until the texts have appeared, in this order; one read may bring several."""
    seen, deadline = "", time.monotonic() + timeout
    for text in texts:
        while text not in seen:
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            expect(ready, f"the console shows {text!r}; it shows: {seen[-500:]}")
            seen += os.read(terminal, 4096).decode(errors="replace")
        seen = seen.partition(text)[2]


def drain_until(end, terminal, timeout=20):
    """Read a terminal until the process ends."""
    deadline = time.monotonic() + timeout
    poller = select.poll()
    poller.register(end, select.POLLIN)
    poller.register(terminal, select.POLLIN)
    while True:
        events = dict(poller.poll(max(0, deadline - time.monotonic()) * 1000))
        expect(events, "the process ends")
        if end in events:
            return
        try:
            os.read(terminal, 4096)
        except OSError:
            poller.unregister(terminal)  # its last user has closed it


def mistakes_are_explained():
    expect_error(GuestError, "expected one of uml, qemu, virtio-user", Guest, "xen", "vm0")
    expect_error(GuestError, "ip = '10.77': expected", Guest, "uml", "vm0", ip="10.77")
    expect_error(GuestError, "queues = 2: expected 1", Guest, "uml", "vm0", queues=2)
    expect_error(GuestError, "expected a path of at most 107", Guest, "uml", "vm0", "/" + "x" * 107)
    expect_error(GuestError, "nothing is there", Guest("uml", "vm0", "/tmp/no-such-switch.sock").start)
    os.environ["PKTVIRT_BIN"] = "/nonexistent"
    expect_error(LabError, "/nonexistent does not exist; build it", Daemon({}).start)
    os.environ["PKTVIRT_BIN"] = "/bin/false"
    expect_error(LabError, "ended with status 1 at start", Daemon({}).start)
    del os.environ["PKTVIRT_BIN"]


def namespaces_come_and_go():
    with Namespace("one") as one, Namespace("two") as two:
        ends = [one.veth("10.78.0.1/24"), two.veth("10.78.1.1/24", mac="52:54:00:00:00:02", mtu=1400)]
        one.offload(tx="off")
        expect("mtu 1400" in two.run("ip link show eth0").stdout, "the MTU is set")
        expect(all(re.fullmatch(r"\S{1,15}", end) for end in ends), "interface names are short enough")
        expect(one.run("exit 4", check=False).returncode == 4, "the exit status comes through")
    for end in ends:
        expect(host("ip", "link", "show", end, check=False).returncode, f"{end} is gone")


def workloads_give_all_they_say():
    """Every workload over plain Linux, where there is no switch and no guest; http where its programs are installed."""
    programs = [program for programs in http_load.NEEDS.values() for program in programs]
    names = [name for name in WORKLOADS if name != "http" or all(map(shutil.which, programs))]
    with NativeLink() as link:
        for name in names:
            workload = WORKLOADS[name]
            points = workload.run(link, Options(seconds=1, quick=True), lambda _text: None)
            expected = {metric for metric in workload.metrics if not metric.startswith(("switch_", "guest_", "both_"))}
            expect({point.metric for point in points} == expected, f"{name} gives {sorted(expected)}, not {points}")
            zero = [point for point in points if not point.value > 0]
            expect(not zero, f"{name} gives what is more than nothing, not {zero}")


def guests_cpu_time_is_known():
    """Of a guest that works and of one that does not: of its kernel, and of a program that has ended."""
    with Guest("uml", "vm0", ip="10.77.0.1/24") as guest:
        end = GuestEnd(guest.wait_ready(60))
        idle = end.cpu_seconds()
        time.sleep(0.5)
        before = end.cpu_seconds()
        started = time.monotonic()
        guest.run("n=0; while [ $n -lt 20000 ]; do n=$((n + 1)); done", timeout=60)
        after, elapsed = end.cpu_seconds(), time.monotonic() - started
    expect(before - idle < 0.25, f"a guest that does nothing has no CPU time: {before - idle:.2f} s of 0.5")
    expect(0 < after - before <= elapsed + 0.02, f"one that counts has: {after - before:.2f} s of {elapsed:.2f}")


def offloads_make_large_frames_of_one_side_only():
    """What stands for Linux with a good interface sends large frames, and is sent those of a wire all the same."""
    for offloads in (False, True):
        with NativeLink(offloads=offloads) as link:
            WORKLOADS["tcp-stream"].run(link, Options(seconds=1, quick=True), lambda _text: None)
            sent, received = mean_frame(link.a, "TX"), mean_frame(link.a, "RX")
            expect((sent > 3000) == offloads, f"the near end sends frames of {sent:.0f} bytes, offloads: {offloads}")
            expect(received <= 1514, f"the far end sends frames of {received:.0f} bytes")


def mean_frame(end, direction):
    """Bytes of a frame that an end has sent (TX) or received (RX)."""
    said = end.run("ip -s link show eth0").text
    size, packets = map(int, re.search(rf"{direction}: .*\n\s+(\d+)\s+(\d+)", said).groups())
    return size / packets


TESTS = [
    mistakes_are_explained,
    namespaces_come_and_go,
    workloads_give_all_they_say,
    offloads_make_large_frames_of_one_side_only,
    guests_cpu_time_is_known,
    uml_guest_runs_commands,
    uml_guest_has_the_hosts_counter,
    stop_takes_less_than_a_second,
    poweroff_ends_the_process,
    a_guest_that_loses_its_agent_says_so,
    guests_die_with_a_killed_launcher,
    pasted_command_lines_give_a_shell,
    interactive_boot_gives_a_shell,
    qemu_guest_runs_commands,
    pasted_qemu_line_gives_a_shell,
]


def main():
    """Run the tests; the first line of each says how it went and how long it took."""
    failed = skipped = 0
    for test in [test for test in TESTS if test.__name__ in sys.argv[1:] or not sys.argv[1:]]:
        started = time.monotonic()
        try:
            test()
            outcome = "ok"
        except ImageError as error:
            skipped += 1
            outcome = f"skipped: {error}"
        except Exception:  # a failing test must not keep the others from running
            failed += 1
            outcome = f"FAILED\n{traceback.format_exc()}"
        print(f"{test.__name__} ({time.monotonic() - started:.1f} s): {outcome}", flush=True)
    return 1 if failed else 77 if skipped else 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: needs root for network namespaces")
        sys.exit(77)
    sys.exit(main())
