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

import numpy as np

from assets.filtering.bootstrap import Method, draw, row_keys
from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.ensemble import Choice, Ensemble, Member
from assets.filtering.fit import Fit, fit
from assets.filtering.held_out import (
    extrapolation_drift,
    folds,
    held_out_errors,
    held_out_scores,
    mixture_residuals,
)
from assets.filtering.laws import LawError, LawName
from assets.filtering.problem import Heights
from assets.filtering.utility import Form

KAPPAS = (0.0, 0.5, 1.0)
KAPPA_PRIOR = {0.0: 0.25, 0.5: 0.25, 1.0: 0.5}
LEAST_WEIGHT = 0.02
#: held-out evaluations of one study are not independent; they count half
TEMPER = 0.5


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
        mixture = mixture_residuals(
            curves, fitted.problem.parameters(fitted.theta[None, :], kappa=value)
        )
        if mixture.size:
            row.append(float(np.mean(mixture**2)))
        squared.append(row)
    names = [part.name for part in parts] + (["mixtures"] if curves.mixtures else [])
    sigma = float(min(fitted.sigma for *_, fitted in fits))
    scores = held_out_scores(np.array(squared), names, sigma)
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
        drift += float(part) * extrapolation_drift(fitted, parts, *errors[id(fitted)])
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


def _shares(weight: Array, draws: int) -> list[int]:
    exact = weight * draws
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: draws - int(counts.sum())]] += 1
    return [int(c) for c in counts]
