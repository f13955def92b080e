"""Logits of a few classes from heads that differ from record to record, compiled.

A product of matrices for each fold would gather the fold's rows and begin a BLAS for ten columns. Here four rows of a
fold and two classes are summed side by side, so that what is loaded is used more than once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled, compiled_with
from assets.kernels.row_sums import sum_of
from assets.kernels.unit_vectors import SCALE

ROWS = 4


def log_odds(
    grid: NDArray[np.float32],
    folds: NDArray[np.uint64],
    weights: NDArray[np.float64],
    units: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill in logits less the largest of their row; NaN for a row without a direction.

    Parameters
    ----------
    grid
        Rows on the grid of unit vectors, shape (n, d).
    folds
        Which head judges each row, shape (n,).
    weights
        Whole numbers, shape (heads, c, d + 1), the last column the bias.
    units
        What a whole number of a head's weights is worth to a logit of the grid, shape (heads,).
    out
        Shape (n, c).
    """
    _products(grid, folds, weights, units, out)
    _less_largest(grid, out)


# sums of whole numbers below 2**53 are exact in any order
@compiled_with("reassoc", "contract")
def _products(
    grid: NDArray[np.float32],
    folds: NDArray[np.uint64],
    weights: NDArray[np.float64],
    units: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    n, d = grid.shape
    heads, classes = weights.shape[0], weights.shape[1]
    ends = np.zeros(heads + 1, dtype=np.int64)
    for i in range(n):
        ends[folds[i] + 1] += 1
    ends = np.cumsum(ends)
    order = np.empty(n, dtype=np.int64)
    at = ends[:-1].copy()
    for i in range(n):
        order[at[folds[i]]] = i
        at[folds[i]] += 1
    rows = np.empty((ROWS, d))
    places = np.empty(ROWS, dtype=np.int64)
    some, more = np.empty(ROWS), np.empty(ROWS)
    for fold in range(heads):
        head, unit = weights[fold], units[fold]
        for start in range(ends[fold], ends[fold + 1], ROWS):
            for r in range(ROWS):  # where rows run out, the last one again
                place = order[min(start + r, ends[fold + 1] - 1)]
                places[r] = place
                for j in range(d):
                    rows[r, j] = grid[place, j]
            a, b, c, e = rows[0], rows[1], rows[2], rows[3]
            for first in range(0, classes, 2):
                second = min(first + 1, classes - 1)
                left, right = head[first], head[second]
                a0 = b0 = c0 = e0 = a1 = b1 = c1 = e1 = 0.0
                for j in range(d):
                    x, y = left[j], right[j]
                    a0 += a[j] * x
                    b0 += b[j] * x
                    c0 += c[j] * x
                    e0 += e[j] * x
                    a1 += a[j] * y
                    b1 += b[j] * y
                    c1 += c[j] * y
                    e1 += e[j] * y
                some[0], some[1], some[2], some[3] = a0, b0, c0, e0
                more[0], more[1], more[2], more[3] = a1, b1, c1, e1
                for r in range(ROWS):
                    out[places[r], first] = (some[r] + SCALE * left[d]) * unit
                    out[places[r], second] = (more[r] + SCALE * right[d]) * unit


@compiled
def _less_largest(grid: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    for i in range(len(out)):
        some = False
        for j in range(grid.shape[1]):
            some |= grid[i, j] != 0
        if not some:
            out[i] = np.nan
            continue
        most = -np.inf
        for c in range(out.shape[1]):
            most = max(most, out[i, c])
        for c in range(out.shape[1]):
            out[i, c] -= most


@compiled
def divide_by_sums(rows: NDArray[np.float64]) -> None:
    """Divide each row by its sum, added up in numpy's order."""
    for i in range(len(rows)):
        rows[i] /= sum_of(rows[i])
