# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces and veth pairs for tests, always removed again. Needs root."""

import itertools
import os
import subprocess
from pathlib import Path

from .process import Child, LabError, janitor, run_quietly

_numbers = itertools.count()


class NetnsError(LabError):
    """A command on namespaces or interfaces failed; the message has the command and its output."""


class Namespace:
    """A network namespace.

        with Namespace("client") as client:
            host_end = client.veth("10.77.0.9/24")
            client.run("ping -c 1 10.77.0.1")

    The name is made unique. Interfaces inside disappear with the namespace, and host ends of veth pairs with them.
    """

    def __init__(self, name):
        self.name = f"pv{os.getpid()}-{next(_numbers)}-{name}"
        self._ticket = None
        self._host_ends = []

    def __enter__(self):
        self._ticket = janitor.add(run_quietly, "ip", "netns", "del", self.name)
        try:
            host("ip", "netns", "add", self.name)
            self.run("ip link set lo up")
        except NetnsError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Remove the namespace. What it has on the host goes first, and at once, rather than when the kernel gets to it."""
        for host_end in self._host_ends:
            run_quietly("ip", "link", "del", host_end)
        run_quietly("ip", "netns", "del", self.name)
        janitor.done(self._ticket)

    def veth(self, address=None, mac=None, mtu=None, device="eth0"):
        """Make a veth pair with `device` inside, up on both ends; returns the host end's name (<= 15 characters)."""
        host_end = f"pv{os.getpid()}v{next(_numbers)}"
        self._host_ends.append(host_end)
        host("ip", "link", "add", host_end, "type", "veth", "peer", "name", device, "netns", self.name)
        if mac:
            self.run(["ip", "link", "set", device, "address", mac])
        if mtu:
            host("ip", "link", "set", host_end, "mtu", str(mtu))
            self.run(["ip", "link", "set", device, "mtu", str(mtu)])
        if address:
            self.run(["ip", "addr", "add", address, "dev", device])
        host("ip", "link", "set", host_end, "up")
        self.run(["ip", "link", "set", device, "up"])
        return host_end

    def quiet_tap(self, device):
        """Make a tap on the host, to be moved in here when somebody has it open. It is removed with the namespace.

        The host's kernel says nothing on it by itself: IPv6 would, as soon as it is up.
        """
        self._host_ends.append(device)
        host("ip", "tuntap", "add", "dev", device, "mode", "tap")
        speaks = Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6")
        if speaks.exists():
            speaks.write_text("1")

    def offload(self, device="eth0", **features):
        """Switch offloads of an inner interface, as in offload(tx="off", gro="off")."""
        flat = [word for pair in features.items() for word in pair]
        self.run(["ethtool", "-K", device, *flat])

    def run(self, command, timeout=30, check=True, input=None):
        """Run a command (string for sh, or list) inside; returns subprocess.CompletedProcess with text output."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        return host(*self.prefix, *argv, timeout=timeout, check=check, input=input)

    def spawn(self, command, **options):
        """Start a long-running command (list) inside; returns its Child."""
        return Child([*self.prefix, *command], **options)

    @property
    def prefix(self):
        """What a command is prefixed with to run inside. Not "ip netns exec": it mounts, which not every container lets it."""
        return ["nsenter", f"--net=/run/netns/{self.name}"]


def host(*argv, timeout=30, check=True, input=None):
    """Run a command on the host."""
    try:
        done = subprocess.run(
            argv,
            **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise NetnsError(f"{' '.join(argv)}: not done after {timeout:g} s") from None
    if check and done.returncode:
        raise NetnsError(f"{' '.join(argv)}: status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done
