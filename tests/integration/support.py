# SPDX-License-Identifier: BSD-3-Clause
"""What the integration tests share.

Each test is a program: it prints "ok: …" for everything that it has seen to be so, and ends with status 0, with 1
at the first thing that is not so, or with 77 when the machine lacks something, which the last line names. The
guests, the daemon and the namespaces are those of bench/lab. A test waits for events, with a deadline that only a
broken system reaches; it never sleeps for a fixed time and never asserts how long something took.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

# pylint: disable=wrong-import-position
from lab import Daemon, Guest, ImageError, Namespace  # noqa: E402
from lab import process as lab_process  # noqa: E402
from lab.daemon import DaemonError, find_program  # noqa: E402
from lab.guest import TESTPMD, TestpmdGuest  # noqa: E402
from lab.process import Hugepages, LabError, RunDir  # noqa: E402

SKIPPED = 77
MARK = "PKTVIRT_TEST"
CPUS = sorted(os.sched_getaffinity(0))
SWITCH_CPU, GUEST_CPU = CPUS[0], CPUS[-1]
DEADLINE_S = 180
PAUSE_S, SOON_S = 0.02, 0.001  # between two looks at what is waited for
JANITOR_S = 10
LOOKS = 8  # of a worker, each at some of what others have handed to it
BOOT_S = 120
TESTPMD_MB = 256
CONTROL_DIRECTORY = Path("/run/pktvirt")
DPDK_DIRECTORY = Path("/var/run/dpdk")
EXPERIMENTAL = 0x88B5  # IEEE 802, local experimental ethertype 1
ALL_TYPES = 3  # ETH_P_ALL

_names = []  # of the daemons that this test has started


class Failure(Exception):
    """Something is not as it should be."""


class Skip(Exception):
    """The machine lacks what the test needs."""


# Saying what is so


def check(condition, what, detail=""):
    """Print `what` if it is so, else fail with the detail."""
    if not condition:
        raise Failure(f"not so: {what}" + (f"; {detail}" if detail != "" else ""))
    print(f"ok: {what}", flush=True)


def check_equal(found, expected, what):
    """Check that two values are equal."""
    check(found == expected, what, f"expected {expected!r}, found {found!r}")


def check_contains(text, part, what):
    """Check that a text has a part."""
    check(part in text, what, f"expected {part!r} in {text!r}")


def wait_until(what, condition, deadline_s=DEADLINE_S, first_pause_s=PAUSE_S):
    """Ask again and again until the condition gives something true, which is returned; fail after the deadline.

    Between two looks are PAUSE_S. What happens often and at once, such as an answer, may be looked at sooner: the pauses
    then begin with `first_pause_s`, and double.
    """
    end = time.monotonic() + deadline_s
    pause_s = first_pause_s
    while True:
        found = condition()
        if found:
            print(f"ok: {what}", flush=True)
            return found
        if time.monotonic() > end:
            raise Failure(f"not so within {deadline_s:g} s: {what}; last: {found!r}")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S)


def say(text):
    """Announce the next part of the test."""
    print(f"-- {text}", flush=True)


# The frame of a test program


def run(main):
    """Run a test and end the program with its status."""
    lab_process.end_on_signals()
    os.environ[MARK] = str(os.getpid())
    status, reason = 1, ""
    run_root = RunDir()
    os.environ["XDG_RUNTIME_DIR"] = str(run_root.path)  # where the laboratory makes its directories
    try:
        require_root()
        main()
        status = 0
    except (Skip, ImageError) as skip:
        status, reason = SKIPPED, " ".join(str(skip).split())
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc(file=sys.stdout)
    left = until_nothing_is_left(run_root.path)
    run_root.remove()
    for line in left:
        print(f"left behind: {line}")
    if left:
        status = 1
    elif status == 0:
        print("ok: nothing is left behind")
    if status == SKIPPED:
        print(reason)
    sys.exit(status)


def require_root():
    """Namespaces, taps and raw sockets need it."""
    if os.geteuid() != 0:
        raise Skip("the integration tests need root")


def require_testpmd(guests):
    """Skip where that many DPDK guests cannot run."""
    if not shutil.which(TESTPMD):
        raise Skip(f"{TESTPMD} is not installed")
    try:
        Hugepages(guests * TESTPMD_MB // 2).release()
    except (LabError, OSError) as error:
        raise Skip(f"{TESTPMD} cannot run here: {error}") from None


def until_nothing_is_left(run_root):
    """What is left behind; a janitor of a program that was interrupted may still be at work."""
    deadline = time.monotonic() + JANITOR_S
    while (left := leftovers(run_root)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def leftovers(run_root):
    """Descriptions of what this test has not removed."""
    own = f"pv{os.getpid()}"
    left = [f"process {pid}: {command}" for pid, command in marked_processes()]
    left += [f"namespace {name}" for name in names_in("/run/netns") if name.startswith(f"{own}-")]
    left += [f"interface {name}" for name in names_in("/sys/class/net") if name.startswith(own)]
    left += [f"{run_root}/{name}" for name in names_in(run_root)]
    for name in _names:
        left += [f"{CONTROL_DIRECTORY}/{file}" for file in names_in(CONTROL_DIRECTORY) if file == f"{name}.ctl"]
        left += [f"{DPDK_DIRECTORY}/{name}"] if (DPDK_DIRECTORY / name).exists() else []
    return left + hugepage_files(_names)


def names_in(directory):
    """The names in a directory that may not exist."""
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def hugepage_files(names):
    """Files of the daemons of these names in any hugepage file system."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    directories = [fields[1] for fields in mounts if fields[2] == "hugetlbfs"]
    return [f"{place}/{file}" for place in directories for file in names_in(place) if file.startswith(tuple(names))]


def marked_processes():
    """Processes that this test has started and that still run, but the laboratory's janitor."""
    janitor = lab_process.janitor._process  # pylint: disable=protected-access
    known = {os.getpid(), janitor.pid if janitor else 0}
    needle = f"{MARK}={os.getpid()}".encode()
    found = []
    for entry in lab_process.processes():
        with contextlib.suppress(OSError):
            if int(entry.name) not in known and needle in (entry / "environ").read_bytes().split(b"\0"):
                found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
    return found


@contextlib.contextmanager
def workspace():
    """A directory with a short name, for sockets and files. The daemons must have removed their sockets in the end."""
    directory = RunDir()
    try:
        yield directory.path
        sockets = [str(path) for path in directory.path.rglob("*") if path.is_socket()]
        check_equal(sockets, [], "the daemon has removed its sockets")
    finally:
        directory.remove()


# Configurations


def vhost(name, directory, **options):
    """A port for a guest; `options` with _ for - are those of vhost-user, `mac` and `mtu` the port's."""
    port = {key: options.pop(key) for key in ("mac", "mtu", "role") if key in options}
    settings = {key.replace("_", "-"): value for key, value in options.items()}
    return {"name": name, **port, "vhost-user": {"socket": str(directory / f"{name}.sock"), **settings}}


def ethdev(name, devargs, **port):
    """A port of a DPDK device."""
    return {"name": name, **port, "ethdev": {"devargs": devargs}}


def tap(name, interface, **port):
    """A port of a kernel tap."""
    return {"name": name, **port, "tap": {"interface": interface}}


def raw(name, interface, **port):
    """A port of a packet socket on an interface."""
    return {"name": name, **port, "raw": {"interface": interface}}


def config(*ports, **settings):
    """A configuration with these ports on the switch's CPU; `settings` with _ for -."""
    named = {key.replace("_", "-"): value for key, value in settings.items()}
    return {"workers": [SWITCH_CPU], "ports": list(ports), **named}


def shipped_config(name, *ports):
    """A configuration of configs/ with other ports."""
    return {**json.loads((TOP / "configs" / name).read_text()), "workers": [SWITCH_CPU], "ports": list(ports)}


def tap_name(number=0):
    """A name for a tap that no other test uses."""
    return f"pv{os.getpid()}t{number}"


# The daemon


@contextlib.contextmanager
def daemon(configuration, **options):
    """A running daemon, whose log is shown when the test fails."""
    switch = Daemon(configuration, **options).start(DEADLINE_S)
    try:
        note_name(switch.ctl("show", "config")["config"]["name"])
        yield switch
    except BaseException:
        show_log(switch)
        raise
    finally:
        switch.stop()


def refused(switch, *words):
    """The message of a command that must be refused."""
    try:
        switch.ctl(*words)
    except DaemonError as error:
        return str(error)
    raise AssertionError(f"{' '.join(words)} was not refused")


def show_log(switch):
    """Print the daemon's log, but for the lines that say how to attach guests."""
    with contextlib.suppress(OSError):
        paragraphs = switch.log.read_text(errors="replace").split("\n\n")
        text = "\n".join(one.strip("\n") for one in paragraphs if not one.startswith("# "))
        print(f"-- log of the daemon\n{text}\n-- end of the log")


def note_name(name):
    """Remember the name of a daemon that is started in another way."""
    _names.append(name)


def pktvirt(*arguments, cwd=TOP, timeout=DEADLINE_S):
    """Run the program to its end; returns subprocess.CompletedProcess with text."""
    argv = [find_program("PKTVIRT_BIN", "pktvirt"), *map(str, arguments)]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, timeout=timeout,
                          check=False)


def ports(switch):
    """`show ports` by the ports' names."""
    return {port["name"]: port for port in switch.show("ports")["ports"]}


def addresses(switch):
    """The switching table: MAC address -> port."""
    return {entry["mac"]: entry["port"] for entry in switch.show("fdb")["addresses"]}


def contexts(switch):
    """`show contexts` by their ports' names."""
    return {context["name"]: context for context in switch.show("contexts")["contexts"]}


def drops(switch, port, reason):
    """How many packets the port has dropped for the reason."""
    return ports(switch)[port]["drops"].get(reason, 0)


def is_conserved(switch):
    """Whether every frame that came in, every copy of one and every segment, has gone out or was dropped with a reason.

    Stages make more packets or less of those that they are given.
    """
    there = ports(switch).values()
    stages = [one for one in switch.show("stages")["stages"] if one["kind"] == "packet"]
    made = sum(stage["emitted"] + stage["dropped"] - stage["packets"] for stage in stages)
    made += sum(port["software_offload"]["segments"] - port["software_offload"]["segmented"] for port in there)
    flooded = sum(worker["flooded"] for worker in switch.show("workers")["workers"])
    received = sum(port["rx"]["packets"] for port in there)
    gone = sum(port["tx"]["packets"] + sum(port["drops"].values()) for port in there)
    return received + flooded + made == gone


def workers_go_on(switch):
    """Wait until each worker has done with what it was at, and has looked some times at all that it looks after."""

    def times():
        return [worker["rounds"] + worker["sleeps"] for worker in switch.ctl("show", "workers")["workers"]]

    before = times()
    wait_until("the workers go on", lambda: all(now >= then + LOOKS for now, then in zip(times(), before)))


def settle(switch, *frontends):
    """Wait until nothing is under way of what these guests have sent, and forget what has come to them.

    First workers have done with what they took; then others have, to whom they handed it.
    """
    wait_until("all that was sent is taken", lambda: all(frontend.all_is_taken() for frontend in frontends))
    workers_go_on(switch)
    workers_go_on(switch)
    for frontend in frontends:
        frontend.receive()


def telemetry(name, command):
    """The answer of DPDK's own telemetry socket of the daemon of that name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(DPDK_DIRECTORY / name / "dpdk_telemetry.v2"))
        room = json.loads(client.recv(1024))["max_output_len"]
        client.send(command.encode())
        return json.loads(client.recv(room))[command.split(",")[0]]


# Guests


def uml(name, directory, number):
    """A User-mode Linux guest at the port of its name, with the address 10.77.0.NUMBER."""
    return Guest("uml", name, str(directory / f"{name}.sock"), f"10.77.0.{number}/24", cpus=[GUEST_CPU])


def qemu(name, directory, number, **options):
    """A QEMU guest at the port of its name, with the address 10.77.0.NUMBER."""
    return Guest("qemu", name, str(directory / f"{name}.sock"), f"10.77.0.{number}/24", **options)


def testpmd(name, directory, number, kind=None, **options):
    """A DPDK guest at the port of its name; `kind` is a subclass of the laboratory's to be used instead."""
    make = kind or TestpmdGuest
    return make("virtio-user", name, str(directory / f"{name}.sock"), f"10.77.0.{number}/24", mem_mb=TESTPMD_MB,
                cpus=[GUEST_CPU], **options)


@contextlib.contextmanager
def running(*guests):
    """Guests, started side by side and ready."""
    with contextlib.ExitStack() as stack:
        for guest in guests:
            stack.enter_context(guest)
        for guest in guests:
            guest.wait_ready(BOOT_S)
            print(f"ok: guest {guest.name} is up", flush=True)
        yield guests


# Commands in a guest or a namespace, which are both a "place"


class Running:
    """A shell command in a guest or a namespace. Used with `with`, it is killed at the end."""

    def __init__(self, place, command):
        self._in_namespace = isinstance(place, Namespace)
        self.command = command
        if self._in_namespace:
            self._files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
            self._job = place.spawn(["sh", "-c", command], stdio=dict(zip(("stdout", "stderr"), self._files)))
        else:
            self._job = place.spawn(command)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        """Kill it and what it has started."""
        self._job.kill()

    def ended(self):
        """Whether it has ended."""
        return self._job.status is not None if self._in_namespace else self._job.poll() is not None

    def wait(self, timeout):
        """Wait for its end; returns subprocess.CompletedProcess with text."""
        if not self._in_namespace:
            result = self._job.wait(timeout)
            output = [result.stdout, result.stderr]
            return subprocess.CompletedProcess(self.command, result.status, *(part.decode() for part in output))
        if self._job.wait(timeout) is None:
            self.kill()
            raise Failure(f"{self.command!r} had not ended after {timeout:g} s")
        for file in self._files:
            file.seek(0)
        output = [file.read().decode() for file in self._files]
        return subprocess.CompletedProcess(self.command, self._job.status, *output)


def shell(place, command, timeout=DEADLINE_S):
    """Run a shell command to its end; returns subprocess.CompletedProcess with text."""
    with Running(place, command) as job:
        return job.wait(timeout)


def succeeds(place, command):
    """Whether a shell command ends with status 0."""
    return shell(place, command).returncode == 0


def name_of(place):
    """The name of a guest, or of a namespace as the test knows it."""
    return place.name.split("-")[-1]


def check_ping(place, address, count=5):
    """Wait until the address answers, then check that no echo is lost."""
    ping = f"busybox ping -W 5 {address}"
    wait_until(f"{name_of(place)} reaches {address}", lambda: succeeds(place, f"{ping} -c 1"))
    answer = shell(place, f"{ping} -c {count} -i 0.05")
    lost = re.search(r"(\d+)% packet loss", answer.stdout)
    check(lost and lost[1] == "0", f"{name_of(place)}: {count} of {count} echoes from {address}",
          answer.stdout + answer.stderr)


# Data that must arrive as it was sent


class Transfer:
    """Random bytes over one TCP connection; what both ends have seen is compared.

    source, target   guests or namespaces
    address          IPv4 address of the target
    mib              how much, an even number
    gate             file whose appearance in the source lets the second half go; None: all goes at once
    receive          command in the target that reads the data and gives its checksum on standard error

    A system call is dear in User-mode Linux, so nothing stands between the socket and what makes or reads the data.
    """

    _made = itertools.count()

    def __init__(self, source, target, address, mib, port=5001, gate=None, receive="busybox sha256sum >&2"):
        self._source = source
        self._file = f"${{XDG_RUNTIME_DIR:-/tmp}}/data{next(self._made)}"
        self._title = f"{mib} MiB from {name_of(source)} to {name_of(target)}"
        self._checksum = self._make_data(mib)
        pause = f"until [ -e {gate} ]; do busybox usleep 20000; done" if gate else ":"
        self._receive = Running(target, f"busybox nc -l -p {port} -e busybox sh -c '{receive}'")
        try:
            wait_until(f"{name_of(target)} listens on port {port}", lambda: listens(target, port))
            produce = f'busybox cat "{self._file}"; {pause}; busybox cat "{self._file}"'
            self._send = Running(source, f"busybox nc {address} {port} -e busybox sh -c '{produce}'")
        except BaseException:
            self._receive.kill()
            raise

    def _make_data(self, mib):
        """A file in the source that is sent twice. Returns the checksum of that."""
        make = f'busybox dd if=/dev/urandom of="{self._file}" bs=1M count={mib // 2} iflag=fullblock'
        done = shell(self._source, f'{make} && busybox cat "{self._file}" "{self._file}" | busybox sha256sum', 180)
        check_contains(done.stderr, f"{mib // 2}+0 records out", f"{self._title}: made")
        return checksum_in(done.stdout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._send.kill()
        self._receive.kill()
        with contextlib.suppress(LabError):  # the source may be a guest that is dead
            shell(self._source, f'rm "{self._file}"')

    def ended(self):
        """Whether the sender has ended."""
        return self._send.ended()

    def finish(self, timeout=180):
        """Wait until all is sent and received, and compare."""
        sent = self._send.wait(timeout)
        check_equal(sent.returncode, 0, f"{self._title}: sent")
        received = self._receive.wait(timeout)
        check_equal(checksum_in(received.stderr), self._checksum, f"{self._title}: arrived with the same checksum")


def checksum_in(text):
    """The SHA-256 checksum in what sha256sum printed, or the text itself if there is none."""
    found = re.search(r"\b[0-9a-f]{64}\b", text)
    return found[0] if found else text


def listens(place, port):
    """Whether somebody listens on the TCP port."""
    return succeeds(place, f"busybox grep -q ':{port:04X} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6 2>/dev/null")


def transfer(source, target, address, mib):
    """Send `mib` MiB over TCP and compare what arrives."""
    with Transfer(source, target, address, mib) as moving:
        moving.finish()


# Frames


def quiet_veth(namespace, **options):
    """As Namespace.veth(), for a test that counts frames: no kernel speaks IPv6 by itself on either end."""
    namespace.run("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
    host_end = namespace.veth(**options)
    Path(f"/proc/sys/net/ipv6/conf/{host_end}/disable_ipv6").write_text("1")
    return host_end


SEND_FRAMES = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((sys.argv[1], 0))
    for line in sys.stdin:
        raw.send(bytes.fromhex(line))
"""


def send_frames(namespace, device, frames):
    """Send frames as they are out of an interface in a namespace."""
    lines = "".join(f"{frame.hex()}\n" for frame in frames)
    namespace.run([sys.executable, "-c", SEND_FRAMES, device], input=lines)


# The kernel tells the outer VLAN tag beside the frame, and only to who listens to all types.
SNIFF_FRAMES = """
import socket, struct, sys
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING, VLAN_VALID = 263, 8, 23, 16
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    raw.bind((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    while True:
        frame, ancillary, _, _ = raw.recvmsg(65536, 64)
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", ancillary[0][2])
        tag = struct.pack(">HH", tpid, tci) if status & VLAN_VALID else b""
        print((frame[:12] + tag + frame[12:]).hex(), flush=True)
"""


@contextlib.contextmanager
def sniffer(namespace, device, kind=EXPERIMENTAL):
    """Collects the frames of a type that arrive in a namespace; gives a function that returns those so far."""
    with tempfile.TemporaryFile() as seen:
        argv = [sys.executable, "-c", SNIFF_FRAMES, device, str(kind)]
        child = namespace.spawn(argv, stdio={"stdout": seen})

        def frames():
            text = os.pread(seen.fileno(), os.fstat(seen.fileno()).st_size, 0).decode()
            return [bytes.fromhex(line) for line in text.splitlines(True)[1:] if line.endswith("\n")]

        try:
            wait_until(f"{name_of(namespace)} listens to {device}", lambda: os.fstat(seen.fileno()).st_size > 0)
            yield frames
        finally:
            child.kill()


def frame(destination, source, length=60, kind=EXPERIMENTAL):
    """An Ethernet frame that is nobody's but the test's."""
    head = bytes.fromhex((destination + source).replace(":", "")) + kind.to_bytes(2, "big")
    return head.ljust(length, b"\0")
