"""What evaluations say beside a stated problem: bands of the curves, and whether the plan beats simple rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.answer import state
from assets.allocation.curves import Curves
from assets.allocation.group_curves import GroupCurves, fit_group_curves
from assets.allocation.levels import level_curves
from assets.allocation.plan_uncertainty import compare_with_rules
from assets.allocation.problem import read_problem, records_of
from assets.allocation.roots import Floats
from assets.allocation.tally import sum_by

GRID = 40
BANDS = {
    "group": pl.String,
    "samples": pl.Float64,
    "performance": pl.Float64,
    "lo80": pl.Float64,
    "hi80": pl.Float64,
}
POINTS = {
    "group": pl.String,
    "samples_seen": pl.Int64,
    "metric_value": pl.Float64,
    "se": pl.Float64,
}


@dataclass(frozen=True)
class CurveEvidence:
    """Bands, points and verdicts.

    Attributes
    ----------
    bands
        group, samples, performance (the stated curve), lo80 and hi80 (of the curves that were fitted to the
        evaluations; null without them).
    points
        group, samples_seen, metric_value (as performance), se.
    rules
        By rule the 80 % interval of the plan's gain over the fitted draws, and a verdict.
    without
        group, status, remedy: groups with evaluations too few for a curve, and ones that the problem leaves out.
    """

    bands: pl.DataFrame
    points: pl.DataFrame
    rules: dict[str, dict[str, Any]]
    without: pl.DataFrame


def curve_evidence(
    problem: Mapping[str, Any],
    answer: Mapping[str, Any],
    evaluations: pl.DataFrame | None = None,
    *,
    draws: int = 200,
    seed: int = 0,
) -> CurveEvidence:
    """Return the stated curves on a grid, and what evaluations say about them.

    Parameters
    ----------
    problem, answer
        As `allocate` takes and gives them.
    evaluations
        As `fit_group_curves` reads them. None: no band, no verdict.
    draws, seed
        Of the fitted curves.

    Raises
    ------
    CurveError
        The evaluations can't be read.
    """
    names = [str(g["name"]) for g in problem["groups"]]
    fitted = None
    points = pl.DataFrame(schema=POINTS)
    without = pl.DataFrame(schema={"group": pl.String, "status": pl.String, "remedy": pl.String})
    if evaluations is not None:
        measured = sorted(set(evaluations["group"].cast(pl.String).to_list()) | set(names))
        fitted = fit_group_curves(evaluations, measured, draws=draws, seed=seed)
        points = _points(evaluations)
        fits = pl.col("status").is_in(["ok", "no_gain"])
        left_out = pl.col("group").is_in(names).not_()
        without = fitted.frame.filter(~fits | left_out).select(
            "group",
            pl.when(fits).then(pl.lit("not in the problem")).otherwise("status").alias("status"),
            "remedy",
        )
    return CurveEvidence(
        _bands(problem, answer, points, fitted),
        points,
        {} if fitted is None else _verdicts(problem, answer, fitted, names),
        without,
    )


def _points(evaluations: pl.DataFrame) -> pl.DataFrame:
    lower = pl.col("direction") == "lower"
    return evaluations.filter(
        pl.col("metric_value").is_not_null(), pl.col("samples_seen") <= pl.col("unique")
    ).select(
        pl.col("group").cast(pl.String),
        pl.col("samples_seen").cast(pl.Int64),
        metric_value=pl.when(lower).then(1 - pl.col("metric_value")).otherwise("metric_value"),
        se=pl.col("se").cast(pl.Float64),
    )


def _bands(
    problem: Mapping[str, Any],
    answer: Mapping[str, Any],
    points: pl.DataFrame,
    fitted: GroupCurves | None,
) -> pl.DataFrame:
    """Return every curve from a hundredth of what is held and chosen (or the least size measured) to what there is."""
    parts = []
    for group, entry in zip(problem["groups"], answer["allocation"], strict=True):
        name, held = str(group["name"]), float(group.get("held") or 0.0)
        chosen = max(held + float(entry["samples"]), 1.0)
        seen = points.filter(pl.col("group") == name)["samples_seen"]
        low = max(1.0, min([chosen / 100, *(float(v) for v in seen)]))
        high = max(min(held + records_of(group), chosen * 20), chosen, low * 10)
        n = np.geomspace(low, high, GRID)
        curve = Curves.from_specs([group["curve"]])
        value = curve.take(np.zeros(GRID, int)).value(n)
        columns: dict[str, Any] = {"group": [name] * GRID, "samples": n, "performance": value}
        columns |= {"lo80": [None] * GRID, "hi80": [None] * GRID}
        if fitted is not None and fitted.usable[fitted.groups.index(name)]:
            g = fitted.groups.index(name)
            a, b, p = (d[:, g, None] for d in (fitted.draw_a, fitted.draw_b, fitted.draw_p))
            columns["lo80"], columns["hi80"] = np.quantile(a - b * n**-p, [0.1, 0.9], axis=0)
        parts.append(pl.DataFrame(columns, schema_overrides=BANDS))
    return pl.concat(parts) if parts else pl.DataFrame(schema=BANDS)


def _verdicts(
    problem: Mapping[str, Any],
    answer: Mapping[str, Any],
    fitted: GroupCurves,
    names: list[str],
) -> dict[str, dict[str, Any]]:
    """Judge the plan on every draw of the fitted curves; nothing where a group has no fit."""
    index = np.array([fitted.groups.index(name) for name in names])
    if not fitted.usable[index].all():
        return {}
    read = read_problem(problem)
    stated, _ = state(read)
    budget = stated.budget if stated.budget is not None else float(answer["spend"])
    stated = replace(stated, budget=budget)
    cells = stated.cells
    with np.errstate(invalid="ignore"):
        most = np.where(cells.unique > 0, cells.unique * cells.max_passes, 0.0)
    full = stated.held + sum_by(cells.group, cells.worth_of(most), stated.fill.groups)
    chance = np.array([np.nan if g.chance is None else g.chance for g in read.groups])
    drawn = []
    for number in range(fitted.draw_a.shape[0]):
        curves = fitted.draw(number, index)
        level = level_curves(curves, read.objective.level, chance, curves.value(full), names)
        drawn.append(replace(stated, curves=curves, level=level))
    sizes = sum_by(cells.group, cells.unique, stated.fill.groups)
    return compare_with_rules(stated, _effective(answer, stated), sizes, drawn)


def _effective(answer: Mapping[str, Any], stated: Any) -> Floats:  # noqa: ANN401 - Stated
    """Return the effective samples of the answer, from its pools where it has some."""
    samples = np.array(
        [
            float(part["samples"])
            for entry in answer["allocation"]
            for part in (entry.get("pools") or [entry])
        ]
    )
    return sum_by(stated.cells.group, stated.cells.worth_of(samples), stated.fill.groups)
