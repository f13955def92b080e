"""Fit a law to curves by variable projection and bounded Levenberg-Marquardt.

With the floor and the half-life fixed, ln(y - d) is linear in the height and the exponent. So a
deterministic grid over (d, n0, tau) solves the rest exactly, its best points start a joint fit of
everything, and the lowest result wins: no randomness, no dependence on a grid. Residuals are in
units of the metric, weighted by row, with Huber's loss (and a gross error, six robust deviations,
is left out at last); priors on floor, half-life and exponent weigh as much as one standard
deviation of noise, so they vanish where the data speak.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.laws import LawError, LawName, Parameters
from assets.filtering.levenberg import effective_parameters, minimise
from assets.filtering.problem import Heights, Problem, state_problem
from assets.filtering.utility import Form

FLOOR_GRID = (0.0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.97, 0.99)
TAU_GRID = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 400.0)
HUBER = 2.0
GROSS = 6.0


@dataclass(frozen=True)
class Fit:
    """Hold a fitted law.

    ``sigma`` is the standard deviation of an evaluation of weight one, in units of the metric;
    ``robust`` the final Huber weights times the row weights; ``rmse`` the unweighted root mean
    square residual in sample.
    """

    problem: Problem
    theta: Array
    sigma: float
    degrees: float
    rmse: float
    objective: float
    robust: Array

    @property
    def curves(self) -> Curves:
        """Return the curves that were fitted."""
        return self.problem.curves

    def parameters(self, *, kappa: float) -> Parameters:
        """Return the fitted values as one draw."""
        return self.problem.parameters(self.theta[None, :], kappa=kappa)


def varpro_starts(problem: Problem) -> Array:
    """Return starting points, best first: for each floor on a grid the best n0 and half-lives.

    Shape (starts, parameters). The linear part (height and exponent, or the exponent given n0) is
    solved in closed form on ln(y - d) with weights (y - d)^2, which makes it least squares in y to
    first order.
    """
    best = float(problem.curves.error.min())
    same = problem.repeated
    if same is not None:
        # the mean of what was repeated serves for a start
        weight, mean, _ = same.together(
            problem.curves.weight[None, :], problem.curves.error[None, :]
        )
        problem = problem.distinct(same.distinct)
        problem = replace(problem, curves=replace(problem.curves, error=mean[0], weight=weight[0]))
    curves = problem.curves
    if problem.free[0]:
        floors = np.array([f * problem.upper[0] for f in FLOOR_GRID])
    else:
        floors = problem.lower[:1]
    taus = np.array(TAU_GRID) if problem.law != "power" else np.array([5.0])
    pools = len(curves.pools)
    log_tau = np.repeat(np.log(taus)[:, None], pools, axis=1)
    x, _ = problem.terms.effective(log_tau, problem.size_kappa)  # (taus, n)
    if problem.free[1]:
        low, high = float(np.log(curves.samples.min())), float(np.log(curves.samples.max()))
        reach = 8.0 + 4.0 * max(-np.log(max(float(curves.error.max()) - 0.5 * best, 1e-9)), 0.0)
        anchors = np.linspace(low - reach, high + 4.0, 25)
    else:
        anchors = problem.lower[1:2]
    starts, scores = [], []
    for floor in floors:
        z = np.log(np.maximum(curves.error - floor, 1e-12 + 1e-6 * best))
        w = curves.weight * np.maximum(curves.error - floor, 1e-12) ** 2
        total = np.zeros(len(anchors))
        chosen_tau = np.zeros((len(anchors), pools), dtype=int)
        slope = np.zeros((len(anchors), pools))
        height = np.zeros((len(anchors), pools))
        for pool in range(pools):
            rows = curves.pool == pool
            if not rows.any():
                continue
            xs = x[None, :, rows] - anchors[:, None, None]  # (anchors, taus, n)
            zs, ws = z[rows], w[rows]
            if problem.heights == "free":
                mean_x = (xs @ ws / ws.sum())[..., None]
                mean_z = float(zs @ ws / ws.sum())
                sxx = ((xs - mean_x) ** 2) @ ws + 1e-12
                beta = -(((xs - mean_x) * (zs - mean_z)) @ ws) / sxx
                beta = np.clip(beta, 1e-4, 5.0)
                level = mean_z + beta * mean_x[..., 0]
            else:
                beta = np.clip(-((xs * zs) @ ws) / ((xs**2) @ ws + 1e-12), 1e-4, 5.0)
                level = np.zeros_like(beta)
            sse = ((zs - level[..., None] + beta[..., None] * xs) ** 2) @ ws
            pick = np.argmin(sse, axis=1)
            at = np.arange(len(anchors))
            chosen_tau[:, pool], total = pick, total + sse[at, pick]
            slope[:, pool], height[:, pool] = beta[at, pick], level[at, pick]
        # two anchors a floor: the best, and the best that is not its neighbour
        order = np.argsort(total, kind="stable")
        keep = [int(order[0])]
        keep += [int(i) for i in order if abs(int(i) - keep[0]) > 2][:1]
        for g in keep:
            theta = problem.prior_mean.copy()
            theta[0], theta[1] = floor, anchors[g]
            theta[problem.columns("beta")] = np.log(np.maximum(slope[g], 1e-4))
            theta[problem.columns("tau")] = np.log(taus[chosen_tau[g]])
            if problem.heights == "free":
                theta[problem.columns("height")] = height[g]
            starts.append(theta)
            scores.append(total[g])
    order = np.argsort(np.array(scores), kind="stable")
    return np.clip(np.array(starts)[order], problem.lower, problem.upper)


def fit(
    curves: Curves,
    law: LawName,
    *,
    form: Form = "paper",
    size_kappa: float = 0.0,
    heights: Heights = "shared",
    floor: float | None = None,
    anchor: float | None = None,
    priors: bool = True,
    robust: bool = True,
) -> Fit:
    """Fit ``law`` to ``curves``.

    Parameters
    ----------
    curves
        Evaluations; rows of every pool enter one joint fit with a shared floor and anchor.
    law, form, heights, floor, anchor
        See ``problem.state_problem``.
    size_kappa
        Half-life of a part of a pool: tau (part/pool)^size_kappa.
    priors, robust
        Use the priors of ``problem``; use Huber's loss (2 robust standard deviations).

    Returns
    -------
    Fit
        Deterministic. From noiseless points it recovers the parameters to about 1e-8.

    Raises
    ------
    LawError
        No evaluations, unknown law, or impossible fixed values.
    """
    if len(curves) == 0:
        message = "no evaluation is left to fit; every row was set aside (see the warnings)"
        raise LawError(message)
    problem = state_problem(
        curves, law, form=form, size_kappa=size_kappa, heights=heights, floor=floor, anchor=anchor
    )
    weight = curves.weight.copy()
    target = curves.error[None, :]
    mean = problem.prior_mean[None, :]
    starts = varpro_starts(problem)
    count, free = len(curves), int(problem.free.sum())
    scale = max(float(np.ptp(curves.error)), 1e-12)
    tiny = np.full(len(starts), (1e-7 * scale) ** 2)
    theta, cost = minimise(
        problem, starts, weight=weight[None, :], target=target, prior_mean=mean, prior_weight=tiny
    )
    order = np.argsort(cost, kind="stable")
    theta, best = theta[order], theta[order[0]]
    sigma = _noise(curves, float(cost[order[0]]), count - free, scale)
    degrees = float(max(count - free, 1))
    seeds = np.vstack([best[None, :], theta[1:4], starts[:3]])
    # without priors and weights that change there is nothing to iterate for
    for step in range(9 if priors or robust else 0):
        strength = sigma**2 if priors else float(tiny[0])
        found, value = minimise(
            problem,
            np.vstack([best[None, :], seeds]),
            weight=weight[None, :],
            target=target,
            prior_mean=mean,
            prior_weight=np.full(len(seeds) + 1, strength),
            iterations=40,
        )
        best = found[int(np.argmin(value))]
        seeds = best[None, :]
        residual = curves.error - problem.values(best[None, :], slopes=False)[0][0]
        used = effective_parameters(problem, best, weight, strength)
        # an evaluation that was weighted down counts by its weight
        degrees = max(float(np.sum(weight / curves.weight.clip(1e-12))) - used, 0.5)
        rss = float(np.sum(weight * residual**2))
        sigma = _noise(curves, rss, degrees, scale)
        previous = (weight, strength)
        if robust and degrees >= 4:
            gross = step >= 3
            scaled = residual * np.sqrt(curves.weight)
            weight = curves.weight * _huber(scaled, degrees, reject_gross=gross)
        settled = np.allclose(weight, previous[0], rtol=1e-3, atol=1e-6)
        if step >= 4 and settled and abs(sigma**2 - strength) <= 1e-3 * strength:
            break
        if step >= 2 and not priors and settled:
            break
    residual = curves.error - problem.values(best[None, :], slopes=False)[0][0]
    return Fit(
        problem=problem,
        theta=best,
        sigma=sigma,
        degrees=degrees,
        rmse=float(np.sqrt(np.mean(residual**2))),
        objective=float(np.sum(weight * residual**2)),
        robust=weight,
    )


def _noise(curves: Curves, rss: float, degrees: float, scale: float) -> float:
    """Return the noise level; what the standard errors say is a lower bound for it."""
    known = curves.se[np.isfinite(curves.se) & (curves.se > 0)]
    least = float(np.median(known)) * 0.7 if known.size else 0.0
    if degrees < 0.75:
        # nothing is left to estimate the noise from: one hundredth of the range, and a warning
        # elsewhere
        return max(least, 0.01 * scale)
    return max(float(np.sqrt(max(rss, 0.0) / degrees)), least, 1e-9 * scale)


def _huber(residual: Array, degrees: float, *, reject_gross: bool) -> Array:
    """Return Huber weights; beyond six robust deviations (nearly) none, if asked."""
    size = np.abs(residual)
    # a fit zeroes as many residuals as it has parameters: without leaving those out the spread
    # collapses step by step until half of the evaluations count as outliers
    fitted = min(max(round(len(size) - degrees), 0), len(size) - 1)
    spread = 1.4826 * float(np.median(np.sort(size)[fitted:]))
    limit = HUBER * max(spread, 1e-12)
    weight = np.where(size <= limit, 1.0, limit / np.maximum(size, 1e-300))
    if reject_gross:
        weight = np.where(size > GROSS * limit / HUBER, 1e-6, weight)
    return np.asarray(weight)
