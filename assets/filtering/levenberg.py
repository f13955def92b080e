"""Minimise many small bounded least-squares problems at once (Levenberg-Marquardt)."""

from __future__ import annotations

import numpy as np

from assets.filtering.decay import Array
from assets.filtering.problem import Problem

#: numbers of a Jacobian that is held at once (0.4 GB); more draws go in parts
MOST_NUMBERS = 50_000_000


def minimise(
    problem: Problem,
    start: Array,
    *,
    weight: Array,
    target: Array,
    prior_mean: Array,
    prior_weight: Array,
    iterations: int = 60,
) -> tuple[Array, Array]:
    """Minimise sum w (y - f)^2 + prior_weight sum ((theta - mean)/sd)^2 in the bounds.

    Parameters
    ----------
    problem
        Bounds, priors, values and Jacobian.
    start
        Shape (draws, parameters).
    weight, target
        Shape (draws, evaluations) or (1, evaluations).
    prior_mean
        Shape (draws, parameters) or (1, parameters).
    prior_weight
        Shape (draws,), usually the noise variance.
    iterations
        At most this many steps; draws that have converged no longer move.

    Returns
    -------
    tuple of ndarray
        Parameters (draws, parameters) and objective (draws,). Steps are accepted only when they
        lower the objective, so the result is never worse than the start. Cost of a step: O(draws
        evaluations parameters^2), evaluations of one design counting as one where they are many.
    """
    theta = np.clip(np.asarray(start, float), problem.lower, problem.upper)
    rows = max(len(weight), len(target))
    weight = np.broadcast_to(weight, (rows, weight.shape[-1]))
    target = np.broadcast_to(target, weight.shape)
    scatter = np.zeros(rows)
    same = problem.repeated
    if same is not None:
        weight, target, scatter = same.together(weight, target)
        problem = problem.distinct(same.distinct)
    count = max(MOST_NUMBERS // (weight.shape[1] * problem.size), 1)
    found, least = [], []
    for first in range(0, len(theta), count):
        part = slice(first, first + count)
        result = _together(
            problem,
            theta[part],
            weight if len(weight) == 1 else weight[part],
            target if len(target) == 1 else target[part],
            prior_mean if len(prior_mean) == 1 else prior_mean[part],
            prior_weight[part],
            iterations,
        )
        found.append(result[0])
        least.append(result[1])
    return np.concatenate(found), np.concatenate(least) + scatter


def _together(
    problem: Problem,
    theta: Array,
    weight: Array,
    target: Array,
    prior_mean: Array,
    prior_weight: Array,
    iterations: int,
) -> tuple[Array, Array]:
    """Minimise for draws whose Jacobians fit in memory side by side."""
    draws = len(theta)
    weight = np.broadcast_to(weight, (draws, weight.shape[1]))
    target = np.broadcast_to(target, weight.shape)
    mean = np.broadcast_to(prior_mean, theta.shape)
    prior = np.where(problem.free, 1.0 / problem.prior_sd**2, 0.0)[None, :] * prior_weight[:, None]
    value, jacobian = problem.values(theta)
    residual = value - target
    cost = _cost(residual, weight, theta, mean, prior)
    found, least = theta.copy(), cost.copy()
    damping = np.full(draws, 1e-3)
    at = np.arange(draws)
    for _ in range(iterations):
        step = _step(problem, theta, residual, jacobian, weight, mean, prior, damping)
        trial = np.clip(theta + step, problem.lower, problem.upper)
        trial_value, trial_jacobian = problem.values(trial)
        trial_residual = trial_value - target
        trial_cost = _cost(trial_residual, weight, trial, mean, prior)
        better = trial_cost < cost
        largest = np.abs(trial - theta).max(axis=1, initial=0.0)
        gain = np.where(better, (cost - trial_cost) / np.maximum(cost, 1e-300), 0.0)
        theta = np.where(better[:, None], trial, theta)
        residual = np.where(better[:, None], trial_residual, residual)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        cost = np.where(better, trial_cost, cost)
        found[at], least[at] = theta, cost
        damping = np.where(better, damping * 0.2, damping * 5.0)
        damping = np.clip(damping, 1e-12, 1e12)
        # a step too small to matter that does not help is the rounding of the objective
        small = largest < 1e-7
        settled = (small & (gain < 1e-13)) | (~better & (damping >= 1e9))
        moving = ~(settled | (largest < 1e-13))
        if not moving.any():
            break
        if not moving.all():
            # what has converged is not computed again
            at, theta, residual, jacobian = (
                at[moving],
                theta[moving],
                residual[moving],
                jacobian[moving],
            )
            weight, target, mean, prior = (
                weight[moving],
                target[moving],
                mean[moving],
                prior[moving],
            )
            cost, damping = cost[moving], damping[moving]
    return found, least


def _step(
    problem: Problem,
    theta: Array,
    residual: Array,
    jacobian: Array,
    weight: Array,
    mean: Array,
    prior: Array,
    damping: Array,
) -> Array:
    """Return the damped step of each draw; parameters that are held by a bound do not move."""
    identity = np.eye(theta.shape[1])
    weighted = jacobian * weight[:, :, None]
    hessian = np.matmul(weighted.transpose(0, 2, 1), jacobian)
    gradient = np.matmul(residual[:, None, :], weighted)[:, 0] + prior * (theta - mean)
    hessian += prior[:, :, None] * identity
    blocked = (
        ~problem.free[None, :]
        | ((theta <= problem.lower) & (gradient > 0))
        | ((theta >= problem.upper) & (gradient < 0))
    )
    usable = ~blocked
    diagonal = np.einsum("bpp->bp", hessian)
    scale = np.where(usable, diagonal, 1.0)
    # a direction without curvature gets a little, so that the system has a solution
    scale = np.maximum(scale, 1e-13 * scale.max(axis=1, keepdims=True) + 1e-300)
    root = np.where(usable, 1.0 / np.sqrt(scale), 0.0)
    system = hessian * root[:, :, None] * root[:, None, :]
    system += (np.where(usable, damping[:, None], 1.0) + 1e-14)[:, :, None] * identity
    step = -root * np.linalg.solve(system, (gradient * root)[..., None])[..., 0]
    # half-lives and exponents are logarithms: more than a factor of e^2 in one step is never trusted
    return np.asarray(np.clip(step, -2.0, 2.0))


def _cost(residual: Array, weight: Array, theta: Array, mean: Array, prior: Array) -> Array:
    fit = np.einsum("bn,bn->b", weight, residual**2)
    return np.asarray(fit + np.sum(prior * (theta - mean) ** 2, axis=1))


def effective_parameters(
    problem: Problem, theta: Array, weight: Array, prior_weight: float
) -> float:
    """Return the trace of the hat matrix: parameters that the data, not the priors, determine."""
    _, jacobian = problem.values(theta[None, :])
    j = jacobian[0][:, problem.free]
    fisher = (j * weight[:, None]).T @ j
    prior = np.diag(prior_weight / problem.prior_sd[problem.free] ** 2)
    return float(np.trace(np.linalg.lstsq(fisher + prior, fisher, rcond=None)[0]))
