"""Problems that do not separate by group: transfer between groups, and intersectional cells.

Data is bought in disjoint cells x (language and sex, say). A group sees E_g = sum_i share_gi x_i, with
share 1 where it holds the cell and less where another's data helps it, and performs
f_g = a - b E_g^-p - t N^-q with N all data bought or held (Rolf et al. 2021, transfer by the total). All
are concave in x, so a stationary point is the optimum. A general solver runs on variables scaled by
the budget (on raw counts it stops early without saying so), and every answer carries a certificate: the
first-order model of every f_g at x lies above f_g, so the linear programme on these models bounds
whatever any plan can reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from assets.allocation.errors import AllocationError, InfeasibleFloors
from assets.allocation.problem import Name, NonNegative, Policy, Positive, Strict, known_keys
from assets.allocation.problem_errors import ProblemError, explain
from assets.allocation.roots import Floats

Kind = Literal["weighted_sum", "isoelastic", "max_min"]


class CoupledCell(Strict):
    """Data that can be bought; it belongs to `groups`, or helps them by a share of a record."""

    name: Name
    cost: Positive
    available: Positive
    floor: NonNegative = 0.0
    groups: dict[str, Annotated[float, Field(ge=0)]]


class CoupledGroup(Strict):
    """f = a - b E^-p - t N^-q; `t` 0 has no transfer by the total."""

    name: Name
    weight: NonNegative = 1.0
    a: float
    b: Positive
    p: Positive
    t: NonNegative = 0.0
    q: Positive = 0.5
    held: NonNegative = 0.0


class CoupledProblem(Strict):
    """Cells, groups and one budget."""

    budget: Positive
    kind: Kind
    aversion: NonNegative = 0.0
    policy: Policy | None = None
    cells: Annotated[list[CoupledCell], Field(min_length=1)]
    groups: Annotated[list[CoupledGroup], Field(min_length=1)]


@dataclass(frozen=True)
class _Arrays:
    problem: CoupledProblem
    share: Floats  # (groups, cells)
    unit: Floats  # samples of a cell that the whole budget buys
    most: Floats  # of a scaled variable
    least: Floats

    def levels(self, y: Floats) -> tuple[Floats, Floats]:
        """Return f (G,) and its gradient by the scaled variables (G, cells)."""
        groups = self.problem.groups
        x = y * self.unit
        held = np.array([g.held for g in groups])
        a, b, p, t, q = (np.array([getattr(g, k) for g in groups]) for k in "abptq")
        own = np.maximum(held + self.share @ x, 1e-9)
        total = max(float(held.sum() + x.sum()), 1e-9)
        f = a - b * own**-p - t * total**-q
        slope = (b * p * own ** (-p - 1))[:, None] * self.share
        slope = slope + (t * q * total ** (-q - 1))[:, None]
        return f, slope * self.unit


def solve_coupled(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return `samples` per cell, `performance` per group, `objective`, `spend`, `bound`, `gap`.

    `gap` = `bound` - `objective` >= 0: no plan is better by more.

    Raises
    ------
    ProblemError, InfeasibleFloors, AllocationError
        Naming cell or group and field.
    """
    problem = _read(raw)
    arrays = _arrays(problem)
    y, value = _solve(arrays)
    f, _ = arrays.levels(y)
    bound = _bound(arrays, y)
    x = y * arrays.unit
    cost = np.array([c.cost for c in problem.cells])
    gap = max(bound - value, 0.0)
    warnings = []
    if gap > 1e-6 * max(1.0, abs(value)):
        warnings.append(f"the certified gap {gap:.2g} is large: treat the answer with care")
    if problem.kind == "max_min":
        warnings.append("groups are compared on the raw metric, the only level of coupled problems")
    return {
        "samples": {c.name: float(v) for c, v in zip(problem.cells, x, strict=True)},
        "performance": {g.name: float(v) for g, v in zip(problem.groups, f, strict=True)},
        "objective": value,
        "spend": float(x @ cost),
        "bound": bound,
        "gap": gap,
        "warnings": warnings,
    }


def _read(raw: Mapping[str, Any]) -> CoupledProblem:
    known = known_keys(CoupledProblem, CoupledCell, CoupledGroup, Policy)
    try:
        problem = CoupledProblem.model_validate(raw)
    except ValidationError as error:
        raise ProblemError("; ".join(explain(e, raw, known) for e in error.errors()[:5])) from None
    names = {g.name for g in problem.groups}
    for kind, items in (("group", problem.groups), ("cell", problem.cells)):
        listed = [i.name for i in items]
        twice = sorted({n for n in listed if listed.count(n) > 1})
        if twice:
            msg = f"{kind} {twice[0]!r}, field name: used twice; rename or merge them"
            raise ProblemError(msg)
    for cell in problem.cells:
        strange = sorted(set(cell.groups) - names)
        if strange:
            msg = f"cell {cell.name!r}, field groups: {strange} are no groups; add or remove them"
            raise ProblemError(msg)
        if cell.floor > cell.available:
            msg = f"cell {cell.name!r}, field floor: {cell.floor:g} is more than is available"
            raise InfeasibleFloors(msg)
    for group in problem.groups:
        if not group.held and not any(c.groups.get(group.name) for c in problem.cells):
            msg = f"group {group.name!r}, field held: no cell has data for it; it is unallocatable"
            raise ProblemError(msg)
    return problem


def _arrays(problem: CoupledProblem) -> _Arrays:
    cost = np.array([c.cost for c in problem.cells])
    floor = np.array([c.floor for c in problem.cells])
    least = float(floor @ cost)
    if least > problem.budget * (1 + 1e-12):
        listed = ", ".join(f"{c.name!r} ({c.floor * c.cost:g})" for c in problem.cells if c.floor)
        msg = (
            f"field floor: the floors of cells {listed} cost {least:g}, more than the budget "
            f"{problem.budget:g}; the least budget that would do is {least:g}"
        )
        raise InfeasibleFloors(msg)
    unit = problem.budget / cost
    share = np.array([[c.groups.get(g.name, 0.0) for c in problem.cells] for g in problem.groups])
    available = np.array([c.available for c in problem.cells])
    return _Arrays(problem, share, unit, np.minimum(available / unit, 1.0), floor / unit)


def _worth(problem: CoupledProblem, f: Floats) -> tuple[float, Floats]:
    """Return the sum and its derivative by every f_g; -inf where welfare needs f > 0."""
    w, e = np.array([g.weight for g in problem.groups]), problem.aversion
    if problem.kind == "weighted_sum" or e == 0:
        return float(w @ f), w
    if (f[w > 0] <= 0).any():
        return -np.inf, w
    safe = np.where(w > 0, f, 1.0)
    u = np.log(safe) if e == 1 else safe ** (1 - e) / (1 - e)
    return float(w @ u), w * safe**-e


def _start(arrays: _Arrays) -> Floats:
    """Return the floors plus an even share of what is left, within what is available."""
    room = np.maximum(1.0 - arrays.least.sum(), 0.0)
    return np.asarray(np.minimum(arrays.least + room / arrays.least.size * 0.999, arrays.most))


def _solve(arrays: _Arrays) -> tuple[Floats, float]:
    from scipy.optimize import minimize

    problem, size = arrays.problem, arrays.unit.size
    bounds = list(zip(arrays.least, np.maximum(arrays.most, arrays.least), strict=True))
    settings = {"maxiter": 1000, "ftol": 1e-15}
    spend = {"type": "ineq", "fun": lambda z: 1.0 - z[:size].sum()}
    y = _start(arrays)
    if problem.kind == "max_min":
        z = np.append(y, arrays.levels(y)[0].min())
        levels = {
            "type": "ineq",
            "fun": lambda z: arrays.levels(z[:-1])[0] - z[-1],
            "jac": lambda z: np.hstack(
                [arrays.levels(z[:-1])[1], -np.ones((len(problem.groups), 1))]
            ),
        }
        slope = np.append(np.zeros(size), -1.0)
        for _ in range(3):
            out = minimize(
                lambda z: (-z[-1], slope),
                z,
                jac=True,
                bounds=[*bounds, (None, None)],
                constraints=[spend, levels],
                method="SLSQP",
                options=settings,
            )
            z = out.x
        y = _feasible(arrays, z[:-1])
        return y, float(arrays.levels(y)[0].min())
    if not np.isfinite(_worth(problem, arrays.levels(y)[0])[0]):
        msg = "isoelastic welfare needs every level above 0, also at an even split of the budget"
        raise AllocationError(msg)

    def fun(v: Floats) -> tuple[float, Floats]:
        f, slope_ = arrays.levels(v)
        value, by_f = _worth(problem, f)
        return (-value, -(by_f @ slope_)) if np.isfinite(value) else (1e30, 0.0 * v)

    for _ in range(3):
        out = minimize(
            fun,
            y,
            jac=True,
            bounds=bounds,
            constraints=[spend],
            method="SLSQP",
            options=settings,
        )
        y = _feasible(arrays, out.x)
    return y, _worth(problem, arrays.levels(y)[0])[0]


def _feasible(arrays: _Arrays, y: Floats) -> Floats:
    y = np.clip(y, arrays.least, np.maximum(arrays.most, arrays.least))
    over = y.sum() - 1.0
    above = y - arrays.least
    return np.asarray(y - above * (over / above.sum()) if over > 0 and above.sum() > 0 else y)


def _bound(arrays: _Arrays, y: Floats) -> float:
    """Return what no plan exceeds: the optimum of the first-order models at y."""
    from scipy.optimize import linprog

    problem, size = arrays.problem, y.size
    f, slope = arrays.levels(y)
    bounds = list(zip(arrays.least, np.maximum(arrays.most, arrays.least), strict=True))
    if problem.kind == "max_min":
        rows = np.hstack([-slope, np.ones((f.size, 1))])
        rows = np.vstack([rows, np.append(np.ones(size), 0.0)])
        limits = np.append(f - slope @ y, 1.0)
        aim = np.append(np.zeros(size), -1.0)
        out = linprog(aim, A_ub=rows, b_ub=limits, bounds=[*bounds, (None, None)])
        return float(-out.fun)
    value, by_f = _worth(problem, f)
    gradient = by_f @ slope
    out = linprog(-gradient, A_ub=np.ones((1, size)), b_ub=[1.0], bounds=bounds)
    return float(value - gradient @ y - out.fun)
