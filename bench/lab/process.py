# SPDX-License-Identifier: BSD-3-Clause
"""Child processes that never outlive us, and everything else that must not be left behind.

Two nets, neither of which depends on this program ending in an orderly way:

- Every child runs in a session of its own and asks the kernel for SIGKILL when its parent dies.
- A *janitor*, a small separate process (this file run as a program), knows what has to be undone: process
  groups to kill, directories, namespaces, hugepages. It learns of our end, even by SIGKILL, from end-of-file
  on a pipe. A child of a child (User-mode Linux has several) that the kernel's signal does not reach is killed
  by the janitor, through its process group or through the mark that it carries in its environment.

Nothing is ever killed by name.
"""

import atexit
import contextlib
import fcntl
import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MARK = "PKTVIRT_LAB_CHILD"
HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")
LOG_TAIL_LINES = 20


class LabError(Exception):
    """Something in the laboratory went wrong; the message says where, what, and what to do."""


@contextlib.contextmanager
def locked(path):
    """Hold an exclusive lock on a file (made if missing) that also holds between programs."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def processes():
    """Directories of all processes in /proc. Reading in one raises an OSError when its process has just ended; so does a
    pattern that reaches into them, and not for that one only."""
    return Path("/proc").glob("[0-9]*")


# What the janitor can undo. Each takes what Janitor.add() was given and must not fail when the thing is gone.


def kill_group(group, mark):
    """Kill a process group and every process whose environment carries our mark."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    needle = f"{MARK}={mark}".encode()
    for process in processes():
        with contextlib.suppress(OSError):
            if needle in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def remove_tree(path):
    """Remove a directory with everything in it."""
    shutil.rmtree(path, ignore_errors=True)


def run_quietly(*argv):
    """Run a clean-up command whose failure means that there was nothing left to do."""
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)


def add_hugepages(count):
    """Change the number of reserved hugepages by `count`; returns by how much it really changed."""
    with locked(Path(tempfile.gettempdir()) / "pktvirt-hugepages.lock"):
        before = int(HUGEPAGES.read_text())
        HUGEPAGES.write_text(str(max(0, before + count)))
        return int(HUGEPAGES.read_text()) - before


ACTIONS = {action.__name__: action for action in (kill_group, remove_tree, run_quietly, add_hugepages)}


class Janitor:
    """Undoes what was registered and not taken back, when this program ends in whatever way."""

    def __init__(self):
        self._lock = threading.Lock()
        self._next = 0
        self._process = None
        self._owner = None

    def add(self, action, *args):
        """Register `action(*args)` to be run at our end; returns a ticket for done()."""
        with self._lock:
            self._start()
            self._next += 1
            self._send([self._next, action.__name__, args])
            return self._next

    def done(self, ticket):
        """Take a registration back: its action was run, or its object is gone."""
        with self._lock:
            self._send([ticket])

    def _start(self):
        if self._process:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__], stdin=subprocess.PIPE, start_new_session=True, cwd="/"
        )
        self._owner = os.getpid()
        atexit.register(self._finish)

    def _send(self, message):
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise LabError("the laboratory's janitor process is gone: clean-up is no longer certain") from None

    def _finish(self):
        if os.getpid() != self._owner:
            return  # a fork of ours: the things belong to the original
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)


def janitor_main():
    """The janitor process: collects registrations until end-of-file, then undoes them, latest first."""
    pending = {}
    for line in sys.stdin:
        ticket, *what = json.loads(line)
        if what:
            pending[ticket] = what
        else:
            pending.pop(ticket, None)
    for action, args in reversed(pending.values()):
        try:
            ACTIONS[action](*args)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"laboratory clean-up: {action} {args}: {error}", file=sys.stderr)


janitor = Janitor()

# The kernel sends the parent-death signal when the *thread* that made the child ends, so that all children are
# made by one thread that stays.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class Child:
    """A child process, in its own session, that ends with us.

    argv      command and arguments
    log       file that receives standard output and error (unless `stdio` replaces them)
    cpus      host CPUs it may run on (default: ours)
    stdio     keyword arguments stdin, stdout, stderr of subprocess.Popen
    """

    def __init__(self, argv, *, log=None, cpus=None, env=None, pass_fds=(), stdio=None):
        self.argv = [str(argument) for argument in argv]
        self.log = Path(log) if log else None
        self._mark = secrets.token_hex(8)
        self._burying = threading.Lock()
        if not shutil.which(self.argv[0]):
            raise LabError(f"cannot run {self.argv[0]}: no such program")
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(open(self.log, "ab")) if self.log else subprocess.DEVNULL
            options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **(stdio or {})}
            options["env"] = {**os.environ, **(env or {}), MARK: self._mark}
            self._popen = _spawner.submit(self._spawn, cpus, pass_fds, options).result()
        self.pid = self._popen.pid
        self._exit = os.pidfd_open(self.pid)

    def _spawn(self, cpus, pass_fds, options):
        command = ["setpriv", "--pdeathsig", "KILL", "--"]
        if cpus:
            command += ["taskset", "--cpu-list", ",".join(map(str, cpus))]
        popen = subprocess.Popen(command + self.argv, start_new_session=True, pass_fds=pass_fds, **options)
        self._ticket = janitor.add(kill_group, popen.pid, self._mark)
        return popen

    @property
    def status(self):
        """Exit status as subprocess gives it (negative: signal), None while it runs."""
        return self.wait(0)

    def wait(self, timeout):
        """Wait until the process ends; returns its exit status, or None after `timeout` seconds."""
        if self._popen.returncode is None and self._readable(timeout):
            self._bury()
        return self._popen.returncode

    def fileno(self):
        """A descriptor that becomes readable when the process ends, for select and poll."""
        return self._exit

    def _readable(self, timeout):
        poller = select.poll()
        poller.register(self._exit, select.POLLIN)
        return bool(poller.poll(None if timeout is None else timeout * 1000))

    def _bury(self):
        """Kill what it left behind while its number is still ours, then reap it."""
        with self._burying:
            if self._popen.returncode is None:
                kill_group(self.pid, self._mark)
                janitor.done(self._ticket)
                self._popen.wait()

    def __del__(self):
        if hasattr(self, "_exit"):
            os.close(self._exit)

    def signal(self, number):
        """Send a signal to the process itself, if it still runs."""
        if self.status is None:
            os.kill(self.pid, number)

    def kill(self):
        """SIGKILL the process and all that it started; returns its exit status."""
        if self._popen.returncode is None:
            kill_group(self.pid, self._mark)
        return self.wait(None)

    def stop(self, grace):
        """SIGTERM, and after `grace` seconds SIGKILL; returns True if the signal to end was enough."""
        self.signal(signal.SIGTERM)
        obeyed = self.wait(grace) is not None
        self.kill()
        return obeyed

    def log_tail(self, lines=LOG_TAIL_LINES):
        """The last lines of the log, for error messages."""
        return tail(self.log, lines) if self.log else ""


def cpu_seconds(session):
    """CPU time of all processes of a session, such as a Child's, and of those of their children that have ended.

    Its sum is exact, to what the kernel tells it in: a hundredth of a second. What an interrupt does is counted for
    whom it interrupts.
    """
    ticks = 0
    for process in processes():
        with contextlib.suppress(OSError):  # it has just ended
            ticks += session_ticks((process / "stat").read_text(errors="replace"), session)
    return ticks / os.sysconf("SC_CLK_TCK")


def session_ticks(stat, session):
    """utime, stime, cutime and cstime of a line of proc(5), if the process is of the session, else 0."""
    fields = stat.rpartition(")")[2].split()  # from the third on; the second, in brackets, may hold anything
    return sum(map(int, fields[11:15])) if int(fields[3]) == session else 0


def tail(path, lines=LOG_TAIL_LINES):
    """The last lines of a text file that may be missing or hold anything."""
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class RunDir:
    """A private temporary directory with a short name (socket paths are limited to 107 bytes).

    The janitor knows of it before it is there: Ctrl-C may come in between.
    """

    def __init__(self):
        parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        self.path = Path(parent) / f"pv-{secrets.token_hex(4)}"
        self._ticket = janitor.add(remove_tree, str(self.path))
        self.path.mkdir(mode=0o700)

    def __truediv__(self, name):
        return self.path / name

    def remove(self):
        """Remove it with everything in it."""
        remove_tree(self.path)
        janitor.done(self._ticket)


class Hugepages:
    """Hugepages of the default size, reserved for a while and given back."""

    def __init__(self, count):
        self._count = add_hugepages(count)
        self._ticket = janitor.add(add_hugepages, -self._count)
        if self._count < count:
            self.release()
            raise LabError(f"cannot reserve {count} hugepages: memory is short or fragmented; see {HUGEPAGES}")

    def release(self):
        """Give the pages back."""
        add_hugepages(-self._count)
        janitor.done(self._ticket)


def hugepage_kb():
    """Size of the default hugepage."""
    match = re.search(r"Hugepagesize: *(\d+) kB", Path("/proc/meminfo").read_text())
    return int(match[1])


def end_on_signals():
    """Let SIGTERM and SIGHUP end this program like Ctrl-C does: in order, with everything cleaned up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


if __name__ == "__main__":
    janitor_main()
