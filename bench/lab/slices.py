# SPDX-License-Identifier: BSD-3-Clause
"""Two systems on the same CPUs, of which one runs at a time, compared in many short slices: for what differs by a few
per cent on a machine whose speed changes by far more from second to second.

    with Standing(daemon, guest) as one, Standing(other_daemon, other_guest) as other:
        pairs = in_turns(lambda: measured(one), lambda: measured(other), 10)

What stands costs nothing, also what else would poll: its processes are stopped (SIGSTOP). What of a slice is measured
should begin a little after running() does: caches are the other's until then.
"""

import contextlib
import signal


class Standing:
    """Processes that stand still while this is entered, but for where they are running(). However it is left, they go
    on.

    processes   with a method signal(), in the order in which they go on; they are stopped the other way round
    """

    def __init__(self, *processes):
        self._processes = processes

    def __enter__(self):
        try:
            self._stop()
        except BaseException:
            self._go_on()
            raise
        return self

    def __exit__(self, *_):
        self._go_on()

    @contextlib.contextmanager
    def running(self):
        """They run within this."""
        try:
            self._go_on()
            yield
        finally:
            self._stop()

    def _stop(self):
        for process in reversed(self._processes):
            process.signal(signal.SIGSTOP)

    def _go_on(self):
        for process in self._processes:
            process.signal(signal.SIGCONT)


def in_turns(one, other, count):
    """What each of two functions returns, called so often in turns: a list of (of the one, of the other), each pair one
    right after the other. Who is first in a pair changes, A B B A, so a drift does not favour either."""
    pairs = []
    for number in range(count):
        if number % 2 == 0:
            first = one()
            pairs.append((first, other()))
        else:
            first = other()
            pairs.append((one(), first))
    return pairs
