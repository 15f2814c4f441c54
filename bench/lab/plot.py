# SPDX-License-Identifier: BSD-3-Clause
"""Three kinds of plots as SVG, for lab.report_html and papers: medians with their intervals over x, one beside the
other, or as bars in groups.

Systems differ in colour and in the shape of their marks (the colours are Okabe and Ito's, which colour-blind people can
tell apart), and are named where their marks are. Every single value is there as a faint dot.
"""

import math
import statistics
from dataclasses import dataclass, field
from html import escape

from .medians import Estimate
from .table import significant

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#3b3b3b", "#56b4e9", "#e69f00")
MARKS = ("circle", "square", "triangle", "diamond") * 2
WIDTH = 760
FONT = 13
LETTER = 0.56 * FONT  # about; the width of a letter
LINE = 17  # height of a line of text
ASIDE = 7  # pixels from a system to the next at the same x
REFERENCE = {"stroke_dasharray": "5 4", "stroke_width": 1.2}  # of what was not measured here
LOG_FROM = 15  # times that the greatest median is the least, from which on an axis is logarithmic


@dataclass(eq=False)
class Series:
    """What is known of one system.

    points  x -> (Estimate, all values); the only x of a dot plot is None, those of a bar plot are names of groups
    look    number of its colour and mark
    curve   (x, y) of a curve that is drawn, dashed, instead of the line from point to point
    """

    name: str
    look: int
    points: dict = field(default_factory=dict)
    curve: list = field(default_factory=list)

    @property
    def colour(self):
        """Its colour."""
        return COLOURS[self.look % len(COLOURS)]

    def values(self):
        """All that has to be in the plot."""
        measured = [value for known, raw in self.points.values() for value in (known.low, known.high, *raw)]
        return measured + [y for _, y in self.curve]


@dataclass(frozen=True)
class Reference:
    """What is known from elsewhere: a value at x, or a level if x is None. `look` is that of the Series it is about."""

    text: str
    value: float
    look: int
    x: float | None = None

    @property
    def colour(self):
        """That of the Series."""
        return COLOURS[self.look % len(COLOURS)]


# Axes


class Axis:
    """Values to pixels, from the value `low` at pixel `start` to `high` at `end`."""

    def __init__(self, low, high, start, end, log=False):
        self.low, self.high, self.start, self.end, self.log = low, high, start, end, log

    def __call__(self, value):
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def value_axis(values, start, end):
    """The Axis for values that are measured: from 0, or logarithmic if they differ much; ends at a tick."""
    top = max(values, default=0) or 1
    positive = [value for value in values if value > 0]
    if len(positive) == len(values) and top / min(positive) > LOG_FROM:
        steps = log_steps(min(positive), top)
        return Axis(steps[0], steps[-1], start, end, log=True)
    step = nice_step(top / 5)
    return Axis(min(0, step * math.floor(min(values, default=0) / step)), step * math.ceil(top / step), start, end)


def nice_step(least):
    """The least of 1, 2, 5, 10, 20... (and so on downwards) that is not less."""
    power = 10 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def log_steps(low, high):
    """1, 2 and 5 times powers of ten, from not above `low` to not below `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(index for index, step in enumerate(steps) if step <= low * 1.001)
    last = min(index for index, step in enumerate(steps) if step >= high * 0.999)
    return steps[first : max(last, first + 1) + 1]


def ticks(axis):
    """The values at which an axis of values has ticks."""
    if axis.log:
        return thinned(log_steps(axis.low, axis.high), axis, lambda *_: 24)
    step = nice_step((axis.high - axis.low) / 6)
    first = math.ceil(axis.low / step - 0.001)
    return [index * step for index in range(first, math.floor(axis.high / step + 0.001) + 1)]


def thinned(values, axis, room):
    """The last of the values, and those that are so far apart as room(value, next value) pixels."""
    kept = []
    for value in reversed(values):
        if not kept or abs(axis(value) - axis(kept[-1])) >= room(value, kept[-1]):
            kept.append(value)
    return kept[::-1]


def is_geometric(xs):
    """Whether places on an axis are rather multiples of each other than equally far apart."""
    if len(xs) < 3 or xs[0] <= 0:
        return False

    def unevenness(places):
        gaps = [after - before for before, after in zip(places, places[1:])]
        return statistics.pstdev(gaps) / statistics.fmean(gaps)

    return unevenness(list(map(math.log, xs))) < unevenness(xs)


def tick_text(value):
    """A number at an axis."""
    if value and abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def size_text(x):
    """A number on the axis of x: 65536 -> "64 Ki"."""
    return f"{x // 1024:.0f} Ki" if x >= 1024 and x % 1024 == 0 else tick_text(x)


# What plots are drawn with


def element(name, text=None, **attributes):
    """An element; "_" in the name of an attribute stands for "-"."""
    given = "".join(f' {key.replace("_", "-")}="{attribute(value)}"' for key, value in attributes.items())
    return f"<{name}{given}/>" if text is None else f"<{name}{given}>{text}</{name}>"


def attribute(value):
    """The text of an attribute; of pixels, a tenth is enough."""
    return f"{value:.1f}" if isinstance(value, float) else escape(str(value))


def label(x, y, text, anchor="start", **more):
    """A text."""
    return element("text", escape(text), x=float(x), y=float(y), text_anchor=anchor, **more)


def line(x1, y1, x2, y2, **more):
    """A straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), **more)


def mark(series, x, y, size=4.5):
    """The mark of a system at a place."""
    fill = {"fill": series.colour, "stroke": "#fff", "stroke_width": 1}
    shape = MARKS[series.look % len(MARKS)]
    if shape == "circle":
        return element("circle", cx=float(x), cy=float(y), r=size, **fill)
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "triangle": ((0, -1.2), (1.2, 1), (-1.2, 1)),
        "diamond": ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
    }[shape]
    path = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
    return element("polygon", points=path, **fill)


def faint(series, x, y):
    """A single value."""
    return element("circle", cx=float(x), cy=float(y), r=2.2, fill=series.colour, fill_opacity=0.3)


def svg(title, height, parts):
    """The whole drawing."""
    return element(
        "svg",
        element("title", escape(title)) + "\n" + "\n".join(parts) + "\n",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        font_size=FONT,
        font_family="sans-serif",
    )


# Lines over x


def line_plot(title, x_label, y_label, all_series, references=()):
    """Medians over x with their intervals: one line for each Series that has points; and References."""
    all_series = [series for series in all_series if series.points]
    right = WIDTH - 14 - LETTER * max(len(series.name) for series in all_series) - 12
    top, bottom = 34, 300
    xs = sorted({x for series in all_series for x in series.points})
    references = [one for one in references if one.x is None or xs[0] <= one.x <= xs[-1]]
    values = [value for series in all_series for value in series.values()]
    y_axis = value_axis(values + [one.value for one in references], bottom, top)
    left = 22 + LETTER * max(len(tick_text(tick)) for tick in ticks(y_axis))
    x_axis = place_axis(xs, left + 16, right - 16)
    parts = [label(4, 16, y_label + log_note(y_axis), font_weight="bold")]
    parts += [grid_row(y_axis(tick), left, right, tick_text(tick)) for tick in ticks(y_axis)]
    parts += x_ticks(xs, x_axis, bottom)
    parts.append(label((left + right) / 2, bottom + 40, x_label + log_note(x_axis), "middle"))
    for index, series in enumerate(all_series):
        parts += draw_line(series, x_axis, y_axis, shift=ASIDE * (index - (len(all_series) - 1) / 2))
    parts += [draw_reference(one, x_axis, y_axis, (left, right)) for one in references]
    parts += name_lines(all_series, x_axis, y_axis, right, (top, bottom))
    return svg(title, bottom + 50, parts)


def draw_reference(known, x_axis, y_axis, sides):
    """A dashed line with its text above its left end, or a ring with the text on the side that has more room."""
    y = y_axis(known.value)
    text = {"fill": known.colour, "font_size": FONT - 2}
    if known.x is None:
        level = line(sides[0], y, sides[1], y, stroke=known.colour, **REFERENCE)
        return level + label(sides[0] + 4, y - 4, known.text, **text)
    x = x_axis(known.x)
    ring = element("circle", cx=float(x), cy=float(y), r=6, fill="none", stroke=known.colour, stroke_width=1.5)
    if x > sum(sides) / 2:
        return ring + label(x - 10, y + 4, known.text, "end", **text)
    return ring + label(x + 10, y + 4, known.text, **text)


def place_axis(xs, left, right):
    """The Axis of x."""
    log = is_geometric(xs)
    low, high = xs[0], xs[-1]
    if low == high:
        low, high = low - 1, high + 1
    return Axis(low, high, left, right, log)


def log_note(axis):
    """What has to be said about an axis."""
    return " (logarithmic)" if axis.log else ""


def grid_row(y, left, right, text):
    """A line across, and its number."""
    return line(left, y, right, y, stroke="#ddd") + label(left - 6, y + 4.5, text, "end", fill="#444")


def x_ticks(xs, axis, bottom):
    """The ticks below; not all have their number if there is not the room."""
    parts = [line(axis(x), bottom, axis(x), bottom + 5, stroke="#666") for x in xs]
    named = thinned(xs, axis, lambda x, other: LETTER * (len(size_text(x)) + len(size_text(other))) / 2 + 3)
    return parts + [label(axis(x), bottom + 20, size_text(x), "middle", fill="#444") for x in named]


def draw_line(series, x_axis, y_axis, shift):
    """The line of a system, its intervals and single values; a little aside, so that others are not hidden."""
    places = [(x_axis(x) + shift, *series.points[x]) for x in sorted(series.points)]
    drawn = [(x_axis(x), y) for x, y in series.curve] or [(x, known.median) for x, known, _ in places]
    path = " ".join(f"{x:.1f},{y_axis(y):.1f}" for x, y in drawn)
    dots = [faint(series, x + ASIDE / 2, y_axis(value)) for x, _, raw in places for value in raw]
    bars = [line(x, y_axis(k.low), x, y_axis(k.high), stroke=series.colour, stroke_width=2) for x, k, _ in places]
    stroke = {"stroke": series.colour, "stroke_width": 2, "stroke_opacity": 0.8}
    stroke.update({"stroke_dasharray": "6 4"} if series.curve else {})
    curve = element("polyline", points=path, fill="none", **stroke)
    return [*dots, curve, *bars, *(mark(series, x, y_axis(known.median)) for x, known, _ in places)]


def name_lines(all_series, x_axis, y_axis, right, bounds):
    """The names at the right ends of the lines, moved apart where they would overlap."""
    ends = []
    for series in all_series:
        x = max(series.points)
        ends.append((y_axis(series.points[x][0].median), x_axis(x), series))
    ends.sort(key=lambda end: end[0])
    parts = []
    for y, (wanted, x, series) in zip(apart([end[0] for end in ends], LINE, *bounds), ends):
        parts.append(line(x + 8, wanted, right + 4, y, stroke=series.colour, stroke_opacity=0.5))
        parts.append(label(right + 8, y + 4.5, series.name, fill=series.colour, font_weight="bold"))
    return parts


def apart(places, room, low, high):
    """Ascending places, changed as little as a sweep in each direction does so that they are `room` apart."""
    moved = []
    for place in places:
        moved.append(max(place, moved[-1] + room) if moved else max(place, low))
    limit = high
    for index in range(len(moved) - 1, -1, -1):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - room
    return moved


# One beside the other


def dot_plot(title, value_label, all_series):
    """Medians with their intervals, a row for each Series that has a point."""
    all_series = [series for series in all_series if series.points]
    texts = {series.name: interval_text(series.points[None][0]) for series in all_series}
    left = 14 + LETTER * max(len(series.name) for series in all_series)
    right = WIDTH - 14 - LETTER * max(map(len, texts.values()))
    top, row = 36, 30
    bottom = top + row * len(all_series)
    axis = value_axis([value for series in all_series for value in series.values()], left + 8, right - 8)
    parts = [label(4, 16, value_label + log_note(axis), font_weight="bold")]
    for tick in thinned(ticks(axis), axis, lambda *_: LETTER * 7):
        parts.append(line(axis(tick), top - 6, axis(tick), bottom, stroke="#ddd"))
        parts.append(label(axis(tick), bottom + 16, tick_text(tick), "middle", fill="#444"))
    for index, series in enumerate(all_series):
        parts += draw_row(series, axis, top + row * (index + 0.5), (left, right), texts[series.name])
    return svg(title, bottom + 24, parts)


def draw_row(series, axis, y, sides, text):
    """The row of a system: its name, single values, interval, median, and the numbers."""
    known, raw = series.points[None]
    bar = line(axis(known.low), y, axis(known.high), y, stroke=series.colour, stroke_width=2.5)
    return [
        label(sides[0] - 2, y + 4.5, series.name, "end", fill=series.colour, font_weight="bold"),
        *(faint(series, axis(value), y + 8) for value in raw),
        bar,
        mark(series, axis(known.median), y),
        label(sides[1] + 4, y + 4.5, text),
    ]


# Bars in groups


def bar_plot(title, value_label, all_series):
    """Medians with their intervals as bars: a group for each x, which is a name, and in it a bar for each Series."""
    all_series = [series for series in all_series if series.points]
    groups = list(dict.fromkeys(x for series in all_series for x in series.points))
    top, bottom, right = 60, 300, WIDTH - 14
    axis = value_axis([0, *(value for series in all_series for value in series.values())], bottom, top)
    left = 22 + LETTER * max(len(tick_text(tick)) for tick in ticks(axis))
    parts = [label(4, 16, value_label, font_weight="bold"), *bar_names(all_series, left)]
    parts += [grid_row(axis(tick), left, right, tick_text(tick)) for tick in ticks(axis)]
    room = (right - left) / len(groups)
    width = min(0.8 * room / len(all_series), 60)
    for number, group in enumerate(groups):
        middle = left + room * (number + 0.5)
        parts.append(label(middle, bottom + 20, group, "middle", fill="#444"))
        for index, series in enumerate(all_series):
            if group in series.points:
                parts += draw_bar(series, group, axis, middle + width * (index - len(all_series) / 2), width)
    return svg(title, bottom + 30, parts)


def bar_names(all_series, x):
    """The names of the systems, each behind a square of its colour, in one line."""
    for series in all_series:
        yield element("rect", x=float(x), y=28.0, width=12, height=12, fill=series.colour)
        yield label(x + 17, 38.5, series.name, fill=series.colour, font_weight="bold")
        x += 17 + LETTER * (len(series.name) + 4)


def draw_bar(series, group, axis, x, width):
    """A bar from 0 to the median with the number above it, the interval, and every single value."""
    known, raw = series.points[group]
    middle, top, floor = x + width / 2, axis(known.median), axis(0)
    edges = {"y": min(top, floor), "height": abs(floor - top), "width": width - 3.0}
    bar = element("rect", x=x + 1.5, **edges, fill=series.colour, fill_opacity=0.6)
    interval = line(middle, axis(known.low), middle, axis(known.high), stroke="#1b1b1b", stroke_width=1.5)
    dots = [faint(series, middle + width / 4, axis(value)) for value in raw]
    above = min(axis(value) for value in (known.median, known.low, known.high, *raw)) - 5
    return [bar, interval, *dots, label(middle, above, significant(known.median), "middle", font_size=FONT - 2)]


def interval_text(known: Estimate):
    """The numbers of an estimate."""
    return f"{significant(known.median)} [{significant(known.low)}, {significant(known.high)}]"
