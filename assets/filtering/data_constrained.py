"""Predict loss by the data-constrained law of Muennighoff et al. 2023 (arXiv 2305.16264).

    L = E + A / N_eff^alpha + B / D_eff^beta D_eff = U + U R_D (1 - e^{-R/R_D}),  R = D/U - 1;
    same for N with U_N = min(N, N_opt(U)).

``loss`` is the published form over model size and data; ``error`` is its data part in this
package's terms (floor, anchor, exponent, half-life tau = R_D ln 2), which is what curves of one
model size can identify.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from assets.filtering.decay import Array, log_worth_exponential, pool_error


@dataclass(frozen=True)
class DataConstrainedParameters:
    """Hold the published parameters: A, B, E, exponents, repetition scales."""

    a: float
    b: float
    floor: float
    alpha: float
    beta: float
    r_data: float
    r_parameters: float


def optimal_parameters(unique: npt.ArrayLike, parameters: DataConstrainedParameters) -> Array:
    """Return the compute-optimal N for ``unique`` tokens.

    N_opt = G (G U)^{beta/alpha}, G = (alpha A / (beta B))^{1/(alpha + beta)};
    G^2 U for equal exponents.
    """
    p = parameters
    g = (p.alpha * p.a / (p.beta * p.b)) ** (1.0 / (p.alpha + p.beta))
    return np.asarray((np.asarray(unique, float) * g) ** (p.beta / p.alpha) * g)


def saturated(total: npt.ArrayLike, base: npt.ArrayLike, scale: float) -> Array:
    """Return base + base R* (1 - e^{-(total/base - 1)/R*}); stable for huge R*."""
    t, u = np.asarray(total, float), np.asarray(base, float)
    excess = np.maximum(t / u - 1.0, 0.0)
    return np.asarray(u * (1.0 - scale * np.expm1(-excess / scale)))


def loss(
    model_size: npt.ArrayLike,
    tokens: npt.ArrayLike,
    unique: npt.ArrayLike,
    parameters: DataConstrainedParameters,
) -> Array:
    """Return the predicted loss (nats) at N parameters, D tokens seen, U unique tokens."""
    p = parameters
    n, d = np.asarray(model_size, float), np.asarray(tokens, float)
    u = np.minimum(np.asarray(unique, float), d)
    base = np.minimum(n, optimal_parameters(u, p))
    n_eff = saturated(n, base, p.r_parameters)
    d_eff = saturated(d, u, p.r_data)
    return np.asarray(p.floor + p.a / n_eff**p.alpha + p.b / d_eff**p.beta)


#: predicted error of one pool (tau = R_D ln 2): samples, unique, b, tau, floor, anchor
error = partial(pool_error, log_worth_exponential)


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
    """Return the error of a mixture: effective samples add, exponents average by share (ours)."""
    w, u = np.asarray(weights, float), np.asarray(unique, float)
    share = np.where(w > 0.0, w, 1.0)
    n = np.asarray(samples, float)
    passes = share * n[..., None] / u
    worth = np.exp(log_worth_exponential(passes, np.asarray(tau, float) * share**-kappa))
    effective = np.sum(np.where(w > 0.0, u * worth, 0.0), axis=-1)
    log_effective = np.log(effective) - np.log(np.asarray(anchor, float))
    exponent = np.asarray(b, float)
    log_reducible = np.sum(w * (exponent * log_effective[..., None] + log_height), axis=-1)
    return np.asarray(np.exp(log_reducible) + floor)
