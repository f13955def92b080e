"""The differential-mixture form of a joint problem: answer and the pools of two stages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from assets.allocation.errors import AllocationError
from assets.allocation.joint_mixture import mixture_least_spend, mixture_level, mixture_sum
from assets.allocation.joint_problem import JointProblem, joint_cells, pooled_cells
from assets.allocation.joint_summary import summary
from assets.allocation.mixture import MixtureGroup
from assets.allocation.repetition import worth_of_passes
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS

Answer = dict[str, Any]


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
        raise AllocationError(msg)
    return out


def mixture_answer(
    read: JointProblem, keep: list[int] | None, budget: float | None = None
) -> Answer:
    """Return the fields of `answer` under the mixture law, on pools `keep` or on all."""
    budget = budget or read.budget
    groups = _mixture_groups(read, keep, budget)
    cost = np.array([g.cells[0].cost for g in read.groups])
    o = read.objective
    weight = np.array([g.weight for g in read.groups])
    lines = [
        _line(o.level, g.a, g.chance, m, budget) for g, m in zip(read.groups, groups, strict=True)
    ]
    if o.kind == "min_cost":
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
    out = summary(read, result.objective, performance)
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
            raise AllocationError(msg)
        return lambda f: (f - chance) / (1.0 - chance)
    if level == "attainable":
        grid = np.geomspace(group.n0, min(group.most, group.n0 * 1e9), 400)
        best = float(group.value(grid).max())
        return lambda f: f / best
    return lambda f: f


def mixture_pools(read: JointProblem, budget: float) -> list[int]:
    """Choose the best nested top-k of the pooled cells under proportional sampling."""
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
