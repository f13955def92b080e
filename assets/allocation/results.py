"""What trained models did to the groups: results of two or more arms, with intervals and warnings.

An arm is one way of choosing the data, trained and evaluated with several seeds. The first arm (or the one that
is called `before`) is what the others are compared with, seed by seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.fairness import (
    Change,
    equity_scaled,
    equity_scaled_by_spread,
    suppress_cells,
    suppress_small,
)
from assets.allocation.roots import Floats

LEAST = 10
METRIC, PREDICTIONS = (
    ("group", "arm", "seed", "metric"),
    ("group", "arm", "seed", "truth", "predicted"),
)
_MEASURES = ("overall", "worst", "gap", "ratio", "equity_scaled", "equity_scaled_sd")


class ResultsError(AllocationError):
    """Results that can't be compared; the message names column, group or arm, and the remedy."""


@dataclass(frozen=True)
class Results:
    """Results of arms.

    Attributes
    ----------
    metric
        What was measured.
    arms
        In order, the one that is compared with first.
    change
        group, arm, rows, value, lo95, hi95, gain, gain_lo95, gain_hi95 (against the first arm, paired by seed),
        `told_apart`; groups of fewer than `least` rows are suppressed, where rows are known.
    measures
        arm, measure, value, lo95, hi95: overall, worst, gap, ratio and equity-scaled scores over the groups that are
        shown.
    cells
        attribute, down (group), across (its value), rows, value, suppressed: of the last arm, where predictions carry
        further columns.
    warnings
        Levelling down, with the arm.
    seeds, least, weighted
        How many seeds; the suppression threshold; whether `overall` weighs groups by their rows.
    predictions
        The rows, where results were predictions.
    """

    metric: str
    arms: list[str]
    change: pl.DataFrame
    measures: pl.DataFrame
    cells: pl.DataFrame
    warnings: list[str]
    seeds: int
    least: int
    weighted: bool
    predictions: pl.DataFrame | None


def read_results(frame: pl.DataFrame, *, least: int = LEAST) -> Results:
    """Compare arms by group.

    Parameters
    ----------
    frame
        Either `group`, `arm`, `seed`, `metric` (on 0..1, higher is better) and optionally `rows` (evaluated ones)
        and `metric_name`; or predictions, a row each: `group`, `arm`, `seed`, `truth`, `predicted`, of which the
        accuracy is taken; any further column is an attribute to cross with the group.
    least
        Fewest rows of a group or cell that is shown.

    Raises
    ------
    ResultsError
        Columns are missing, a metric is not on 0..1, or arms differ in groups or seeds.
    """
    predictions = None
    name = "metric"
    if set(PREDICTIONS) <= set(frame.columns):
        predictions = frame.with_columns(pl.col("group", "arm").cast(pl.String))
        name = "accuracy"
        right = (pl.col("truth") == pl.col("predicted")).cast(pl.Float64)
        rows = predictions.group_by("group", "arm", "seed", maintain_order=True).agg(
            metric=right.mean(), rows=pl.len().cast(pl.Int64)
        )
    elif set(METRIC) <= set(frame.columns):
        rows = frame.with_columns(
            pl.col("group", "arm").cast(pl.String), pl.col("metric").cast(pl.Float64)
        )
        if "metric_name" in rows.columns and rows.height:
            name = str(rows["metric_name"][0])
    else:
        msg = (
            f"results have the columns {frame.columns}; give {', '.join(METRIC)} (and rows), or "
            f"predictions as {', '.join(PREDICTIONS)}"
        )
        raise ResultsError(msg)
    values, counts, groups, arms, seeds = _cube(rows)
    shown = np.ones(len(groups), bool)
    if counts is not None:
        told = pl.DataFrame({"group": groups, "rows": counts})
        shown = ~suppress_small(told, least=least)["suppressed"].to_numpy()
    weight = np.ones(len(groups)) if counts is None else counts.astype(float)
    return Results(
        metric=name,
        arms=arms,
        change=_change(values, counts, groups, arms, shown),
        measures=_measures(values[:, shown], weight[shown], arms),
        cells=_cells(predictions, arms[-1], least),
        warnings=_level_down(
            values[:, shown], [g for g, s in zip(groups, shown, strict=True) if s], arms
        ),
        seeds=len(seeds),
        least=least,
        weighted=counts is not None,
        predictions=predictions,
    )


def _cube(rows: pl.DataFrame) -> tuple[Floats, Any, list[str], list[str], list[Any]]:
    """Return values of shape (arms, groups, seeds), rows by group, and the names along the sides."""
    bad = rows.filter(pl.col("metric").is_null() | ~pl.col("metric").is_between(-1e-12, 1 + 1e-12))
    if bad.height:
        first = bad.row(0, named=True)
        msg = (
            f"results, group {first['group']!r}, arm {first['arm']!r}: metric {first['metric']} is "
            "not on 0..1; divide percentages by 100"
        )
        raise ResultsError(msg)
    twice = (
        rows.group_by("group", "arm", "seed").len().filter(pl.col("len") > 1).sort("group", "arm")
    )
    if twice.height:
        first = twice.row(0, named=True)
        msg = f"results, group {first['group']!r}, arm {first['arm']!r}: seed {first['seed']} stands twice"
        raise ResultsError(msg)
    arms = rows["arm"].unique(maintain_order=True).to_list()
    arms = sorted(arms, key=lambda arm: arm != "before")
    if len(arms) < 2:
        msg = f"results have {len(arms)} arm; a comparison needs two, such as before and after"
        raise ResultsError(msg)
    groups = sorted(rows["group"].unique().to_list())
    seeds = sorted(rows["seed"].unique().to_list())
    if rows.height != len(arms) * len(groups) * len(seeds):
        there = set(rows.select("group", "arm", "seed").iter_rows())
        lost = next(
            (g, a, s) for a in arms for g in groups for s in seeds if (g, a, s) not in there
        )
        msg = f"results, group {lost[0]!r}, arm {lost[1]!r}: seed {lost[2]} is missing; arms are paired by seed"
        raise ResultsError(msg)
    place = pl.DataFrame({"arm": arms, "_arm": range(len(arms))})
    ordered = rows.join(place, on="arm").sort("_arm", "group", "seed")
    values = ordered["metric"].to_numpy().reshape(len(arms), len(groups), len(seeds))
    counts = None
    if "rows" in rows.columns:
        by_group = rows.group_by("group").agg(pl.col("rows").min()).sort("group")
        counts = by_group["rows"].to_numpy()
    return np.clip(values, 0.0, 1.0), counts, groups, arms, seeds


def half_width(values: Floats) -> Floats:
    """Return half of the 95 % interval of the mean along the last axis (Student's t); NaN for one value."""
    from scipy.stats import t

    runs = values.shape[-1]
    if runs < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(t.ppf(0.975, runs - 1) * values.std(axis=-1, ddof=1) / np.sqrt(runs))


def _spread(values: Floats, name: str) -> dict[str, list[float | None]]:
    middle, half = values.mean(axis=-1), half_width(values)
    end = f"{name}_" if name != "value" else ""
    return {
        name: middle.tolist(),
        f"{end}lo95": [
            None if np.isnan(h) else float(m - h) for m, h in zip(middle, half, strict=True)
        ],
        f"{end}hi95": [
            None if np.isnan(h) else float(m + h) for m, h in zip(middle, half, strict=True)
        ],
    }


def _change(
    values: Floats,
    counts: Any,  # noqa: ANN401 - rows by group, or None
    groups: list[str],
    arms: list[str],
    shown: np.ndarray,
) -> pl.DataFrame:
    parts = []
    for arm, found in zip(arms, values, strict=True):
        gain = found - values[0]
        part = pl.DataFrame(
            {
                "group": groups,
                "arm": [arm] * len(groups),
                "rows": [None] * len(groups) if counts is None else counts,
                **_spread(found, "value"),
                **_spread(gain, "gain"),
            },
            schema_overrides={
                "rows": pl.Int64,
                **dict.fromkeys(("lo95", "hi95", "gain_lo95", "gain_hi95"), pl.Float64),
            },
        )
        numbers = ["rows", "value", "lo95", "hi95", "gain", "gain_lo95", "gain_hi95"]
        mask = pl.Series("suppressed", ~shown)
        parts.append(
            part.with_columns(mask).with_columns(
                *(
                    pl.when(pl.col("suppressed")).then(None).otherwise(pl.col(c)).alias(c)
                    for c in numbers
                )
            )
        )
    out = pl.concat(parts)
    apart = (pl.col("gain_lo95") > 0) | (pl.col("gain_hi95") < 0)
    return out.with_columns(told_apart=apart)


def _measures(values: Floats, weight: Floats, arms: list[str]) -> pl.DataFrame:
    """Return the measures of every arm; each is taken seed by seed and then averaged."""
    rows: list[pl.DataFrame] = []
    if not values.shape[1]:
        return pl.DataFrame(
            schema={
                "arm": pl.String,
                "measure": pl.String,
                "value": pl.Float64,
                "lo95": pl.Float64,
                "hi95": pl.Float64,
            }
        )
    for arm, found in zip(arms, values, strict=True):
        overall = weight @ found / weight.sum()
        top = found.max(axis=0)
        by_seed = np.array(
            [
                overall,
                found.min(axis=0),
                np.ptp(found, axis=0),
                np.divide(found.min(axis=0), top, out=np.full(top.size, np.nan), where=top > 0),
                [equity_scaled(float(o), f) for o, f in zip(overall, found.T, strict=True)],
                [
                    equity_scaled_by_spread(float(o), f)
                    for o, f in zip(overall, found.T, strict=True)
                ],
            ]
        )
        rows.append(
            pl.DataFrame(
                {
                    "arm": [arm] * len(_MEASURES),
                    "measure": list(_MEASURES),
                    **_spread(by_seed, "value"),
                },
                schema_overrides={"lo95": pl.Float64, "hi95": pl.Float64},
            )
        )
    return pl.concat(rows)


def _level_down(values: Floats, groups: list[str], arms: list[str]) -> list[str]:
    if values.shape[2] < 2 or len(groups) < 2:
        return []
    return [
        f"{arm} against {arms[0]}: {warning}"
        for arm, found in zip(arms[1:], values[1:], strict=True)
        for warning in Change(tuple(groups), values[0], found).summary()["warnings"]
    ]


def _cells(predictions: pl.DataFrame | None, arm: str, least: int) -> pl.DataFrame:
    schema = {
        "attribute": pl.String,
        "down": pl.String,
        "across": pl.String,
        "rows": pl.Int64,
        "value": pl.Float64,
        "suppressed": pl.Boolean,
    }
    if predictions is None:
        return pl.DataFrame(schema=schema)
    one = predictions.filter(pl.col("arm") == arm)
    one = one.filter(pl.col("seed") == one["seed"].min())
    right = (pl.col("truth") == pl.col("predicted")).cast(pl.Float64)
    parts = [
        suppress_cells(
            one.group_by(down="group", across=pl.col(name).cast(pl.String).fill_null("(unknown)"))
            .agg(rows=pl.len().cast(pl.Int64), value=right.mean())
            .sort("down", "across"),
            "down",
            "across",
            least=least,
        ).select(pl.lit(name).alias("attribute"), *list(schema)[1:])
        for name in predictions.columns
        if name not in PREDICTIONS and name not in ("id", "record_id")
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)
