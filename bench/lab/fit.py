# SPDX-License-Identifier: BSD-3-Clause
"""Lines through measurements, by least squares.

    cost = fit_inverse([(1, 1000), (2, 620), (20, 251)])
    cost.base, cost.slope      x and y of the x + y/k that comes next to them
    cost.at(1 / 35)
"""

import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """base + slope u; `residual` is the root of the mean square of what is left, `count` the number of places."""

    base: float
    slope: float
    residual: float
    count: int

    def at(self, u):
        """The value of the line."""
        return self.base + self.slope * u


def fit(points):
    """The Line next to some (u, value); None if they are not at two places at least."""
    if len({u for u, _ in points}) < 2:
        return None
    slope, base = statistics.linear_regression(*zip(*points))
    residual = math.sqrt(statistics.fmean((value - base - slope * u) ** 2 for u, value in points))
    return Line(base, slope, residual, len(points))


def fit_inverse(points):
    """The Line in 1/k next to some (k, value): base + slope / k."""
    return fit([(1 / k, value) for k, value in points])
