# SPDX-License-Identifier: BSD-3-Clause
"""Programs of ours that take commands, a line each, and answer each with a line of JSON: guests in C.

    with Answering("bench/light-contexts/light-contexts", [256, socket], cpus=[1]) as guest:
        guest.ask("stats")["contexts"]

Such a program says "ready" once. $PKTVIRT_LEAN_GUEST and the like, after its name, may name another one.
"""

import json
import os
import time
from pathlib import Path

from .daemon import find_program
from .process import Child, LabError, RunDir, tail

START_TIMEOUT_S = 30
ANSWER_TIMEOUT_S = 10


class AnsweringError(LabError):
    """The program is not there, has ended, does not answer, or answers with an error."""


class Answering:
    """One that is not yet started.

    program    its path in the folder that was built, and arguments
    cpus       host CPUs it may run on
    error      that is raised: AnsweringError or one that is derived from it
    """

    def __init__(self, program, arguments, cpus, error=AnsweringError):
        self._program = program
        self._arguments = arguments
        self._cpus = cpus
        self._error = error
        self.name = Path(program).name
        self.child = None
        self.run_dir = None
        self._commands = self._answers = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Start it and wait until it is ready; returns self."""
        try:
            self._launch()
            self._answer("start", START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self):
        self.run_dir = RunDir()
        theirs_in, self._commands = os.pipe()
        self._answers, theirs_out = os.pipe()
        os.set_blocking(self._answers, False)
        try:
            with open(self._log, "ab") as log:
                stdio = {"stdin": theirs_in, "stdout": theirs_out, "stderr": log}
                self.child = Child([self._path(), *self._arguments], cpus=self._cpus, stdio=stdio)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)

    def _path(self):
        """The program: named by an environment variable, or what was built together with the daemon."""
        variable = "PKTVIRT_" + self.name.upper().replace("-", "_")
        given = os.environ.get(variable)
        program = Path(given) if given else built(self._program)
        if not program.exists():
            raise self._error(f"{program} does not exist; build it with: make (or name another one with {variable})")
        return program

    @property
    def _log(self):
        return self.run_dir / f"{self.name}.log"

    def ask(self, command, timeout=ANSWER_TIMEOUT_S):
        """The answer to a command, parsed."""
        try:
            os.write(self._commands, command.encode() + b"\n")
        except BrokenPipeError:
            raise self._error(f"{self.name} has ended: {tail(self._log)}") from None
        answer = json.loads(self._answer(command, timeout))
        if "error" in answer:
            raise self._error(f"{self.name}: {answer['error']} {tail(self._log)}".rstrip())
        return answer

    def _answer(self, command, timeout):
        """The next line of its output."""
        deadline = time.monotonic() + timeout
        text = b""
        while not text.endswith(b"\n"):
            try:
                piece = os.read(self._answers, 65536)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self._error(f"{self.name}: no answer to {command!r} after {timeout} s") from None
                time.sleep(0.001)
                continue
            if not piece:
                raise self._error(f"{self.name} ended with status {self.child.wait(1)}: {tail(self._log)}")
            text += piece
        return text.decode()

    def stop(self):
        """End it."""
        if self.child:
            self.child.kill()
            self.child = None
        for name in ("_commands", "_answers"):
            if getattr(self, name) is not None:
                os.close(getattr(self, name))
                setattr(self, name, None)
        if self.run_dir:
            self.run_dir.remove()
            self.run_dir = None


def built(path):
    """A file of the folder that the daemon was built in."""
    return find_program("PKTVIRT_BIN", "pktvirt").resolve().parents[1] / path
