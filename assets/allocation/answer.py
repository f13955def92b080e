"""Answer a stated problem: the optimum, what binds, its price, and what simple rules would give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from assets.allocation.baselines import RULES, rule_spend
from assets.allocation.curves import Curves
from assets.allocation.exact_floors import divide_exactly
from assets.allocation.fill import Fill
from assets.allocation.integer import whole_samples
from assets.allocation.levels import cells_of, level_curves
from assets.allocation.problem import Problem, read_problem
from assets.allocation.repetition import Cells
from assets.allocation.roots import Floats
from assets.allocation.solve import Division
from assets.allocation.stated import SUMS, Stated, finite_welfare, floor_spend
from assets.allocation.tally import sum_by


def allocate(problem: Mapping[str, Any], *, integer: bool = False) -> dict[str, Any]:
    """Solve the problem that `sluice allocate` reads and return what it prints.

    Parameters
    ----------
    problem
        `budget`, `objective` and `groups`; see `assets.allocation.problem.Problem` for every field.
    integer
        Round to whole samples, never beyond budget, floors or availability.

    Returns
    -------
    dict
        `policy` (what was chosen, by whom and when),
        `allocation` (one entry a group: samples, records, passes, performance on the raw metric, bound,
        marginal_value per unit of cost, pools), `objective` (its value; for level `excess` the
        largest shortfall, for
        min_cost the spend), `spend`, `shadow_price`, `kkt_residual`, `gap`, `baselines`,
        `warnings`.

    Raises
    ------
    ProblemError
        The problem is misstated.
    InfeasibleFloors, UnreachableTarget, AllocationError
        It has no answer; the message says which groups conflict and what would do.
    """
    read = read_problem(problem)
    stated, floors = state(read)
    solved, division = divide_exactly(stated, floors)
    finite_welfare(stated, division)
    return answered(read, stated, (solved, division), floors, integer=integer)


def answered(
    read: Problem,
    stated: Stated,
    found: tuple[Stated, Division],
    floors: Floats,
    *,
    integer: bool,
) -> dict[str, Any]:
    """Return the fields of `allocate` for a division that is found; see there.

    Parameters
    ----------
    read, stated, floors
        The problem as read, and in arrays.
    found
        What `divide_exactly` returned.
    integer
        Round to whole samples.
    """
    solved, division = found
    samples = solved.samples(division.effective)
    if integer:
        samples = whole_samples(stated, samples, floors).astype(float)
    effective = sum_by(stated.cells.group, stated.cells.worth_of(samples), stated.fill.groups)
    spend = float((samples * stated.cells.cost).sum())
    budget = stated.budget if stated.budget is not None else spend
    value, _ = stated.objective(effective)
    answer = {
        "policy": policy_of(read),
        "allocation": _entries(read, solved, division, samples, integer=integer),
        "objective": _number(_shown(stated, read, value, spend)),
        "spend": spend,
        "shadow_price": _number(division.price),
        "kkt_residual": division.residual,
        "gap": _number(division.gap),
        "level": _number(division.level),
        "baselines": _baselines(stated, read, budget),
        "warnings": _warnings(read, stated, division, spend),
    }
    if division.implied_weight.size:
        answer["implied_weights"] = dict(
            zip(stated.names, division.implied_weight.tolist(), strict=True)
        )
    return answer


def policy_of(read: Problem) -> dict[str, Any]:
    """Return what was chosen: objective, budget, weights, costs and floors, by whom, why and when."""
    who = {} if read.policy is None else read.policy.model_dump()
    return {
        "owner": who.get("owner"),
        "reason": who.get("reason"),
        "decided": who.get("decided"),
        "budget": read.budget,
        "objective": read.objective.model_dump(exclude_none=True),
        "weights": {g.name: g.weight for g in read.groups},
        "costs": {
            g.name: {p.name: p.cost for p in g.pools} if g.pools else g.cost for g in read.groups
        },
        "floors": {g.name: g.floor for g in read.groups},
    }


def state(read: Problem) -> tuple[Stated, Floats]:
    """Return the problem in arrays, and the floors in samples per group."""
    names = [g.name for g in read.groups]
    curves = Curves.from_specs([g.curve.model_dump() for g in read.groups])
    floors = np.array([g.floor for g in read.groups])
    cells = cells_of(read)
    o = read.objective
    fill = Fill(cells, len(names), read.budget)
    target = o.target
    if target is not None and o.level == "excess":
        target = -target
    stated = Stated(
        names=names,
        weight=np.array([1.0 if g.weight is None else g.weight for g in read.groups]),
        curves=curves,
        level=on_level(read, curves, cells),
        cells=cells,
        fill=fill,
        held=np.array([g.held for g in read.groups]),
        floor_spend=floor_spend(fill, floors, names) if floors.any() else np.zeros(len(names)),
        budget=read.budget,
        kind=o.kind,
        aversion=o.aversion or 0.0,
        target=target,
    )
    return stated, floors


def on_level(read: Problem, curves: Curves, cells: Cells) -> Curves:
    """Return `curves` of the problem's groups on the level that its objective names."""
    names = [g.name for g in read.groups]
    held = np.array([g.held for g in read.groups])
    with np.errstate(invalid="ignore"):
        full = cells.worth_of(np.where(cells.unique > 0, cells.unique * cells.max_passes, 0.0))
    best = curves.value(held + sum_by(cells.group, full, len(names)))
    chance = np.array([math.nan if g.chance is None else g.chance for g in read.groups])
    return level_curves(curves, read.objective.level, chance, best, names)


def _shown(stated: Stated, read: Problem, value: float, spend: float) -> float:
    if stated.kind == "min_cost":
        return spend
    if read.objective.level == "excess" and stated.kind not in SUMS:
        return -value
    return value


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _entries(
    read: Problem,
    stated: Stated,
    division: Division,
    samples: Floats,
    *,
    integer: bool,
) -> list[dict[str, Any]]:
    cells = stated.cells
    held = np.array([g.held for g in read.groups])
    effective = sum_by(cells.group, cells.worth_of(samples), held.size)
    performance = stated.curves.value(held + effective)
    values = marginal_values(stated, division.effective)
    bounds = which_bound(stated, division.effective)
    out: list[dict[str, Any]] = []
    at = 0
    for g, group in enumerate(read.groups):
        size = len(group.pools) if group.pools else 1
        x, unique = samples[at : at + size], cells.unique[at : at + size]
        records = np.minimum(x, unique)
        kind = int if integer else float
        total, distinct = float(x.sum()), float(records.sum())
        entry: dict[str, Any] = {
            "group": group.name,
            "samples": kind(total),
            "records": kind(distinct),
            "passes": total / distinct if distinct > 0 else 0.0,
            "performance": _number(performance[g]),
            "bound": bounds[g],
            "marginal_value": _number(values[g]),
        }
        if group.pools:
            entry["pools"] = [
                {
                    "name": pool.name,
                    "samples": kind(v),
                    "records": kind(r),
                    "passes": v / r if r > 0 else 0.0,
                }
                for pool, v, r in zip(group.pools, x.tolist(), records.tolist(), strict=True)
            ]
        out.append(entry)
        at += size
    return out


def marginal_values(stated: Stated, effective: Floats) -> Floats:
    """Return what one more unit of spend on each group adds to the sum, or else to its level.

    At a cap it is the value that one more sample like the last would have: where to collect next.
    Shape (G,).
    """
    before, after = stated.fill.levels(effective)
    capped = effective >= stated.fill.top_effective * (1 - 1e-11)
    gain = np.where(capped, np.where(np.isfinite(before), before, 0.0), after)
    at = stated.held + effective
    if stated.kind in SUMS:
        worth = stated.welfare().marginal(at, left=False)
    else:
        worth = stated.level.slope(at)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(worth * gain, nan=0.0, posinf=np.inf)


def which_bound(stated: Stated, effective: Floats) -> list[str]:
    """Return per group which bound binds: available, floor, zero or none."""
    fill = stated.fill
    floor_e = fill.effective(stated.floor_spend)
    out = []
    for g in range(fill.groups):
        path = stated.bought.get(g)
        if path is not None and path.samples_at(effective[g]).sum() <= path.floor * (1 + 1e-9):
            out.append("floor")
        elif effective[g] >= fill.top_effective[g] * (1 - 1e-9) and fill.top_effective[g] > 0:
            out.append("available")
        elif floor_e[g] > 0 and effective[g] <= floor_e[g] * (1 + 1e-9):
            out.append("floor")
        else:
            out.append("none" if effective[g] > 0 else "zero")
    return out


def _baselines(stated: Stated, read: Problem, budget: float) -> dict[str, Any]:
    cells = stated.cells
    sizes = sum_by(cells.group, cells.unique, stated.fill.groups)
    out = {}
    sign = -1.0 if read.objective.level == "excess" else 1.0
    if stated.floor_spend.sum() > budget * (1 + 1e-12):
        return {rule: {"objective": None, "worst": None} for rule in RULES}
    for rule in RULES:
        spend = rule_spend(rule, stated.fill, sizes, stated.floor_spend, budget)
        value, worst = stated.objective(stated.fill.effective(spend))
        shown = sign * value if stated.kind not in SUMS else value
        out[rule] = {"objective": _number(shown), "worst": _number(sign * worst)}
    return out


def _warnings(read: Problem, stated: Stated, division: Division, spend: float) -> list[str]:
    out = []
    for group in read.groups:
        if group.pools and group.available is not None:
            total = sum(p.available for p in group.pools)
            if abs(total - group.available) > 1e-9 * max(total, 1.0):
                out.append(
                    f"group {group.name!r}: its pools hold {total:g} records, its field available "
                    "says "
                    f"{group.available:g}; the pools were used"
                )
    if division.residual > 1e-6:
        out.append(f"the KKT residual {division.residual:.2g} is large: treat the answer with care")
    if read.budget is not None and spend < read.budget * (1 - 1e-6) - 1:
        why = (
            "a group at its cap sets the level; leximin would use the rest"
            if stated.kind == "max_min"
            else "every useful record is taken"
        )
        out.append(f"{read.budget - spend:.6g} of the budget is unspent: {why}")
    if read.objective.kind in ("max_min", "leximin") and read.objective.level == "raw":
        out.append(
            "level raw: groups whose ceiling is low take most of the budget, whether or not it "
            "helps them"
        )
    return out
