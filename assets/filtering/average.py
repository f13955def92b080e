"""Average laws and mixture assumptions by how well they predict unseen evaluations.

Members: {utility, saturation} x diversity exponent {0, 0.5, 1} x heights {shared, free}. Each is
scored on held-out parts of the curves: the largest budgets of every pool (twice: the upper half,
and the last), the largest size of a pool that was trained at several, random quarters of the runs,
and the mixtures, which no member is ever fitted to. A fit in sample plays no role.

Weights are proportional to prior exp(n (score - best score)), score = mean log density of held-out
evaluations at a common noise level. Members that no held-out evaluation tells apart (the exponent
kappa, when there are neither mixtures nor sub-sampled sizes) keep the weights of the prior, so that
their disagreement shows in the intervals. The prior is even but for kappa: the published rule (1), the
only one that was tested in print, counts as much as 0 and 0.5 together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.filtering.bootstrap import Method, draw, least_keys, row_keys
from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.fit import Fit, fit, varpro_starts
from assets.filtering.laws import LawError, LawName, Parameters, mixture_error
from assets.filtering.levenberg import minimise
from assets.filtering.problem import Heights
from assets.filtering.utility import Form

KAPPAS = (0.0, 0.5, 1.0)
KAPPA_PRIOR = {0.0: 0.25, 0.5: 0.25, 1.0: 0.5}
LEAST_WEIGHT = 0.02
#: held-out evaluations of one study are not independent; they count half
TEMPER = 0.5
#: drift where no held-out budget can show any
UNKNOWN_DRIFT = 0.02
Choice = Literal["average", "utility", "saturation", "power", "data_constrained"]


@dataclass(frozen=True)
class Member:
    """Hold one law under one mixture assumption, its held-out score and weight."""

    law: LawName
    kappa: float
    heights: Heights
    fitted: Fit
    score: float
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """Hold weighted members, their draws, and what was learned about errors of extrapolation.

    ``drift`` is the standard deviation of ln(reducible error) a unit of ln(samples) beyond the data
    that held-out budgets show above noise and parameter uncertainty (0.02 where there are fewer than
    four budgets in each pool, so that none can be held out). ``available``: unique samples
    of each pool that plans may draw; it is the largest ``pool_unique`` of the curves unless stated,
    as after proxy runs on samples.
    """

    curves: Curves
    members: tuple[Member, ...]
    points: tuple[Parameters, ...]
    draws: tuple[Parameters, ...]
    sigma: float
    drift: float
    available: Array

    def weights(self) -> Array:
        """Return the members' weights."""
        return np.array([member.weight for member in self.members])

    def predict(
        self, samples: Array, weights: Array, unique: Array, *, model_size: float | None = None
    ) -> Array:
        """Return predicted errors, shape (points,): the weighted mean of the members' best fits."""
        values = [
            mixture_error(p, samples, weights, unique, model_size=model_size)[0]
            for p in self.points
        ]
        return np.asarray(np.average(np.stack(values), axis=0, weights=self.weights()))

    def sample(
        self,
        samples: Array,
        weights: Array,
        unique: Array,
        *,
        model_size: float | None = None,
        inflate: float | Array = 1.0,
        seed: int = 0,
    ) -> Array:
        """Return draws of the true error, shape (draws, points), errors of extrapolation included.

        One disturbance a draw is shared by all points, as a wrong law errs alike for similar plans.
        ``inflate``, one number or one a point, multiplies the spread about the mean: the price of what
        the curves cannot say.
        """
        parts = [
            mixture_error(p, samples, weights, unique, model_size=model_size) for p in self.draws
        ]
        values = np.concatenate(parts, axis=0)
        floors = np.concatenate([p.floor for p in self.draws])[:, None]
        noise = np.random.Generator(np.random.PCG64([seed, 17])).standard_normal((len(values), 1))
        beyond = np.maximum(np.log(samples / self.curves.samples.max()), 0.0)[None, :]
        values = floors + np.maximum(values - floors, 0.0) * np.exp(noise * self.drift * beyond)
        center = np.mean(values, axis=0, keepdims=True)
        return np.asarray(center + inflate * (values - center))


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


def _mixture_residuals(curves: Curves, parameters: Parameters) -> Array:
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


def candidates(
    curves: Curves,
    law: Choice,
    *,
    form: Form,
    kappa: float | None,
    floor: float | None = None,
    anchor: float | None = None,
) -> list[tuple[LawName, float, Heights, Fit]]:
    """Fit every member of the average, or the one law asked for (as published: kappa 1, one anchor).

    Where repeats at several sizes of a pool show how its half-life grows with size, every exponent is
    tried there. In the average it is the diversity exponent of mixtures too (a pool cut in parts and
    mixed again is the pool); one law keeps the mixture rule that was published or asked for.
    """
    sizes = [np.unique(curves.unique[curves.pool == p]).size for p in range(len(curves.pools))]
    # without repeats at several sizes the exponent cannot touch the fit
    shown = max(sizes) > 1 and bool(curves.passes.max() > 1.0) and law != "power"
    tried = KAPPAS if kappa is None else (kappa,)
    names: tuple[LawName, ...] = ("utility", "saturation") if law == "average" else (law,)
    heights: tuple[Heights, ...] = ("shared",)
    if law == "average":
        pairs = [(value, value if shown else 0.0) for value in tried]
        if len(curves.pools) > 1 and anchor is None:
            heights = ("shared", "free")
    else:
        mixing = 1.0 if kappa is None else kappa
        pairs = [(mixing, value) for value in (tried if shown else (0.0,))]
    out: list[tuple[LawName, float, Heights, Fit]] = []
    for name in names:
        for height in heights:
            done: dict[float, Fit] = {}
            for value, size_kappa in pairs:
                if size_kappa not in done:
                    done[size_kappa] = fit(
                        curves,
                        name,
                        form=form,
                        size_kappa=size_kappa,
                        heights=height,
                        floor=floor,
                        anchor=anchor,
                    )
                out.append((name, value, height, done[size_kappa]))
    return out


def average(
    curves: Curves,
    *,
    law: Choice = "average",
    form: Form = "paper",
    kappa: float | None = None,
    bootstraps: int = 200,
    seed: int = 0,
    method: Method = "auto",
    floor: float | None = None,
    anchor: float | None = None,
    pool_sizes: Mapping[str, float] | None = None,
) -> Ensemble:
    """Fit, score, weigh and draw.

    Parameters
    ----------
    curves
        What to fit.
    law, form, kappa
        ``average`` or one name; paper or code form; a fixed diversity exponent.
    bootstraps
        Number of draws in all, shared out by weight.
    pool_sizes
        Unique samples that each pool really has, where the curves come from samples of it.
    seed, method
        Of the draws.
    floor, anchor
        Fix the shared floor or n0.

    Returns
    -------
    Ensemble
        Cost: about 0.1 s a distinct fit, for 5 pools, and as much for 200 draws.
    """
    available = curves.pool_sizes if pool_sizes is None else _available(curves, pool_sizes)
    fits = candidates(curves, law, form=form, kappa=kappa, floor=floor, anchor=anchor)
    keys = row_keys(fits[0][3])
    parts = folds(curves, keys)
    errors: dict[int, tuple[list[Array], list[Array]]] = {}
    for _, _, _, fitted in fits:
        if id(fitted) not in errors:
            errors[id(fitted)] = held_out_errors(fitted, parts) if parts else ([], [])
    squared: list[list[float]] = []
    for _, value, _, fitted in fits:
        row = [float(np.mean(e**2)) for e in errors[id(fitted)][0]]
        mixture = _mixture_residuals(
            curves, fitted.problem.parameters(fitted.theta[None, :], kappa=value)
        )
        if mixture.size:
            row.append(float(np.mean(mixture**2)))
        squared.append(row)
    names = [part.name for part in parts] + (["mixtures"] if curves.mixtures else [])
    sigma = float(min(fitted.sigma for *_, fitted in fits))
    scores = _scores(np.array(squared), names, sigma)
    held = sum(int(part.held.sum()) for part in parts if part.name == "upper") + len(
        curves.mixtures
    )
    prior = np.array([KAPPA_PRIOR.get(value, 1.0) for _, value, *_ in fits])
    weight = prior * np.exp(TEMPER * max(held, 1) * (scores - scores.max()))
    weight = weight / weight.sum()
    weight = np.where(weight < LEAST_WEIGHT * weight.max(), 0.0, weight)
    weight = weight / weight.sum()
    counts = _shares(weight, max(bootstraps, int((weight > 0).sum())))
    # members that share a fit share its draws, each its own slice
    needed: dict[int, int] = {}
    for (*_, fitted), count in zip(fits, counts, strict=True):
        needed[id(fitted)] = needed.get(id(fitted), 0) + count
    distinct = {id(fitted): fitted for *_, fitted in fits if needed[id(fitted)]}
    theta = {
        key: draw(fitted, needed[key], seed=seed, method=method) for key, fitted in distinct.items()
    }
    members, points, draws = [], [], []
    used: dict[int, int] = {}
    drift = 0.0
    for (name, value, height, fitted), score, part, count in zip(
        fits, scores, weight, counts, strict=True
    ):
        if part == 0.0 or count == 0:
            continue
        start = used.get(id(fitted), 0)
        used[id(fitted)] = start + count
        members.append(Member(name, value, height, fitted, float(score), float(part)))
        points.append(fitted.parameters(kappa=value))
        block = theta[id(fitted)][start : start + count]
        draws.append(fitted.problem.parameters(block, kappa=value))
        drift += float(part) * _drift(fitted, parts, *errors[id(fitted)])
    return Ensemble(
        curves=curves,
        members=tuple(members),
        points=tuple(points),
        draws=tuple(draws),
        sigma=float(
            np.average([m.fitted.sigma for m in members], weights=[m.weight for m in members])
        ),
        drift=drift,
        available=available,
    )


def _available(curves: Curves, pool_sizes: Mapping[str, float]) -> Array:
    out = []
    for name in curves.pools:
        size = float(pool_sizes.get(name, float("nan")))
        if not size > 0:
            message = (
                f"pool_sizes gives no positive size for pool {name!r}; state its unique samples"
            )
            raise LawError(message)
        out.append(size)
    return np.array(out)


def _scores(squared: Array, names: list[str], sigma: float) -> Array:
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


def _shares(weight: Array, draws: int) -> list[int]:
    exact = weight * draws
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: draws - int(counts.sum())]] += 1
    return [int(c) for c in counts]


def _drift(fitted: Fit, parts: list[Fold], errors: list[Array], variances: list[Array]) -> float:
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
