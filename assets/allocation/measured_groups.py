"""The groups of a measured problem: which get a curve from their runs, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.answer import state
from assets.allocation.baselines import rule_spend
from assets.allocation.group_curves import CurveError, GroupCurves, fit_group_curves
from assets.allocation.problem import read_problem
from assets.allocation.problem_errors import ProblemError
from assets.allocation.tally import sum_by

_FLAT = {"form": "power", "a": 0.0, "b": 1e-9, "p": 1.0, "offset": 1.0}


def fit_stated(
    problem: Mapping[str, Any], evaluations: pl.DataFrame, draws: int, seed: int
) -> tuple[GroupCurves, dict[str, Any]]:
    """Return the fitted curves and the problem with them filled in.

    A group without a curve in the result has none that can be fitted; `remedy` then says what it needs.

    Raises
    ------
    ProblemError
        The groups are no list of named objects, or one states a curve and has runs.
    CurveError
        Rows cannot be read, or are of a group that the problem does not name.
    """
    groups = problem.get("groups")
    if not isinstance(groups, list) or not all(
        isinstance(g, dict) and isinstance(g.get("name"), str) for g in groups
    ):
        read_problem(problem)  # says what is wrong with them
        msg = "field groups: a list of objects with a name is needed"
        raise ProblemError(msg)
    names = [g["name"] for g in groups]
    rows = completed_runs(evaluations)
    _check_named(rows, names)
    measured = set(rows["group"].unique().to_list())
    for group in groups:
        if group.get("curve") is not None and group["name"] in measured:
            msg = (
                f"group {group['name']!r}, field curve: it is stated, and its runs would give another; "
                "remove the curve, or the runs"
            )
            raise ProblemError(msg)
    curves = fit_group_curves(rows, list(dict.fromkeys(names)), draws=draws, seed=seed)
    table = {row["group"]: row for row in curves.frame.to_dicts()}
    filled = []
    for group in groups:
        row = table[group["name"]]
        if group.get("curve") is None and row["a"] is not None:
            # a flat fit has b of 0; the least b that the solver takes moves no plan
            curve = {"form": "power", "a": row["a"], "b": max(row["b"], 1e-12), "p": row["p"]}
            group = group | {"curve": curve}
        if group.get("chance") is None and row["chance"] is not None:
            group = group | {"chance": row["chance"]}
        filled.append(group if group.get("curve") else group | {"remedy": row["remedy"]})
    return curves, dict(problem) | {"groups": filled}


def completed_runs(rows: pl.DataFrame) -> pl.DataFrame:
    """Return runs with the columns that may be missing (unique, se, run_id) filled in.

    Raises
    ------
    CurveError
        A column that can't be guessed is missing, or holds no numbers.
    """
    for column in ("group", "samples_seen", "metric_value", "direction", "seed"):
        if column not in rows.columns:
            msg = f"column {column!r} is missing; it has {rows.columns}"
            raise CurveError(msg)
    for column in ("samples_seen", "metric_value", "se", "unique", "chance_level"):
        if column in rows.columns and not rows[column].dtype.is_numeric():
            if rows[column].null_count() < rows.height:
                msg = f"column {column!r} holds {rows[column].dtype}, not numbers"
                raise CurveError(msg)
            rows = rows.with_columns(pl.col(column).cast(pl.Float64))
    fill = {
        "unique": pl.col("samples_seen"),
        "se": pl.lit(None, pl.Float64),
        "run_id": pl.format("{}|{}|{}", "group", "samples_seen", "seed"),
    }
    return rows.with_columns(pl.col("group").cast(pl.String)).with_columns(
        **{name: value for name, value in fill.items() if name not in rows.columns}
    )


def _check_named(rows: pl.DataFrame, names: list[str]) -> None:
    strange = sorted(set(rows["group"].drop_nulls().to_list()) - set(names))
    if strange or rows["group"].null_count():
        whom = f"group {strange[0]!r}" if strange else "a row without a group"
        msg = (
            f"{whom} is not in the problem, which has {names[:20]}; add the group or drop its rows"
        )
        raise CurveError(msg)


def without_curve(
    problem: Mapping[str, Any], fallback: str | None, *, integer: bool
) -> tuple[list[dict[str, Any]], dict[str, Any], float]:
    """Give groups without a curve their floor or their share by the rule, and take it from the budget.

    Returns
    -------
    tuple
        (rows of `allocation` for those groups, the problem of the others with what is left of the
        budget, what was set aside). A group without a record gets none by any rule.
    """
    apart = [g for g in problem["groups"] if g.get("curve") is None]
    if not apart:
        return [], dict(problem), 0.0
    there = [g for g in problem["groups"] if g.get("curve") is not None or _has_records(g)]
    stand_in = [
        {key: value for key, value in g.items() if key != "remedy"}
        | ({} if g.get("curve") is not None else {"curve": _FLAT})
        for g in there
    ]
    budget = problem.get("budget")
    kind = "max_min" if budget is not None else "min_cost"
    anything = {"kind": kind, "level": "raw"} | ({} if budget is not None else {"target": 0.0})
    read = read_problem(dict(problem) | {"groups": stand_in, "objective": anything})
    stated, _ = state(read)
    stated.check_floors()
    spend = stated.floor_spend
    if fallback is not None and budget is not None:
        sizes = sum_by(stated.cells.group, stated.cells.unique, stated.fill.groups)
        spend = rule_spend(fallback, stated.fill, sizes, stated.floor_spend, float(budget))
    x = stated.fill.samples(stated.fill.effective(spend))
    cells = stated.cells
    samples = sum_by(cells.group, x, stated.fill.groups)
    records = sum_by(cells.group, np.minimum(x, cells.unique), stated.fill.groups)
    place = {g["name"]: i for i, g in enumerate(there)}
    rows = []
    for group in apart:
        g = place.get(group["name"])
        x_g, r_g = (0.0, 0.0) if g is None else (float(samples[g]), float(records[g]))
        if integer:
            x_g, r_g = int(x_g + 1e-9), int(r_g + 1e-9)
        rows.append(
            {
                "group": group["name"],
                "samples": x_g,
                "records": r_g,
                "passes": x_g / r_g if r_g > 0 else 0.0,
                "performance": None,
                "bound": "no_curve",
                "marginal_value": None,
                **dict.fromkeys(("samples_lo80", "samples_hi80", "records_lo80", "records_hi80")),
                "remedy": group["remedy"],
            }
        )
    aside = sum(float(spend[place[g["name"]]]) for g in apart if g["name"] in place)
    rest = dict(problem) | {"groups": [g for g in problem["groups"] if g.get("curve") is not None]}
    if budget is not None:
        rest["budget"] = max(float(budget) - aside, 0.0)
    return rows, rest, aside


def _has_records(group: Mapping[str, Any]) -> bool:
    """Say whether the group has records; where it does not say so rightly, the check of the problem will tell."""
    return bool(group.get("pools")) or group.get("available") != 0
