"""Say where a plan or point lies far beyond the curves."""

from __future__ import annotations

import numpy as np

from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.notices import Diagnosis
from assets.filtering.predict import FAR, FAR_REPEATS, LARGER


def diagnose_reach(
    curves: Curves, samples: Array, passes: Array, what: str, diagnosis: Diagnosis
) -> None:
    """Add warnings where ``samples`` or ``passes`` of a plan or point lie far beyond the data."""
    most = float(curves.samples.max())
    if samples.size and samples.max() > FAR * most * (1 + 1e-9):
        diagnosis.add(
            "extrapolation",
            f"{what} reaches {samples.max() / most:.3g} times the largest samples_seen "
            f"({most:.4g}); beyond 10 "
            "times nothing checks the law",
            f"add a run of at least {samples.max() / FAR:.4g} samples",
        )
    repeats = float(curves.passes.max())
    if passes.size and passes.max() > max(FAR_REPEATS * repeats, 4.0):
        diagnosis.add(
            "extrapolated_repeats",
            f"{what} repeats data {passes.max():.3g} times; the curves show at most "
            f"{repeats:.3g} passes",
            "add a run with more passes over a small part of the pool, or cap the passes",
        )


def diagnose_sizes(
    curves: Curves, weights: Array, unique: Array, passes: Array, diagnosis: Diagnosis
) -> None:
    """Warn where points repeat a pool that is larger than any that was trained on.

    ``weights`` and ``unique``: shape (points, pools); ``passes``: shape (points,).
    """
    ratio = np.where(weights > 0, unique / curves.pool_sizes, 0.0).max(axis=1)
    over = (ratio > LARGER) & (passes > 1.0)
    if over.any():
        diagnosis.add(
            "extrapolated_pool_size",
            f"a point repeats a pool {ratio[over].max():.3g} times as large as the largest that was "
            "trained on: how its half-life grows with size is an assumption",
            "add a run of two or more passes over a larger part of the pool",
        )
