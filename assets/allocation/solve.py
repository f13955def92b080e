"""Divide a budget over groups exactly for a sum (weighted, isoelastic), for concave paths.

A root search on the logarithm of the shadow price, O(M + G log 1/eps) for G groups whose paths have
M segments. Feasibility, the KKT residual and a duality certificate are computed for every answer and
returned with it. `solve_level` has max-min, leximin and least spend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from assets.allocation.curves import Welfare
from assets.allocation.errors import AllocationError
from assets.allocation.fill import Fill
from assets.allocation.response import Response
from assets.allocation.roots import Floats, scalar_root

ON_A_POINT = 1e-11
"""Share of a size by which a root may miss a point of a tabulated curve."""


@dataclass(frozen=True)
class Division:
    """An optimal division.

    `effective` new effective samples and `spend` per group; `price` the shadow price (objective per
    unit of budget);
    `level` the common level (max-min, leximin, least spend) or None; `residual` the largest
    relative violation of
    feasibility and of the KKT conditions; `gap` the duality certificate D(price) - W of a sum, 0 at
    the optimum.
    """

    effective: Floats
    spend: Floats
    price: float
    residual: float
    level: float | None = None
    gap: float | None = None
    implied_weight: Floats = field(default_factory=lambda: np.zeros(0))


def maximise_sum(
    fill: Fill, welfare: Welfare, held: Floats, floor_spend: Floats, budget: float
) -> Division:
    """Maximise sum_g w_g u(f_g(held_g + E_g)) subject to total spend <= budget.

    Parameters
    ----------
    fill
        Paths of the groups.
    welfare
        Curves (on the chosen level), weights and aversion.
    held, floor_spend
        Effective samples already held; least spend per group. Shape (G,).
    budget
        Total spend allowed; must cover the floors.

    Notes
    -----
    On pieces where the objective is linear the optimum is not unique and the spend jumps at the
    price; both sides are
    then mixed so that the budget is met exactly.
    """
    floor_e = fill.effective(floor_spend)
    useful = np.where(welfare.weight > 0, np.maximum(fill.top_effective, floor_e), floor_e)
    _check_positive(fill, welfare, held, floor_spend, budget)
    if fill.spend(np.minimum(useful, fill.top_effective)).sum() <= budget * (1 + 1e-12):
        return _finish_sum(
            fill, welfare, held, floor_e, np.minimum(useful, fill.top_effective), 0.0, budget
        )
    if budget <= 0 or floor_spend.sum() >= budget * (1 - 1e-14):
        right = welfare.marginal(held + floor_e) * fill.levels(floor_e)[1]
        return _finish_sum(fill, welfare, held, floor_e, floor_e, float(right.max()), budget)
    response = Response(fill, welfare, held)

    def plan(log_price: float) -> Floats:
        return np.maximum(response.at(float(np.exp(log_price))), floor_e)

    def gap(log_price: float) -> float:
        total = float(fill.spend(plan(log_price)).sum())
        return float(np.log(max(total, budget * 1e-30) / budget))

    even = np.maximum(fill.effective(np.full(fill.groups, budget / fill.groups)), floor_e)
    guess = welfare.marginal(held + even, left=True) * fill.levels(even)[0]
    usable = guess[(guess > 0) & np.isfinite(guess)]
    centre = float(np.log(np.median(usable))) if usable.size else 0.0
    lo, hi = _bracket(gap, centre)
    if lo is None:
        # the curves are flat before the budget ends: more spend buys nothing
        return _finish_sum(fill, welfare, held, floor_e, plan(-690.0), 0.0, budget)
    best, one, other = scalar_root(gap, lo, hi)
    cheap, dear = plan(max(one, other)), plan(min(one, other))
    s_cheap, s_dear = fill.spend(cheap), fill.spend(dear)
    room, jump = budget - s_cheap.sum(), s_dear.sum() - s_cheap.sum()
    if jump > 1e-13 * budget:
        effective = fill.effective(s_cheap + np.clip(room / jump, 0.0, 1.0) * (s_dear - s_cheap))
    else:
        effective = cheap
    effective = np.maximum(effective, floor_e)
    return _finish_sum(fill, welfare, held, floor_e, effective, float(np.exp(best)), budget)


def _bracket(gap: Callable[[float], float], centre: float) -> tuple[float | None, float]:
    step, lo, hi = 1.0, centre, centre
    while hi < 690.0 and gap(hi) > 0:
        lo, hi, step = hi, min(hi + step, 690.0), step * 3
    if lo == hi or gap(lo) < 0:
        lo = hi - 1.0
        step = 1.0
        while gap(lo) < 0:
            if lo <= -690.0:
                return None, hi
            hi, lo, step = lo, max(lo - step, -690.0), step * 3
    return lo, hi


def _check_positive(
    fill: Fill, welfare: Welfare, held: Floats, floor_spend: Floats, budget: float
) -> None:
    if welfare.aversion == 0:
        return
    need = np.maximum(welfare.curves.inverse(0.0) - held, 0.0)
    need = np.where(welfare.weight > 0, need, 0.0)
    least = np.maximum(fill.spend(need), floor_spend)
    if not np.isfinite(least).all():
        bad = np.flatnonzero(~np.isfinite(least)).tolist()
        msg = (
            f"isoelastic welfare needs a level above 0, which groups at positions {bad} do not "
            "reach with all their "
            "data: choose another level, or set their weight to 0"
        )
        raise AllocationError(msg)
    if least.sum() > budget:
        msg = (
            f"isoelastic welfare needs every level above 0; that alone costs {least.sum():.6g}, "
            "more than the "
            f"budget {budget:.6g}: raise the budget or choose another objective"
        )
        raise AllocationError(msg)


def _finish_sum(
    fill: Fill,
    welfare: Welfare,
    held: Floats,
    floor_e: Floats,
    effective: Floats,
    price: float,
    budget: float,
) -> Division:
    effective = within_budget(fill, effective, floor_e, budget)
    spend = fill.spend(effective)
    residual = max(0.0, float(spend.sum()) / budget - 1.0) if budget > 0 else float(spend.sum())
    before, after = fill.levels(effective)
    gap = 0.0
    if price > 0:
        free = (effective > floor_e * (1 + 1e-11)) & (spend > 0)
        open_ = (effective < fill.top_effective * (1 - 1e-11)) & (welfare.weight > 0)
        with np.errstate(invalid="ignore", over="ignore"):
            left = welfare.marginal(held + effective, left=True, reach=ON_A_POINT) * before / price
            right = welfare.marginal(held + effective, reach=ON_A_POINT) * after / price
        residual = max(residual, abs(1.0 - float(spend.sum()) / budget) if budget > 0 else 0.0)
        residual = max(residual, float(np.max(1.0 - left[free], initial=0.0)))
        if budget > floor_spend_total(fill, floor_e) * (1 + 1e-12):
            residual = max(residual, float(np.max(right[open_] - 1.0, initial=0.0)))
        gap = certificate(fill, welfare, held, floor_e, effective, price, budget)
    return Division(effective, spend, price, residual, gap=gap)


def within_budget(fill: Fill, effective: Floats, floor_e: Floats, budget: float) -> Floats:
    """Take back, in proportion above the floors, what rounding spent beyond the budget."""
    spend, least = fill.spend(effective), fill.spend(floor_e)
    over, above = float(spend.sum()) - budget, float((spend - least).sum())
    if over <= 1e-15 * budget or above <= 0 or not np.isfinite(over):
        return effective
    return fill.effective(least + max(1.0 - over / above, 0.0) * (spend - least))


def floor_spend_total(fill: Fill, floor_e: Floats) -> float:
    """Return what the floors cost together."""
    return float(fill.spend(floor_e).sum())


def certificate(
    fill: Fill,
    welfare: Welfare,
    held: Floats,
    floor_e: Floats,
    effective: Floats,
    price: float,
    budget: float,
) -> float:
    """Return D(price) - W >= 0: how far any plan can be above this one.

    D(price) = price * budget + sum_g max_E [w u(f(held + E)) - price * spend(E)] bounds every
    feasible plan, for any
    price > 0 (weak duality), so a wrong price only loosens the bound.
    """
    best = np.maximum(Response(fill, welfare, held).at(price), floor_e)
    with np.errstate(invalid="ignore"):
        gain = welfare.terms(held + best) - welfare.terms(held + effective)
    if not np.isfinite(gain).all():
        return float("inf")
    saved = fill.spend(effective) - fill.spend(best)
    return max(
        0.0, float((gain + price * saved).sum() + price * (budget - fill.spend(effective).sum()))
    )
