"""Unit vectors on an integer grid, so that cosines are exact whatever computes them.

A unit vector is stored as whole numbers, ``rint(4000 * x)``. The dot product of two such vectors
stays below 2**24, so float32 holds every partial sum exactly: any order of summation, batch size,
thread count, BLAS or CUDA card gives the same bits, and selections by cosine agree everywhere by
construction. The cost is an error of the cosine of about 1e-4 (standard deviation), no more than
float16 storage adds. TF32 must stay off (PyTorch's default).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled, compiled_with

SCALE = 4000.0
UNIT = SCALE * SCALE
MAX_DIMENSIONS = 8192
_BLOCK_ROWS = 512
# further from a half than the sums of any order differ, 8192 eps x 4000: rounding is then the same
_NEAR_HALF = 0.5 - 1e-8
_MAGNITUDE = np.uint32(0x7FFFFFFF)
# bits of the largest float32 that float16 rounds to 0, of the smallest it makes infinite and of its least normal one
HALF_ZERO, HALF_INFINITE, HALF_NORMAL = 0x33000000, 0x477FF000, 0x38800000


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
    _check_shape(vectors)
    return _grid(vectors, half=False)


def to_stored_grid(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Put vectors on the grid as they are once stored as float16; see `to_grid`."""
    if vectors.dtype != np.float32:
        with np.errstate(over="ignore", invalid="ignore"):
            return to_grid(vectors.astype(np.float16))
    _check_shape(vectors)
    return _grid(vectors, half=True)


def _check_shape(vectors: NDArray[Any]) -> None:
    if vectors.ndim != 2 or not 1 <= vectors.shape[1] <= MAX_DIMENSIONS:
        message = f"vectors have shape {vectors.shape}; expected (rows, 1..{MAX_DIMENSIONS})"
        raise UnitVectorError(message)


def _grid(vectors: NDArray[np.floating], *, half: bool) -> NDArray[np.float32]:
    grid = np.empty(vectors.shape, dtype=np.float32)
    if vectors.dtype not in (np.float16, np.float32):
        return rounded_plainly(vectors, grid)
    for start in range(0, len(vectors), _BLOCK_ROWS):  # in blocks: copies stay in cache
        rows = slice(start, start + _BLOCK_ROWS)
        block = np.ascontiguousarray(vectors[rows], dtype=np.float32)
        unsure = np.zeros(len(block), dtype=np.bool_)
        _round_rows(block.view(np.uint32), block, half, grid[rows], unsure)
        if unsure.any():
            plain = block[unsure]
            if half:
                with np.errstate(over="ignore", invalid="ignore"):
                    plain = plain.astype(np.float16).astype(np.float32)
            grid[rows][unsure] = rounded_plainly(plain, np.empty_like(plain))
    return grid


def rounded_plainly(
    vectors: NDArray[np.floating], grid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fill a grid by the definition: what the compiled kernel must equal, and its help near a half."""
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


@compiled
def _round_rows(
    bits: NDArray[np.uint32],
    block: NDArray[np.float32],
    half: bool,  # noqa: FBT001 numba has no keywords
    grid: NDArray[np.float32],
    unsure: NDArray[np.bool_],
) -> None:
    n, d = block.shape
    stored = np.empty(d, dtype=np.uint32)
    row = stored.view(np.float32)
    for i in range(n):
        if half:
            if not _to_half(bits[i], stored):
                grid[i] = 0.0
                continue
            norm = np.sqrt(_squares(row))
        else:
            norm = np.sqrt(_squares(block[i]))
        if not 0.0 < norm < np.inf:
            grid[i] = 0.0
        elif half:
            unsure[i] = _rounded(row, SCALE / norm, grid[i])
        else:
            unsure[i] = _rounded(block[i], SCALE / norm, grid[i])


@compiled
def _to_half(bits: NDArray[np.uint32], out: NDArray[np.uint32]) -> Any:  # noqa: ANN401 a numba bool
    """Round the bits of float32 to float16's nearest, ties to even; False where one becomes infinite."""
    largest = np.uint32(0)
    for j in range(len(bits)):
        whole = bits[j] & _MAGNITUDE
        largest = max(largest, whole)
        sign = bits[j] ^ whole
        near = (whole + np.uint32(0xFFF) + ((whole >> np.uint32(13)) & np.uint32(1))) & np.uint32(
            0xFFFFE000
        )
        out[j] = sign | near
    if largest >= np.uint32(HALF_INFINITE):
        return False
    values = out.view(np.float32)
    given = bits.view(np.float32)
    half = np.float32(0.5)  # from here to 1, a step of float32 is float16's smallest number
    for j in range(len(bits)):
        small = (abs(given[j]) + half) - half
        small = small if given[j] > 0 else -small
        # a choice, not a branch, so that it runs on whole vectors
        values[j] = small if (bits[j] & _MAGNITUDE) < np.uint32(HALF_NORMAL) else values[j]
    return True


@compiled_with("reassoc", "contract")
def _squares(row: NDArray[np.float32]) -> Any:  # noqa: ANN401 a numba float64
    total = 0.0
    for j in range(len(row)):
        x = np.float64(row[j])
        total += x * x
    return total


@compiled
def _rounded(row: NDArray[np.float32], factor: Any, out: NDArray[np.float32]) -> Any:  # noqa: ANN401
    """Fill a row of the grid; tells whether a number was nearer to a half than can be told apart."""
    unsure = 0  # counted: the largest of floats is not found on whole vectors
    for j in range(len(row)):
        exact = np.float64(row[j]) * factor
        whole = np.rint(exact)
        out[j] = np.float32(whole)
        unsure += 1 if abs(exact - whole) > _NEAR_HALF else 0
    return unsure > 0


def valid_rows(grid: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which rows of a grid have a direction (shape (n,))."""
    return np.asarray(_any(grid))


@compiled
def _any(grid: NDArray[np.float32]) -> NDArray[np.bool_]:
    found = np.zeros(len(grid), dtype=np.bool_)
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            if grid[i, j] != 0.0:
                found[i] = True
                break
    return found
