"""Read and check a stated allocation problem (the JSON that `sluice allocate` takes)."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from assets.allocation.curves import Curves
from assets.allocation.repetition import Cells
from assets.allocation.solve import AllocationError

Level = Literal["raw", "excess", "skill", "attainable"]


class ProblemError(AllocationError):
    """The problem is misstated; the message names group and field with the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class PowerCurve(_Strict):
    """f(n) = a - b (n + offset)^-p."""

    form: Literal["power"]
    a: float
    b: Positive
    p: Positive
    offset: NonNegative = 0.0


class OffsetCurve(_Strict):
    """f(n) = a - b (n + offset)^-p, with the offset required."""

    form: Literal["offset"]
    a: float
    b: Positive
    p: Positive
    offset: NonNegative


class HyperbolaCurve(_Strict):
    """f(n) = a n / (n + k)."""

    form: Literal["hyperbola"]
    a: Positive
    k: Positive


class TabulatedCurve(_Strict):
    """Straight lines between the points (n, value) of a concave table; flat after the last."""

    form: Literal["tabulated"]
    n: Annotated[list[float], Field(min_length=2)]
    value: Annotated[list[float], Field(min_length=2)]


Curve = Annotated[
    PowerCurve | OffsetCurve | HyperbolaCurve | TabulatedCurve, Field(discriminator="form")
]


class Repeats(_Strict):
    """Worth of r passes, 1 + r_star (1 - exp(-(r-1)/r_star)); at most `max_passes` passes."""

    r_star: Positive
    max_passes: Annotated[float, Field(ge=1)] | None = None


class Pool(_Strict):
    """Part of a group's data; a sample is `worth` samples of the reference quality."""

    name: str
    worth: NonNegative
    cost: Positive
    available: NonNegative


class Group(_Strict):
    """A group; `floor` counts new samples, `held` effective ones already there."""

    name: str
    weight: NonNegative | None = None
    cost: Positive | None = None
    available: NonNegative | None = None
    held: NonNegative = 0.0
    floor: NonNegative = 0.0
    chance: float | None = None
    curve: Curve
    repeats: Repeats | None = None
    pools: Annotated[list[Pool], Field(min_length=1)] | None = None


class Objective(_Strict):
    """What to maximise (or, for min_cost, what to reach)."""

    kind: Literal["weighted_sum", "isoelastic", "max_min", "leximin", "min_cost"]
    aversion: NonNegative | None = None
    level: Level | None = None
    target: float | None = None


class Problem(_Strict):
    """A budget, an objective and groups."""

    budget: NonNegative | None = None
    objective: Objective
    groups: Annotated[list[Group], Field(min_length=1)]


def read_problem(raw: Mapping[str, Any]) -> Problem:
    """Validate `raw` and return it as a Problem.

    Raises
    ------
    ProblemError
        For the first things wrong, each with group, field and remedy.
    """
    try:
        problem = Problem.model_validate(raw)
    except ValidationError as error:
        raise ProblemError("; ".join(_explain(e, raw) for e in error.errors()[:5])) from None
    _check_objective(problem)
    seen: set[str] = set()
    for group in problem.groups:
        if group.name in seen:
            msg = (
                f"group {group.name!r}, field name: two groups have this name; rename or merge them"
            )
            raise ProblemError(msg)
        seen.add(group.name)
        _check_group(group, problem.objective)
    if problem.objective.kind in ("weighted_sum", "isoelastic") and not any(
        g.weight for g in problem.groups
    ):
        msg = (
            "groups, field weight: every weight is 0, so nothing is worth buying; give some group "
            "a weight"
        )
        raise ProblemError(msg)
    return problem


def _check_objective(problem: Problem) -> None:
    o = problem.objective
    if o.kind == "isoelastic" and o.aversion is None:
        msg = (
            "objective, field aversion: isoelastic needs it (0 is the plain sum, 1 the log, large "
            "is near max-min)"
        )
        raise ProblemError(msg)
    if o.kind != "isoelastic" and o.aversion:
        msg = f"objective, field aversion: {o.kind} has none; remove it or use kind isoelastic"
        raise ProblemError(msg)
    if o.kind in ("max_min", "leximin", "min_cost") and o.level is None:
        msg = (
            f"objective, field level: {o.kind} compares groups, so state on what: raw, excess "
            "(below the fitted "
            "ceiling), skill (above chance) or attainable (share of the best reachable)"
        )
        raise ProblemError(msg)
    if o.kind == "isoelastic" and o.level == "excess":
        msg = (
            "objective, field level: excess is a shortfall and cannot go into isoelastic; use raw, "
            "skill or attainable"
        )
        raise ProblemError(msg)
    if (o.kind == "min_cost") != (o.target is not None):
        msg = (
            "objective, field target: "
            f"{'min_cost needs one' if o.target is None else 'only min_cost has one'}"
        )
        raise ProblemError(msg)
    if o.kind == "min_cost" and problem.budget is not None:
        msg = "field budget: min_cost looks for the least spend; remove the budget"
        raise ProblemError(msg)
    if o.kind != "min_cost" and problem.budget is None:
        msg = f"field budget: {o.kind} needs one"
        raise ProblemError(msg)


def _check_group(group: Group, objective: Objective) -> None:
    def fail(field: str, text: str) -> None:
        msg = f"group {group.name!r}, field {field}: {text}"
        raise ProblemError(msg)

    if objective.kind in ("weighted_sum", "isoelastic") and group.weight is None:
        fail(
            "weight",
            f"{objective.kind} needs one for each group (for example its share of the population)",
        )
    if group.pools is None:
        if group.cost is None:
            fail("cost", "missing; give the cost of one sample (1 where the budget counts samples)")
        if group.available is None:
            fail("available", "missing; give the number of unique records")
    else:
        names = [pool.name for pool in group.pools]
        if len(set(names)) < len(names):
            fail("pools", f"two pools have the same name among {names}; rename or merge them")
        if all(pool.worth == 0 for pool in group.pools):
            fail(
                "pools",
                "every pool has worth 0; leave the group out or give the reference pool worth 1",
            )
    total = sum(p.available for p in group.pools) if group.pools else float(group.available or 0.0)
    if total <= 0:
        fail(
            "available",
            "0 records; a group without data cannot be allocated: collect a pilot or leave it out",
        )
    if objective.level == "skill":
        if group.chance is None:
            fail("chance", "level skill needs the performance of guessing for each group")
        elif group.chance >= 1:
            fail("chance", f"{group.chance:g} leaves no room above chance; it must be below 1")
    curve = group.curve
    if isinstance(curve, TabulatedCurve):
        n, value = np.array(curve.n), np.array(curve.value)
        if n.size != value.size:
            fail("curve", f"{n.size} sizes n but {value.size} values; give one value for each size")
        if (np.diff(n) <= 0).any() or n[0] < 0:
            fail("curve", "sizes n must rise and not be negative; sort the table")
        slopes = np.diff(value) / np.diff(n)
        if (slopes < 0).any():
            fail("curve", "values fall; smooth the table so that more data never hurts")
        if (np.diff(slopes) > 1e-9 * max(slopes.max(), 1e-300)).any():
            fail(
                "curve",
                "the table is convex somewhere; use its concave hull, or drop the smallest sizes",
            )


def _explain(error: ErrorDetails, raw: Mapping[str, Any]) -> str:
    path = [
        part for part in error["loc"] if part not in ("power", "offset", "hyperbola", "tabulated")
    ]
    where: list[str] = []
    node: Any = raw
    for depth, part in enumerate(path):
        if isinstance(part, int) and depth and path[depth - 1] in ("groups", "pools", "cells"):
            item: Any = node[part] if isinstance(node, list) and part < len(node) else {}
            name = item.get("name", f"#{part}") if isinstance(item, Mapping) else f"#{part}"
            where[-1] = f"{path[depth - 1].rstrip('s')} {name!r}"
        else:
            where.append(str(part))
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = {}
    field = where.pop() if where else "problem"
    prefix = ", ".join([*where, f"field {field}"])
    kind = error["type"]
    value = error.get("input")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(field, _KNOWN, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{prefix}: unknown key{hint}"
    if kind == "missing":
        return f"{prefix}: missing"
    if kind == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        return f"{prefix}: {value!r} is not a finite number; refit or leave the group out"
    remedy = _REMEDY.get(field, "")
    return f"{prefix}: {str(error['msg']).lower()}, got {value!r}{'; ' + remedy if remedy else ''}"


_KNOWN = sorted(
    {
        name
        for m in (
            Problem,
            Objective,
            Group,
            Pool,
            Repeats,
            PowerCurve,
            HyperbolaCurve,
            TabulatedCurve,
        )
        for name in m.model_fields
    }
)
_REMEDY = {
    "cost": "a cost is what one sample takes from the budget; use 1 where the budget counts "
    "samples",
    "aversion": "0 is the plain sum and larger values protect worse-off groups",
    "b": "with b of 0 or less the curve does not rise; refit it",
    "p": "with p of 0 or less the curve is not concave and rising; refit it",
    "weight": "use 0 to ignore a group",
    "max_passes": "at least one pass",
}


def cells_of(problem: Problem) -> Cells:
    """Return the pools of all groups as columns; a group without pools is one cell of worth 1."""
    rows = [
        (g, pool.available, pool.worth, pool.cost, *_repeat(group))
        for g, group in enumerate(problem.groups)
        for pool in (
            group.pools
            or [
                Pool(
                    name=group.name,
                    worth=1.0,
                    cost=group.cost or 1.0,
                    available=group.available or 0.0,
                )
            ]
        )
    ]
    group, unique, worth, cost, rate, most = (np.array(c) for c in zip(*rows, strict=True))
    return Cells(group.astype(int), unique, worth, cost, rate, most, "exp")


def _repeat(group: Group) -> tuple[float, float]:
    if group.repeats is None:
        return 1.0, 1.0
    most = group.repeats.max_passes
    return group.repeats.r_star, math.inf if most is None else most


def level_curves(
    curves: Curves, level: str | None, chance: np.ndarray | None, best: np.ndarray, names: list[str]
) -> Curves:
    """Return the curves on a level.

    These are raw f, excess f - ceiling, skill (f - chance)/(1 - chance) and attainable f / best.

    Parameters
    ----------
    curves
        Raw curves of G groups.
    level
        Name of the level; None means raw, for sums only.
    chance
        Performance of guessing per group (skill).
    best
        Performance with all data of the group (attainable).
    names
        Names of the groups, for messages.
    """
    one = np.ones(curves.a.shape)
    if level in (None, "raw"):
        return curves
    if level == "excess":
        return curves.line(one, -curves.ceiling)
    if level == "skill":
        if chance is None or np.isnan(chance).any():
            msg = "level skill needs the performance of guessing (chance) for each group"
            raise ProblemError(msg)
        return curves.line(1.0 / (1.0 - chance), -chance / (1.0 - chance))
    bad = [names[i] for i in np.flatnonzero(best <= 0)]
    if bad:
        msg = (
            f"level attainable: groups {bad[:10]} do not get above 0 with all their data; choose "
            "another level"
        )
        raise ProblemError(msg)
    return curves.line(1.0 / best, 0.0 * one)
