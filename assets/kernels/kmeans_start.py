"""Greedy k-means++ with draws keyed by id: where k-means starts.

D² sampling is done as an exponential race (Arthur and Vassilvitskii 2007, section 2); of several draws the one that
lowers the potential most is taken. Rows stand in an order of their own (that of their hash), which breaks ties.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled, compiled_with
from assets.kernels.keyed_random import hash_words, uniform_from_hash
from assets.kernels.unit_vectors import UNIT

Metric = Literal["spherical", "euclidean"]


def plus_plus(
    grid: NDArray[Any], words: NDArray[np.uint64], k: int, metric: Metric, seed: int
) -> NDArray[Any]:
    """Return k rows of a grid to start from (fewer where there are fewer distinct ones), each drawn by its D² (n, d).

    `words` are the rows' ids, shape (n, 2), which the draws are keyed by. O(n k d log k).
    """
    first = int(np.argmin(hash_words(words, seed, "k-means++ 0")))
    picks = [first]
    nearest = _gap(grid, grid[first : first + 1], metric)[:, 0]
    trials = 2 + int(np.log(k))
    for step in range(1, min(k, len(grid))):
        if not nearest.any():
            break  # every row coincides with a pick
        clock = -np.log(uniform_from_hash(hash_words(words, seed, f"k-means++ {step}")))
        with np.errstate(divide="ignore"):
            race = np.where(nearest > 0, clock / nearest, np.inf)
        # of several draws by D², the one that lowers the potential most
        drawn = _smallest(race, trials)
        drawn = drawn[np.isfinite(race[drawn])]
        after = np.minimum(nearest[:, None], _gap(grid, grid[drawn], metric))
        best = int(np.argmin(after.sum(axis=0)))
        picks.append(int(drawn[best]))
        nearest = after[:, best]
    return grid[picks].copy()


def _smallest(values: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the positions of the smallest values, smallest first; of equal ones the first."""
    few = min(most, len(values))
    some = np.flatnonzero(values <= np.partition(values, few - 1)[few - 1])
    return some[np.argsort(values[some], kind="stable")][:few]


def _gap(grid: NDArray[Any], rows: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    gap = np.empty((len(grid), len(rows)))
    if metric == "spherical":
        # D² of unit vectors is 2 - 2 cos; the factor does not matter to the sampling
        _cosine_gaps(grid, rows, gap)
        return gap
    squares = np.einsum("nd,nd->n", grid, grid)
    own = np.einsum("nd,nd->n", rows, rows)
    _inner_products(grid, rows, gap)
    return np.asarray(np.maximum(squares[:, None] - 2.0 * gap + own, 0.0))


# products of few rows, which a BLAS would part over cores and wait for; sums of whole numbers are exact in any order
@compiled_with("nnan", "nsz", "reassoc", "contract")
def _inner_products(grid: NDArray[Any], rows: NDArray[Any], out: NDArray[np.float64]) -> None:
    for i in range(grid.shape[0]):
        row = grid[i]
        for c in range(rows.shape[0]):
            total = row[0] * rows[c, 0]
            for j in range(1, grid.shape[1]):
                total += row[j] * rows[c, j]
            out[i, c] = total


@compiled
def _cosine_gaps(grid: NDArray[Any], rows: NDArray[Any], out: NDArray[np.float64]) -> None:
    """Fill in 1 - cosine, at least 0.

    The grid's norm is one only to 1e-4, and a row is at no distance from its twin.
    """
    _inner_products(grid, rows, out)
    for i in range(grid.shape[0]):
        for c in range(rows.shape[0]):
            gap = max(1.0 - out[i, c] / UNIT, 0.0)
            if gap < 0.01 and (grid[i] == rows[c]).all():
                gap = 0.0
            out[i, c] = gap
