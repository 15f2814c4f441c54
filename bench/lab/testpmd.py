# SPDX-License-Identifier: BSD-3-Clause
"""dpdk-testpmd with two ports, polled by one core: as a guest and as a switch."""

import os
import re
from dataclasses import dataclass

from .guest import TESTPMD, TestpmdGuest

BURST = 32
RING_SIZE = 1024
MBUFS = 16384


@dataclass(frozen=True)
class Forwarded:
    """Packets that came in, packets that could not be sent, TSC cycles of the polls that found any, TSC MHz."""

    packets: int
    dropped: int
    busy_cycles: int
    tsc_mhz: int


@dataclass
class TwoPorts(TestpmdGuest):
    """testpmd on two devices.

    vdevs       their devargs
    options     further arguments of testpmd itself
    hugepages   must be there already: `mem_mb` of them are taken
    """

    vdevs: tuple = ()
    options: tuple = ()

    def _check(self):
        """What is checked of a guest with one port does not apply."""

    def _argv(self):
        cpu = self.cpus[0]
        eal = [f"--lcores=0@{cpu},1@{cpu}", "--no-pci", "--no-telemetry", "--iova-mode=va", "-m", self.mem_mb]
        eal += ["--in-memory", "--single-file-segments", *(f"--vdev={vdev}" for vdev in self.vdevs)]
        app = ["-i", "--nb-cores=1", f"--burst={BURST}", f"--txd={RING_SIZE}", f"--rxd={RING_SIZE}"]
        app += [f"--total-num-mbufs={MBUFS}", "--disable-link-check", *self.options]
        return [TESTPMD, *eal, "--", *app]

    def port_counters(self):
        """Packets and bytes of both ports together, such as {"RX-packets": 1, ...}."""
        sums = {}
        for name, value in re.findall(r"([RT]X-(?:packets|bytes)):\s+(\d+)", self.run("show port stats all").text):
            sums[name] = sums.get(name, 0) + int(value)
        return sums

    def forwarded(self):
        """Of the forwarding since its start: Forwarded. It has to be running, with "record-core-cycles" on."""
        text = self.run("show fwd stats all").text
        sums = text.split("Accumulated forward statistics for all ports")[-1]
        numbers = {name: int(value) for name, value in re.findall(r"([RT]X-\w+): (\d+)", sums)}
        cycles = re.search(r"total cycles=(\d+).* at (\d+) MHz", sums)
        busy, mhz = (int(cycles[1]), int(cycles[2])) if cycles else (0, 0)
        return Forwarded(numbers["RX-packets"], numbers["TX-dropped"], busy, mhz)


def testpmd(name, cpu, memory_mb, vdevs, options):
    """A TwoPorts, not yet started."""
    arguments = {"cpus": [cpu], "mem_mb": memory_mb, "hugepages": False, "server": True}
    return TwoPorts("virtio-user", name, None, **arguments, vdevs=tuple(vdevs), options=tuple(options))


def polling_thread(pid):
    """Thread id of the core that forwards, of any DPDK application with one; None if there is none."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as file:
                name = file.read()
        except OSError:
            continue
        if name.startswith(("rte-worker", "lcore-worker", "pmd-")):
            return int(task)
    return None
