# SPDX-License-Identifier: BSD-3-Clause
"""Links: two ends that reach each other over a system that is to be measured. Context managers; entering one raises
LabError if it does not come about, leaving it stops everything.

    with PktvirtLink("eul.json") as link:
        link.a.run(f"ping -c 1 {link.b.ip}")

    a, b      the ends, each with .ip, .run(command, …), .spawn(command) -> .kill(), .program(name) -> its path there,
              .cpu_seconds() -> CPU time that a guest has had so far, None for Linux itself
    daemon    the Daemon that is in between; None where there is no pktvirt
    name      what it is
"""

import contextlib
import itertools
import os

from .daemon import Daemon, effective_config
from .guest import Guest
from .image import own_program
from .measure import find_config, guest_cpus
from .netns import Namespace, host
from .peers import Ovs
from .process import Hugepages, LabError, RunDir, cpu_seconds, hugepage_kb, janitor, run_quietly

OVS_CPU = 0  # that its thread polls on, as pktvirt's worker does in the configurations that are shipped
NETWORK = "10.77.0"
BOOT_TIMEOUT_S = 90
REACH_TRIES = 15
WHOLE_FRAMES = {"tso": "off", "gso": "off", "tx": "off"}  # as they are on a wire: of one MTU, with their checksums
OFFLOADS = {"tso": "on", "gso": "on", "tx": "on", "gro": "on"}
_numbers = itertools.count()


class LinkError(LabError):
    """The two ends of a link do not come to reach each other."""


class GuestEnd:
    """A guest as the end of a link."""

    def __init__(self, guest):
        self.guest = guest
        self.kind = guest.kind
        self.ip = guest.ip.split("/")[0]

    def run(self, command, timeout=60, check=True):
        """Run a command to its end."""
        return self.guest.run(command, timeout=timeout, check=check)

    def spawn(self, command):
        """Start a command."""
        return self.guest.spawn(command)

    def program(self, name):
        """Where one of our programs is."""
        return f"/usr/bin/{name}"

    def cpu_seconds(self):
        """CPU time of the host that it has had: its kernel's and its programs'."""
        return cpu_seconds(self.guest.child.pid)


class Said:
    """What a command said, as guests tell it."""

    def __init__(self, done):
        self.text, self.status = done.stdout, done.returncode


class NamespaceEnd:
    """Linux itself, in a network namespace."""

    kind = "native"

    def __init__(self, namespace, ip, cpus):
        self._namespace = namespace
        self._cpus = cpus
        self.ip = ip

    def run(self, command, timeout=60, check=True):
        """Run a command to its end."""
        pinned = f"taskset -c {','.join(map(str, self._cpus))} sh -c '{command}'"
        return Said(self._namespace.run(pinned, timeout=timeout, check=check))

    def spawn(self, command):
        """Start a command."""
        return self._namespace.spawn(["sh", "-c", f"exec {command}"], cpus=self._cpus)

    def program(self, name):
        """Where one of our programs is."""
        return str(own_program(name))

    def cpu_seconds(self):
        """Not known: what its kernel does is done by whoever is interrupted, or is on the other end."""
        return None


class Link:
    """What all links have in common."""

    daemon = None

    def __init__(self, rate_bps=None, say=lambda _text: None):
        self._rate_bps = rate_bps
        self._say = say
        self._stack = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._wait_reachable()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self._stack.__exit__(*exception)

    def _wait_reachable(self):
        """The first packets may be lost, and a port may come up a moment after its guest."""
        self._say("waiting until both ends reach each other")
        for _ in range(REACH_TRIES):
            if self.a.run(f"ping -q -c 1 -W 1 {self.b.ip}", check=False).status == 0:
                return
        raise LinkError(f"{self.name}: {self.a.ip} gets no answer from {self.b.ip}")

    def _boot(self, stack, kind, sockets, cpus):
        """Start a guest on each of (name, socket); the first is the near end, the last the far one."""
        guests = []
        for number, (name, socket) in enumerate(sockets, 1):
            guest = Guest(kind, name, socket, f"{NETWORK}.{number}/24", cpus=cpus)
            guests.append(stack.enter_context(guest))
        self._say("booting")
        for guest in guests:
            guest.wait_ready(BOOT_TIMEOUT_S)
        self.a, self.b = GuestEnd(guests[0]), GuestEnd(guests[-1])

    def _wire(self, namespace, device):
        """Put an interface of the host into a namespace, and make it the far end."""
        host("ip", "link", "set", device, "netns", namespace.name)
        self._far_end(namespace, device)

    def _far_end(self, namespace, device):
        """Give an interface of a namespace the address of the far end, and its rate."""
        namespace.run(f"ip addr add {NETWORK}.2/24 dev {device} && ip link set {device} up")
        namespace.offload(device, **WHOLE_FRAMES)
        limit(namespace, device, self._rate_bps)


def limit(namespace, device, rate_bps):
    """Have an interface send and receive no more than so many bits a second each: token buckets of two milliseconds.

    What comes in is sent through a second interface (ifb), since Linux limits only what goes out.
    """
    if not rate_bps:
        return
    bucket = f"tbf rate {rate_bps}bit burst {max(rate_bps // 8 // 500, 16000)} latency 20ms"
    namespace.run(
        f"tc qdisc add dev {device} root {bucket} && ip link add {device}in type ifb && ip link set {device}in up && "
        f"tc qdisc add dev {device}in root {bucket} && tc qdisc add dev {device} ingress && "
        f"tc filter add dev {device} parent ffff: protocol all u32 match u32 0 0 action mirred egress "
        f"redirect dev {device}in"
    )


def with_socket(port, path):
    """A port of an effective configuration, at a socket of its own."""
    return {**port, "vhost-user": {**port["vhost-user"], "socket": path, "mode": "server"}}


class PktvirtLink(Link):
    """A guest on pktvirt, and Linux in a namespace behind a tap of pktvirt ("wire"), or a second guest ("guest").

    config   file, or effective configuration; its first ports of type vhost-user are used
    """

    def __init__(self, config, kind="uml", peer="wire", rate_bps=None, say=lambda _text: None):
        super().__init__(rate_bps, say)
        self._config = config if isinstance(config, dict) else effective_config(find_config(config))
        self._kind = kind
        self._peer = peer
        self.name = f"pktvirt, {kind}"
        if kind not in ("uml", "qemu"):
            raise LinkError(f"guests of kind {kind} run no programs: expected uml or qemu")

    def _start(self, stack):
        run_dir = RunDir()
        stack.callback(run_dir.remove)
        n_guests = 2 if self._peer == "guest" else 1
        ports = [port for port in self._config["ports"] if "vhost-user" in port][:n_guests]
        if len(ports) < n_guests:
            raise LinkError(f"{n_guests} ports of type vhost-user are needed, there are {len(ports)}")
        ports = [with_socket(port, str(run_dir / port["name"])) for port in ports]
        wire = f"pv{os.getpid()}t{next(_numbers)}"
        taps = [{"name": "wire0", "tap": {"interface": wire}}] if self._peer == "wire" else []
        config = {key: value for key, value in self._config.items() if key not in ("name", "control-socket")}
        cpus = guest_cpus(self._config["workers"])
        namespace = stack.enter_context(Namespace("wire")) if taps else None
        self._say("starting pktvirt")
        self.daemon = stack.enter_context(Daemon({**config, "ports": ports + taps}))
        if taps:
            self._wire(namespace, wire)
        sockets = [(port["name"], port["vhost-user"]["socket"]) for port in ports]
        self._boot(stack, self._kind, sockets, cpus)
        self.b = NamespaceEnd(namespace, f"{NETWORK}.2", cpus) if taps else self.b


class NoLink:
    """Nothing, for what is measured without anything."""

    a = b = daemon = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class NativeLink(Link):
    """Two namespaces over a veth pair: Linux itself. With `offloads`, the near end leaves to its interface what a good
    one does: segments and checksums of what is sent (TSO), and, in the kernel, merging what is received (GRO)."""

    name = "native Linux"

    def __init__(self, rate_bps=None, say=lambda _text: None, offloads=False):
        super().__init__(rate_bps, say)
        self._offloads = offloads

    def _start(self, stack):
        cpus = sorted(os.sched_getaffinity(0))
        near = stack.enter_context(Namespace("near"))
        far = stack.enter_context(Namespace("far"))
        device = near.veth(f"{NETWORK}.1/24")
        near.offload("eth0", **(OFFLOADS if self._offloads else WHOLE_FRAMES))
        self._wire(far, device)
        self.a, self.b = NamespaceEnd(near, f"{NETWORK}.1", cpus), NamespaceEnd(far, f"{NETWORK}.2", cpus)


class UmlTapLink(Link):
    """User-mode Linux on its own transports: "legacy" (tuntap) or "vector", over a bridge to a namespace."""

    TRANSPORTS = {"legacy": "eth0=tuntap,{tap}", "vector": "vec0:transport=tap,ifname={tap},depth=128,gro=1"}

    def __init__(self, transport="legacy", rate_bps=None, say=lambda _text: None):
        super().__init__(rate_bps, say)
        self._transport = transport
        self.name = f"UML over its {transport} transport"

    def _start(self, stack):
        cpus = sorted(os.sched_getaffinity(0))
        unique = f"pv{os.getpid()}x{next(_numbers)}"
        tap, bridge = unique + "t", unique + "b"
        for device in (tap, bridge):
            ticket = janitor.add(run_quietly, "ip", "link", "del", device)
            stack.callback(janitor.done, ticket)
            stack.callback(run_quietly, "ip", "link", "del", device)
        host("ip", "link", "add", bridge, "type", "bridge")
        host("ip", "tuntap", "add", tap, "mode", "tap")
        far = stack.enter_context(Namespace("far"))
        end = far.veth(f"{NETWORK}.2/24")
        far.offload("eth0", **WHOLE_FRAMES)
        limit(far, "eth0", self._rate_bps)
        for device in (tap, end):
            host("ip", "link", "set", device, "master", bridge, "up")
        host("ip", "link", "set", bridge, "up")
        device = {"legacy": "eth0", "vector": "vec0"}[self._transport]
        guest = Guest("uml", "uml0", None, f"{NETWORK}.1/24", cpus=cpus,
                      extra=[self.TRANSPORTS[self._transport].format(tap=tap)])  # fmt: skip
        self._say("booting")
        stack.enter_context(guest).wait_ready(BOOT_TIMEOUT_S)
        guest.run(f"ip addr flush dev {device}; ip addr add {guest.ip} dev {device}; ip link set {device} up")
        self.a, self.b = GuestEnd(guest), NamespaceEnd(far, f"{NETWORK}.2", cpus)


class OvsLink(Link):
    """A guest on OVS-DPDK, and Linux in a namespace behind a tap of OVS's ("wire", DPDK's net_tap), or a second guest.

    Not for User-mode Linux: librte_vhost offers it a control queue that OVS does not serve, and it waits for the answer
    for ever.
    """

    name = "OVS-DPDK"
    TAP = "wire0"

    def __init__(self, kind="qemu", peer="wire", rate_bps=None, say=lambda _text: None):
        super().__init__(rate_bps, say)
        self._kind, self._peer = kind, peer
        if kind != "qemu":
            raise LinkError(f"guests of kind {kind} do not run on OVS-DPDK here: expected --guest qemu")
        Ovs.check()

    def _start(self, stack):
        worker, cpus = OVS_CPU, guest_cpus([OVS_CPU])
        stack.callback(Hugepages(Ovs.memory_mb * 1024 // hugepage_kb()).release)
        namespace = stack.enter_context(Namespace("wire"))
        self._say("starting OVS-DPDK")
        wire = self.TAP if self._peer == "wire" else None
        ovs = stack.enter_context(Ovs(worker, namespace, wire))
        sockets = [(f"vm{number}", socket) for number, socket in enumerate(ovs.sockets)]
        self._boot(stack, self._kind, sockets[: 1 if wire else 2], cpus)
        if wire:
            self._far_end(namespace, wire)
            self.b = NamespaceEnd(namespace, f"{NETWORK}.2", cpus)
