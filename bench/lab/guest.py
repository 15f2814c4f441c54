# SPDX-License-Identifier: BSD-3-Clause
"""Guests: their life, and running commands in them.

    Guest(kind, name, socket, ip, ...)   kind "uml", "qemu" or "virtio-user"

A UML or QEMU guest boots the image of image.py and answers commands on a channel of its own (see ./init for the
protocol), so that neither the console nor the network is involved. A virtio-user guest is dpdk-testpmd: its
commands are testpmd's.
"""

import base64
import contextlib
import ipaddress
import json
import os
import pty
import re
import select
import shlex
import socket as sockets
import subprocess
import threading
import time
import tty
from dataclasses import dataclass
from pathlib import Path

from . import image
from .process import Child, Hugepages, LabError, RunDir, hugepage_kb, tail

STOP_GRACE_S = 0.5
CHUNK = 3000  # base64 characters per channel line; a terminal buffers 4096
SEND_TIMEOUT_S = 30
MONITOR_TIMEOUT_S = 30
MAX_SUN_PATH = 107
TESTPMD = "dpdk-testpmd"


class GuestError(LabError):
    """A guest could not be started, died, or its channel broke."""


class CommandFailed(GuestError):
    """A command in a guest ended with a status other than 0; see .result."""

    def __init__(self, where, command, result):
        output = (result.stderr or result.stdout).decode(errors="replace").strip()
        super().__init__(f"{where}: {command!r} ended with status {result.status}: {output}")
        self.result = result


class CommandTimeout(GuestError):
    """A command in a guest did not end in time; it was killed, .result is what it had given (None: no answer)."""

    def __init__(self, where, command, timeout, result):
        super().__init__(f"{where}: {command!r} had not ended after {timeout:g} s")
        self.result = result


@dataclass
class Result:
    """What a command gave."""

    stdout: bytes
    stderr: bytes
    status: int

    @property
    def text(self):
        """Standard output as text."""
        return self.stdout.decode(errors="replace")


class Job:
    """A command running in a guest."""

    def __init__(self, channel, number, command):
        self.command = command
        self._channel = channel
        self._number = number
        self._ended = threading.Event()
        self._pieces = {"o": [], "e": []}
        self._result = None
        self._error = None

    def poll(self):
        """The result, or None while the command runs."""
        return self._outcome() if self._ended.is_set() else None

    def wait(self, timeout):
        """Wait for the result. After `timeout` seconds the command is killed and CommandTimeout raised."""
        if self._ended.wait(timeout):
            return self._outcome()
        self.kill()
        result = self._outcome() if self._ended.wait(5) else None
        raise CommandTimeout(self._channel.where, self.command, timeout, result)

    def kill(self):
        """Kill the command and what it started, except what made itself a session of its own."""
        if not self._ended.is_set():
            self._channel.send(self._number, "kill")

    def _outcome(self):
        if self._error:
            raise GuestError(self._error)
        return self._result

    def receive(self, verb, data):
        """A channel line for this job; returns True after its last one."""
        if verb != "x":
            self._pieces[verb].append(data)
            return False
        status, *lengths = map(int, data.split())
        output = [base64.b64decode("".join(self._pieces[stream])) for stream in "oe"]
        self._result = Result(*output, status)
        if [len(piece) for piece in output] != lengths:
            self._error = f"{self._channel.where}: the channel lost output of {self.command!r}"
        self._ended.set()
        return True

    def fail(self, reason):
        """The guest is gone and no answer will come."""
        self._error = f"{self._channel.where}: {reason} while {self.command!r} ran"
        self._ended.set()


class Channel:
    """A guest's command channel. `where` names the guest in errors; of the pair of sockets `ends` the first is ours."""

    def __init__(self, where, ends, child):
        self.where = where
        self.ends = ends
        self._socket = ends[0]
        self._child = child
        self._lock = threading.Lock()
        self._jobs = {}
        self._last = 0
        self._ended = False
        self._credit = threading.Semaphore(0)  # lines that the guest is ready to take: 0 or 1
        self.ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"channel {where}", daemon=True)
        self._reader.start()

    def submit(self, command, stdin):
        """Start a shell command in the guest; returns its Job."""
        with self._lock:
            self._last += 1
            number = self._last
            job = self._jobs[number] = Job(self, number, command)
            if self._ended:
                job.fail("the guest has ended")
        for verb, content in (("cmd", command.encode()), ("in", stdin)):
            text = base64.b64encode(content).decode()
            for start in range(0, len(text), CHUNK):
                self.send(number, verb, text[start : start + CHUNK])
        self.send(number, "run")
        return job

    def send(self, number, verb, data=""):
        """Send one line when the guest is ready for it. A guest that is gone has ended its jobs already."""
        if not self._credit.acquire(timeout=SEND_TIMEOUT_S):
            raise GuestError(f"{self.where}: has taken no command for {SEND_TIMEOUT_S} s")
        if self._ended:
            self._credit.release()
            return
        with contextlib.suppress(OSError):
            self._socket.sendall(f"~pv {number} {verb} {data}\n".encode())

    def follow(self, child):
        """The guest goes on in another process, which was given the other end, too."""
        self._child = child

    def _has_data(self):
        """Wait for data. False when the process has ended that the guest is in by then."""
        while True:
            child, poller = self._child, select.poll()
            poller.register(self._socket, select.POLLIN)
            poller.register(child, select.POLLIN)
            if child.fileno() not in [fd for fd, _ in poller.poll()]:
                return True
            if child is self._child:
                return False

    def _read(self):
        """Reader thread: hands lines to their jobs until the guest's process ends."""
        buffered = b""
        while self._has_data():
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                break  # the guest died before it had read all
            if not data:
                break
            *lines, buffered = (buffered + data).split(b"\n")
            for line in lines:
                self._line(line.decode(errors="replace"))
        self._end()

    def _line(self, line):
        match = re.search(r"~pv (\d+) (ready|o|e|x)(?: ([\w+/= -]*))?\r?$", line)
        if not match:
            return  # noise, such as a kernel message
        number, verb, data = int(match[1]), match[2], match[3] or ""
        if verb == "ready":
            self._credit.release()
            self.ready.set()
        elif (job := self._jobs.get(number)) and job.receive(verb, data):
            del self._jobs[number]

    def _end(self):
        with self._lock:
            self._ended = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.fail("the guest ended")
        self._credit.release()
        self.ready.set()


@dataclass
class Machine:
    """What all kinds of guests have in common: description, run directory, process.

    kind      "uml", "qemu" or "virtio-user"
    name      short name, also its host name
    socket    vhost-user socket of the port; None for a guest without such a port
    ip        address of eth0 with prefix length, as in 10.77.0.1/24; None: derived from the MAC
    mac       MAC address of eth0; default 52:54:00 and the last three bytes of the IP address
    mem_mb    guest memory
    cpus      host CPUs it may run on, as a list (default: ours)
    queues    queue pairs (UML: 1)
    server    the guest listens on the socket and the switch connects (QEMU, virtio-user)
    extra     further arguments: of the kernel command line (uml), of QEMU, of testpmd's EAL
    hugepages True: its memory is hugepages, reserved while it runs (virtio-user; faster)
    console   True: the console is this terminal, with a shell, and there is no command channel
    incoming  a running guest that is to be migrated to this one (QEMU); see QemuGuest.take_over()
    """

    kind: str
    name: str
    socket: str | None = None
    ip: str | None = None
    mac: str | None = None
    mem_mb: int = 256
    cpus: list | None = None
    queues: int = 1
    server: bool = False
    extra: list = ()
    hugepages: bool = False
    console: bool = False
    incoming: object = None

    def __post_init__(self):
        self.child = None
        self.run_dir = None
        self._check()
        if self.mac is None and self.ip:
            self.mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_interface(self.ip).packed[-3:])

    def _check(self):
        self._expect(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,30}", self.name), "name", "letters, digits and -, at most 31")
        try:
            ipaddress.IPv4Interface(self.ip or "0.0.0.0/0")
        except ValueError:
            self._expect(False, "ip", "an address with prefix length, such as 10.77.0.1/24")
        mac = r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}"
        self._expect(self.mac is None or re.fullmatch(mac, self.mac), "mac", "an address such as 52:54:00:00:00:01")
        self._expect(self.queues >= 1, "queues", "1 or more")
        self._expect(self.mem_mb >= 64, "mem_mb", "64 or more")
        self._expect(self.incoming is None or self.kind == "qemu", "incoming", "None: only QEMU migrates its guests")
        if self.socket is not None:
            self.socket = os.path.abspath(self.socket)
            fits = len(os.fsencode(self.socket)) <= MAX_SUN_PATH and not set(":, \t\n") & set(self.socket)
            self._expect(fits, "socket", f"a path of at most {MAX_SUN_PATH} bytes without colon, comma or space")

    def _expect(self, condition, field, accepted):
        if not condition:
            raise GuestError(f"guest {self.name}: {field} = {getattr(self, field)!r}: expected {accepted}")

    def __enter__(self):
        return self.start() if self.child is None else self

    def __exit__(self, *_):
        self.stop()

    @property
    def log(self):
        """The console's log."""
        return self.run_dir / "console.log"

    @property
    def running(self):
        """Whether the guest's process runs."""
        return self.child is not None and self.child.status is None

    def start(self):
        """Start the guest and return at once; see wait_ready()."""
        if self.child is not None:
            raise GuestError(f"guest {self.name}: already started")
        if self.socket and not self.server and not Path(self.socket).is_socket():
            self._expect(False, "socket", "the socket of a running switch; nothing is there")
        self.run_dir = RunDir()
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def kill(self):
        """SIGKILL: the guest vanishes as in a crash."""
        if self.child:
            self.child.kill()

    def stop(self):
        """End the guest, within a second, and remove its run directory. May be called at any time."""
        if self.child:
            self.child.stop(STOP_GRACE_S)
            self.child = None
        if self.run_dir:
            self.run_dir.remove()
            self.run_dir = None

    def _died(self, when):
        return GuestError(
            f"guest {self.name}: ended with status {self.child.status} {when}; last output:\n{tail(self.log)}"
        )


class BootedGuest(Machine):
    """A guest with an operating system of its own."""

    CHANNEL = None  # device of the command channel, in the guest

    def _launch(self):
        self.channel = None
        folder = image.ensure(self.kind)
        if self.console:
            self.child = Child(self._argv(folder, None), cpus=self.cpus, stdio={"stdin": 0, "stdout": 1, "stderr": 2})
            return
        ends = self.incoming.channel.ends if self.incoming else sockets.socketpair()
        argv = self._argv(folder, ends[1].fileno())
        self.child = Child(argv, log=self.log, cpus=self.cpus, pass_fds=[ends[1].fileno()])
        self.channel = self.incoming.channel if self.incoming else Channel(f"guest {self.name}", ends, self.child)

    def _parameters(self):
        """Kernel command line for /init."""
        given = {"name": self.name, "ip": self.ip, "mac": self.mac, "channel": None if self.console else self.CHANNEL}
        return [f"pv.{key}={value}" for key, value in given.items() if value]

    def wait_ready(self, timeout=60):
        """Wait until the guest takes commands; returns self."""
        if not self.channel.ready.wait(timeout):
            raise GuestError(f"guest {self.name}: not ready after {timeout:g} s; end of console:\n{tail(self.log)}")
        if not self.running:
            raise self._died("before it was ready")
        return self

    def spawn(self, command, input=None):
        """Start a command, a string for sh or a list; returns its Job (poll, wait, kill)."""
        if not isinstance(command, str):
            command = shlex.join(map(str, command))
        return self.channel.submit(command, input or b"")

    def run(self, command, timeout=30, check=True, input=None):
        """Run a command to its end; returns Result. CommandFailed, if `check`, for a status other than 0."""
        job = self.spawn(command, input)
        result = job.wait(timeout)
        if check and result.status:
            raise CommandFailed(f"guest {self.name}", job.command, result)
        return result


class UmlGuest(BootedGuest):
    """User-mode Linux, with its own virtio_uml as vhost-user frontend."""

    CHANNEL = "ttyS0"

    def _check(self):
        super()._check()
        self._expect(self.queues == 1, "queues", "1: User-mode Linux has a single CPU")
        self._expect(not self.server, "server", "False: User-mode Linux only connects")

    def _argv(self, folder, channel):
        argv = [*image.uml_command(), f"mem={self.mem_mb}M", f"initrd={folder / 'uml.initramfs'}", "rdinit=/init", "quiet"]
        argv += [f"uml_dir={self.run_dir.path}/", f"umid={self.name}", "con=null", "ssl=null"]
        argv += ["con0=fd:0,fd:1" if self.console else "con0=null,fd:1"]
        argv += [f"ssl0=fd:{channel},fd:{channel}"] if channel is not None else []
        argv += [f"virtio_uml.device={self.socket}:1:1"] if self.socket else []
        return [*argv, *self._parameters(), *self.extra]

    def wait_ready(self, timeout=60):
        """Wait until the guest takes commands; returns self. UML boots without the device if that fails: an error."""
        super().wait_ready(timeout)
        if self.socket and self.run("test -e /sys/class/net/eth0", check=False).status:
            raise GuestError(f"guest {self.name}: has no eth0, {self.socket} gave it none; console:\n{tail(self.log)}")
        return self

    def stop(self):
        """End the guest. UML ignores SIGTERM, so it is killed at once."""
        self.kill()
        super().stop()


class QemuGuest(BootedGuest):
    """QEMU, under KVM where that works (see image.py), else emulated."""

    CHANNEL = "vport0p1"

    def _argv(self, folder, channel):
        accel = image.accel(folder)
        argv = [image.QEMU, *image.QEMU_BARE, "-accel", accel, "-cpu", "host" if accel == "kvm" else "max"]
        argv += ["-smp", str(self.queues), "-m", f"{self.mem_mb}M"]
        argv += ["-object", f"memory-backend-memfd,id=mem,size={self.mem_mb}M,share=on", "-numa", "node,memdev=mem"]
        argv += image.qemu_kernel(folder, " ".join(["rdinit=/init", *self._parameters()]))
        # Under TCG, QEMU 7.2 crashes in msix_set_vector_notifiers when a vhost device starts with MSI-X.
        no_msix = "" if accel == "kvm" else ",vectors=0"
        argv += ["-serial", "mon:stdio" if self.console else f"file:{self.log}"]
        if channel is not None:
            argv += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=channel,fd={channel}"]
            argv += ["-device", "virtserialport,nr=1,chardev=channel"]
        if self.socket:
            argv += self._network(no_msix)
        argv += ["-qmp", f"unix:{self.run_dir / 'qmp'},server=on,wait=off"]
        argv += ["-incoming", "defer"] if self.incoming else []
        return [*argv, *self.extra]

    def qmp(self, command, **arguments):
        """Give QEMU itself a command of its machine protocol; returns the answer. An _ in an argument's name is a -."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        with sockets.socket(sockets.AF_UNIX) as monitor, monitor.makefile("rw") as lines:
            monitor.settimeout(MONITOR_TIMEOUT_S)
            monitor.connect(str(self.run_dir / "qmp"))
            lines.readline()  # the greeting
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": given}):
                print(json.dumps(request), file=lines, flush=True)
                answer = next(message for message in map(json.loads, lines) if "event" not in message)
        if "error" in answer:
            raise GuestError(f"guest {self.name}: {command}: {answer['error']['desc']}")
        return answer["return"]

    def take_over(self):
        """The guest has been migrated to here: commands, also those that run, go on here; the other process ends.

        Its end of the channel is ours, so give no command from the end of the migration until this returns.
        """
        self.channel.follow(self.child)
        self.incoming.stop()

    def _network(self, no_msix):
        mode = "server=on" if self.server else "server=off"
        multi = ",mq=on" if self.queues > 1 else ""
        mac = f",mac={self.mac}" if self.mac else ""
        return [
            *("-chardev", f"socket,id=net0,path={self.socket},{mode}"),
            *("-netdev", f"vhost-user,id=net0,chardev=net0,queues={self.queues}"),
            *("-device", f"virtio-net-pci,netdev=net0{mac}{multi}{no_msix}"),
        ]


class TestpmdGuest(Machine):
    """A DPDK guest: testpmd on net_virtio_user, driven through its prompt on a pseudo-terminal."""

    PROMPT = b"testpmd> "

    def _check(self):
        super()._check()
        self._expect(self.socket, "socket", "the vhost-user socket of a port")

    def _launch(self):
        self._pages = None
        self._terminal, theirs = pty.openpty()
        tty.setraw(theirs)
        try:
            self._pages = Hugepages(self.mem_mb * 1024 // hugepage_kb()) if self.hugepages else None
            stdio = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
            environment = {"RUNTIME_DIRECTORY": str(self.run_dir.path)}  # instead of /var/run, which EAL litters
            self.child = Child(self._argv(), cpus=self.cpus, env=environment, stdio=stdio)
        finally:
            os.close(theirs)

    def _argv(self):
        cpus = self.cpus or sorted(os.sched_getaffinity(0))
        lcores = ",".join(f"{lcore}@{cpus[min(lcore, len(cpus) - 1)]}" for lcore in range(2))
        vdev = f"net_virtio_user0,path={self.socket},queues={self.queues},queue_size=1024"
        vdev += f",mac={self.mac}" if self.mac else ""
        vdev += ",server=1" if self.server else ""
        memory = ["--in-memory", "--single-file-segments"] if self.hugepages else ["--no-huge", "--no-shconf"]
        eal = [f"--lcores={lcores}", "--no-pci", "--no-telemetry", "--iova-mode=va", "-m", self.mem_mb, *memory]
        app = ["-i", f"--rxq={self.queues}", f"--txq={self.queues}", "--txd=1024", "--rxd=1024"]
        return [TESTPMD, *eal, f"--vdev={vdev}", *self.extra, "--", *app, "--total-num-mbufs=16384"]

    def wait_ready(self, timeout=30):
        """Wait for the first prompt; returns self."""
        self._until_prompt("start-up", timeout)
        return self

    def run(self, command, timeout=30, check=True, input=None):
        """Give testpmd a command; returns Result with what it printed (status 0: testpmd reports none)."""
        os.write(self._terminal, command.encode() + b"\n")
        output = self._until_prompt(command, timeout)
        if check and re.search(rb"Bad arguments|Command not found|Ambiguous command", output):
            raise CommandFailed(f"guest {self.name}", command, Result(output, b"", 1))
        return Result(output, b"", 0)

    def forward(self, mode="mac"):
        """Start forwarding in a mode: io, mac, macswap, txonly, rxonly, csum, icmpecho, ..."""
        self.run("stop", check=False)
        self.run(f"set fwd {mode}")
        self.run("start")

    def stats(self):
        """Counters of port 0, such as {"RX-packets": 1, ..., "Rx-pps": 2}."""
        text = self.run("show port stats 0").text
        return {name: int(value) for name, value in re.findall(r"([RT][Xx]-\w+):\s+(\d+)", text)}

    def _until_prompt(self, command, timeout):
        """Read testpmd's output up to its next prompt."""
        output, deadline = b"", time.monotonic() + timeout
        poller = select.poll()
        poller.register(self._terminal, select.POLLIN)
        poller.register(self.child, select.POLLIN)
        while not output.endswith(self.PROMPT):
            left = deadline - time.monotonic()
            events = dict(poller.poll(max(0, left) * 1000))
            if self._terminal in events and events[self._terminal] & select.POLLIN:
                output += self._record(os.read(self._terminal, 65536))
            elif events:
                raise self._died(f"at {command!r}")
            elif left <= 0:
                raise CommandTimeout(f"guest {self.name}", command, timeout, Result(output, b"", -1))
        return output.removesuffix(self.PROMPT)

    def _record(self, output):
        with open(self.log, "ab") as log:
            log.write(output)
        return output

    def stop(self):
        """End testpmd and give its hugepages back."""
        super().stop()
        if getattr(self, "_terminal", None) is not None:
            os.close(self._terminal)
            self._terminal = None
        if getattr(self, "_pages", None):
            self._pages.release()
            self._pages = None


KINDS = {"uml": UmlGuest, "qemu": QemuGuest, "virtio-user": TestpmdGuest}


def Guest(kind, name, socket=None, ip=None, **options):
    """A guest of the given kind, not yet started; see Machine for the arguments."""
    if kind not in KINDS:
        raise GuestError(f"guest {name}: kind = {kind!r}: expected one of {', '.join(KINDS)}")
    return KINDS[kind](kind, name, socket, ip, **options)
