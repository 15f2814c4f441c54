# SPDX-License-Identifier: BSD-3-Clause
"""A switch with its guest, ready to be measured at any moment, and stopped (SIGSTOP) at all others.

So all switches are there at once, on the same two CPUs, and are measured a moment after each other, without the time
that starting them takes, in which the speed of a machine may change.
"""

import contextlib
import signal
import time
from dataclasses import asdict, dataclass

from .loop import LoopError

WARM_UP_S = 0.4


@dataclass
class Sample:
    """What one measurement gave.

    packets_per_s       that the guest has received, both directions together
    switch_packets_per_s  the same as the switch counts it
    cycles_per_packet   TSC cycles in which the switch was busy, for each packet that it has received
    switch_idle, guest_idle   share of the time that they found nothing to do; None where that is not known
    sent, lost          frames that were to go round, and how many of them were gone at the end
    drops               reason -> packets, as the switch counts them
    switch_waited, guest_waited   share of the time that the polling threads waited for their CPU
    """

    peer: str
    ring: str
    size: str
    run: int
    packets_per_s: float
    switch_packets_per_s: float
    bytes_per_packet: float
    cycles_per_packet: float
    switch_idle: float
    guest_idle: float | None
    sent: int
    lost: int
    drops: dict
    switch_waited: float | None
    guest_waited: float | None

    def as_json(self):
        """For the file that is written."""
        return asdict(self)


class Pair:
    """A peer and a guest that are not yet started."""

    def __init__(self, peer, new_guest):
        self.peer = peer
        self._new_guest = new_guest
        self.guest = None
        self.facts = None
        self._lost = 0
        self._stack = contextlib.ExitStack()

    def start(self):
        """Start both, let the switch learn the guest's addresses, and stop both. LabError if it does not come about."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.peer)
            self.guest = stack.enter_context(self._new_guest(self.peer.sockets))
            self.facts = self.peer.facts()
            self.guest.teach()
            self._lost = self.guest.drain()
            stack.callback(self._signal, signal.SIGCONT)
            self._signal(signal.SIGSTOP)
            self._stack = stack.pop_all()

    def end(self):
        """End both. LabError if the switch has died, or ends badly."""
        self._stack.close()

    def _signal(self, number):
        for process in (self.guest, self.peer):
            process.signal(number)

    def measure(self, sizes, frames, seconds):
        """Let so many frames of these sizes go round each way; returns the numbers of a Sample, or LabError."""
        self._signal(signal.SIGCONT)
        sent = self.guest.load(sizes, frames)
        time.sleep(WARM_UP_S)
        before = self._read()
        time.sleep(seconds)
        after = self._read()
        lost = self.guest.drain() - self._lost
        self._lost += lost
        self._signal(signal.SIGSTOP)
        return {"sent": sent, "lost": lost, **numbers(before, after)}

    def _read(self):
        return {
            "peer": self.peer.counters(),
            "guest": self.guest.counters(),
            "switch_waited_ns": waited_ns(self.peer),
            "guest_waited_ns": waited_ns(self.guest),
            "time_ns": time.monotonic_ns(),
        }


def numbers(before, after):
    """What two readings say about the time between them."""
    peer, guest = Difference(before["peer"], after["peer"]), Difference(before["guest"], after["guest"])
    if not guest.rx_packets or not peer.packets or not peer.busy_cycles:
        raise LoopError("no frames go round")
    return {
        "packets_per_s": 1e9 * guest.rx_packets / guest.time_ns,
        "switch_packets_per_s": 1e9 * peer.packets / peer.time_ns,
        "bytes_per_packet": guest.rx_bytes / guest.rx_packets,
        "cycles_per_packet": peer.busy_cycles / peer.packets,
        "switch_idle": idle_share(peer),
        "guest_idle": idle_share(guest),
        "drops": dict(after["peer"].drops - before["peer"].drops),
        "switch_waited": waited_share("switch", before, after),
        "guest_waited": waited_share("guest", before, after),
    }


class Difference:
    """The fields of one reading minus those of an earlier one; None where there is no number."""

    def __init__(self, before, after):
        for name, value in vars(after).items():
            setattr(self, name, value - getattr(before, name) if isinstance(value, int) else None)


def idle_share(difference):
    """The share of the cycles that were idle."""
    if difference.idle_cycles is None:
        return None
    return max(0.0, difference.idle_cycles / (difference.idle_cycles + difference.busy_cycles))


def waited_share(who, before, after):
    """The share of the time between two readings in which a polling thread waited for its CPU."""
    first, last = before[f"{who}_waited_ns"], after[f"{who}_waited_ns"]
    return None if first is None or last is None else (last - first) / (after["time_ns"] - before["time_ns"])


def waited_ns(process):
    """How long the polling thread could not run because its CPU was taken; None if the kernel does not tell."""
    thread = process.polling_thread()
    try:
        with open(f"/proc/{process.pid}/task/{thread}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError):
        return None
