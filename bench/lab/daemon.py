# SPDX-License-Identifier: BSD-3-Clause
"""The pktvirt daemon under test: start, wait until it is ready, ask, stop."""

import json
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

from .process import Child, LabError, RunDir, janitor, remove_tree

REPO = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 10
ASK_TIMEOUT_S = 10


class DaemonError(LabError):
    """The daemon did not start, died, would not stop, or pktvirt-ctl failed."""


class Daemon:
    """A running ./pktvirt (or $PKTVIRT_BIN).

    config       a dict, or a JSON file (path, or bare name as ./pktvirt looks it up). A dict without "name" or
                 "control-socket" gets unique ones.
    extra_args   further command-line arguments
    cpu          host CPU, or list of CPUs, that it may run on
    """

    def __init__(self, config, extra_args=(), cpu=None):
        self.config = config
        self.extra_args = list(extra_args)
        self.cpus = [cpu] if isinstance(cpu, int) else cpu
        self.run_dir = None
        self.child = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def log(self):
        """The daemon's log file (standard output and error)."""
        return self.run_dir / "daemon.log"

    @property
    def pid(self):
        """Process id of the running daemon."""
        return self.child.pid

    def start(self, timeout=30):
        """Start the daemon and wait until it says that it is ready; returns self."""
        self.run_dir = RunDir()
        # EAL keeps the files of an instance in a directory with its name, and leaves them there.
        self._eal_dir = str(Path("/var/run/dpdk") / self.run_dir.path.name)
        self._ticket = janitor.add(remove_tree, self._eal_dir)
        try:
            program = find_program("PKTVIRT_BIN", "pktvirt")
            config = self._config_file()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.bind(str(self.run_dir / "notify"))
                self.child = Child(
                    [program, "--config", config, *self.extra_args],
                    log=self.log,
                    cpus=self.cpus,
                    env={"NOTIFY_SOCKET": str(self.run_dir / "notify")},
                )
                self._wait_ready(notify, timeout)
        except BaseException:
            self._clean()
            raise
        return self

    def _config_file(self):
        """Path of the configuration; sets control_socket."""
        if not isinstance(self.config, dict):
            self.control_socket = control_socket(effective_config(self.config))
            return self.config
        unique = {"name": self.run_dir.path.name, "control-socket": str(self.run_dir / "ctl")}
        config = {**unique, **self.config}
        self.control_socket = config["control-socket"]
        path = self.run_dir / "config.json"
        path.write_text(json.dumps(config, indent=2) + "\n")
        return path

    def _wait_ready(self, notify, timeout):
        """Wait for READY=1 on the notification socket, or for the daemon's end."""
        deadline = time.monotonic() + timeout
        poller = select.poll()
        poller.register(notify, select.POLLIN)
        poller.register(self.child, select.POLLIN)
        while True:
            events = dict(poller.poll(max(0, deadline - time.monotonic()) * 1000))
            if notify.fileno() in events:
                if b"READY=1" in notify.recv(4096).split(b"\n"):
                    return
            elif events:
                raise DaemonError(f"pktvirt: ended with status {self.child.status} at start; log:\n{self._tail()}")
            else:
                raise DaemonError(f"pktvirt: not ready after {timeout:g} s; log:\n{self._tail()}")

    def _tail(self):
        return self.child.log_tail()

    def ctl(self, *args):
        """Run `pktvirt-ctl ... --json` (or $PKTVIRT_CTL) on this daemon; returns the parsed answer."""
        program = find_program("PKTVIRT_CTL", "pktvirt-ctl")
        return ask([program, "--socket", self.control_socket, *args, "--json"])

    def show(self, what):
        """What `ctl("show", what)` gives, asked over the control socket without a program: for what is asked often."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(ASK_TIMEOUT_S)
                connection.connect(str(self.control_socket))
                connection.sendall(json.dumps({"command": "show", "what": what}).encode() + b"\n")
                with connection.makefile("rb") as answers:
                    answer = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise DaemonError(f"{self.control_socket}: show {what}: {error}") from None
        if "result" not in answer:
            raise DaemonError(f"{self.control_socket}: show {what}: {answer.get('error')}")
        return answer["result"]

    def signal(self, number):
        """Send the daemon a signal, such as SIGHUP."""
        self.child.signal(number)

    def kill(self):
        """SIGKILL: the daemon vanishes as in a crash."""
        self.child.kill()

    def stop(self):
        """SIGTERM and wait. DaemonError if it had died by itself, fails at its end, or must be killed."""
        if self.child is None:
            return
        try:
            killed_by_us = self.child.status == -signal.SIGKILL
            obeyed = self.child.stop(STOP_TIMEOUT_S)
            if not obeyed:
                raise DaemonError(f"pktvirt: still alive {STOP_TIMEOUT_S} s after SIGTERM; log:\n{self._tail()}")
            if self.child.status and not killed_by_us:
                raise DaemonError(f"pktvirt: ended with status {self.child.status}; log:\n{self._tail()}")
        finally:
            self._clean()

    def _clean(self):
        if self.child:
            self.child.kill()
            self.child = None
        remove_tree(self._eal_dir)
        janitor.done(self._ticket)
        self.run_dir.remove()


def effective_config(path):
    """What a configuration file comes to: every default filled in, and "$bindings" of the primitives.

    A bare name is looked up as ./pktvirt does. DaemonError with its own words if there is a mistake in the file.
    """
    return ask([find_program("PKTVIRT_BIN", "pktvirt"), "--config", path, "--print-config"])


def control_socket(config):
    """Path of the control socket of a daemon with this effective configuration."""
    return config.get("control-socket") or f"/run/pktvirt/{config['name']}.ctl"


def ask(argv, timeout=ASK_TIMEOUT_S):
    """Run one of our programs that prints JSON; returns it parsed. DaemonError, with its own words, if it fails."""
    command = " ".join(map(str, argv))
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise DaemonError(f"{command}: no answer after {timeout} s") from None
    if done.returncode:
        raise DaemonError((done.stderr or done.stdout).strip() or f"{command}: status {done.returncode}")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise DaemonError(f"{command}: the answer is not JSON ({error}): {done.stdout[:200]!r}") from None


def find_program(variable, name):
    """One of our programs: named by an environment variable, or the link at the top of the repository."""
    program = Path(os.environ.get(variable) or REPO / name)
    if not program.exists():
        raise DaemonError(f"{program} does not exist; build it with: make (or name another one with {variable})")
    return program
