"""Solve groups x quality pools x passes under one budget, with the two-stage answer beside it.

`effective` (default): E_g = held + sum_q worth U phi(x/U), f = a - b E^-p; concave, so the answer
is the global optimum
and carries a certificate. `mixture`: the differential-mixture law; exact for max-min, leximin and
least spend, a global
search for sums. Two-stage means: pools chosen first for all groups together, then groups divided
optimally inside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from assets.allocation.curves import Welfare
from assets.allocation.fill import Fill, Response
from assets.allocation.integer import whole_samples
from assets.allocation.joint_mixture import mixture_least_spend, mixture_level, mixture_sum
from assets.allocation.joint_problem import (
    JointProblem,
    joint_cells,
    joint_curves,
    pooled_cells,
    read_joint,
)
from assets.allocation.mixture import MixtureGroup
from assets.allocation.problem import level_curves
from assets.allocation.repetition import Cells, slope_of_passes, worth_of_passes
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS, Stated, floor_spend
from assets.allocation.tally import sum_by

Answer = dict[str, Any]


def solve_joint(problem: Mapping[str, Any]) -> Answer:
    """Solve a joint problem.

    Parameters
    ----------
    problem
        `formulation`, `repetition`, `budget`, `objective`, `groups` with `cells`; see
        `JointProblem`.

    Returns
    -------
    dict
        `answer` and `two_stage` (objective, worst, mean, performance, group_spend, samples per
        group and pool, spend,
        and for `effective` also effective samples, shadow_price, kkt_residual, gap), `gain`,
        `staging_bound` (how much
        two stages can lose at most; sums of the effective form), `verdict` ("no difference" where
        staging is lossless),
        `warnings`.

    Raises
    ------
    ProblemError, AllocationError
        The problem is misstated or has no answer.
    """
    read = read_joint(problem)
    warnings = _warnings(read)
    if read.formulation == "mixture":
        answer = _mixture(read, None)
        budget = read.budget or answer["spend"]
        pools = _mixture_pools(read, budget)
        staged = _staged(lambda: _mixture(read, pools, budget), pools)
        bound = None
        if answer.get("unequal_twins"):
            warnings.append(
                "identical groups are treated differently by the optimum of the sum; consider "
                "max_min"
            )
    else:
        joint = _Effective(read, None)
        answer = joint.answer()
        pools = _effective_pools(read, read.budget or answer["spend"])
        part = _Effective(read, pools)
        staged = _staged(part.answer, pools)
        bound = (
            _staging_bound(joint, part)
            if read.objective.kind in SUMS and staged["objective"] is not None
            else None
        )
    gain, verdict = _gain(answer, staged)
    return {
        "answer": answer,
        "two_stage": staged,
        "gain": gain,
        "staging_bound": bound,
        "verdict": verdict,
        "warnings": warnings,
    }


def _staged(solve: Callable[[], Answer], pools: list[int]) -> Answer:
    try:
        out = solve()
    except ValueError as error:
        out = {"objective": None, "worst": None, "mean": None, "reason": str(error)}
    out["pools"] = pools
    return out


def _gain(answer: Answer, staged: Answer) -> tuple[Answer, str]:
    gain = {
        key: None if answer[key] is None or staged[key] is None else answer[key] - staged[key]
        for key in ("objective", "worst", "mean")
    }
    size = gain["objective"]
    if size is None:
        return gain, "two stages leave some group without records"
    same = abs(size) <= 1e-9 * max(1.0, abs(answer["objective"]))
    return gain, "no difference" if same else "joint is better"


class _Effective:
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
        self.division = self.stated.divide()

    def answer(self) -> Answer:
        stated, division = self.stated, self.division
        effective = division.effective
        x = stated.fill.samples(effective)
        if self.read.integer:
            x = whole_samples(stated, effective, self.floors).astype(float)
            effective = sum_by(self.cells.group, self.cells.worth_of(x), stated.fill.groups)
        total = stated.held + effective
        performance = stated.curves.value(total)
        value, worst = stated.objective(effective)
        cost = x * self.cells.cost
        if stated.kind == "min_cost":
            value = float(cost.sum())
        out = _summary(self.read, value, performance)
        out.update(
            effective=total.tolist(),
            group_spend=sum_by(self.cells.group, cost, total.size).tolist(),
            samples=self._table(x),
            spend=float(cost.sum()),
            shadow_price=division.price,
            kkt_residual=division.residual,
            gap=division.gap,
            worst_level=_finite(worst),
            cells=self._prices(x, total),
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
                    "reduced_price": _finite(
                        worth * slope / float(self.cells.cost[i]) - self.division.price
                    ),
                    "unique_value": _finite(worth * (phi - r * slope)),
                }
            )
        return out


def _full_worth(cells: Cells, size: int) -> Floats:
    most = np.where(np.isfinite(cells.max_passes), cells.max_passes, 1e6)
    return sum_by(cells.group, cells.worth_of(cells.unique * most), size)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _summary(read: JointProblem, value: float, performance: Floats) -> Answer:
    weight = np.array([g.weight for g in read.groups])
    shown = (
        -value
        if read.objective.level == "excess" and read.objective.kind in ("max_min", "leximin")
        else value
    )
    return {
        "objective": _finite(shown),
        "worst": _finite(float(performance.min())),
        "mean": _finite(float((weight * performance).sum() / weight.sum()))
        if weight.sum() > 0
        else None,
        "performance": [_finite(v) for v in performance.tolist()],
    }


def _effective_pools(read: JointProblem, budget: float) -> list[int]:
    pooled = pooled_cells(read)
    fill = Fill(pooled, 1, budget)
    best = fill.effective(np.array([budget]))
    return np.flatnonzero(fill.samples(best) > 1e-9 * max(budget, 1e-300)).tolist()


def _staging_bound(joint: _Effective, part: _Effective) -> float | None:
    """Return D(price of two stages) - W of two stages over all cells: the most that staging can have lost."""
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


def _mixture_groups(
    read: JointProblem, keep: list[int] | None, budget: float | None
) -> list[MixtureGroup]:
    out = []
    for group in read.groups:
        chosen = [keep is None or q in keep for q in range(len(group.cells))]
        cells = group.cells
        reach = budget / cells[0].cost if budget else 1e15 * (group.n0 or 1.0)
        out.append(
            MixtureGroup(
                group.a,
                group.A,
                group.n0 or 1.0,
                unique=np.array([c.U if k else 0.0 for c, k in zip(cells, chosen, strict=True)]),
                beta=np.array([c.beta or 0.0 for c in cells]),
                tau=np.array([c.tau or 1.0 for c in cells]),
                most=np.array([c.max_passes or math.inf for c in cells]),
                reach=reach,
            )
        )
    if any(not g.pools for g in out):
        msg = "a group has no record in the chosen pools"
        raise ValueError(msg)
    return out


def _mixture(read: JointProblem, keep: list[int] | None, budget: float | None = None) -> Answer:
    budget = budget or read.budget
    groups = _mixture_groups(read, keep, budget)
    cost = np.array([g.cells[0].cost for g in read.groups])
    o = read.objective
    weight = np.array([g.weight for g in read.groups])
    lines = [
        _line(o.level, g.a, g.chance, m, budget) for g, m in zip(read.groups, groups, strict=True)
    ]
    if o.kind == "min_cost" and keep is None:
        target = float(o.target or 0.0)
        result = mixture_least_spend(
            groups,
            cost,
            -target if o.level == "excess" else target,
            [g.name for g in read.groups],
            lines,
        )
    elif o.kind in SUMS and budget is not None:
        e = (o.aversion or 0.0) if o.kind == "isoelastic" else 0.0

        def worth(g: int, f: Floats) -> Floats:
            return _isoelastic(weight[g], lines[g](f), e)

        result = mixture_sum(groups, cost, budget, worth)
    else:
        result = mixture_level(
            groups, cost, budget or 0.0, leximin=o.kind == "leximin", levels=lines
        )
    n = result.samples
    if read.integer:
        n = np.floor(n + 1e-9 * np.maximum(n, 1.0))
    x = [
        g.split(np.array([v]))[0] if v > 0 else np.zeros(g.size)
        for g, v in zip(groups, n, strict=True)
    ]
    performance = np.array([float(g.value_of(v)) for g, v in zip(groups, x, strict=True)])
    out = _summary(read, result.objective, performance)
    out.update(
        group_spend=(n * cost).tolist(),
        samples=[v.tolist() for v in x],
        spend=float((n * cost).sum()),
        gap=result.gap,
    )
    out["unequal_twins"] = any(
        read.groups[i].cells == read.groups[j].cells
        and read.groups[i].model_dump(exclude={"name"})
        == read.groups[j].model_dump(exclude={"name"})
        and abs(n[i] - n[j]) > 1e-6 * max(n[i], n[j])
        for i in range(len(n))
        for j in range(i)
    )
    return out


def _isoelastic(weight: float, f: Floats, e: float) -> Floats:
    if weight == 0:
        return np.zeros(f.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        if e == 0:
            return weight * f
        safe = np.maximum(f, 1e-320)
        u = np.log(safe) if e == 1 else safe ** (1 - e) / (1 - e)
        return np.where(f > 0, weight * u, -np.inf)


def _line(
    level: str | None, a: float, chance: float | None, group: MixtureGroup, budget: float | None
) -> Callable[[Floats], Floats]:
    if level == "excess":
        return lambda f: f - a
    if level == "skill":
        if chance is None:
            msg = "level skill needs chance for each group"
            raise ValueError(msg)
        return lambda f: (f - chance) / (1.0 - chance)
    if level == "attainable":
        grid = np.geomspace(group.n0, min(group.most, group.n0 * 1e9), 400)
        best = float(group.value(grid).max())
        return lambda f: f / best
    return lambda f: f


def _mixture_pools(read: JointProblem, budget: float) -> list[int]:
    """Choose the best nested top-k of the pooled cells under proportional sampling (the published mode)."""
    pooled = pooled_cells(read)
    every, pool = joint_cells(read)
    beta = np.array([c.beta or 0.0 for g in read.groups for c in g.cells])
    beta = np.bincount(pool, every.unique * beta) / np.maximum(pooled.unique, 1e-300)
    sizes = np.bincount(every.group, every.unique)
    n0 = float(np.average([g.n0 or 1.0 for g in read.groups], weights=sizes))
    order = [int(q) for q in np.argsort(-beta, kind="stable") if pooled.unique[q] > 0]
    best, chosen = -np.inf, order[:1]
    for k in range(1, len(order) + 1):
        top = order[:k]
        u = pooled.unique[top]
        cost = float(np.average(pooled.cost[top], weights=u))
        r = min(budget / cost / u.sum(), float(pooled.max_passes[top].min()))
        n = r * u.sum()
        efficiency = [
            math.log(float(worth_of_passes("power", r, float(pooled.parameter[q]))) / r)
            for q in top
        ]
        v = float(np.average(beta[top] * (math.log(n / n0) + np.array(efficiency)), weights=u))
        if v > best + 1e-15:
            best, chosen = v, top
    return sorted(chosen)


def _warnings(read: JointProblem) -> list[str]:
    out = []
    if read.objective.kind in ("max_min", "leximin", "min_cost") and read.objective.level is None:
        out.append("no level stated: groups were compared on the raw metric; state objective.level")
    if read.formulation == "mixture":
        low = [
            g.name
            for g in read.groups
            if read.budget and g.n0 and read.budget / g.cells[0].cost < g.n0
        ]
        if low:
            out.append(
                f"groups {low}: fewer samples than the anchor n0, where the mixture law does not "
                "hold"
            )
    return out
