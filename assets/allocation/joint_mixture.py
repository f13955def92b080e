"""Divide a budget over groups under the differential-mixture law.

Every group collapses to one curve f*(n). Under a cap on passes f* can fall, so budget may stay
unspent (free disposal:
the running maximum of f* counts). Max-min, leximin and least spend need only that this is monotone
and are exact.
A sum is not concave: dynamic programme over a grid of spends, then exact pairwise exchange; the
distance to the bound
from the concave hull is returned as `gap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assets.allocation.errors import UnreachableTarget
from assets.allocation.mixture import MixtureGroup
from assets.allocation.roots import Floats, scalar_root

_GRID = 600


@dataclass(frozen=True)
class MixtureDivision:
    """Samples per group, the objective, and (sums) how far above it the concave-hull bound is."""

    samples: Floats
    objective: float
    gap: float | None


class _Curve:
    """Running maximum of one group's f* in spend, with the inverse at a level."""

    def __init__(
        self,
        group: MixtureGroup,
        cost: float,
        budget: float | None,
        level: Callable[[Floats], Floats],
    ) -> None:
        self.group, self.cost, self.level = group, cost, level
        most = group.most if budget is None else min(group.most, budget / cost)
        most = min(most, group.n0 * 1e15)
        whole = [p.unique * k for p in group.pools for k in range(1, 9)]
        grid = np.concatenate([np.geomspace(min(group.n0, most) * 1e-3, most, _GRID), whole])
        self.n = np.unique(grid[grid <= most])
        self.f = level(group.value(self.n))
        self.best = np.maximum.accumulate(self.f)

    @property
    def top(self) -> float:
        return float(self.best[-1])

    def least(self, target: float) -> float:
        """Return the least n whose level is >= target (infinity where none is)."""
        if target > self.top:
            return float("inf")
        at = int(np.searchsorted(self.best, target, side="left"))
        if at == 0:
            return float(self.n[0])

        def gap(log_n: float) -> float:
            value = float(self.level(self.group.value(np.array([np.exp(log_n)])))[0])
            return max(value - target, -1e6)

        _, one, other = scalar_root(gap, float(np.log(self.n[at - 1])), float(np.log(self.n[at])))
        return float(np.exp(max(one, other)))

    def fill(self, n: float) -> float:
        """Return the n' <= n that gives the running maximum at n."""
        upto = int(np.searchsorted(self.n, n, side="right"))
        if upto == 0:
            return n
        k = int(np.argmax(self.f[:upto]))
        here = float(self.level(self.group.value(np.array([n])))[0])
        return n if here >= self.f[k] else float(self.n[k])


def mixture_level(
    groups: Sequence[MixtureGroup],
    cost: Floats,
    budget: float,
    *,
    leximin: bool,
    levels: Sequence[Callable[[Floats], Floats]],
) -> MixtureDivision:
    """Raise the lowest level (max-min), and with `leximin` then the next lowest, and so on."""
    curves = [_Curve(g, float(c), budget, f) for g, c, f in zip(groups, cost, levels, strict=True)]
    tops = np.array([c.top for c in curves])

    def plan(t: float) -> Floats:
        return np.array([c.least(min(t, c.top)) for c in curves])

    hi = float(tops.max() if leximin else tops.min())
    if float((plan(hi) * cost).sum()) <= budget:
        n = plan(hi)
    else:
        share = budget / len(curves) / cost
        lo = min(
            float(np.interp(s, c.n, c.best)) - 1e-9 for s, c in zip(share, curves, strict=True)
        )
        lo = min(lo, hi - 1e-9, *(float(c.f[0]) for c in curves))
        _, one, other = scalar_root(
            lambda t: float(np.log((plan(t) * cost).sum() / budget)), lo, hi
        )
        n = plan(min(one, other))
        if (n * cost).sum() > budget * (1 + 1e-12):
            n *= budget / (n * cost).sum()
    value = min(
        float(f(g.value(np.array([x])))[0]) for g, x, f in zip(groups, n, levels, strict=True)
    )
    return MixtureDivision(n, value, None)


def mixture_least_spend(
    groups: Sequence[MixtureGroup],
    cost: Floats,
    target: float,
    names: Sequence[str],
    levels: Sequence[Callable[[Floats], Floats]],
) -> MixtureDivision:
    """Find the least spend at which every group reaches `target`."""
    curves = [_Curve(g, float(c), None, f) for g, c, f in zip(groups, cost, levels, strict=True)]
    short = [
        f"{name!r} (at most {c.top:.6g})"
        for name, c in zip(names, curves, strict=True)
        if c.top < target
    ]
    if short:
        msg = (
            f"target {target:g} is out of reach for groups {', '.join(short)}; lower "
            "objective.target or add data"
        )
        raise UnreachableTarget(msg)
    n = np.array([c.least(target) for c in curves])
    return MixtureDivision(n, float((n * cost).sum()), None)


def mixture_sum(
    groups: Sequence[MixtureGroup],
    cost: Floats,
    budget: float,
    worth: Callable[[int, Floats], Floats],
) -> MixtureDivision:
    """Maximise sum_g worth(g, f*_g(n_g)) over spends; `worth` is increasing in its second argument.

    Cost O(G grid^2) for the programme and O(G^2) exchanges per sweep, each a few hundred
    evaluations of f*.
    """
    size = len(groups)
    spend = np.linspace(0.0, budget, _GRID + 1)
    table = np.stack([_worths(groups[g], float(cost[g]), spend, worth, g) for g in range(size)])
    table = np.maximum.accumulate(table, axis=1)
    take = _programme(table)
    s = spend[take]
    value = float(sum(table[g, take[g]] for g in range(size)))
    for _ in range(20):
        before = value
        for g in range(size):
            for h in range(g + 1, size):
                s[g], s[h] = _exchange(groups, cost, worth, g, h, float(s[g] + s[h]))
        value = float(
            sum(_worths(groups[g], float(cost[g]), s[g : g + 1], worth, g)[0] for g in range(size))
        )
        if value - before <= 1e-13 * max(1.0, abs(value)):
            break
    n = np.array(
        [
            _Curve(groups[g], float(cost[g]), budget, lambda f: f).fill(float(s[g] / cost[g]))
            for g in range(size)
        ]
    )
    value = float(sum(worth(g, groups[g].value(n[g : g + 1]))[0] for g in range(size)))
    return MixtureDivision(n, value, _hull_gap(table, spend, budget, value))


def _worths(
    group: MixtureGroup, cost: float, spend: Floats, worth: Callable[[int, Floats], Floats], g: int
) -> Floats:
    n = np.minimum(spend / cost, group.most)
    return worth(g, group.value(n))


def _programme(table: Floats) -> np.ndarray:
    """Return the best split of the last grid index over the rows of `table`."""
    size, steps = table.shape
    best = table[0]
    choice = []
    index = np.arange(steps)
    for g in range(1, size):
        total = np.full((steps, steps), -np.inf)
        shift = index[:, None] - index[None, :]
        ok = shift >= 0
        total[ok] = (best[np.maximum(shift, 0)] + table[g][None, :])[ok]
        pick = np.argmax(total, axis=1)
        choice.append(pick)
        best = total[index, pick]
    take = np.zeros(size, int)
    left = steps - 1
    for g in range(size - 1, 0, -1):
        take[g] = choice[g - 1][left]
        left -= take[g]
    take[0] = left
    return take


def _exchange(
    groups: Sequence[MixtureGroup],
    cost: Floats,
    worth: Callable[[int, Floats], Floats],
    g: int,
    h: int,
    total: float,
) -> tuple[float, float]:
    """Split `total` spend between two groups best, by zooming in on the best grid point."""
    lo, hi, best, top = 0.0, total, 0.0, -np.inf
    for _ in range(7):
        grid = np.linspace(lo, hi, 161)
        both = _worths(groups[g], float(cost[g]), grid, worth, g) + _worths(
            groups[h], float(cost[h]), total - grid, worth, h
        )
        k = int(np.argmax(both))
        if both[k] > top:
            best, top = float(grid[k]), float(both[k])
        width = 2.0 * (hi - lo) / 160
        lo, hi = max(0.0, best - width), min(total, best + width)
    return best, total - best


def _hull_gap(table: Floats, spend: Floats, budget: float, value: float) -> float:
    """Return min over prices of D(price) - value (a bound up to the step of the grid)."""
    finite = np.isfinite(table)
    slopes = [np.diff(t[f]) / np.diff(spend[f]) for t, f in zip(table, finite, strict=True)]
    prices = np.unique(np.concatenate([s[s > 0] for s in slopes]))
    if not prices.size:
        return 0.0
    prices = prices[:: max(1, prices.size // 200)]
    dual = prices * budget
    for row in table:
        dual = dual + np.max(row[None, :] - prices[:, None] * spend[None, :], axis=1)
    return max(0.0, float(dual.min()) - value)
