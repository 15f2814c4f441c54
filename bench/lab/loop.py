# SPDX-License-Identifier: BSD-3-Clause
"""Guests between whose two ports a fixed number of frames go round, through the switch, for ever.

A frame that comes in at one port leaves from the other, addressed as if a router had sent it: from port 0 to port 1 or
the other way round. A learning switch knows both addresses from the first frame on, and sends every frame to the one
other port. No more frames go round than a ring can hold, so a ring never runs over and a switch loses none; and where
switch and guest are not equally fast, the frames wait for the slower one, which so has always something to do.
"""

import time
from dataclasses import dataclass

from .answering import Answering, AnsweringError
from .testpmd import BURST, RING_SIZE, polling_thread, testpmd

RINGS = ("split", "packed")
BURSTS = 12  # a port's: 384 frames, a multiple of the twelve frames of the mix
FRAMES = BURSTS * BURST
START_TIMEOUT_S = 30
DRAIN_TICK_S = 0.05
DRAIN_TIMEOUT_S = 5
TESTPMD_MB = 192
LEAN_MB = 16
MACS = ("52:54:00:70:80:01", "52:54:00:70:80:02")


class LoopError(AnsweringError):
    """A guest did not start, died, or the frames do not go round."""


@dataclass(frozen=True)
class LoopCounters:
    """What a guest has done since it started, both ports together. Cycles are None where they are not known."""

    time_ns: int
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    busy_cycles: int | None = None
    idle_cycles: int | None = None


class Loop:
    """What both kinds have in common: connecting, and counting what was lost.

    sockets   of the two ports of a switch that listens
    ring      one of RINGS
    cpu       host CPU that polls
    """

    memory_mb = 0

    def __init__(self, sockets, ring, cpu):
        self.sockets = sockets
        self.ring = ring
        self.cpu = cpu

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def teach(self):
        """Let the switch learn the address behind each port."""
        for _ in range(2):
            self.load([64], 1)
            time.sleep(DRAIN_TICK_S)
            self.drain()

    def drain(self):
        """Take all frames out of the circle; returns how many of those that were ever sent have not come in."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        self._stop_forwarding()
        now, before = self.counters(), None
        while before is None or now.rx_packets != before.rx_packets:
            if time.monotonic() > deadline:
                raise LoopError(f"frames still come in {DRAIN_TIMEOUT_S} s after the guest has stopped to send")
            time.sleep(DRAIN_TICK_S)
            before, now = now, self.counters()
        return now.tx_packets - now.rx_packets


class LeanLoop(Loop):
    """bench/lean-guest: it drives the rings itself and does next to nothing with a frame."""

    memory_mb = LEAN_MB
    description = "lean guest"

    def __init__(self, sockets, ring, cpu):
        super().__init__(sockets, ring, cpu)
        self._guest = Answering("bench/lean-guest/lean-guest", [*sockets, ring, RING_SIZE], [cpu], LoopError)

    def start(self):
        """Start it and wait until both ports are attached."""
        self._guest.start()

    @property
    def pid(self):
        """Process id."""
        return self._guest.child.pid

    def polling_thread(self):
        """Thread id of what polls: its only one."""
        return self.pid

    def signal(self, number):
        """Send the process a signal."""
        self._guest.child.signal(number)

    def load(self, sizes, frames):
        """Send `frames` frames of these sizes in turn from each port into the circle; returns how many in all."""
        return self._guest.ask(f"load {frames} {','.join(map(str, sizes))}")["loaded"]

    def counters(self):
        """LoopCounters."""
        stats = self._guest.ask("stats")
        sums = {key: sum(port[key] for port in stats["ports"]) for key in stats["ports"][0]}
        if sums["bogus"] or sums["corrupt"]:
            gave_back = f"{sums['bogus']} buffers twice or with an impossible length"
            raise LoopError(f"the switch has given back {gave_back}, and has changed {sums['corrupt']} frames")
        return LoopCounters(
            time_ns=stats["time_ns"],
            rx_packets=sums["rx_packets"],
            rx_bytes=sums["rx_bytes"],
            tx_packets=sums["tx_packets"],
            busy_cycles=stats["busy_cycles"],
            idle_cycles=stats["idle_cycles"],
        )

    def _stop_forwarding(self):
        self._guest.ask("drain")

    def stop(self):
        """End it."""
        self._guest.stop()


class TestpmdLoop(Loop):
    """testpmd in its mode "mac" on two virtio-user devices."""

    memory_mb = TESTPMD_MB
    description = "testpmd guest"

    def __init__(self, sockets, ring, cpu):
        super().__init__(sockets, ring, cpu)
        packed = ",packed_vq=1" if ring == "packed" else ""
        vdevs = [
            f"net_virtio_user{number},path={socket},queues=1,queue_size={RING_SIZE},mac={mac}{packed}"
            for number, (socket, mac) in enumerate(zip(sockets, MACS))
        ]
        peers = [f"--eth-peer={number},{mac}" for number, mac in enumerate(reversed(MACS))]
        self._testpmd = testpmd("guest", cpu, self.memory_mb, vdevs, ["--forward-mode=mac", *peers])
        self._mode = "mac"

    def start(self):
        """Start it and wait for its prompt."""
        self._testpmd.start()
        self._testpmd.wait_ready(START_TIMEOUT_S)

    @property
    def pid(self):
        """Process id."""
        return self._testpmd.child.pid

    def polling_thread(self):
        """Thread id of what polls."""
        return polling_thread(self.pid)

    def signal(self, number):
        """Send the process a signal."""
        self._testpmd.child.signal(number)

    def load(self, sizes, frames):
        """As LeanLoop.load(). testpmd sends whole bursts, so one burst a port where fewer frames are asked for.

        A burst of a size at a time, so that a mix is one of bursts.
        """
        bursts = max(1, frames // BURST)
        sent = 0
        self._forward("mac")
        for size in sorted(set(sizes)):
            share = max(1, bursts * sizes.count(size) // len(sizes))
            self._testpmd.run("stop")
            self._testpmd.run(f"set txpkts {size}")
            self._testpmd.run(f"start tx_first {share}")
            sent += 2 * share * BURST
        return sent

    def counters(self):
        """LoopCounters."""
        counters = self._testpmd.port_counters()
        return LoopCounters(
            time_ns=time.monotonic_ns(),
            rx_packets=counters["RX-packets"],
            rx_bytes=counters["RX-bytes"],
            tx_packets=counters["TX-packets"],
        )

    def _stop_forwarding(self):
        self._forward("rxonly")

    def _forward(self, mode):
        if self._mode != mode:
            self._testpmd.forward(mode)
            self._mode = mode

    def stop(self):
        """End it."""
        self._testpmd.stop()


GUESTS = {"lean": LeanLoop, "virtio-user": TestpmdLoop}
