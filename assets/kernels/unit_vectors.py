"""Unit vectors on an integer grid, so that cosines are exact whatever computes them.

A unit vector is stored as whole numbers, ``rint(4000 * x)``. The dot product of two such vectors
stays below 2**24, so float32 holds every partial sum exactly: any order of summation, batch size,
thread count, BLAS or CUDA card gives the same bits, and selections by cosine agree everywhere by
construction. The cost is an error of the cosine of about 1e-4 (standard deviation), no more than
float16 storage adds. TF32 must stay off (PyTorch's default).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALE = 4000.0
UNIT = SCALE * SCALE
MAX_DIMENSIONS = 8192
_BLOCK_ROWS = 512


class UnitVectorError(ValueError):
    """Vectors that cannot be put on the grid."""


def to_grid(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Normalise rows and round them to the grid.

    Parameters
    ----------
    vectors
        Any float dtype, shape (n, d), d at most 8192.

    Returns
    -------
    numpy.ndarray
        float32 whole numbers, shape (n, d). Rows that are zero or hold NaN or infinity become zero
        (see `valid_rows`).

    Raises
    ------
    UnitVectorError
        When the shape is not (n, d) with d between 1 and 8192.
    """
    if vectors.ndim != 2 or not 1 <= vectors.shape[1] <= MAX_DIMENSIONS:
        message = f"vectors have shape {vectors.shape}; expected (rows, 1..{MAX_DIMENSIONS})"
        raise UnitVectorError(message)
    grid = np.empty(vectors.shape, dtype=np.float32)
    # in blocks: the float64 copies stay in cache, and memory beside the result is bounded
    for start in range(0, len(vectors), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        wide = np.asarray(vectors[rows], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
            wide = wide / largest  # no overflow in the squares
            norm = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
            wide = np.rint(wide / norm * SCALE)
        wide[~np.isfinite(wide).all(axis=1)] = 0.0
        grid[rows] = wide
    return grid


def valid_rows(grid: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which rows of a grid have a direction (shape (n,))."""
    return np.asarray(grid.any(axis=1))
