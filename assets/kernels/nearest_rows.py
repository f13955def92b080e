"""The nearest rows by cosine, block by block: exact, in bounded memory, of any order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assets.kernels.unit_vectors import UNIT

QUERY_ROWS = 512
BLOCK_ROWS = 4096


def nearest_rows(
    queries: NDArray[np.float32], rows: NDArray[np.float32], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the rows with the largest cosine to each query.

    Parameters
    ----------
    queries, rows
        From `to_grid`, shapes (q, d) and (n, d).
    most
        Rows wanted a query; fewer where there are fewer.

    Returns
    -------
    positions : numpy.ndarray
        int64, shape (q, min(most, n)), nearest first; of equally near rows the first.
    cosines : numpy.ndarray
        float64, the same shape.

    Notes
    -----
    O(q x n x d) at the rate of a matrix product; memory: one block of 512 x 4,096 and 2 x `most` candidates a query.
    Cosines are exact whole numbers (`unit_vectors`), so blocks change nothing.
    """
    few = min(most, len(rows))
    found = np.zeros((len(queries), few), dtype=np.int64)
    near = np.full((len(queries), few), -np.inf)
    if not few:
        return found, near
    for low in range(0, len(queries), QUERY_ROWS):
        block = queries[low : low + QUERY_ROWS]
        best = np.empty((len(block), 0), dtype=np.int64)
        keys = np.empty((len(block), 0))
        for start in range(0, len(rows), BLOCK_ROWS):
            products = (block @ rows[start : start + BLOCK_ROWS].T).astype(np.float64)
            places = np.broadcast_to(np.arange(start, start + products.shape[1]), products.shape)
            if products.shape[1] > few:  # the place breaks ties, as a whole sort would
                ranked = products * 2.0**24 - np.arange(products.shape[1])
                taken = np.argpartition(-ranked, few - 1, axis=1)[:, :few]
                taken.sort(axis=1)
                products = np.take_along_axis(products, taken, axis=1)
                places = np.take_along_axis(places, taken, axis=1)
            keys = np.concatenate([keys, products], axis=1)
            best = np.concatenate([best, places], axis=1)
            order = np.argsort(-keys, axis=1, kind="stable")[:, :few]
            keys = np.take_along_axis(keys, order, axis=1)
            best = np.take_along_axis(best, order, axis=1)
        found[low : low + QUERY_ROWS] = best
        near[low : low + QUERY_ROWS] = keys / UNIT
    return found, near
