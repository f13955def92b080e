"""Add up values by group."""

from __future__ import annotations

import numpy as np

from assets.allocation.roots import Floats


def sum_by(index: np.ndarray, values: np.ndarray, size: int) -> Floats:
    """Return the sum of `values` per index 0..size-1, float64, shape (size,)."""
    return np.bincount(index, values, minlength=size).astype(np.float64, copy=False)
