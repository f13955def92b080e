"""Answer a stated problem whose curves are measured: fitted to runs, with what their draws say about the plan.

The problem is that of `answer.allocate` with curves left out. Every group's curve is fitted to its runs,
refits to perturbed runs are the draws; every draw is solved again for the intervals, and the plan is
compared with simple rules on all of them. A group that no curve can be fitted for is unallocatable:
it gets its floor, or what the rule that the user named gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, ValidationError

from assets.allocation.answer import answered, on_level, state
from assets.allocation.baselines import rule_spend
from assets.allocation.errors import AllocationError
from assets.allocation.exact_floors import divide_exactly
from assets.allocation.group_curves import GroupCurves
from assets.allocation.measured_groups import fit_stated, without_curve
from assets.allocation.over_draws import over_draws
from assets.allocation.plan_uncertainty import compare_with_rules
from assets.allocation.problem import Problem, Strict, known_keys, read_problem
from assets.allocation.problem_errors import ProblemError, explain
from assets.allocation.roots import Floats
from assets.allocation.solve import Division
from assets.allocation.stated import Stated, finite_welfare
from assets.allocation.tally import sum_by

Answer = dict[str, Any]
LEAST_SEEDS = 3


class DrawsAsked(Strict):
    """How many draws; `plan` mean plans a sum on their mean, worst a level on the worst of them."""

    count: Annotated[int, Field(ge=20, le=10_000)] = 200
    plan: Literal["mean", "worst"] | None = None


class Uncertainty(Strict):
    """What a problem says about its runs; `fallback` is a rule (equal, equal_spend, proportional, alpha_<x>)."""

    draws: DrawsAsked = DrawsAsked()
    fallback: (
        Annotated[str, Field(pattern=r"^(equal|equal_spend|proportional|alpha_\d+(\.\d+)?)$")]
        | None
    ) = None
    seed: Annotated[int, Field(ge=0)] = 0


def allocate_measured(
    problem: Mapping[str, Any], evaluations: pl.DataFrame, *, integer: bool = False
) -> Answer:
    """Fit the groups' curves to `evaluations`, solve the problem, and say how sure the answer is.

    Parameters
    ----------
    problem
        As `allocate` reads it. Groups with runs state no curve (one with neither is unallocatable).
        Further `draws: {count, plan}`, `fallback` and `seed`; see `Uncertainty`.
    evaluations
        One row a run; see `fit_group_curves`. Columns `unique`, `se` and `run_id` may be missing.
    integer
        Round to whole samples.

    Returns
    -------
    dict
        The fields of `allocate`; every row of `allocation` has also `samples_lo80`, `samples_hi80`,
        `records_lo80` and `records_hi80` (10 % and 90 % quantiles of the optimum over the draws).
        `planned_on` (best curves, mean, worst), `draws`, `rules` (per rule the 80 % interval of the
        plan's gain over it and a verdict), `not_distinguishable`, `decided_by`, `curves` (one
        row a group, with intervals, status and remedy).

    Raises
    ------
    ProblemError, CurveError, AllocationError
        The problem or a run is misstated, or there is no answer.

    Notes
    -----
    One solve a draw.
    """
    plain, asked = _read(problem)
    curves, filled = fit_stated(plain, evaluations, asked.draws.count, asked.seed)
    fixed, rest, aside = without_curve(filled, asked.fallback, integer=integer)
    if not rest["groups"]:
        remedies = "; ".join(f"{row['group']!r}: {row['remedy']}" for row in fixed)
        msg = f"groups, field curve: no group has a curve. {remedies}"
        raise AllocationError(msg)
    read = read_problem(rest)
    stated, floors = state(read)
    drawn = _drawn(read, stated, curves)
    basis = stated
    if asked.draws.plan is not None:
        basis = over_draws(stated, drawn, asked.draws.plan)
    found = divide_exactly(basis, floors)
    finite_welfare(basis, found[1])
    effective = _effective(stated, found)
    sizes = sum_by(stated.cells.group, stated.cells.unique, stated.fill.groups)
    rules = compare_with_rules(stated, effective, sizes, drawn)
    flagged = [r for r, seen in rules.items() if seen["verdict"] == "not distinguishable"]
    by_rule = bool(flagged) and asked.fallback is not None and stated.budget is not None
    if by_rule:
        spend = rule_spend(
            str(asked.fallback), stated.fill, sizes, stated.floor_spend, float(stated.budget or 0)
        )
        found = (stated, replace(found[1], effective=stated.fill.effective(spend), spend=spend))
    answer = answered(read, stated, found, floors, integer=integer)
    _intervals(answer, stated, drawn, floors)
    answer["allocation"] = _in_order(problem, answer["allocation"], fixed)
    answer["spend"] += aside
    _whole_policy(answer["policy"], problem, asked)
    answer["warnings"] += _warnings(fixed, flagged, asked.fallback, evaluations)
    return answer | {
        "planned_on": asked.draws.plan or "best curves",
        "draws": len(drawn),
        "rules": rules,
        "not_distinguishable": bool(flagged),
        "decided_by": f"rule {asked.fallback}" if by_rule else f"optimum of {stated.kind}",
        "curves": curves.frame.to_dicts(),
    }


def _read(problem: Mapping[str, Any]) -> tuple[dict[str, Any], Uncertainty]:
    """Return the problem without what is said about runs, and that."""
    own = {key: problem[key] for key in Uncertainty.model_fields if key in problem}
    try:
        asked = Uncertainty.model_validate(own)
    except ValidationError as error:
        known = known_keys(Uncertainty, DrawsAsked)
        raise ProblemError("; ".join(explain(e, own, known) for e in error.errors()[:5])) from None
    return {key: value for key, value in problem.items() if key not in own}, asked


def _drawn(read: Problem, stated: Stated, curves: GroupCurves) -> list[Stated]:
    """Return the problem on every draw; groups whose curve is stated keep it."""
    where = {name: g for g, name in enumerate(curves.groups) if curves.usable[g]}
    out = []
    fitted = np.array([name in where for name in stated.names])
    index = np.array([where[name] for name in stated.names if name in where], int)
    for number in range(curves.draw_a.shape[0] if index.size else 0):
        drawn = curves.draw(number, index)
        columns = {n: getattr(stated.curves, n).copy() for n in ("a", "b", "p")}
        for name, column in columns.items():
            column[fitted] = getattr(drawn, name)
        one = replace(stated.curves, **columns)
        out.append(replace(stated, curves=one, level=on_level(read, one, stated.cells)))
    return out


def _effective(stated: Stated, found: tuple[Stated, Division]) -> Floats:
    solved, division = found
    samples = solved.samples(division.effective)
    return sum_by(stated.cells.group, stated.cells.worth_of(samples), stated.fill.groups)


def _intervals(answer: Answer, stated: Stated, drawn: list[Stated], floors: Floats) -> None:
    """Put the quantiles of each group's samples and records over the draws into its row."""
    many = []
    cells = stated.cells
    for one in drawn:
        try:
            solved, division = divide_exactly(one, floors)
        except AllocationError:  # a target out of reach under this draw
            continue
        x = solved.samples(division.effective)
        both = np.stack([x, np.minimum(x, cells.unique)])
        many.append([sum_by(cells.group, row, stated.fill.groups) for row in both])
    for g, row in enumerate(answer["allocation"]):
        for k, what in enumerate(("samples", "records")):
            lo, hi = np.quantile([d[k][g] for d in many], [0.1, 0.9]) if many else (None, None)
            row[f"{what}_lo80"] = None if lo is None else float(lo)
            row[f"{what}_hi80"] = None if hi is None else float(hi)


def _whole_policy(policy: Answer, problem: Mapping[str, Any], asked: Uncertainty) -> None:
    """Put into the policy what groups without a curve and the runs have of it."""
    policy["budget"] = problem.get("budget")
    for key, field, default in (("weights", "weight", None), ("floors", "floor", 0.0)):
        policy[key] = {g["name"]: g.get(field, default) for g in problem["groups"]}
    for group in problem["groups"]:
        policy["costs"].setdefault(group["name"], group.get("cost"))
    policy["fallback"] = asked.fallback
    policy["draws"] = asked.draws.model_dump()


def _in_order(problem: Mapping[str, Any], rows: list[Answer], fixed: list[Answer]) -> list[Answer]:
    by_name = {row["group"]: row for row in [*rows, *fixed]}
    return [by_name[group["name"]] for group in problem["groups"]]


def _warnings(
    fixed: list[Answer],
    flagged: list[str],
    fallback: str | None,
    evaluations: pl.DataFrame,
) -> list[str]:
    out = []
    for row in fixed:
        given = f"the rule {fallback} decides its share" if fallback else "it gets its floor only"
        out.append(f"group {row['group']!r} has no curve, {given}: {row['remedy']}")
    if flagged:
        used = (
            f"the rule {fallback} is used"
            if fallback
            else "the optimum is kept, no fallback is named"
        )
        out.append(
            f"the curves cannot tell the optimum from {' and '.join(flagged)} at 80 % (not "
            f"distinguishable): {used}; train more sizes or seeds, or accept the simple rule"
        )
    seeds = evaluations.group_by("group").agg(pl.col("seed").n_unique()).sort("group")
    few = [name for name, count in seeds.iter_rows() if count < LEAST_SEEDS]
    if few:
        out.append(
            f"groups {few[:10]} have fewer than {LEAST_SEEDS} seeds: intervals are too narrow"
        )
    return out
