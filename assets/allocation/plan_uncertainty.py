"""What the draws of the curves say about a plan: intervals, and whether it beats simple rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assets.allocation.baselines import rule_spend
from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats
from assets.allocation.stated import Stated

COMPARED = ("equal", "alpha_0.3")


def compare_with_rules(
    stated: Stated, effective: Floats, sizes: Floats, drawn: Sequence[Stated]
) -> dict[str, dict[str, Any]]:
    """Return per rule the 80 % interval of the plan's gain over it, and a verdict.

    The plan is fixed (it comes from the best curves) and judged on every draw, so a gain that only
    the best curves see does not count. Verdicts: `better`, `not distinguishable`, `same plan`.
    """
    if stated.budget is None or not drawn:
        return {}
    out: dict[str, dict[str, Any]] = {}
    for rule in COMPARED:
        spend = rule_spend(rule, stated.fill, sizes, stated.floor_spend, stated.budget)
        other = stated.fill.effective(spend)
        gains = np.array([d.objective(effective)[0] - d.objective(other)[0] for d in drawn])
        gains = gains[~np.isnan(gains)]
        if not gains.size:
            continue
        lo, hi = np.quantile(gains, [0.1, 0.9], method="nearest")
        if np.abs(gains).max() <= 1e-12:
            verdict = "same plan"
        else:
            verdict = "better" if lo > 0 else "not distinguishable"
        out[rule] = {
            "gain_lo80": float(lo) if np.isfinite(lo) else None,
            "gain_hi80": float(hi) if np.isfinite(hi) else None,
            "verdict": verdict,
        }
    return out


def sample_intervals(drawn: Sequence[Stated]) -> tuple[Floats, Floats] | None:
    """Return the 10 % and 90 % quantiles of each cell's optimal samples over the draws.

    Draws whose problem has no answer (a target out of reach) are left out; None where all are.
    Cost: one solve a draw.
    """
    many = []
    for d in drawn:
        try:
            many.append(d.fill.samples(d.divide().effective))
        except AllocationError:
            continue
    if not many:
        return None
    lo, hi = np.quantile(np.stack(many), [0.1, 0.9], axis=0)
    return lo, hi
