# SPDX-License-Identifier: BSD-3-Clause
"""Medians with intervals that assume nothing about how the values are distributed."""

import math
import statistics
from dataclasses import dataclass

from .table import significant

CONFIDENCE = 0.95
ENOUGH = 6  # values, from which on there is an interval with CONFIDENCE
BETTER, WORSE, SAME, TOO_FEW = "better", "worse", "no difference shown", "too few runs"


@dataclass(frozen=True)
class Estimate:
    """A median and the interval that holds it with CONFIDENCE; if not `certain`, from the smallest to the largest."""

    median: float
    low: float
    high: float
    certain: bool
    count: int


def estimate(values):
    """The Estimate from some values; None if there are none."""
    return Estimate(statistics.median(values), *interval(values), len(values)) if values else None


def verdict(ratio, better):
    """What the Estimate of a ratio says where "lower" or "higher" is better: one of the four above."""
    if not ratio.certain:
        return TOO_FEW
    if ratio.low <= 1 <= ratio.high:
        return SAME
    return BETTER if (ratio.median < 1) == (better == "lower") else WORSE


def geometric_mean(values):
    """The mean for ratios, all above 0."""
    return math.exp(statistics.fmean(map(math.log, values)))


def jain(values):
    """Jain's index of how equal shares are: 1 if all are, 1/n if one of n has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


def quantile(values, share):
    """The smallest value that at least such a share of all does not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def interval(values):
    """The order statistics between which the median lies with CONFIDENCE: (low, high, whether that can be said).

    The number of values below the median is binomial, so the k-th smallest and the k-th largest of n hold it with
    probability 1 - 2 P(B(n, 1/2) < k). With fewer than six values not even the smallest and the largest are enough.
    """
    ordered = sorted(values)
    n = len(ordered)
    below = 0
    k = 0
    while 1 - 2 * (below + math.comb(n, k)) / 2**n >= CONFIDENCE:
        below += math.comb(n, k)
        k += 1
    return (ordered[k - 1], ordered[n - k], True) if k else (ordered[0], ordered[-1], False)


def summary(values, factor=1):
    """The median with its interval: "1.05 [0.98, 1.20]"; marked where the interval is not a 95 % one."""
    return estimate_text(estimate(values), factor)


def estimate_text(known, factor=1):
    """The same of an Estimate; None: "-"."""
    if known is None:
        return "-"
    median, low, high = (significant(factor * value) for value in (known.median, known.low, known.high))
    return f"{median} [{low}, {high}]{' ' if known.certain else '*'}"
