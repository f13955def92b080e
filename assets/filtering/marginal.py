"""Say what one more pool, more unique data or more compute would change, and where the laws disagree."""

from __future__ import annotations

from typing import Any

import numpy as np

from assets.filtering.candidates import Candidates
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble
from assets.filtering.laws import mixture_error
from assets.filtering.predict import Setting, describe, predict_grid, predict_plans


def disagreement(
    ensemble: Ensemble, plans: Candidates, budget: float, setting: Setting
) -> dict[str, Any]:
    """Return each law's own choice and its cost under the others; ``flag`` where they differ."""
    unique = np.broadcast_to(plans.unique, plans.members.shape)
    values: dict[str, Array] = {}
    for member, point in zip(ensemble.members, ensemble.points, strict=True):
        error = mixture_error(
            point, plans.spend(budget), plans.weights, unique, model_size=setting.model_size
        )[0]
        sizes = member.fitted.problem.size_kappa
        name = f"{member.law}, kappa {member.kappa:g}, {member.heights} heights"
        if sizes not in (0.0, member.kappa):
            name += f", sizes {sizes:g}"
        values[name] = error
    choices, cost = {}, 0.0
    best = {name: int(np.argmin(error)) for name, error in values.items()}
    for name, at in best.items():
        choices[name] = describe(ensemble, plans, at, budget)["pools"]
        cost = max([cost, *(float(error[at] - error.min()) for error in values.values())])
    return {
        "flag": len({tuple(pools) for pools in choices.values()}) > 1,
        "choices": choices,
        "largest_regret": cost,
    }


def marginal(
    ensemble: Ensemble, plans: Candidates, chosen: int, budget: float, setting: Setting
) -> dict[str, Any]:
    """Return what one more pool, one more unit of unique data and of compute would change.

    ``next_pool``: change of the metric by adding the best further pool now (to free shares with a
    tenth of the samples), and the budget at which adding it starts to pay. ``unique_data``: d error
    / d ln U of each drawn pool. ``compute``: d error / d ln budget.
    """
    curves = ensemble.curves
    members = plans.members[chosen]
    out: dict[str, Any] = {}

    def error_of(rows: Candidates, at: float) -> Array:
        return predict_plans(ensemble, rows, at, setting)

    base = float(error_of(plans.take([chosen]), budget)[0])
    others = np.flatnonzero(~members)
    if others.size:
        extended = np.repeat(members[None, :], len(others), axis=0)
        extended[np.arange(len(others)), others] = True
        shares = None
        if plans.shares is not None:
            shares = np.repeat(0.9 * plans.shares[chosen][None, :], len(others), axis=0)
            shares[np.arange(len(others)), others] = 0.1
        grown = Candidates(extended, plans.unique, plans.caps, shares)
        gains = error_of(grown, budget)
        pick = int(np.argmin(gains))
        pays = _pays_from(ensemble, plans.take([chosen]), grown.take([pick]), budget, setting)
        out["next_pool"] = {
            "pool": curves.pools[int(others[pick])],
            "error_change": float(gains[pick] - base),
            "pays_from_samples": pays,
        }
    slopes = {}
    own = None if plans.shares is None else plans.shares[chosen][None, :]
    for pool in np.flatnonzero(members):
        more = plans.unique.copy()
        more[pool] *= 1.01
        row = Candidates(members[None, :], more, plans.caps, own)
        value = float(error_of(row, budget)[0])
        slopes[curves.pools[int(pool)]] = (value - base) / float(np.log(1.01))
    out["unique_data"] = slopes
    value = float(error_of(plans.take([chosen]), budget * 1.01)[0])
    out["compute"] = (value - base) / float(np.log(1.01))
    return out


def _pays_from(
    ensemble: Ensemble, now: Candidates, more: Candidates, budget: float, setting: Setting
) -> float | None:
    """Return the least budget, up to 100 times this one, at which ``more`` wins."""
    grid = budget * np.geomspace(1.0, 100.0, 33)
    for step in range(4):
        wins = predict_grid(ensemble, more, grid, setting) < predict_grid(
            ensemble, now, grid, setting
        )
        first = int(np.argmax(wins[:, 0]))
        if not wins.any():
            return None
        if first == 0 and step == 0:
            return float(budget)
        # the change lies in one step of the grid: look there again, 32 times finer
        low, high = float(grid[max(first - 1, 0)]), float(grid[first])
        grid = np.geomspace(low, high, 33)
    return float(high)
