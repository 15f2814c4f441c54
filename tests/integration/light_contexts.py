#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""256 guests at once: each has a context with the address that it has claimed, and gets all that is for it.

Argument: "workers" for two of them.
"""

import sys

from stations import play_many_guests
from support import CPUS, check, check_equal, config, contexts, daemon, is_conserved, ports, run, vhost, wait_until
from support import workspace

GUESTS = 256
BATCHES = 400
BATCH = 48


def main():
    workers = CPUS[:2] if sys.argv[1:] == ["workers"] else CPUS[:1]
    names = [f"vm{number}" for number in range(GUESTS)]
    with workspace() as directory:
        places = [vhost(name, directory) for name in names]
        with daemon(config(*places, stages=["multi-context-demux"], workers=workers)) as switch:
            frames = play_many_guests(directory, GUESTS, batches=BATCHES, batch_max=BATCH)
            wait_until("all guests have left", lambda: all(port["state"] == "down" for port in ports(switch).values()))
            wait_until("every frame is accounted for", lambda: is_conserved(switch))
            shown, sent = ports(switch), contexts(switch)
            check_equal(sorted(sent), sorted(names), f"there are {GUESTS} contexts")
            check(all(context["packets"] > 0 for context in sent.values()), "each guest has sent frames")
            check_equal(sum(port["tx"]["packets"] for port in shown.values()), frames, "each of their frames has come")
            check_equal([name for name in names if set(shown[name]["drops"]) - {"no_port"}], [],
                        "nothing was dropped but what was for nobody")


if __name__ == "__main__":
    run(main)
