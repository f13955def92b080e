"""Fit one group of a joint problem to its runs: a, b, p, the worth of pools and their decay at once.

    y = a - b E^-p,   E = sum_q worth_q U_q phi(n_q / U_q; decay_q)

All pools share the curve, which is what makes a worth identifiable from one fresh run of its pool, and
a decay from one repeated run. Levenberg-Marquardt on (a, ln b, ln p, ln worth, ln decay) under normal
priors, for many perturbed copies of the runs together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.allocation.joint_runs import JointRuns
from assets.allocation.repetition import worth_of_passes
from assets.allocation.roots import Floats

_ROUNDS = 200
_STEP = 1e-5
_LARGEST_STEP = 1.5
_WORTH, _DECAY, _EXPONENT = (-8.0, 5.0), (np.log(0.05), np.log(1e3)), (np.log(0.02), np.log(3.0))


@dataclass(frozen=True)
class Model:
    """Which parameters of one group are free.

    Columns of a parameter table (B, K): a, ln b (of effective samples in `unit`), ln p, ln worth of
    the pools in `worths`, ln decay of the pools in `decays`. `worth` and `decay` shape (Q,) hold what
    is stated; `kind` is the repetition form, `ceiling` the largest a.
    """

    runs: JointRuns
    kind: str
    worth: Floats
    decay: Floats
    worths: list[int]
    decays: list[int]
    ceiling: float = 1.0

    @property
    def unit(self) -> float:
        """Return the geometric mean of the runs' sizes, in samples."""
        return float(np.exp(np.log(self.runs.samples.sum(axis=1)).mean()))

    @property
    def size(self) -> int:
        """Return the number K of free parameters."""
        return 3 + len(self.worths) + len(self.decays)

    def cells(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return worth and decay of every pool, each (B, Q)."""
        worth = np.repeat(self.worth[None], theta.shape[0], axis=0)
        decay = np.repeat(self.decay[None], theta.shape[0], axis=0)
        w = len(self.worths)
        worth[:, self.worths] = np.exp(theta[:, 3 : 3 + w])
        decay[:, self.decays] = np.exp(theta[:, 3 + w :])
        return worth, decay

    def curve(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return a, b (of samples) and p, each (B,)."""
        p = np.exp(theta[:, 2])
        return theta[:, 0], np.exp(theta[:, 1]) * self.unit**p, p

    def predict(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return performance (B, R) and its derivatives (B, R, K)."""
        worth, decay = self.cells(theta)
        runs, unit = self.runs, self.unit
        passes = runs.passes[None]
        base = worth[:, None, :] * runs.unique[None] / unit
        parts = base * worth_of_passes(self.kind, passes, decay[:, None, :])
        effective = np.maximum(parts.sum(axis=2), 1e-300)
        p = np.exp(theta[:, 2])[:, None]
        short = np.exp(theta[:, 1])[:, None] * effective**-p
        out = np.empty((*short.shape, self.size))
        out[..., 0] = 1.0
        out[..., 1] = -short
        out[..., 2] = short * p * np.log(effective)
        slope = short * p / effective
        w = len(self.worths)
        out[..., 3 : 3 + w] = slope[..., None] * parts[..., self.worths]
        for k, q in enumerate(self.decays):
            at, of = decay[:, None, q], passes[..., q]
            up = worth_of_passes(self.kind, of, at * np.exp(_STEP))
            down = worth_of_passes(self.kind, of, at * np.exp(-_STEP))
            out[..., 3 + w + k] = slope * base[..., q] * (up - down) / (2 * _STEP)
        return theta[:, :1] - short, out

    def bounds(self) -> tuple[Floats, Floats]:
        """Return the least and largest value of every parameter, each (K,)."""
        pairs = [(-1e3, self.ceiling), (-60.0, 60.0), _EXPONENT]
        pairs += [_WORTH] * len(self.worths) + [_DECAY] * len(self.decays)
        low, high = np.array(pairs, float).T
        return low, high


def least_squares(
    model: Model, score: Floats, sigma: Floats, centre: Floats, precision: Floats, start: Floats
) -> tuple[Floats, Floats]:
    """Return the parameters with the least weighted squares plus prior (B, K), and that sum (B,).

    Parameters
    ----------
    model
        Runs and free parameters.
    score
        Performance, (B, R): one row a perturbed copy.
    sigma
        Standard error of a run, (R,).
    centre, precision
        Normal prior, each (B, K); precision 0 for none.
    start
        First guess, (B, K).

    Notes
    -----
    Cost O(B (R K^2 + K^3)) a step, some 10 to 40 steps. Bounds by projection.
    """
    low, high = model.bounds()
    theta = np.clip(start, low, high)
    weight = sigma**-2.0
    damp = np.full(theta.shape[0], 1e-3)

    def cost(found: Floats, predicted: Floats, rows: np.ndarray) -> Floats:
        miss = score[rows] - predicted
        prior = precision[rows] * (found - centre[rows]) ** 2
        return np.asarray((weight * miss * miss).sum(axis=1) + prior.sum(axis=1))

    every = np.arange(theta.shape[0])
    predicted, jacobian = model.predict(theta)
    value = cost(theta, predicted, every)
    going = every
    diagonal = np.arange(model.size)
    for _ in range(_ROUNDS):
        if not going.size:
            break
        j, at = jacobian[going], theta[going]
        weighted = j * weight[None, :, None]
        gradient = np.einsum("brk,br->bk", weighted, score[going] - predicted[going])
        gradient += precision[going] * (centre[going] - at)
        hessian = np.einsum("brk,brl->bkl", weighted, j)
        hessian[:, diagonal, diagonal] += precision[going]
        stuck = ((at <= low) & (gradient < 0)) | ((at >= high) & (gradient > 0))
        gradient = np.where(stuck, 0.0, gradient)
        hessian = np.where(stuck[:, :, None] | stuck[:, None, :], 0.0, hessian)
        scale = np.maximum(hessian[:, diagonal, diagonal], 1e-12)
        hessian[:, diagonal, diagonal] += scale * damp[going, None] + stuck
        root = np.sqrt(np.maximum(hessian[:, diagonal, diagonal], 1e-300))
        scaled = hessian / (root[:, :, None] * root[:, None, :])
        step = np.linalg.solve(scaled, (gradient / root)[..., None])[..., 0] / root
        step[:, 1:] = np.clip(step[:, 1:], -_LARGEST_STEP, _LARGEST_STEP)
        tried = np.clip(at + step, low, high)
        new_predicted, new_jacobian = model.predict(tried)
        new = cost(tried, new_predicted, going)
        better = new <= value[going]
        taken = going[better]
        theta[taken], predicted[taken] = tried[better], new_predicted[better]
        jacobian[taken], value[taken] = new_jacobian[better], new[better]
        damp[going] = np.where(better, np.maximum(damp[going] * 0.2, 1e-12), damp[going] * 5.0)
        small = np.abs(tried - at).max(axis=1) < 1e-10
        going = going[~(small | (damp[going] > 1e12))]
    return theta, value


def starts(model: Model, centre: Floats) -> Floats:
    """Return first guesses around the prior's centre (K,): several exponents and decays, (B, K)."""
    guesses = []
    w = 3 + len(model.worths)
    for p in (0.15, 0.35, 0.7):
        for factor in (0.2, 1.0) if model.decays else (1.0,):
            theta = centre.copy()
            theta[1], theta[2] = 0.0, np.log(p)
            theta[w:] += np.log(factor)
            theta[0] = 0.0
            basis = -model.predict(theta[None])[1][0, :, 1]  # E^-p
            design = np.stack([np.ones(basis.size), -basis], axis=1)
            a, b = np.linalg.lstsq(design, model.runs.score, rcond=None)[0]
            a = min(float(a), model.ceiling)
            b = float(((a - model.runs.score) * basis).sum() / (basis * basis).sum())
            theta[0], theta[1] = a, np.log(max(b, 1e-6))
            guesses.append(theta)
    return np.array(guesses)


def spread(model: Model, theta: Floats, sigma: Floats, precision: Floats) -> Floats:
    """Return the variance of every parameter at the fit (K,), prior of `precision` (K,) included."""
    jacobian = model.predict(theta[None])[1][0]
    hessian = (jacobian * sigma[:, None] ** -2.0).T @ jacobian
    hessian[np.arange(model.size), np.arange(model.size)] += precision + 1e-12
    root = np.sqrt(np.diag(hessian))
    inverse = np.linalg.pinv(hessian / np.outer(root, root), hermitian=True)
    return np.asarray(np.diag(inverse) / root**2)
