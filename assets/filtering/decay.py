"""Compute what repeated passes over a pool are worth, in units of one fresh pass.

Three published forms share one parameter, the half-life ``tau`` in passes. All return the
logarithm of phi(r), the worth of ``r`` passes; phi(r) = r while nothing is repeated (r <= 1).

* power: the exponent halves every ``tau`` passes (Goyal et al., CVPR 2024, arXiv 2404.07177,
utility law);
* step: each sample of pass j counts 2^(-(j-1)/tau) (same paper's code, "effective data");
* exponential: 1 + R (1 - e^{-(r-1)/R}), R = tau / ln 2 (Muennighoff et al. 2023, arXiv 2305.16264).

Everything is safe for huge ``r`` and huge ``tau``: differences from one go through ``expm1`` and
the tail of the one series that has no closed form through the exponential integral.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LN2 = float(np.log(2.0))
#: passes that are summed one by one before the tail is integrated (absolute error of ln phi < 1e-8)
EXACT_PASSES = 2048


def _log_fresh(passes: Array) -> Array:
    return np.log(np.minimum(passes, 1.0))


def log_worth_power(passes: npt.ArrayLike, tau: npt.ArrayLike) -> Array:
    """Return ln phi for an exponent that halves every ``tau`` passes.

    ln phi = sum_{j=2..k} 2^{-(j-1)/tau} ln(j/(j-1)) + 2^{-k/tau} ln(r/k), k = floor(r).

    Parameters
    ----------
    passes, tau
        Positive, broadcast against each other.

    Returns
    -------
    ndarray
        float64 of the broadcast shape. Cost: O(size x min(passes, 56 tau, 2048)).
    """
    r, t = np.broadcast_arrays(np.asarray(passes, float), np.asarray(tau, float))
    whole = np.floor(np.maximum(r, 1.0))
    rate = LN2 / t
    total = _log_fresh(r)
    delta = np.exp(-rate)
    weight = np.ones_like(total)
    last = int(min(whole.max(initial=1.0), EXACT_PASSES))
    for j in range(2, last + 1):
        weight = weight * delta
        total = total + np.where(whole >= j, weight * np.log(j / (j - 1.0)), 0.0)
        if weight.max(initial=0.0) < 1e-18:
            break
    if whole.max(initial=1.0) > EXACT_PASSES:
        from scipy.special import exp1

        # sum over j > J of e^{-rate (j-1)} ln(j/(j-1)) by the midpoint rule: ln(j/(j-1)) =
        # 1/(j-1/2) + O(j^-3)
        start = rate * EXACT_PASSES
        tail = np.exp(np.minimum(rate / 2.0, 700.0)) * (
            exp1(start) - exp1(np.maximum(rate * whole, start))
        )
        total = total + np.where(whole > EXACT_PASSES, tail, 0.0)
    return np.asarray(total + np.exp(-rate * whole) * np.log(np.maximum(r, 1.0) / whole))


def log_worth_step(passes: npt.ArrayLike, tau: npt.ArrayLike) -> Array:
    """Return ln phi where a sample of pass j counts 2^(-(j-1)/tau).

    phi = (1 - delta^k) / (1 - delta) + delta^k (r - k), k = floor(r), delta = 2^(-1/tau).
    """
    r, t = np.broadcast_arrays(np.asarray(passes, float), np.asarray(tau, float))
    rate = LN2 / t
    whole = np.floor(np.maximum(r, 1.0))
    full = np.expm1(-rate * whole) / np.expm1(-rate)
    worth = full + np.exp(-rate * whole) * np.maximum(r - whole, 0.0)
    return np.asarray(np.where(r <= 1.0, _log_fresh(r), np.log(worth)))


def log_worth_exponential(passes: npt.ArrayLike, tau: npt.ArrayLike) -> Array:
    """Return ln phi = ln(1 + R (1 - e^{-(r-1)/R})), R = tau / ln 2 passes."""
    r, t = np.broadcast_arrays(np.asarray(passes, float), np.asarray(tau, float))
    scale = t / LN2
    repeated = np.maximum(r - 1.0, 0.0)
    return np.asarray(_log_fresh(r) + np.log1p(-scale * np.expm1(-repeated / scale)))


def epochs_limit(tau: float) -> float:
    """Return what infinitely many passes are worth under the power form, in passes.

    Finite for every ``tau``: 2.065 at 1.4545, 4.579 at 4.36, 9.311 at 10.
    """
    return float(np.exp(log_worth_power(np.array([1e12]), np.array([tau]))[0]))


def pool_error(
    log_worth: Callable[[npt.ArrayLike, npt.ArrayLike], Array],
    samples: npt.ArrayLike,
    unique: npt.ArrayLike,
    *,
    b: npt.ArrayLike,
    tau: npt.ArrayLike,
    floor: npt.ArrayLike,
    anchor: npt.ArrayLike,
) -> Array:
    """Return d + (U phi(n/U) / n0)^b, the error of one pool of ``unique`` samples after ``samples`` draws.

    ``log_worth`` gives ln phi of passes and half-life. Arrays broadcast; errors are in units of the metric.
    """
    n, u = np.asarray(samples, float), np.asarray(unique, float)
    log_effective = np.log(u) + log_worth(n / u, tau)
    return np.asarray(
        np.exp(np.asarray(b, float) * (log_effective - np.log(np.asarray(anchor, float)))) + floor
    )
