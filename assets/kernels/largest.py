"""The first largest number of each row of a matrix, compiled: numpy and torch take several times as long."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def first_largest(rows: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Find the largest number of each row.

    Parameters
    ----------
    rows
        Float without NaN, contiguous, shape (n, k), k at least 1.

    Returns
    -------
    places : numpy.ndarray
        int32, shape (n,); of equal ones the first.
    values : numpy.ndarray
        Of the rows' dtype, shape (n,).
    """
    places = np.empty(len(rows), dtype=np.int32)
    values = np.empty(len(rows), dtype=rows.dtype)
    _first_largest(rows, places, values)
    return places, values


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})  # type: ignore[untyped-decorator]
def _first_largest(rows: NDArray[Any], places: NDArray[np.int32], values: NDArray[Any]) -> None:
    n, k = rows.shape
    for i in range(n):
        row = rows[i]
        most = row[0]
        for j in range(k):
            most = max(most, row[j])
        values[i] = most
        at = np.int32(k)
        for j in range(k):  # no way out of the loop, so that it runs on whole vectors
            at = min(at, np.int32(j) if row[j] == most else np.int32(k))
        places[i] = at
