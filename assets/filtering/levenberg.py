"""Minimise many small bounded least-squares problems at once (Levenberg-Marquardt)."""

from __future__ import annotations

import numpy as np

from assets.filtering.decay import Array
from assets.filtering.problem import Problem


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
        evaluations parameters^2).
    """
    theta = np.clip(np.asarray(start, float), problem.lower, problem.upper)
    draws, size = theta.shape
    weight = np.broadcast_to(weight, (draws, weight.shape[-1]))
    prior = np.where(problem.free, 1.0 / problem.prior_sd**2, 0.0)[None, :] * prior_weight[:, None]
    damping = np.full(draws, 1e-3)
    identity = np.eye(size)
    value, jacobian = problem.values(theta)
    residual = value - target
    cost = _cost(residual, weight, theta, prior_mean, prior)
    moving = np.ones(draws, dtype=bool)
    for _ in range(iterations):
        weighted = jacobian * weight[:, :, None]
        hessian = np.matmul(weighted.transpose(0, 2, 1), jacobian)
        gradient = np.einsum("bnp,bn->bp", weighted, residual) + prior * (theta - prior_mean)
        hessian += prior[:, :, None] * identity
        blocked = (
            ~problem.free[None, :]
            | ((theta <= problem.lower) & (gradient > 0))
            | ((theta >= problem.upper) & (gradient < 0))
        )
        usable = ~blocked
        diagonal = np.einsum("bpp->bp", hessian).copy()
        scale = np.where(usable, diagonal, 1.0)
        # a direction without curvature gets a little, so that the system has a solution
        scale = np.maximum(scale, 1e-13 * scale.max(axis=1, keepdims=True) + 1e-300)
        root = 1.0 / np.sqrt(scale)
        system = hessian * root[:, :, None] * root[:, None, :]
        system = np.where(usable[:, :, None] & usable[:, None, :], system, 0.0)
        system += (np.where(usable, damping[:, None], 1.0) + 1e-14)[:, :, None] * identity
        step = (
            -root
            * np.linalg.solve(system, (np.where(usable, gradient, 0.0) * root)[..., None])[..., 0]
        )
        # half-lives and exponents are logarithms: more than a factor of e^2 in one step is never
        # trusted
        step = np.clip(step, -2.0, 2.0)
        trial = np.clip(theta + np.where(moving[:, None], step, 0.0), problem.lower, problem.upper)
        trial_value, trial_jacobian = problem.values(trial)
        trial_residual = trial_value - target
        trial_cost = _cost(trial_residual, weight, trial, prior_mean, prior)
        better = (trial_cost < cost) & moving
        largest = np.abs(trial - theta).max(axis=1)
        gain = np.where(better, (cost - trial_cost) / np.maximum(cost, 1e-300), 0.0)
        theta = np.where(better[:, None], trial, theta)
        residual = np.where(better[:, None], trial_residual, residual)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        cost = np.where(better, trial_cost, cost)
        damping = np.where(better, damping * 0.2, damping * 5.0)
        damping = np.clip(damping, 1e-12, 1e12)
        settled = (better & (gain < 1e-13) & (largest < 1e-7)) | (~better & (damping >= 1e9))
        moving &= ~(settled | (largest < 1e-13))
        if not moving.any():
            break
    return theta, cost


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
