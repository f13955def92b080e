"""Fit loss over model size and data: L = E + A/N^alpha + B/D^beta (Hoffmann et al. 2022).

The objective is the sum over runs of Huber(ln prediction - ln loss) with delta = 1e-3, minimised by
L-BFGS from a grid of starts, as in the replication of Besiroglu et al. (arXiv 2404.10102), which
found that most starts miss the best basin and that a mean instead of a sum stops too early.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from assets.filtering.decay import Array

DELTA = 1e-3


@dataclass(frozen=True)
class ParametricFit:
    """Hold A, B, E, alpha, beta and the objective."""

    a: float
    b: float
    floor: float
    alpha: float
    beta: float
    objective: float


def huber(residual: Array, delta: float = DELTA) -> Array:
    """Return Huber's loss: r^2/2 up to ``delta``, then delta (|r| - delta/2)."""
    size = np.abs(residual)
    return np.asarray(np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)))


def _objective(theta: Array, log_n: Array, log_d: Array, log_loss: Array) -> tuple[float, Array]:
    parts = np.stack(
        [theta[0] - theta[3] * log_n, theta[1] - theta[4] * log_d, np.full_like(log_n, theta[2])]
    )
    top = parts.max(axis=0)
    log_sum = top + np.log(np.exp(parts - top).sum(axis=0))
    share = np.exp(parts - log_sum)
    residual = log_sum - log_loss
    slope = np.clip(residual, -DELTA, DELTA)
    gradient = np.array(
        [
            slope @ share[0],
            slope @ share[1],
            slope @ share[2],
            -slope @ (share[0] * log_n),
            -slope @ (share[1] * log_d),
        ]
    )
    # scaled up, so that the optimiser's absolute tolerances do not end the search early
    return 1e4 * float(huber(residual).sum()), 1e4 * gradient


def fit_parametric(model_size: Array, tokens: Array, loss: Array) -> ParametricFit:
    """Fit the parametric form to one loss a run.

    Parameters
    ----------
    model_size, tokens, loss
        Positive, shape (runs,).

    Returns
    -------
    ParametricFit
        Deterministic: the best of 108 starts. Cost: about a second for 240 runs.
    """
    from scipy.optimize import minimize

    data = (np.log(model_size), np.log(tokens), np.log(loss))
    starts = product((2.0, 6.0, 10.0), (2.0, 6.0, 10.0), (-0.5, 0.5, 1.0), (0.3, 0.8), (0.3, 0.8))
    fits = (
        minimize(
            _objective,
            np.array(start),
            args=data,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-10},
        )
        for start in starts
    )
    best = min(fits, key=lambda found: float(found.fun))
    a, b, e, alpha, beta = best.x
    return ParametricFit(
        float(np.exp(a)),
        float(np.exp(b)),
        float(np.exp(e)),
        float(alpha),
        float(beta),
        float(best.fun) / 1e4,
    )
