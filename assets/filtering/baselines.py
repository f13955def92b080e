"""Name the fixed rules that a plan is held against, and say whether it beats them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.filtering.candidates import Candidates
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble


def baseline_rows(
    ensemble: Ensemble, plans: Candidates, order: npt.NDArray[np.int64], predicted: Array
) -> dict[str, int]:
    """Return the plan of each fixed rule.

    all_data; rs2 (a new random subset of everything each pass: equal to all data in what the laws
    see); best_single_pool; fixed_top_30_percent (best pools that hold at least 30 % of the data);
    single_scale_ranking (the pool that measured best at one common small scale).
    """
    pools = len(order)
    rows: dict[str, int] = {}

    def find(members: list[int]) -> int:
        row = np.zeros(pools, dtype=bool)
        row[members] = True
        at = plans.find(row)
        return int(np.argmin(predicted)) if at is None else at

    rows["all_data"] = find(list(range(pools)))
    rows["rs2"] = rows["all_data"]
    single = [find([p]) for p in range(pools)]
    rows["best_single_pool"] = min(single, key=lambda at: float(predicted[at]))
    share = np.cumsum(plans.unique[order]) / plans.unique.sum()
    rows["fixed_top_30_percent"] = find(
        [int(p) for p in order[: int(np.argmax(share >= 0.3 - 1e-12)) + 1]]
    )
    rows["single_scale_ranking"] = find([single_scale_best(ensemble)])
    return rows


def single_scale_best(ensemble: Ensemble) -> int:
    """Return the pool with the lowest measured error at the scale that most pools share."""
    curves = ensemble.curves
    budgets = np.unique(curves.samples)
    present = [np.unique(curves.pool[curves.samples == n]).size for n in budgets]
    most = max(present)
    # several scales with equally many pools: the smallest that is not the very first, where noise
    # rules
    shared = [n for n, k in zip(budgets, present, strict=True) if k == most]
    scale = shared[min(len(shared) // 3, len(shared) - 1)]
    at = curves.samples == scale
    means = {
        int(p): float(np.mean(curves.error[at & (curves.pool == p)]))
        for p in np.unique(curves.pool[at])
    }
    return min(means, key=lambda p: means[p])


def verdict(plan: dict[str, Any], baselines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return which rules the plan beats with probability 0.8 or more, equals, or is not shown to beat."""
    better, same, unsure = [], [], []
    for name, row in baselines.items():
        if (row["pools"], row["weights"]) == (plan["pools"], plan["weights"]):
            same.append(name)
        elif row["p_plan_better"] >= 0.8:
            better.append(name)
        else:
            unsure.append(name)
    text = f"better than {', '.join(better)} with probability 0.8 or more" if better else ""
    if same:
        text += ("; " if text else "") + f"the plan is the same as {', '.join(same)}"
    if unsure:
        text += ("; " if text else "") + f"not shown to beat {', '.join(unsure)}"
    return {"better_than": better, "same_as": same, "not_shown_to_beat": unsure, "message": text}
