"""Read and check a stated allocation problem (the JSON that `sluice allocate` takes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assets.allocation.problem_errors import ProblemError, explain

Level = Literal["raw", "excess", "skill", "attainable"]


class Strict(BaseModel):
    """Unknown keys, infinities, NaN, and text or truth values in place of numbers are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, strict=True)


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class PowerCurve(Strict):
    """f(n) = a - b (n + offset)^-p."""

    form: Literal["power"]
    a: float
    b: Positive
    p: Positive
    offset: NonNegative = 0.0


class OffsetCurve(Strict):
    """f(n) = a - b (n + offset)^-p, with the offset required."""

    form: Literal["offset"]
    a: float
    b: Positive
    p: Positive
    offset: NonNegative


class HyperbolaCurve(Strict):
    """f(n) = a n / (n + k)."""

    form: Literal["hyperbola"]
    a: Positive
    k: Positive


class TabulatedCurve(Strict):
    """Straight lines between the points (n, value) of a concave table; flat after the last."""

    form: Literal["tabulated"]
    n: Annotated[list[float], Field(min_length=2)]
    value: Annotated[list[float], Field(min_length=2)]


Curve = Annotated[
    PowerCurve | OffsetCurve | HyperbolaCurve | TabulatedCurve, Field(discriminator="form")
]


class Repeats(Strict):
    """Worth of r passes, 1 + r_star (1 - exp(-(r-1)/r_star)); at most `max_passes` passes."""

    r_star: Positive
    max_passes: Annotated[float, Field(ge=1)] | None = None


class Pool(Strict):
    """Part of a group's data; a sample is `worth` samples of the reference quality."""

    name: Name
    worth: NonNegative
    cost: Positive
    available: NonNegative


class Group(Strict):
    """A group; `floor` counts new samples, `held` effective ones already there."""

    name: Name
    weight: NonNegative | None = None
    cost: Positive | None = None
    available: NonNegative | None = None
    held: NonNegative = 0.0
    floor: NonNegative = 0.0
    chance: float | None = None
    curve: Curve
    repeats: Repeats | None = None
    pools: Annotated[list[Pool], Field(min_length=1)] | None = None


class Objective(Strict):
    """What to maximise (or, for min_cost, what to reach)."""

    kind: Literal["weighted_sum", "isoelastic", "max_min", "leximin", "min_cost"]
    aversion: NonNegative | None = None
    level: Level | None = None
    target: float | None = None


class Policy(Strict):
    """Who chose objective, weights, costs and floors, why, and when; recorded, never used."""

    owner: Annotated[str, Field(min_length=1)]
    reason: str | None = None
    decided: str | None = None


class Problem(Strict):
    """A budget, an objective and groups, and who stated them."""

    budget: NonNegative | None = None
    objective: Objective
    policy: Policy | None = None
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
        raise ProblemError("; ".join(explain(e, raw, KNOWN) for e in error.errors()[:5])) from None
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


def records_of(group: Mapping[str, Any]) -> float:
    """Return the unique records of a group as stated: those of its pools, or else its own."""
    pools = group.get("pools")
    return float(sum(p["available"] for p in pools) if pools else group["available"])


def known_keys(*models: type[BaseModel]) -> list[str]:
    """Return every field name of the models, for a suggestion when a key is unknown."""
    return sorted({name for model in models for name in model.model_fields})


_PARTS = (Objective, Policy, Group, Pool, Repeats, OffsetCurve, HyperbolaCurve, TabulatedCurve)
KNOWN = known_keys(Problem, *_PARTS)
