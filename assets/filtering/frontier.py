"""Follow the best plan along the budget: switch points, frontier, the next budget up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assets.filtering.candidates import Candidates, list_candidates
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble
from assets.filtering.predict import (
    Setting,
    achieved,
    caps_of,
    describe,
    interval,
    predict_grid,
    quality_order,
    sample_plans,
)

KEEP_PER_BUDGET = 40
GRID = 120


def contenders(ensemble: Ensemble, low: float, high: float, setting: Setting) -> Candidates:
    """Return the plans that are among the best at some budget between ``low`` and ``high``."""
    plans = list_candidates(
        ensemble.available,
        quality_order(ensemble),
        caps_of(ensemble, setting),
        nested_only=setting.nested_only,
    )
    if len(plans.members) <= 2 * KEEP_PER_BUDGET:
        return plans
    keep: set[int] = set(range(len(ensemble.curves.pools)))
    predicted = predict_grid(ensemble, plans, np.geomspace(low, high, 7), setting)
    for row in predicted:
        keep.update(int(i) for i in np.argsort(row, kind="stable")[:KEEP_PER_BUDGET])
    return plans.take(sorted(keep))


def switch_points(
    ensemble: Ensemble, low: float, high: float, setting: Setting | None = None
) -> list[dict[str, Any]]:
    """Return the budgets between ``low`` and ``high`` at which the best plan changes.

    Found on a geometric grid of 120 budgets and refined by bisection to a relative 1e-5; a plan that
    leads only inside one step of the grid may be passed over. Each item: samples, from, to (lists
    of pools); each `from` is the `to` before it.
    """
    setting = setting or Setting()
    plans = contenders(ensemble, low, high, setting)

    grid = np.geomspace(low, high, GRID)
    choice = np.argmin(predict_grid(ensemble, plans, grid, setting), axis=1)
    at = np.flatnonzero(choice[1:] != choice[:-1]) + 1
    left, goal = grid[at - 1].copy(), grid[at].copy()
    first, wanted = choice[at - 1].copy(), choice[at].copy()
    found: list[tuple[float, int, int]] = []
    while left.size:
        low_end, right, last = left.copy(), goal.copy(), wanted.copy()
        while float((right / low_end).max()) > 1 + 1e-5:
            middle = np.sqrt(low_end * right)
            there = np.argmin(predict_grid(ensemble, plans, middle, setting), axis=1)
            same = there == first
            low_end, right = np.where(same, middle, low_end), np.where(same, right, middle)
            last = np.where(same, last, there)
        found += zip(right.tolist(), first.tolist(), last.tolist(), strict=True)
        # a step of the grid may hold several changes: go on until its own plan is reached
        more = (last != wanted) & (right < goal)
        left, goal, first, wanted = right[more], goal[more], last[more], wanted[more]
    found.sort()
    return [
        {
            "samples": samples,
            "from": describe(ensemble, plans, before, samples)["pools"],
            "to": describe(ensemble, plans, after, samples)["pools"],
        }
        for samples, before, after in found
    ]


def frontier(
    ensemble: Ensemble, budgets: Array, setting: Setting | None = None
) -> list[dict[str, Any]]:
    """Return the best plan at each budget with its predicted metric and 80 % interval."""
    setting = setting or Setting()
    plans = contenders(ensemble, float(budgets.min()), float(budgets.max()), setting)
    grid = predict_grid(ensemble, plans, budgets, setting)
    out = []
    for budget, predicted in zip(budgets, grid, strict=True):
        at = int(np.argmin(predicted))
        row = plans.take([at])
        draws = sample_plans(ensemble, row, float(budget), setting)
        low80 = interval(
            ensemble, achieved(draws, ensemble, seed=setting.seed), 0.8, predicted[at : at + 1]
        )[0]
        out.append(
            {
                "budget": float(budget),
                **describe(ensemble, row, 0, float(budget)),
                "predicted": float(ensemble.curves.to_metric(predicted[at])),
                "interval80": low80.tolist(),
                "observed_range": bool(
                    row.spend(float(budget))[0] <= ensemble.curves.samples.max()
                ),
            }
        )
    return out


def plans_by_budget(
    ensemble: Ensemble,
    budgets: Array,
    wanted: Sequence[Sequence[str]],
    setting: Setting | None = None,
) -> list[dict[str, Any]]:
    """Return a row a budget and plan by size: budget, pools, predicted, lo80, hi80, p_best, regret.

    ``wanted`` holds the names of each plan's pools; probabilities and regret are among these plans.
    """
    setting = setting or Setting()
    names = ensemble.curves.pools
    members = np.array([[name in pools for name in names] for pools in wanted])
    plans = Candidates(members, ensemble.available, caps_of(ensemble, setting))
    grid = predict_grid(ensemble, plans, budgets, setting)
    out = []
    for budget, predicted in zip(budgets, grid, strict=True):
        draws = sample_plans(ensemble, plans, float(budget), setting)
        band = interval(ensemble, achieved(draws, ensemble, seed=setting.seed), 0.8, predicted)
        first = np.bincount(np.argmin(draws, axis=1), minlength=len(members)) / len(draws)
        regret = np.mean(draws - draws.min(axis=1, keepdims=True), axis=0)
        metric = ensemble.curves.to_metric(predicted)
        out += [
            {
                "budget": float(budget),
                "pools": "+".join(pools),
                "predicted": float(metric[i]),
                "lo80": float(band[i, 0]),
                "hi80": float(band[i, 1]),
                "p_best": float(first[i]),
                "regret": float(regret[i]),
            }
            for i, pools in enumerate(wanted)
        ]
    return out


def next_budget(
    ensemble: Ensemble, budget: float, pools: list[str], setting: Setting | None = None
) -> list[dict[str, Any]]:
    """Return what twice and ten times the budget would change against the plan ``pools``."""
    setting = setting or Setting()
    total = float(ensemble.available.sum())
    out = []
    for factor in (2.0, 10.0):
        larger = budget * factor
        if setting.max_passes is not None and larger > setting.max_passes * total:
            continue
        row = frontier(ensemble, np.array([larger]), setting)[0]
        added = [p for p in row["pools"] if p not in pools]
        dropped = [p for p in pools if p not in row["pools"]]
        row["changes"] = {"added": added, "dropped": dropped}
        row["factor"] = factor
        out.append(row)
    return out
