# SPDX-License-Identifier: BSD-3-Clause
"""Reaching a guest that another program keeps: what is behind `bench/guest run`, `list` and `stop`.

`bench/guest boot` listens on a unix socket NAME.sock in a state directory ($PKTVIRT_GUEST_STATE, else in
$XDG_RUNTIME_DIR or /tmp). One request and one answer per connection, each a line of JSON.
"""

import base64
import dataclasses
import json
import os
import re
import socket
import threading
from pathlib import Path

from .guest import Result
from .process import LabError, locked


class ServiceError(LabError):
    """There is no such guest, or it could not do what was asked."""


def state_dir():
    """The state directory, made if missing; ours alone."""
    default = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"pktvirt-guests-{os.getuid()}"
    folder = Path(os.environ.get("PKTVIRT_GUEST_STATE") or default)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ServiceError(f"{folder} belongs to another user; name another place with PKTVIRT_GUEST_STATE")
    return folder


class Service:
    """The serving side: claims the name, then serves a guest until closed."""

    def __init__(self, name):
        self.stopped = False
        if not re.fullmatch(r"[\w-]+", name):
            raise ServiceError(f"guest name {name!r}: expected letters, digits and -")
        self._path = state_dir() / f"{name}.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        with locked(state_dir() / ".lock"):
            if ask_at(self._path, {"do": "info"}):
                raise ServiceError(f"a guest {name} is running already; end it with: bench/guest stop --name {name}")
            self._path.unlink(missing_ok=True)
            self._listener.bind(str(self._path))
            self._listener.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._path.unlink(missing_ok=True)
        self._listener.close()

    def serve(self, guest):
        """Serve in the background."""
        threading.Thread(target=self._accept, args=[guest], daemon=True).start()

    def _accept(self, guest):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._answer, args=[guest, connection], daemon=True).start()

    def _answer(self, guest, connection):
        with connection, connection.makefile("rw") as stream:
            request = json.loads(stream.readline() or "{}")
            try:
                answer = getattr(self, "_do_" + request.get("do", ""), self._do_nothing)(guest, request)
            except LabError as error:
                answer = {"error": str(error)}
            stream.write(json.dumps(answer) + "\n")

    def _do_nothing(self, _guest, request):
        raise ServiceError(f"unknown request {request!r}: expected run, info or stop")

    def _do_info(self, guest, _request):
        return {"kind": guest.kind, "name": guest.name, "pid": os.getpid(), "ip": guest.ip, "socket": guest.socket}

    def _do_run(self, guest, request):
        content = base64.b64decode(request["input"])
        result = guest.run(request["command"], timeout=request["timeout"], check=False, input=content)
        return {key: encode(value) for key, value in dataclasses.asdict(result).items()}

    def _do_stop(self, guest, _request):
        self.stopped = True
        guest.kill()
        return {}


def encode(value):
    """Bytes as base64 for JSON."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def ask_at(path, request):
    """Ask the guest behind a socket; None if nobody is there."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        with connection.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            return json.loads(stream.readline() or '{"error": "the guest ended"}')


def ask(name, request):
    """Ask a guest by name; ServiceError if there is none or it refused."""
    answer = ask_at(state_dir() / f"{name}.sock", request)
    if answer is None:
        running = ", ".join(info["name"] for info in guests()) or "none"
        raise ServiceError(f"no guest {name!r} is running (running: {running}); boot one with: bench/guest boot")
    if "error" in answer:
        raise ServiceError(answer["error"])
    return answer


def run(name, command, content, timeout):
    """Run a command in a guest; returns guest.Result."""
    answer = ask(name, {"do": "run", "command": command, "input": encode(content), "timeout": timeout})
    return Result(base64.b64decode(answer["stdout"]), base64.b64decode(answer["stderr"]), answer["status"])


def guests():
    """What runs: kind, name, pid, ip and socket of each."""
    answers = (ask_at(path, {"do": "info"}) for path in sorted(state_dir().glob("*.sock")))
    return [answer for answer in answers if answer and "error" not in answer]


def stop(name):
    """End a guest."""
    ask(name, {"do": "stop"})
