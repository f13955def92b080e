"""Hold parts of the curves out, and say how well a law predicts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.filtering.bootstrap import least_keys
from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.fit import Fit, varpro_starts
from assets.filtering.laws import Parameters, mixture_error
from assets.filtering.levenberg import minimise

#: drift where no held-out budget can show any
UNKNOWN_DRIFT = 0.02


@dataclass(frozen=True)
class Fold:
    """Hold which evaluations are held out."""

    name: str
    held: npt.NDArray[np.bool_]


def folds(curves: Curves, keys: list[int]) -> list[Fold]:
    """Return held-out parts: upper half of budgets, last budget, largest size, quarters of the runs."""
    out: list[Fold] = []
    for name, share in (("upper", 0.5), ("last", 0.0)):
        held = np.zeros(len(curves), dtype=bool)
        for pool in np.unique(curves.pool):
            rows = curves.pool == pool
            budgets = np.unique(curves.samples[rows])
            if budgets.size < 4:
                continue
            count = max(1, int(share * budgets.size))
            held |= rows & (curves.samples >= budgets[-count])
        if held.any() and (not out or (held != out[0].held).any()):
            out.append(Fold(name, held))
    held = np.zeros(len(curves), dtype=bool)
    for pool in np.unique(curves.pool):
        rows = curves.pool == pool
        largest = rows & (curves.unique == curves.unique[rows].max())
        if (rows & ~largest).sum() >= 4:
            held |= largest
    if held.any():
        # what tells how the half-life grows with the size of a pool
        out.append(Fold("size", held))
    least = least_keys(curves.run, keys)
    runs = sorted(least, key=least.__getitem__)
    if len(runs) >= 8:
        for quarter in range(4):
            held = np.isin(curves.run, runs[quarter::4])
            covered = all((~held[curves.pool == p]).sum() >= 2 for p in np.unique(curves.pool))
            if covered:
                out.append(Fold("runs", held))
    return out


def held_out_errors(fitted: Fit, parts: list[Fold]) -> tuple[list[Array], list[Array]]:
    """Return prediction errors on what each fold holds out, and their variance.

    All folds and starts run as one vectorised fit. The variance is the linear propagation of the
    fold's parameter covariance, priors included.
    """
    problem, curves = fitted.problem, fitted.curves
    starts = np.vstack([fitted.theta[None, :], varpro_starts(problem)[:3]])
    theta = np.tile(starts, (len(parts), 1))
    mask = np.repeat(np.stack([~part.held for part in parts]), len(starts), axis=0)
    found, cost = minimise(
        problem,
        theta,
        weight=fitted.robust[None, :] * mask,
        target=curves.error[None, :],
        prior_mean=problem.prior_mean[None, :],
        prior_weight=np.full(len(theta), fitted.sigma**2),
        iterations=50,
    )
    errors, variances = [], []
    for i, part in enumerate(parts):
        block = slice(i * len(starts), (i + 1) * len(starts))
        best = found[block][int(np.argmin(cost[block]))]
        value, jacobian = problem.values(best[None, :])
        errors.append((curves.error - value[0])[part.held])
        j = jacobian[0][:, problem.free]
        fisher = (j[~part.held] * fitted.robust[~part.held, None]).T @ j[~part.held]
        precision = fisher / fitted.sigma**2 + np.diag(1.0 / problem.prior_sd[problem.free] ** 2)
        covariance = np.linalg.pinv(precision, hermitian=True)
        variances.append(np.einsum("np,pq,nq->n", j[part.held], covariance, j[part.held]))
    return errors, variances


def mixture_residuals(curves: Curves, parameters: Parameters) -> Array:
    """Return measured less predicted errors of the mixtures, shape (mixtures,)."""
    if not curves.mixtures:
        return np.empty(0)
    samples = np.array([row.samples for row in curves.mixtures])
    weights = np.zeros((len(samples), len(curves.pools)))
    unique = np.ones_like(weights)
    for i, row in enumerate(curves.mixtures):
        weights[i, list(row.members)] = row.shares
        unique[i, list(row.members)] = row.uniques
    predicted = mixture_error(parameters, samples, weights, unique)[0]
    return np.asarray(np.array([row.error for row in curves.mixtures]) - predicted)


def held_out_scores(squared: Array, names: list[str], sigma: float) -> Array:
    """Return the mean log density of each member; every kind of fold counts alike."""
    if squared.size == 0:
        return np.zeros(squared.shape[0])
    kinds = sorted(set(names))
    total = np.zeros(squared.shape[0])
    for kind in kinds:
        columns = [i for i, name in enumerate(names) if name == kind]
        mse = squared[:, columns].mean(axis=1)
        # the best member sets the scale: a law is not rewarded for claiming small noise
        variance = max(float(mse.min()), sigma**2, 1e-24)
        total += -0.5 * np.log(2 * np.pi * variance) - 0.5 * mse / variance
    return np.asarray(total / len(kinds))


def extrapolation_drift(
    fitted: Fit, parts: list[Fold], errors: list[Array], variances: list[Array]
) -> float:
    """Return the drift of ln(reducible error) a unit of ln(samples), in [0, 0.15]; see `Ensemble`.

    ``errors`` and ``variances`` are those of `held_out_errors` for ``parts``; what exceeds the noise and
    the uncertainty of the parameters in the upper budgets is drift.
    """
    curves = fitted.curves
    for part, error, variance in zip(parts, errors, variances, strict=True):
        if part.name != "upper" or error.size < 2:
            continue
        excess = float(np.mean(error**2) - np.mean(variance) - fitted.sigma**2)
        reducible = max(float(np.mean(curves.error[part.held]) - fitted.theta[0]), 1e-9)
        trained = max(float(curves.samples[~part.held].max()), 1.0)
        reach = max(float(np.mean(np.log(curves.samples[part.held]))) - float(np.log(trained)), 0.5)
        return float(np.clip(np.sqrt(max(excess, 0.0)) / reducible / reach, 0.0, 0.15))
    return UNKNOWN_DRIFT
