# SPDX-License-Identifier: BSD-3-Clause
"""Text for people: numbers with units, aligned tables, and the line that says what is going on."""

import shutil
import textwrap
import time

GAP = "  "
WIDTH = 80


def significant(value):
    """A number with three significant digits: 0.0314, 3.14, 31.4, 314, 31400."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:.0f}" if rounded == 0 or abs(rounded) >= 100 else f"{rounded:#.3g}"


def scaled(value, unit=""):
    """A number with a decimal prefix: 1234567, "b/s" -> "1.23 Mb/s"."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:
            return f"{significant(value / factor)} {prefix}{unit}".rstrip()
    return f"{significant(value)} {unit}".rstrip()


def unit_scale(largest, unit):
    """A factor, and the unit of what is multiplied by it, in which the largest of some numbers is easily read.

    Seconds become ms, us or ns, and what is counted per second gets a decimal prefix; other units stay.
    """
    if unit == "s":
        scales = ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
        return next((scale for scale in scales if abs(largest) * scale[0] >= 0.9995), scales[0])
    if unit.endswith("/s"):
        scales = ((1e-9, "G"), (1e-6, "M"), (1e-3, "k"))
        return next(((scale, prefix + unit) for scale, prefix in scales if abs(largest) * scale >= 0.9995), (1, unit))
    return 1, unit


def percent(value):
    """A share in per cent: "0 %", "0.012 %", "12.3 %"."""
    return f"{significant(value)} %"


def time_text(seconds):
    """125 -> "2 min 5 s" """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def layout(heads, rows):
    """Lines of a table. The first column is flush left, the others flush right; a head may have several lines.

    heads    one text a column
    rows     lists of as many texts, or a single text for a line of its own
    """
    cells = [row for row in rows if not isinstance(row, str)]
    head_lines = [head.split("\n") for head in heads]
    height = max(map(len, head_lines))
    tops = list(zip(*([""] * (height - len(lines)) + lines for lines in head_lines)))
    widths = [max(map(len, column)) for column in zip(*tops, *cells)]
    return [row if isinstance(row, str) else align(row, widths) for row in [*tops, *rows]]


def align(row, widths):
    """One line of a table."""
    first, *others = row
    return GAP.join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()


def paragraph(text, indent="  "):
    """A text in lines of at most WIDTH characters, of which all but the first are indented. Its own lines stay."""
    first, *others = text.split("\n")
    options = {"width": WIDTH, "subsequent_indent": indent, "break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(first, **options)
    for line in others:
        lines += textwrap.wrap(line, initial_indent=indent, **options)
    return "\n".join(lines)


class Progress:
    """Says what is going on: in one line, updated in place, on a terminal; a line for each new step elsewhere."""

    def __init__(self, stream):
        self._stream = stream
        self._in_place = stream.isatty()
        self._step = None

    def show(self, step, detail=""):
        """Say the current step, and on a terminal how far it is."""
        if self._in_place:
            line = f"{step}: {detail}" if detail else step
            self._write("\r" + line[: shutil.get_terminal_size().columns - 1] + "\x1b[K")
        elif step != self._step:
            self._write(f"{step}\n")
        self._step = step

    def clear(self):
        """Remove the line, before something else is printed."""
        if self._in_place and self._step:
            self._write("\r\x1b[K")
        self._step = None

    def _write(self, text):
        self._stream.write(text)
        self._stream.flush()


class Clock:
    """How much is left, from estimates in seconds that are corrected by how long things take."""

    def __init__(self, total):
        self._total = total
        self._done = 0
        self._start = time.monotonic()

    def done(self, estimate):
        """Something is done that was estimated so."""
        self._done += estimate

    def left(self):
        """Such as "3 min 5 s left"."""
        factor = (time.monotonic() - self._start) / self._done if self._done > 10 else 1
        return f"{time_text(max(0, factor * (self._total - self._done)))} left"
