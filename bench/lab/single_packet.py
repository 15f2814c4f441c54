# SPDX-License-Identifier: BSD-3-Clause
"""Where the switch's time for a lone packet goes: the workload behind the tables of section 4 of Koh et al. (LCN 2006).

There, layers are those of a User-mode Linux core that sends a datagram of one MTU; here they are those of the switch
that brings it from the guest to the wire, or back:

    receive    taking it from the port that it comes in at: ring or tap
    switch     stages, and finding out where it goes
    transmit   bringing it to the port that it goes out at
    events     being told that there is something to do, looking for more, and going to sleep again
    notify     telling the guest, that it has a packet or has its buffer back: the system call that interrupts it

The last is no work on the packet, costs more than all else where guests are interrupted by waking a processor up, and
is asked for by the guest; so it stands by itself. All else is "work".
"""

from .cite import koh
from .netlat import MTU_PAYLOAD, RUNS, UdpLatency, netlat, netlat_server
from .workload import Metric, Point, WorkloadError, switch_sections

LAYERS = ("receive", "switch", "transmit", "notify")
DIRECTIONS = {"out": "from the guest", "in": "to the guest"}
GETPID_RUNS = 20000


def direction_metrics(name, direction):
    """The metrics of packets in one direction."""
    layers = {f"{name}_{layer}": Metric(f"{layer}, of a packet {direction}", "s") for layer in (*LAYERS, "events")}
    return {
        name: Metric(f"the switch's time for a packet {direction}", "s"),
        f"{name}_work": Metric(f"of that, work on a packet {direction}", "s", figure=koh("Table 5-1")),
        **layers,
        f"{name}_ports": Metric(f"receive and transmit, of a packet {direction}", "s", figure=koh("Table 4-3")),
        f"{name}_masks": Metric(f"calls of sigprocmask() for a packet {direction}", "calls", figure=koh("Table 4-1")),
        f"{name}_calls": Metric(f"system calls at the host's boundary for a packet {direction}", "calls"),
    }


class SinglePacket:
    """netlat sends datagrams of one MTU that are too far apart to wait for each other."""

    name = "single-packet"
    summary = f"what the switch does for a lone datagram of {MTU_PAYLOAD} bytes, by layer"
    metrics = {
        **direction_metrics("out", DIRECTIONS["out"]),
        **direction_metrics("in", DIRECTIONS["in"]),
        "send": Metric("sendto() in the guest", "s"),
        "getpid": Metric("getpid() in the guest", "s", figure=koh("Table 4-2")),
    }

    def estimate_s(self, options):
        """About how long it takes."""
        return 1.5 if options.quick else 3

    def run(self, link, options, say):
        """Both directions."""
        if link.daemon is None:
            raise WorkloadError("single-packet looks into pktvirt, and this is another system")
        runs = RUNS // 4 if options.quick else RUNS
        points = []
        with netlat_server(link.b, link.a), netlat_server(link.a, link.b):
            say(DIRECTIONS["out"])
            points += self._one_way(link, "out", link.a, link.b, runs)
            say(DIRECTIONS["in"])
            points += self._one_way(link, "in", link.b, link.a, runs)
        getpid = netlat(link.a, "getpid", GETPID_RUNS)
        return points + [Point("getpid", getpid["mean_us"] * 1e-6)]

    @staticmethod
    def _one_way(link, name, end, other, runs):
        before = reading(link)
        sent = UdpLatency.send(end, other, MTU_PAYLOAD, runs)
        points = [Point(f"{name}_{what}" if what else name, value) for what, value in spent(before, reading(link))]
        return points + ([Point("send", sent["mean_us"] * 1e-6)] if name == "out" else [])


def reading(link):
    """Counters of the daemon: cycles of all that it did, by layer, calls, packets."""
    workers = link.daemon.ctl("show", "workers")
    sections = switch_sections(link.daemon.ctl("show", "stages")["stages"])
    every = workers["workers"]
    return {
        "tsc_hz": workers["tsc_hz"],
        "packets": sum(worker["packets"] for worker in every),
        "busy": sum(worker["busy_cycles"] for worker in every),
        "masks": sum(worker["signals"]["mask_calls"] for worker in every),
        "calls": sum(boundary_calls(port) for port in link.daemon.ctl("show", "ports")["ports"]),
        **{layer: sections[layer] for layer in LAYERS},
    }


def boundary_calls(port):
    """System calls that a port has made: reads and writes of a tap, calls of a guest."""
    detail = port["detail"]
    return detail.get("system_calls", 0) + sum(ring["calls"] for ring in detail.get("rings", []))


def spent(before, after):
    """(what, for each packet) of two readings: "" is all of the time."""
    packets = after["packets"] - before["packets"]
    if packets <= 0:
        raise WorkloadError("no packet has come through the switch")
    each = {key: (after[key] - before[key]) / packets for key in before if key not in ("tsc_hz", "packets")}
    times = {key: each[key] / after["tsc_hz"] for key in ("busy", *LAYERS)}
    yield "", times["busy"]
    yield from ((layer, times[layer]) for layer in LAYERS)
    yield "events", times["busy"] - sum(times[layer] for layer in LAYERS)
    yield "work", times["busy"] - times["notify"]
    yield "ports", times["receive"] + times["transmit"]
    yield "masks", each["masks"]
    yield "calls", each["calls"]
