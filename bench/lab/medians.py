# SPDX-License-Identifier: BSD-3-Clause
"""Medians with intervals that assume nothing about how the values are distributed."""

import math
import statistics

from .table import significant

CONFIDENCE = 0.95


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
    if not values:
        return "-"
    low, high, certain = interval(values)
    median, low, high = (significant(factor * value) for value in (statistics.median(values), low, high))
    return f"{median} [{low}, {high}]{' ' if certain else '*'}"
