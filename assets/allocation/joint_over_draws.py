"""Plan a joint problem on all draws of its parameters: the mean of a sum, the worst draw of a level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from assets.allocation.curves import Curves, Welfare
from assets.allocation.errors import AllocationError, UnreachableTarget
from assets.allocation.joint_effective import Effective
from assets.allocation.joint_slices import Slices, slices_of
from assets.allocation.over_draws import Draws
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS

_EXCHANGES, _TOLERANCE, _HALVINGS = 20_000, 1e-7, 50


def plan_over_draws(
    drawn: Sequence[Effective], start: Floats, how: Draws
) -> tuple[Floats, float, float]:
    """Return samples of the cells, the objective over the draws, and how far a plan could be above it.

    Parameters
    ----------
    drawn
        The problem on every draw.
    start
        Samples of the cells that the budget can pay (the optimum on the best parameters).
    how
        `mean` goes with weighted_sum and isoelastic, `worst` with max_min, leximin and min_cost.

    Raises
    ------
    AllocationError
        Another pair, floors, no draw, a welfare that is not finite, or a target out of reach.

    Notes
    -----
    Mean: exchanges between the best and the worst slice until no exchange helps; concave, so the
    linear bound on what is left is the certificate. Worst: least spend of a group for a level on all draws
    is a linear programme; the level by halving, its bracket is the certificate.
    """
    if not drawn:
        msg = "draws, field plan: the problem has no answer on any draw"
        raise AllocationError(msg)
    first = drawn[0]
    stated = first.stated
    if (stated.kind in SUMS) != (how == "mean"):
        msg = (
            f"draws, field plan: {how} does not go with {stated.kind}; use mean with weighted_sum and "
            "isoelastic, worst with max_min, leximin and min_cost"
        )
        raise AllocationError(msg)
    if first.floors.any():
        name = stated.names[int(np.flatnonzero(first.floors)[0])]
        msg = f"group {name!r}, field floor: floors don't go with draws.plan; leave one of them out"
        raise AllocationError(msg)
    slices = slices_of(drawn)
    return _mean(drawn, slices, start) if how == "mean" else _worst(drawn, slices, start)


def _stacked(drawn: Sequence[Effective]) -> Curves:
    """Return the level curves of all draws, draw by draw."""
    names = ("form", "a", "b", "p", "offset", "scale", "shift")
    columns = [np.concatenate([getattr(d.stated.level, n) for d in drawn]) for n in names]
    form, a, b, p, offset, scale, shift = columns
    return Curves(form, a, b, p, offset, scale, shift)


def _mean(drawn: Sequence[Effective], slices: Slices, start: Floats) -> tuple[Floats, float, float]:
    stated, count = drawn[0].stated, len(drawn)
    groups = stated.weight.size
    level = _stacked(drawn)
    aversion = stated.aversion if stated.kind == "isoelastic" else 0.0
    welfare = [
        Welfare(
            level.take(np.arange(g, count * groups, groups)),
            np.full(count, stated.weight[g] / count),
            aversion,
        )
        for g in range(groups)
    ]
    of = [np.flatnonzero(slices.group == g) for g in range(groups)]
    y = slices.fill(start)
    effective = [stated.held[g] + slices.gain[:, of[g]] @ y[of[g]] for g in range(groups)]
    value = sum(float(w.total(e)) for w, e in zip(welfare, effective, strict=True))
    if not np.isfinite(value):
        msg = "draws, field plan: the welfare is not finite on every draw; choose another objective"
        raise AllocationError(msg)
    key = np.zeros(y.size)
    rate = slices.gain / slices.cost

    def refresh(g: int) -> None:
        key[of[g]] = welfare[g].marginal(effective[g]) @ rate[:, of[g]]

    for g in range(groups):
        refresh(g)
    for _ in range(_EXCHANGES):
        to = int(np.argmax(np.where(y < slices.size * (1 - 1e-12), key, -np.inf)))
        away = int(np.argmin(np.where(y > slices.size * 1e-12, key, np.inf)))
        if key[to] - key[away] <= _TOLERANCE * key[to]:
            break
        most = min((slices.size[to] - y[to]) * slices.cost[to], y[away] * slices.cost[away])
        g, h = int(slices.group[to]), int(slices.group[away])
        up, down = rate[:, to], rate[:, away]

        def ahead(t: float, g: int = g, h: int = h, up: Floats = up, down: Floats = down) -> float:
            if g == h:
                at = welfare[g].marginal(effective[g] + t * (up - down))
                return float(at @ (up - down))
            gain = welfare[g].marginal(effective[g] + t * up) @ up
            return float(gain - welfare[h].marginal(effective[h] - t * down) @ down)

        t = most
        if ahead(most) < 0:
            low, t = 0.0, most
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + t)
                low, t = (middle, t) if ahead(middle) > 0 else (low, middle)
            t = low
        y[to] = min(y[to] + t / slices.cost[to], slices.size[to])
        y[away] = max(y[away] - t / slices.cost[away], 0.0)
        for k in {g, h}:
            effective[k] = stated.held[k] + slices.gain[:, of[k]] @ y[of[k]]
            refresh(k)
    value = sum(float(w.total(e)) for w, e in zip(welfare, effective, strict=True))
    return slices.samples(y), value, _left(slices, key, y, float(stated.budget or 0.0))


def _left(slices: Slices, key: Floats, y: Floats, budget: float) -> float:
    """Return what the linear model of the welfare at `y` could still gain within the budget."""
    order = np.argsort(-key, kind="stable")
    spend = (slices.size * slices.cost)[order]
    before = np.cumsum(spend) - spend
    best = float(key[order] @ np.clip(budget - before, 0.0, spend))
    return max(best - float(key @ (y * slices.cost)), 0.0)


def _worst(
    drawn: Sequence[Effective], slices: Slices, start: Floats
) -> tuple[Floats, float, float]:
    stated = drawn[0].stated
    groups = stated.weight.size
    of = [np.flatnonzero(slices.group == g) for g in range(groups)]

    def levels(y: Floats) -> Floats:
        """Return the worst draw's level of every group."""
        total = np.stack(
            [stated.held[g] + slices.gain[:, of[g]] @ y[of[g]] for g in range(groups)], axis=1
        )
        rows = [d.stated.level.value(e) for d, e in zip(drawn, total, strict=True)]
        return np.asarray(np.min(rows, axis=0))

    most = levels(slices.size)

    def least(level: float) -> tuple[float, Floats]:
        """Return the least spend for `level` in every group (as far as it can), and the slices."""
        y = np.zeros(slices.size.size)
        need = np.stack(
            [d.stated.level.inverse(np.minimum(level, most)) - stated.held for d in drawn]
        )
        for g in range(groups):
            y[of[g]] = _cheapest(slices, of[g], need[:, g])
        return float(y @ slices.cost), y

    if stated.kind == "min_cost":
        target = float(stated.target or 0.0)
        far = [stated.names[g] for g in np.flatnonzero(most < target).tolist()]
        if far:
            msg = (
                f"groups {far[:10]}, field target: out of reach on the worst draw with all their data; "
                "lower the target, or plan on the best parameters"
            )
            raise UnreachableTarget(msg)
        spend, y = least(target)
        return slices.samples(y), spend, 0.0
    low = float(levels(slices.fill(start)).min())
    high = float(most.max() if stated.kind == "leximin" else most.min())
    budget = float(stated.budget or 0.0)
    spend, y = least(high)
    if spend <= budget * (1 + 1e-9):
        return slices.samples(y), high, 0.0
    y = slices.fill(start)
    while high - low > 1e-7 * max(abs(high), 1e-3):
        middle = 0.5 * (low + high)
        spend, tried = least(middle)
        if spend <= budget:
            low, y = middle, tried
        else:
            high = middle
    return slices.samples(y), float(levels(y).min()), high - low


def _cheapest(slices: Slices, of: np.ndarray, need: Floats) -> Floats:
    """Return the cheapest slices of one group with `need` effective samples (D,) on every draw."""
    scale = max(float(need.max()), 1e-300)
    if need.max() <= 0:
        return np.zeros(of.size)
    size = slices.size[of]
    gain = slices.gain[:, of] * size / scale
    bound = np.minimum(
        need / scale, gain.sum(axis=1)
    )  # rounding must not make a full group infeasible
    price = slices.cost[of] * size
    found = linprog(price / price.max(), A_ub=-gain, b_ub=-bound, bounds=(0.0, 1.0), method="highs")
    if found.x is None:
        return np.asarray(size)
    return np.asarray(np.clip(found.x, 0.0, 1.0) * size)
