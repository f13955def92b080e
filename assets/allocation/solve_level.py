"""Divide a budget over groups exactly by their levels: max-min, leximin and least spend.

One root search on the common level, O(M + G log 1/eps) for G groups whose paths have M segments;
feasibility and the residual of the conditions that hold at the optimum come with every answer.
`solve` has the sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assets.allocation.curves import Curves
from assets.allocation.errors import UnreachableTarget
from assets.allocation.fill import Fill
from assets.allocation.roots import Floats, scalar_root
from assets.allocation.solve import Division, within_budget


def maximise_level(
    fill: Fill, level: Curves, held: Floats, floor_spend: Floats, budget: float, *, leximin: bool
) -> Division:
    """Raise the lowest level as far as the budget goes; with `leximin`, then the next lowest.

    Parameters
    ----------
    fill, held, floor_spend, budget
        As in `maximise_sum`.
    level
        Curves on the chosen level.
    leximin
        False stops where the first group is at its cap and leaves the rest of the budget unspent;
        True goes on with
        the others. Both follow from one root search, because a capped group stays at its cap.
    """
    floor_e = fill.effective(floor_spend)
    top = np.maximum(fill.top_effective, floor_e)

    def plan(t: float) -> Floats:
        return np.clip(level.inverse(np.full(fill.groups, t)) - held, floor_e, top)

    caps = level.value(held + top)
    t_hi = float(caps.max() if leximin else caps.min())
    spare = max(budget - float(floor_spend.sum()), 0.0) / fill.groups
    t_lo = float(level.value(held + fill.effective(floor_spend + spare)).min())
    t_lo = min(t_lo, t_hi)
    if not np.isfinite(t_lo):
        return _finish_level(fill, level, held, floor_e, floor_e, budget, t_lo, caps)
    if float(fill.spend(plan(t_hi)).sum()) <= budget * (1 + 1e-12):
        return _finish_level(fill, level, held, floor_e, plan(t_hi), budget, t_hi, caps)

    def gap(t: float) -> float:
        total = float(fill.spend(plan(t)).sum())
        return float(np.log(min(max(total, budget * 1e-30), budget * 1e30) / budget))

    _, one, other = scalar_root(gap, t_lo, t_hi)
    ends = sorted((one, other))
    t = ends[1] if gap(ends[1]) <= 1e-13 else ends[0]
    return _finish_level(fill, level, held, floor_e, plan(t), budget, t, caps)


def least_spend(
    fill: Fill,
    level: Curves,
    held: Floats,
    floor_spend: Floats,
    target: float,
    names: Sequence[str],
) -> Division:
    """Find the least spend with which every group reaches `target` on the chosen level.

    Raises
    ------
    UnreachableTarget
        Naming the groups that stay below the target with all their data, and how far they get.
    """
    floor_e = fill.effective(floor_spend)
    top = np.maximum(fill.top_effective, floor_e)
    caps = level.value(held + top)
    short = np.flatnonzero(caps < target - 1e-12 * max(1.0, abs(target)))
    if short.size:
        listed = ", ".join(f"{names[g]!r} (at most {caps[g]:.6g})" for g in short[:10])
        msg = (
            f"target {target:g} is out of reach for {short.size} groups: {listed}; lower "
            "objective.target or add data"
        )
        raise UnreachableTarget(msg)
    effective = np.clip(level.inverse(np.full(fill.groups, target)) - held, floor_e, top)
    return _finish_level(
        fill, level, held, floor_e, effective, float(fill.spend(effective).sum()), target, caps
    )


def _finish_level(
    fill: Fill,
    level: Curves,
    held: Floats,
    floor_e: Floats,
    effective: Floats,
    budget: float,
    t: float,
    caps: Floats,
) -> Division:
    effective = within_budget(fill, effective, floor_e, budget)
    spend = fill.spend(effective)
    at = level.value(held + effective)
    moving = (effective > floor_e * (1 + 1e-11)) & (effective < fill.top_effective * (1 - 1e-11))
    residual = max(0.0, float(spend.sum()) / budget - 1.0) if budget > 0 else float(spend.sum())
    if np.isfinite(t):
        residual = max(
            residual, float(np.max(np.abs(at[moving] - t) / max(1.0, abs(t)), initial=0.0))
        )
        lowest = np.minimum(t, caps)
        residual = max(residual, float(np.max((lowest - at) / max(1.0, abs(t)), initial=0.0)))
    gain = level.slope(held + effective) * fill.levels(effective)[1]
    weight = np.zeros(fill.groups)
    with np.errstate(divide="ignore"):
        weight[moving] = 1.0 / gain[moving]
    total = float(weight.sum())
    # moving every group up by dt costs dt * sum 1/gain: its inverse is the worth of budget, and the weights that
    # would make the same plan optimal for a weighted sum are proportional to 1/gain
    if np.isinf(total):  # a group that stands where its curve has ended can't move at any price
        stuck = np.isinf(weight)
        weight = stuck / stuck.sum()
    elif total > 0:
        weight /= total
    bound = np.isfinite(t) and float(spend.sum()) >= budget * (1 - 1e-9)
    price = 1.0 / total if total > 0 and bound else 0.0
    return Division(effective, spend, price, residual, level=t, implied_weight=weight)
