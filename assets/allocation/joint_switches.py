"""The budgets at which a joint plan starts or stops drawing from a pool, or repeats its records.

Within one group the pools are taken in an order that does not depend on the other groups, so each pool
enters where its group's effective samples reach a mark that is known before any budget is. The
budget at which the optimum puts the group there follows from the price (sums) or the level (max-min,
leximin) at that mark: one evaluation of all paths, no solve. Halving between two plans that differ is
the general way, and the oracle of the first one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from assets.allocation.joint_effective import Effective
from assets.allocation.response import Response
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS, Stated

_DRAWN = 1e-9


class Switch(NamedTuple):
    """At `budget` (known to +- `within`) pool `pool` of group `group` makes `change`."""

    budget: float
    group: int
    pool: int
    change: str
    within: float = 0.0


def along_the_path(joint: Effective, low: float, high: float) -> list[Switch] | None:
    """Return the switches at budgets between `low` and `high`, rising and exact.

    Parameters
    ----------
    joint
        The problem solved at `high` (effective form).
    low, high
        Ends, not included.

    Returns
    -------
    list of Switch or None
        None where a floor over pools of unequal cost changes the order of the pools with the budget.

    Notes
    -----
    Cost O(pools) evaluations of all paths, O(M) each for M stretches.
    """
    stated = joint.solved
    if stated.bought:
        return None
    found = []
    for cell, change, effective, gain in _marks(stated):
        group = int(stated.cells.group[cell])
        budget = _budget_at(stated, group, effective, gain)
        if budget is not None and low < budget < high:
            found.append(Switch(budget, group, int(joint.pool[cell]), change))
    return sorted(found)


def _marks(stated: Stated) -> list[tuple[int, str, float, float]]:
    """Return (cell, change, the group's effective samples there, the gain per spend that begins)."""
    fill, cells = stated.fill, stated.cells
    out = []
    pieces = cells.pieces(stated.budget)
    for cell in range(cells.group.size):
        own = np.flatnonzero(fill.cell == cell)  # in the order of the path
        if own.size:
            out.append((cell, "enters", float(fill.e0[own[0]]), float(fill.high[own[0]])))
        again = np.flatnonzero((pieces.cell == cell) & (pieces.r0 == 1.0))
        if not again.size:
            continue
        gain = float(pieces.high[again[0]])
        if pieces.curve[again[0]] == 0:
            if own.size > 1:
                out.append((cell, "repeats", float(fill.e0[own[1]]), gain))
        else:
            before = (fill.group == cells.group[cell]) & (fill.low >= gain * (1 - 1e-12))
            out.append((cell, "repeats", float(fill.e1[before].max(initial=0.0)), gain))
    return out


def _budget_at(stated: Stated, group: int, effective: float, gain: float) -> float | None:
    """Return the budget whose optimum puts `group` at `effective` samples, None where none does."""
    fill, held = stated.fill, stated.held
    floor = fill.effective(stated.floor_spend)
    top = np.maximum(fill.top_effective, floor)
    if effective < floor[group]:
        return None
    at = np.zeros(fill.groups)
    at[group] = effective
    best: Floats
    if stated.kind in SUMS:
        price = float(stated.welfare().marginal(held + at)[group]) * gain
        if not 0 < price < np.inf:
            return None
        best = Response(fill, stated.welfare(), held).at(price)
    else:
        level = float(stated.level.value(held + at)[group])
        caps = stated.level.value(held + top)
        if not np.isfinite(level) or (stated.kind == "max_min" and level > caps.min()):
            return None
        best = stated.level.inverse(np.full(fill.groups, level)) - held
    best = np.clip(best, floor, top)
    best[group] = effective
    return float(fill.spend(best).sum())


def by_halving(
    drawn: Callable[[float], tuple[Floats, Floats]],
    low: float,
    high: float,
    *,
    within: float,
    most: int,
) -> list[Switch]:
    """Return the switches between two budgets by halving wherever the plans at both ends differ.

    Parameters
    ----------
    drawn
        From a budget to (draws, records) per pool, shape (pools,) each.
    low, high
        Ends.
    within
        Relative half width at which a bracket is narrow enough.
    most
        Solves after which brackets are left as wide as they are.

    Returns
    -------
    list of Switch
        `group` is 0 and `pool` the position among all pools. What changes and changes back inside a
        bracket is not seen.
    """
    states = {b: _state(*drawn(b)) for b in (low, high)}
    waiting = [(-high / low, low, high)]
    found: list[Switch] = []
    solves = 2
    while waiting:
        _, a, b = heapq.heappop(waiting)
        if (states[a] == states[b]).all():
            continue
        if b / a - 1 <= 2 * within or solves >= most:
            found += _changes(states[a], states[b], (a + b) / 2, (b - a) / 2)
            continue
        middle = float(np.sqrt(a * b))
        states[middle] = _state(*drawn(middle))
        solves += 1
        for one, other in ((a, middle), (middle, b)):
            heapq.heappush(waiting, (-other / one, one, other))
    return sorted(found)


def _state(x: Floats, unique: Floats) -> np.ndarray:
    """Return per pool whether it is drawn and whether it is repeated, shape (2, pools)."""
    return np.stack([x > _DRAWN * max(x.sum(), 1e-300), x > unique * (1 + _DRAWN)])


def _changes(before: np.ndarray, after: np.ndarray, budget: float, within: float) -> list[Switch]:
    names = (("enters", "leaves"), ("repeats", "repeats_no_more"))
    return [
        Switch(budget, 0, int(pool), names[row][int(before[row, pool])], within)
        for row in (0, 1)
        for pool in np.flatnonzero(before[row] != after[row])
    ]
