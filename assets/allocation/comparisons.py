"""What other choices would give: other aversions to inequality, and simple rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.answer import allocate, state
from assets.allocation.baselines import RULES, rule_spend
from assets.allocation.errors import AllocationError
from assets.allocation.problem import read_problem
from assets.allocation.roots import Floats
from assets.allocation.stated import Stated
from assets.allocation.tally import sum_by

AVERSIONS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
SWEEP = {"aversion": pl.Float64, "overall": pl.Float64, "worst": pl.Float64}
POINTS = {"rule": pl.String, "overall": pl.Float64, "worst": pl.Float64}
STATED, ONCE = "weighted as stated", "each group counted once, as no weights are stated"


def overall_weights(weights: Sequence[float | None]) -> tuple[list[float], str]:
    """Return the weights by which performance is averaged over groups, and how that is said."""
    known = [float(w or 0.0) for w in weights]
    if any(w is None for w in weights) or sum(known) <= 0:
        return [1.0] * len(known), ONCE
    return known, STATED


def aversion_sweep(
    problem: Mapping[str, Any],
    aversions: Sequence[float] = AVERSIONS,
    *,
    budget: float | None = None,
) -> pl.DataFrame:
    """Return one row an aversion: overall (weighted mean) and worst performance on the raw metric.

    Parameters
    ----------
    problem
        As `allocate` reads it. Without weights each group counts once.
    aversions
        Values of e; 0 is the plain sum, 1 the log.
    budget
        To spend instead of the problem's, for one that states none.

    Returns
    -------
    DataFrame
        aversion, overall, worst; aversions at which the welfare has no value are left out.
    """
    weight, _ = overall_weights([g.get("weight") for g in problem["groups"]])
    spend = problem.get("budget") if budget is None else budget
    if spend is None:
        return pl.DataFrame(schema=SWEEP)
    groups = [{**g, "weight": w} for g, w in zip(problem["groups"], weight, strict=True)]
    level = problem["objective"].get("level")
    rows = []
    for aversion in aversions:
        objective: dict[str, Any] = {"kind": "isoelastic", "aversion": aversion}
        if level in ("raw", "skill", "attainable"):
            objective["level"] = level
        try:
            answer = allocate(
                {**problem, "objective": objective, "budget": spend, "groups": groups}
            )
        except AllocationError:
            continue
        point = overall_and_worst([e["performance"] for e in answer["allocation"]], weight)
        if point is not None:
            rows.append({"aversion": aversion, "overall": point[0], "worst": point[1]})
    return pl.DataFrame(rows, schema=SWEEP)


def overall_and_worst(
    performance: Sequence[float | None], weight: Sequence[float]
) -> tuple[float, float] | None:
    """Return weighted mean and least performance; None where one is unknown."""
    known = [v for v in performance if v is not None]
    if len(known) < len(performance) or not known:
        return None
    return sum(w * v for w, v in zip(weight, known, strict=True)) / sum(weight), min(known)


def rule_samples(problem: Mapping[str, Any], budget: float) -> dict[str, list[float]]:
    """Return each group's samples under the simple rules, within caps and floors.

    Raises
    ------
    ProblemError
        The problem is misstated.
    """
    return {rule: samples for rule, (samples, _) in _rules(problem, budget).items()}


def rule_points(problem: Mapping[str, Any], budget: float) -> pl.DataFrame:
    """Return rule, overall and worst performance on the raw metric under the simple rules."""
    weight, _ = overall_weights([g.get("weight") for g in problem["groups"]])
    rows = []
    for rule, (_, performance) in _rules(problem, budget).items():
        point = overall_and_worst(performance, weight)
        if point is not None:
            rows.append((rule, *point))
    return pl.DataFrame(rows, schema=POINTS, orient="row")


def _rules(problem: Mapping[str, Any], budget: float) -> dict[str, tuple[list[float], list[float]]]:
    """Return samples and performance by group under each rule."""
    stated, _ = state(read_problem(problem))
    cells, fill = stated.cells, stated.fill
    sizes = sum_by(cells.group, cells.unique, fill.groups)
    out = {}
    for rule in RULES:
        spend = rule_spend(rule, fill, sizes, stated.floor_spend, budget)
        effective = fill.effective(spend)
        samples = sum_by(cells.group, fill.samples(effective), fill.groups)
        out[rule] = (samples.tolist(), stated.curves.value(stated.held + effective).tolist())
    return out


def best_attainable(problem: Mapping[str, Any]) -> list[float]:
    """Return each group's performance with all of its data and passes, on the raw metric."""
    stated, _ = state(read_problem(problem))
    return [float(v) for v in stated.curves.value(_full(stated))]


def _full(stated: Stated) -> Floats:
    cells = stated.cells
    with np.errstate(invalid="ignore"):
        most = np.where(cells.unique > 0, cells.unique * cells.max_passes, 0.0)
    return np.asarray(stated.held + sum_by(cells.group, cells.worth_of(most), stated.fill.groups))


def out_of_reach(problem: Mapping[str, Any], answer: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return groups that all of their data does not bring to where every other group is, on the stated level.

    Returns
    -------
    list of (name, performance with all of its data on the raw metric)
    """
    stated, _ = state(read_problem(problem))
    samples = np.array(
        [
            float(part["samples"])
            for entry in answer["allocation"]
            for part in (entry.get("pools") or [entry])
        ]
    )
    effective = sum_by(stated.cells.group, stated.cells.worth_of(samples), stated.fill.groups)
    full = _full(stated)
    found = behind(stated.level.value(stated.held + effective), stated.level.value(full))
    best = stated.curves.value(full)
    return [(stated.names[g], float(best[g])) for g in found]


def behind(now: Floats, best: Floats) -> list[int]:
    """Return places of groups whose best lies below where each of the others is now."""
    return [g for g in range(now.size) if now.size > 1 and best[g] < np.delete(now, g).min() - 1e-9]
