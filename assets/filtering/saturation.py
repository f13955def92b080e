"""Predict error by the saturation law: repeated samples count less ("effective data").

From the code released with Goyal et al. (CVPR 2024, arXiv 2404.07177):

    n_eff = sum_j (n_j - n_{j-1}) 2^{-(j-1)/tau},   y = (n_eff/n0)^b + d.

For a mixture the code integrates d ln(y - d) = b_eff d ln n_eff pass by pass, where a sample of
pool i counts delta_i^{j-1} and b_eff is the average of b_i with those counts as weights. That
recursion, not the one-line summary of it, reproduces the released figures.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from assets.filtering.decay import LN2, Array, log_worth_step, pool_error

MOST_LAPS = 4096


#: predicted error of one pool (see the module's formula): samples, unique, b, tau, floor, anchor
error = partial(pool_error, log_worth_step)


def mixture_error(
    samples: npt.ArrayLike,
    weights: npt.ArrayLike,
    unique: npt.ArrayLike,
    *,
    b: npt.ArrayLike,
    tau: npt.ArrayLike,
    floor: npt.ArrayLike,
    anchor: npt.ArrayLike,
    log_height: npt.ArrayLike = 0.0,
    kappa: float = 1.0,
) -> Array:
    """Return the predicted error of a mixture; the last axis of the pool arguments runs over pools.

    As released for equal pools and weights with ``kappa = 1``; unequal sizes and weights and other
    ``kappa`` (tau_i' = tau_i w_i^{-kappa}) are ours. Between two pass boundaries of any pool the
    increments of n_eff are linear in n, so the integral is a finite product.

    Cost: O(draws x sum of passes); segments whose samples count less than 1e-13 are left out, and
    so is what lies beyond 4,096 passes.
    """
    w, u = np.asarray(weights, float), np.asarray(unique, float)
    n = np.asarray(samples, float)
    shape = np.broadcast_shapes(n.shape, w.shape[:-1], u.shape[:-1])
    w = np.broadcast_to(w, (*shape, w.shape[-1]))
    u = np.broadcast_to(u, w.shape)
    n = np.broadcast_to(n, shape)
    share = np.where(w > 0.0, w, 1.0)
    rate = LN2 / (np.asarray(tau, float) * share**-kappa)
    exponent = np.asarray(b, float)
    log_anchor = np.log(np.asarray(anchor, float))
    lap = np.where(
        w > 0.0, u / share, np.inf
    )  # samples of the mixture that make one pass of the pool
    end = np.minimum(n, lap.min(axis=-1))
    effective = end.copy()
    start_height = np.sum(w * log_height, axis=-1)
    log_reducible = start_height + np.sum(w * exponent, axis=-1) * (np.log(effective) - log_anchor)
    if np.allclose(np.where(w > 0.0, lap / lap.min(axis=-1, keepdims=True), 1.0), 1.0, rtol=1e-9):
        first = lap.min(axis=-1)
        return np.asarray(
            np.exp(log_reducible + _equal_laps(n, first, w, np.exp(-rate), exponent)) + floor
        )
    done = np.zeros(w.shape)
    for _ in range(MOST_LAPS * w.shape[-1]):
        active = end < n
        if not active.any():
            break
        # a boundary is reached when the distance to it is lost in rounding
        done = np.where(((done + 1.0) * lap <= end[..., None] * (1 + 1e-12)), done + 1.0, done)
        counts = w * np.exp(-rate * done)
        total = counts.sum(axis=-1)
        if float((total * active).max()) < 1e-13:
            break
        following = np.minimum(n, ((done + 1.0) * lap).min(axis=-1))
        following = np.where(active, np.maximum(following, end), end)
        grown = effective + (following - end) * total
        slope = np.sum(counts * exponent, axis=-1) / np.maximum(total, 1e-300)
        log_reducible = log_reducible + slope * (np.log(grown) - np.log(effective))
        effective, end = grown, following
    return np.asarray(np.exp(log_reducible) + floor)


def _equal_laps(n: Array, lap: Array, weights: Array, delta: Array, exponent: Array) -> Array:
    """Return ln of the decline after the first pass where all pools complete their passes together.

    The common case (sampling in proportion to size, and single pools): one multiplication a pass
    instead of a search for the next boundary.
    """
    passes = n / lap
    shape = np.broadcast_shapes(delta.shape, weights.shape, exponent.shape)
    counts = np.broadcast_to(weights, shape).copy()
    weighted = np.ascontiguousarray(np.broadcast_to(exponent, shape))
    effective = np.broadcast_to(np.minimum(passes, 1.0), shape[:-1]).copy()
    total = np.zeros(shape[:-1])
    for j in range(1, int(min(np.ceil(passes.max(initial=1.0)), MOST_LAPS))):
        counts *= delta
        growth = np.einsum("...i->...", counts)
        part = np.clip(passes - j, 0.0, 1.0)
        if float((growth * part).max()) < 1e-13:
            break
        grown = effective + part * growth
        slope = np.einsum("...i,...i->...", counts, weighted) / np.maximum(growth, 1e-300)
        total += slope * np.log(grown / effective)
        effective = grown
    return np.asarray(total)
