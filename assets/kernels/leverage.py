"""Exact Gram matrices of vectors on the grid, and leverage: how far a row lies along directions few others take.

The ridge leverage of a row x among rows X is ``x^T (X^T X + penalty I)^-1 x`` (Alaoui and Mahoney 2015, arXiv
1411.0306): between 0 and 1 for rows of X, and summing to the effective dimension, ``trace(G (G + penalty I)^-1)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.row_products import row_products

_CHUNK = 8192


class LeverageError(ValueError):
    """A Gram matrix that cannot be inverted."""


def gram(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``rows^T rows`` of rows of whole numbers: float64, shape (d, d).

    On the grid of `unit_vectors` sums stay below 2**53 for up to 500 million rows: exact, so that the Gram matrices
    of shards add up to that of the whole, bit for bit.
    """
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK].astype(np.float64)
        total += some.T @ some
    return total


def inverse_factor(matrix: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return F with ``F F^T = (matrix + penalty I)^-1``: float64, shape (d, d).

    Raises
    ------
    LeverageError
        The penalty is not above 0, which makes every Gram matrix invertible.
    """
    from scipy.linalg import solve_triangular

    if not penalty > 0:
        message = f"penalty is {penalty}; it must be above 0"
        raise LeverageError(message)
    size = len(matrix)
    lower = np.linalg.cholesky(matrix + penalty * np.eye(size))
    return np.asarray(solve_triangular(lower, np.eye(size), lower=True).T)


def leverage_scores(rows: NDArray[Any], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``x^T F F^T x`` for each row: float64, shape (n,), each row by itself.

    Parameters
    ----------
    rows
        Float, shape (n, d).
    factor
        From `inverse_factor`, shape (d, d).
    """
    along = row_products(rows, factor)
    return np.asarray((along * along).sum(axis=1))
