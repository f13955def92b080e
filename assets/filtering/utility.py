"""Predict error by the utility law: every pool has an exponent that decays as the pool is repeated.

Goyal, Maini, Lipton, Raghunathan, Kolter (CVPR 2024, arXiv 2404.07177), section 1 of the method
card.

    paper:  y = d + (n_1/n0)^b prod_{j>=2} (n_j/n_{j-1})^{b delta^{j-1}}
    code:   y = [(n_1/n0)^b + d] prod_{j>=2} (n_j/n_{j-1})^{b delta^{j-1}}

delta = 2^{-1/tau}; n_j = samples seen at the end of pass j. The released code puts the floor ``d``
inside the product, so the floor decays as well; both forms are kept by name because published
numbers use both.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.filtering.decay import Array, log_worth_power

Form = Literal["paper", "code"]


def error(
    samples: npt.ArrayLike,
    unique: npt.ArrayLike,
    *,
    b: npt.ArrayLike,
    tau: npt.ArrayLike,
    floor: npt.ArrayLike,
    anchor: npt.ArrayLike,
    form: Form = "paper",
) -> Array:
    """Return the predicted error of one pool after ``samples`` draws.

    Parameters
    ----------
    samples, unique
        Samples seen and unique samples of the pool, in the same unit as ``anchor``.
    b
        Exponent, negative.
    tau
        Half-life in passes.
    floor
        Irreducible error.
    anchor
        n0, the sample count at which reducible error would be one.
    form
        ``paper`` (floor outside the product) or ``code`` (floor inside, as released).

    Returns
    -------
    ndarray
        float64; broadcast of all inputs. Not clipped at chance: that is the caller's.
    """
    n, u, exponent = (np.asarray(x, float) for x in (samples, unique, b))
    log_fresh = np.log(np.minimum(n, u) / np.asarray(anchor, float))
    log_repeat = np.maximum(log_worth_power(n / u, tau), 0.0)
    fresh, decline = np.exp(exponent * log_fresh), np.exp(exponent * log_repeat)
    if form == "code":
        return np.asarray((fresh + floor) * decline)
    return np.asarray(fresh * decline + floor)


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
    form: Form = "paper",
) -> Array:
    """Return the predicted error of a mixture; the last axis of the pool arguments runs over pools.

    Published for equal pools, equal weights and ``kappa = 1`` (theorem 1: half-lives times the
    number of pools, exponents averaged). The rest is ours: weights w, sizes U and

        d ln(y - d) / d ln n = sum_i w_i b_i 2^{-floor(w_i n / U_i) / tau_i'},
        tau_i' = tau_i w_i^{-kappa}.

    The diversity exponent ``kappa`` acts by sampling share, so a pool that is hardly drawn buys
    nothing. It is an assumption to be tested, not a fact.

    Parameters
    ----------
    samples
        Shape (...), without the pool axis.
    floor, anchor
        Likewise.
    weights, unique, b, tau, log_height
        Shape (..., pools). Weights sum to one; a pool of weight zero is ignored.
    kappa, form
        Diversity exponent; ``paper`` or ``code``.

    Returns
    -------
    ndarray
        float64, shape (...).
    """
    w, u = np.asarray(weights, float), np.asarray(unique, float)
    n = np.asarray(samples, float)
    exponent, half_life = np.asarray(b, float), np.asarray(tau, float)
    share = np.where(w > 0.0, w, 1.0)
    passes = share * n[..., None] / u
    loss = np.minimum(log_worth_power(passes, half_life * share**-kappa) - np.log(passes), 0.0)
    log_n = np.log(n / np.asarray(anchor, float))
    fresh = np.sum(w * (exponent * log_n[..., None] + log_height), axis=-1)
    log_reducible = fresh + np.sum(w * exponent * loss, axis=-1)
    if form == "paper":
        return np.asarray(np.exp(log_reducible) + floor)
    # released code: the floor shares the decline since the first repeat of any pool
    first = np.minimum(n, np.min(np.where(w > 0.0, u / share, np.inf), axis=-1))
    log_first = np.sum(
        w * (exponent * np.log(first / np.asarray(anchor, float))[..., None] + log_height), axis=-1
    )
    return np.asarray(np.exp(log_reducible) + floor * np.exp(log_reducible - log_first))
