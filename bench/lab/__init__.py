# SPDX-License-Identifier: BSD-3-Clause
"""The guest laboratory: guest images, guests, the daemon and network namespaces for demos, tests and benchmarks.

    from lab import Daemon, Guest

    with Daemon({"ports": [...]}) as daemon, Guest("uml", "vm0", socket, "10.77.0.1/24") as vm0:
        vm0.wait_ready(20)
        print(vm0.run("ping -c 1 10.77.0.2").text)

Standard library only. Whatever is started here ends with the program that started it, even when that program
is killed (see process.py).
"""

from .daemon import Daemon, DaemonError
from .guest import CommandFailed, CommandTimeout, Guest, GuestError
from .image import ImageError
from .netns import Namespace
from .process import Child, LabError

__all__ = [
    "Child",
    "CommandFailed",
    "CommandTimeout",
    "Daemon",
    "DaemonError",
    "Guest",
    "GuestError",
    "ImageError",
    "LabError",
    "Namespace",
]
