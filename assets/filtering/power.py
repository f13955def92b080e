"""Predict error by a plain power law in samples seen: the baseline that knows no repetition.

y = d + (n/n0)^b; a mixture has the average exponent (by sampling share).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.filtering.decay import Array


def error(
    samples: npt.ArrayLike, *, b: npt.ArrayLike, floor: npt.ArrayLike, anchor: npt.ArrayLike
) -> Array:
    """Return d + (n/n0)^b."""
    n = np.asarray(samples, float)
    return np.asarray((n / np.asarray(anchor, float)) ** np.asarray(b, float) + floor)


def mixture_error(
    samples: npt.ArrayLike,
    weights: npt.ArrayLike,
    *,
    b: npt.ArrayLike,
    floor: npt.ArrayLike,
    anchor: npt.ArrayLike,
    log_height: npt.ArrayLike = 0.0,
) -> Array:
    """Return the error of a mixture with exponents averaged by share; last axis: pools."""
    w = np.asarray(weights, float)
    log_n = np.log(np.asarray(samples, float) / np.asarray(anchor, float))
    log_reducible = np.sum(w * (np.asarray(b, float) * log_n[..., None] + log_height), axis=-1)
    return np.asarray(np.exp(log_reducible) + floor)
