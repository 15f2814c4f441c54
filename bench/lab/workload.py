# SPDX-License-Identifier: BSD-3-Clause
"""What workloads are made of: numbers, servers, and what the switch did meanwhile. workloads.py has the list of them.

A workload has a name, a summary, metrics (name -> Metric), estimate_s(options) -> about how long it takes, and
run(link, options, say) -> list of Point; run() raises WorkloadError, or another LabError, where it gives no numbers.
"""

import contextlib
import json
import time
from dataclasses import dataclass

from .cite import koh
from .process import LabError

PORT = 5201
START_TRIES = 50
START_PAUSE_S = 0.1
KILL_WAIT_S = 10
GRACE_S = 30


class WorkloadError(LabError):
    """A workload gave no number; the message says why."""


@dataclass(frozen=True)
class Metric:
    """What a number is: label and unit, which direction is better, what x is (None: there is none), and the figure or
    table of a paper that shows the same, with the paper's name (see cite.py)."""

    label: str
    unit: str
    better: str = "lower"
    x_label: str | None = None
    figure: str | None = None


@dataclass(frozen=True)
class Point:
    """A number of a metric, at x."""

    metric: str
    value: float
    x: float | None = None


@dataclass(frozen=True)
class Options:
    """Seconds of a timed measurement; quick: few sizes and runs, to see whether it works."""

    seconds: float
    quick: bool = False


@contextlib.contextmanager
def serving(end, command, other, probe):
    """Has one end run a server, and waits until a command of the other shows that it is there."""
    server = end.spawn(command)
    try:
        for _ in range(START_TRIES):
            if other.run(probe, check=False).status == 0:
                break
            time.sleep(START_PAUSE_S)
        else:
            raise WorkloadError(f"{command!r} does not come up")
        yield
    finally:
        server.kill()
        server.wait(KILL_WAIT_S)  # the port is free for the next


def switch_counters(link):
    """What the workers have done so far, in all; None without pktvirt."""
    if link.daemon is None:
        return None
    said = link.daemon.show("workers")
    workers = said["workers"]
    total = {key: sum(worker[key] for worker in workers) for key in ("packets", "busy_cycles")}
    return {**total, "mask_calls": sum(worker["signals"]["mask_calls"] for worker in workers), "tsc_hz": said["tsc_hz"]}


def switch_sections(stages):
    """The cycles of the workers so far, by what they went to, of what `show stages` lists: the sections of the framework,
    and "stages", all packet stages together. What they are busy with beyond that (events, mailboxes) is in none."""
    sections = {one["name"]: one["cycles"] for one in stages if one["kind"] == "core"}
    return {**sections, "stages": sum(one["cycles"] for one in stages if one["kind"] == "packet")}


def per_packet(before, after):
    """What the switch spent on each packet between two switch_counters(): "cycles", "seconds", "masks"; or None."""
    if not after or after["packets"] <= before["packets"]:
        return None
    packets, cycles, masks = (after[key] - before[key] for key in ("packets", "busy_cycles", "mask_calls"))
    return {"cycles": cycles / packets, "seconds": cycles / packets / after["tsc_hz"], "masks": masks / packets}


def cost(link, before, x=None):
    """The same since `before`, as Points of cost_metrics(); none where there is no pktvirt."""
    spent = per_packet(before, switch_counters(link))
    return [Point(f"switch_{what}", spent[what], x) for what in ("cycles", "masks")] if spent else []


def cost_metrics(x_label=None):
    """The metrics of cost(); x_label is that of its x."""
    return {
        "switch_cycles": Metric("the switch's cycles per packet", "cycles", x_label=x_label),
        "switch_masks": Metric("calls of sigprocmask() per packet", "calls", x_label=x_label, figure=koh("Table 4-1")),
    }


def parsed(said, command):
    """The JSON that a command printed."""
    try:
        return json.loads(said.text)
    except ValueError:
        raise WorkloadError(f"{command}: no JSON: {said.text[:200]!r}") from None
