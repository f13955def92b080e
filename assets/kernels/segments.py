"""Exact k-means of numbers on a line.

The best k groups of sorted numbers are intervals, so a dynamic programme over cuts finds the global optimum, where
Lloyd's iteration stops at a local one. The cost of an interval comes from prefix sums, and the best cut moves right
with the interval's end, so each layer is filled by divide and conquer: O(k n log n) after sorting (Wu 1991; Wang and
Song 2011 for the programme).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled


class SegmentsError(ValueError):
    """Numbers that cannot be grouped."""


def segments(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Group numbers into at most k intervals of least squared error.

    Parameters
    ----------
    values
        Finite, float64, shape (n,).
    k
        Groups wanted, at least 1; fewer where there are fewer distinct numbers.

    Returns
    -------
    numpy.ndarray
        int64, shape (n,): each number's group, 0 holding the smallest. Equal numbers are in one group.

    Raises
    ------
    SegmentsError
        k is below 1, or a number is not finite.
    """
    if k < 1 or not np.isfinite(values).all():
        message = f"{k} groups of numbers that are all finite are wanted; k must be at least 1"
        raise SegmentsError(message)
    if not len(values):
        return np.empty(0, dtype=np.int64)
    distinct, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    centred = distinct - distinct.mean()
    weight = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    first = np.concatenate([[0.0], np.cumsum(counts * centred)])
    second = np.concatenate([[0.0], np.cumsum(counts * centred**2)])
    starts = _starts(weight, first, second, min(k, len(distinct)))
    group = np.searchsorted(starts, np.arange(len(distinct)), side="right") - 1
    return np.asarray(group[place], dtype=np.int64)


@compiled
def _cost(
    weight: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    start: int,
    stop: int,
) -> float:
    total = first[stop] - first[start]
    return float(
        max(0.0, second[stop] - second[start] - total * total / (weight[stop] - weight[start]))
    )


@compiled
def _starts(
    weight: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64], k: int
) -> NDArray[np.int64]:
    """Return where each of k intervals begins."""
    n = len(weight) - 1
    best = np.empty(n + 1)
    best[0] = 0.0
    for stop in range(1, n + 1):
        best[stop] = _cost(weight, first, second, 0, stop)
    cuts = np.zeros((k, n + 1), dtype=np.int64)
    stack = np.empty((64, 4), dtype=np.int64)
    for layer in range(1, k):
        now = np.full(n + 1, np.inf)
        stack[0] = (layer + 1, n, layer, n - 1)
        depth = 1
        while depth:
            depth -= 1
            low, high, left, right = stack[depth]
            if low > high:
                continue
            middle = (low + high) // 2
            at, least = left, np.inf
            for cut in range(max(left, layer), min(right, middle - 1) + 1):
                cost = best[cut] + _cost(weight, first, second, cut, middle)
                if cost < least:
                    least, at = cost, cut
            now[middle], cuts[layer, middle] = least, at
            stack[depth] = (low, middle - 1, left, at)
            stack[depth + 1] = (middle + 1, high, at, right)
            depth += 2
        best = now
    found = np.zeros(k, dtype=np.int64)
    stop = n
    for layer in range(k - 1, 0, -1):
        stop = cuts[layer, stop]
        found[layer] = stop
    return found
