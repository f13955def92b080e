"""Read and check a joint problem: groups x quality pools x passes under one budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from assets.allocation.curves import Curves
from assets.allocation.problem import (
    Name,
    NonNegative,
    Objective,
    Policy,
    Positive,
    Strict,
    known_keys,
)
from assets.allocation.problem_errors import ProblemError, explain
from assets.allocation.repetition import Cells
from assets.allocation.stated import SUMS
from assets.allocation.tally import sum_by


class JointCell(Strict):
    """One pool of a group: U records, `worth` or (mixture) `beta`, decay `tau` or `r_star`."""

    name: str | None = None
    U: NonNegative
    worth: NonNegative = 1.0
    beta: Positive | None = None
    tau: Positive | None = None
    r_star: Positive | None = None
    max_passes: Annotated[float, Field(ge=1)] | None = None
    cost: Positive = 1.0


class JointGroup(Strict):
    """A group: f = a - b E^-p, or (mixture) f = a - A exp(-V) with anchor n0."""

    name: Name
    weight: NonNegative = 1.0
    a: float
    b: Positive | None = None
    p: Positive | None = None
    A: Positive = 1.0
    n0: Positive | None = None
    held: NonNegative = 0.0
    floor: NonNegative = 0.0
    chance: float | None = None
    cells: Annotated[list[JointCell], Field(min_length=1)]


class JointProblem(Strict):
    """The input object; `budgets` asks for several plans, `integer` for whole samples."""

    formulation: Literal["effective", "mixture"] = "effective"
    repetition: Literal["none", "step", "exp", "power"] = "step"
    budget: Positive | None = None
    budgets: Annotated[list[Positive], Field(min_length=1)] | None = None
    objective: Objective
    policy: Policy | None = None
    groups: Annotated[list[JointGroup], Field(min_length=1)]
    integer: bool = False


_JOINT_KEYS = known_keys(JointProblem, JointGroup, JointCell, Objective, Policy)


def read_joint(raw: Mapping[str, Any]) -> JointProblem:
    """Validate `raw`; errors name group, cell and field."""
    try:
        problem = JointProblem.model_validate(raw)
    except ValidationError as error:
        raise ProblemError(
            "; ".join(explain(e, raw, _JOINT_KEYS) for e in error.errors()[:5])
        ) from None
    mixture = problem.formulation == "mixture"
    _check_objective(problem)
    if mixture and problem.repetition != "power":
        msg = (
            "field repetition: the mixture form is derived for power repetition only; use power, "
            "or effective"
        )
        raise ProblemError(msg)
    names: set[str] = set()
    for group in problem.groups:
        if group.name in names:
            msg = (
                f"group {group.name!r}, field name: two groups have this name; rename or merge them"
            )
            raise ProblemError(msg)
        names.add(group.name)
        _check(group, problem, mixture=mixture)
    if problem.objective.kind in SUMS and not any(g.weight for g in problem.groups):
        msg = "groups, field weight: every weight is 0, so nothing is worth buying; give some group a weight"
        raise ProblemError(msg)
    return problem


def _check_objective(problem: JointProblem) -> None:
    o = problem.objective
    if problem.budgets is not None:
        check_budgets(problem.budgets, o.kind)
    elif (o.kind == "min_cost") != (problem.budget is None):
        msg = "field budget: " + (
            "min_cost looks for the least spend; remove it" if problem.budget else "missing"
        )
        raise ProblemError(msg)
    if (o.kind == "min_cost") != (o.target is not None):
        msg = "objective, field target: min_cost needs one, and only min_cost has one"
        raise ProblemError(msg)
    if o.kind == "isoelastic" and o.aversion is None:
        msg = "objective, field aversion: isoelastic needs it (0 is the plain sum, 1 the log)"
        raise ProblemError(msg)
    if o.kind != "isoelastic" and o.aversion:
        msg = f"objective, field aversion: {o.kind} has none; remove it or use kind isoelastic"
        raise ProblemError(msg)
    if o.kind == "isoelastic" and o.level == "excess":
        msg = "objective, field level: excess is a shortfall and cannot go into isoelastic; use another"
        raise ProblemError(msg)


def check_budgets(budgets: list[float], kind: str) -> None:
    """Refuse budgets that say nothing: with min_cost, or one of them twice."""
    if kind == "min_cost":
        msg = "field budgets: min_cost looks for the least spend; remove them"
        raise ProblemError(msg)
    twice = sorted({b for b in budgets if budgets.count(b) > 1})
    if twice:
        msg = f"field budgets: {twice[0]:g} stands twice; remove one"
        raise ProblemError(msg)


def _check(group: JointGroup, problem: JointProblem, *, mixture: bool) -> None:
    def fail(field: str, text: str) -> None:
        msg = f"group {group.name!r}, field {field}: {text}"
        raise ProblemError(msg)

    if sum(cell.U for cell in group.cells) <= 0:
        fail("U", "no records in any pool; a group without data cannot be allocated")
    if not mixture and not any(cell.U * cell.worth for cell in group.cells):
        fail("worth", "0 for every pool with records; give the reference pool worth 1")
    named = [cell.name for cell in group.cells if cell.name is not None]
    if len(set(named)) < len(named):
        fail("cells", f"two pools have the same name among {named}; rename or merge them")
    if problem.objective.level == "skill" and group.chance is None:
        fail("chance", "level skill needs the performance of guessing for each group")
    if group.chance is not None and group.chance >= 1:
        fail("chance", f"{group.chance:g} leaves no room above chance; it must be below 1")
    if problem.objective.kind in SUMS and "weight" not in (group.model_fields_set):
        fail("weight", f"{problem.objective.kind} needs one for each group")
    if mixture:
        if group.n0 is None:
            fail("n0", "the mixture form needs the anchor of the group's pools, in samples")
        if any(cell.beta is None for cell in group.cells):
            fail("beta", "the mixture form needs the exponent of each pool")
        if len({cell.cost for cell in group.cells}) > 1:
            fail("cost", "the mixture form needs one cost for all pools of a group; use effective")
        if group.held or group.floor:
            fail(
                "held" if group.held else "floor", "not defined in the mixture form; use effective"
            )
    elif group.b is None or group.p is None:
        fail("b" if group.b is None else "p", "the effective form needs the curve a - b E^-p")
    decay = "r_star" if problem.repetition == "exp" else "tau"
    if problem.repetition != "none" and any(getattr(c, decay) is None for c in group.cells):
        fail(decay, f"repetition {problem.repetition} needs it for each pool")


def joint_cells(problem: JointProblem, keep: list[int] | None = None) -> tuple[Cells, np.ndarray]:
    """Return the cells as columns (those of pools `keep` only) and each one's pool position."""
    rows = [
        (
            g,
            cell.U,
            cell.worth,
            cell.cost,
            (cell.r_star if problem.repetition == "exp" else cell.tau) or 1.0,
            math.inf if cell.max_passes is None else cell.max_passes,
            q,
        )
        for g, group in enumerate(problem.groups)
        for q, cell in enumerate(group.cells)
        if keep is None or q in keep
    ]
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    unique, worth, cost, rate, most = (c.astype(float) for c in columns[1:6])
    cells = Cells(columns[0].astype(int), unique, worth, cost, rate, most, problem.repetition)
    return cells, columns[6].astype(int)


def pool_labels(group: JointGroup) -> list[str]:
    """Return what a group's pools are called: their names, or else their positions from 0."""
    return [cell.name or str(q) for q, cell in enumerate(group.cells)]


def joint_curves(problem: JointProblem) -> Curves:
    """Return the groups' power curves (effective form)."""
    return Curves.power(
        [g.a for g in problem.groups],
        [g.b or 1.0 for g in problem.groups],
        [g.p or 1.0 for g in problem.groups],
    )


def pooled_cells(problem: JointProblem) -> Cells:
    """Pool the cells over groups: U summed; worth, cost and decay averaged by size."""
    cells, pool = joint_cells(problem)
    count = int(pool.max()) + 1
    size = sum_by(pool, cells.unique, count)

    def mean(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num(
                sum_by(pool, cells.unique * values, count) / size,
                nan=1.0,
                posinf=np.inf,
            )

    with np.errstate(invalid="ignore"):
        most = mean(cells.max_passes)
    return Cells(
        np.zeros(count, int),
        size,
        mean(cells.worth),
        mean(cells.cost),
        mean(cells.parameter),
        np.maximum(most, 1.0),
        cells.kind,
    )
