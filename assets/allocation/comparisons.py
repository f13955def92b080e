"""What other choices would give: other aversions to inequality, and simple rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from assets.allocation.answer import allocate, state
from assets.allocation.baselines import RULES, rule_spend
from assets.allocation.errors import AllocationError
from assets.allocation.problem import read_problem
from assets.allocation.tally import sum_by

AVERSIONS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)


def aversion_sweep(
    problem: Mapping[str, Any], aversions: Sequence[float] = AVERSIONS
) -> pl.DataFrame:
    """Return one row an aversion: overall (weighted mean) and worst performance on the raw metric.

    Parameters
    ----------
    problem
        As `allocate` reads it, with a budget and weights.
    aversions
        Values of e; 0 is the plain sum, 1 the log.

    Returns
    -------
    DataFrame
        aversion, overall, worst; aversions at which the welfare has no value are left out.
    """
    weight = [float(g.get("weight") or 0.0) for g in problem["groups"]]
    if problem.get("budget") is None or sum(weight) <= 0:
        return pl.DataFrame(
            schema={"aversion": pl.Float64, "overall": pl.Float64, "worst": pl.Float64}
        )
    level = problem["objective"].get("level")
    rows = []
    for aversion in aversions:
        objective: dict[str, Any] = {"kind": "isoelastic", "aversion": aversion}
        if level in ("raw", "skill", "attainable"):
            objective["level"] = level
        try:
            answer = allocate({**problem, "objective": objective})
        except AllocationError:
            continue
        f = [entry["performance"] for entry in answer["allocation"]]
        if any(v is None for v in f):
            continue
        overall = sum(w * v for w, v in zip(weight, f, strict=True)) / sum(weight)
        rows.append({"aversion": aversion, "overall": overall, "worst": min(f)})
    return pl.DataFrame(
        rows, schema={"aversion": pl.Float64, "overall": pl.Float64, "worst": pl.Float64}
    )


def rule_samples(problem: Mapping[str, Any], budget: float) -> dict[str, list[float]]:
    """Return each group's samples under the simple rules, within caps and floors.

    Raises
    ------
    ProblemError
        The problem is misstated.
    """
    stated, _ = state(read_problem(problem))
    cells, fill = stated.cells, stated.fill
    sizes = sum_by(cells.group, cells.unique, fill.groups)
    out = {}
    for rule in RULES:
        spend = rule_spend(rule, fill, sizes, stated.floor_spend, budget)
        samples = fill.samples(fill.effective(spend))
        out[rule] = sum_by(cells.group, samples, fill.groups).tolist()
    return out
