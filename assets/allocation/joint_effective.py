"""The effective-samples form of a joint problem."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from assets.allocation.curves import Welfare
from assets.allocation.exact_floors import divide_exactly
from assets.allocation.fill import Fill
from assets.allocation.integer import whole_samples
from assets.allocation.joint_problem import JointProblem, joint_cells, joint_curves, pooled_cells
from assets.allocation.joint_summary import finite, summary
from assets.allocation.levels import level_curves
from assets.allocation.repetition import Cells, slope_of_passes, worth_of_passes
from assets.allocation.response import Response
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS, Stated, finite_welfare, floor_spend
from assets.allocation.tally import sum_by

Answer = dict[str, Any]


class Effective:
    """The effective-samples form of a problem, on all pools or on some."""

    def __init__(self, read: JointProblem, keep: list[int] | None) -> None:
        self.read = read
        self.cells, self.pool = joint_cells(read, keep)
        names = [g.name for g in read.groups]
        size = len(names)
        curves = joint_curves(read)
        held = np.array([g.held for g in read.groups])
        floors = np.array([g.floor for g in read.groups])
        everything, _ = joint_cells(read)
        full = _full_worth(everything, size)
        chance = np.array([math.nan if g.chance is None else g.chance for g in read.groups])
        level = level_curves(curves, read.objective.level, chance, curves.value(held + full), names)
        fill = Fill(self.cells, size, read.budget)
        target = read.objective.target
        self.floors = floors
        self.stated = Stated(
            names=names,
            weight=np.array([g.weight for g in read.groups]),
            curves=curves,
            level=level,
            cells=self.cells,
            fill=fill,
            held=held,
            floor_spend=floor_spend(fill, floors, names) if floors.any() else np.zeros(size),
            budget=read.budget,
            kind=read.objective.kind,
            aversion=read.objective.aversion or 0.0,
            target=-target if target is not None and read.objective.level == "excess" else target,
        )
        self.solved, self.division = divide_exactly(self.stated, floors)
        finite_welfare(self.stated, self.division)

    def answer(self) -> Answer:
        """Return the fields of `answer`: objective, samples, prices, certificate."""
        division, x = self.division, self.drawn()
        out = self.at(x)
        out.update(
            shadow_price=division.price,
            kkt_residual=division.residual,
            gap=division.gap,
            cells=self._prices(x, np.array(out["effective"])),
        )
        return out

    def drawn(self) -> Floats:
        """Return the optimal samples of every cell, whole ones where the problem asks for them."""
        x = self.solved.samples(self.division.effective)
        return self.whole(x) if self.read.integer else x

    def whole(self, x: Floats) -> Floats:
        """Return `x` in whole samples, within budget, floors and what the cells hold."""
        return whole_samples(self.stated, x, self.floors).astype(float)

    def effective(self, x: Floats) -> Floats:
        """Return the new effective samples of each group at samples `x` of the cells."""
        worth = self.cells.worth_of(x)
        return sum_by(self.cells.group, worth, self.stated.fill.groups)

    def at(self, x: Floats) -> Answer:
        """Return what samples `x` of the cells give: objective, levels, spend."""
        stated, effective = self.stated, self.effective(x)
        total = stated.held + effective
        performance = stated.curves.value(total)
        value, worst = stated.objective(effective)
        cost = x * self.cells.cost
        if stated.kind == "min_cost":
            value = float(cost.sum())
        out = summary(self.read, value, performance)
        out.update(
            effective=total.tolist(),
            group_spend=sum_by(self.cells.group, cost, total.size).tolist(),
            samples=self._table(x),
            spend=float(cost.sum()),
            worst_level=finite(worst),
        )
        return out

    def _table(self, x: Floats) -> list[list[float]]:
        out = [[0.0] * len(g.cells) for g in self.read.groups]
        for g, q, v in zip(self.cells.group, self.pool, x.tolist(), strict=True):
            out[g][q] = v
        return out

    def _prices(self, x: Floats, total: Floats) -> list[Answer]:
        """Return what more spend, and one more unique record, are worth per cell (sums only)."""
        if self.stated.kind not in SUMS:
            return []
        price = self.stated.welfare().marginal(total)
        out = []
        for i, (g, q) in enumerate(zip(self.cells.group.tolist(), self.pool.tolist(), strict=True)):
            unique = float(self.cells.unique[i])
            r = float(x[i]) / unique if unique > 0 else 0.0
            parameter = float(self.cells.parameter[i])
            phi = float(worth_of_passes(self.cells.kind, r, parameter))
            slope = slope_of_passes(self.cells.kind, r, parameter)
            worth = float(price[g] * self.cells.worth[i])
            out.append(
                {
                    "group": g,
                    "pool": q,
                    "passes": r,
                    "reduced_price": finite(
                        worth * slope / float(self.cells.cost[i]) - self.division.price
                    ),
                    "unique_value": finite(worth * (phi - r * slope)),
                }
            )
        return out


def _full_worth(cells: Cells, size: int) -> Floats:
    most = np.where(np.isfinite(cells.max_passes), cells.max_passes, 1e6)
    return sum_by(cells.group, cells.worth_of(cells.unique * most), size)


def effective_pools(read: JointProblem, budget: float) -> list[int]:
    """Return the pools that one group of all cells would draw (the first of two stages)."""
    pooled = pooled_cells(read)
    fill = Fill(pooled, 1, budget)
    best = fill.effective(np.array([budget]))
    drawn = fill.samples(best)
    return np.flatnonzero(drawn > 1e-9 * drawn.sum()).tolist()


def staging_bound_of(joint: Effective, part: Effective) -> float | None:
    """Return the most that staging can have lost: D over all cells at its price, less its W."""
    price, stated = part.division.price, joint.stated
    if price <= 0 or stated.budget is None:
        return None
    welfare: Welfare = stated.welfare()
    floor = stated.fill.effective(stated.floor_spend)
    best = np.maximum(Response(stated.fill, welfare, stated.held).at(price), floor)
    dual = price * (stated.budget - stated.fill.spend(best).sum()) + welfare.total(
        stated.held + best
    )
    return max(0.0, float(dual - welfare.total(stated.held + part.division.effective)))
