"""Sums of short rows: those of numpy, bit for bit, without a call a row.

For rows of ten numbers numpy takes most of its time to begin each of them. The order of additions is that of its
pairwise sum (`numpy/_core/src/umath/loops_utils.h.src`), which the tests compare with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled

LONGEST = 128  # from there on numpy parts a row in two, and is fast


def row_sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``rows.sum(axis=1)`` of a contiguous matrix of shape (n, c)."""
    if rows.shape[1] > LONGEST or not rows.flags.c_contiguous:
        return np.asarray(rows.sum(axis=1))
    found = np.empty(len(rows))
    _row_sums(rows, found)
    return found


@compiled
def _row_sums(rows: NDArray[np.float64], found: NDArray[np.float64]) -> None:
    for i in range(len(rows)):
        found[i] = sum_of(rows[i])


@compiled
def sum_of(row: NDArray[np.float64]) -> Any:  # noqa: ANN401 a numba float64
    """Add up to `LONGEST` numbers in numpy's order: eight sums side by side, then those, then the rest."""
    n = len(row)
    if n < 8:
        total = 0.0
        for j in range(n):
            total += row[j]
        return total
    a, b, c, d = row[0], row[1], row[2], row[3]
    e, f, g, h = row[4], row[5], row[6], row[7]
    eights = n - n % 8
    for j in range(8, eights, 8):
        a += row[j]
        b += row[j + 1]
        c += row[j + 2]
        d += row[j + 3]
        e += row[j + 4]
        f += row[j + 5]
        g += row[j + 6]
        h += row[j + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for j in range(eights, n):
        total += row[j]
    return total
