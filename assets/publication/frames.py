"""The frames behind the card's figures and the figures of the assets: counts and measures, never record text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from assets.scoring.stored_scores import current
from resources.run import Run


def fates(run: Run) -> pl.DataFrame:
    """Count rows by fate, stage and reason; numbers in reasons are left out, so that equal reasons add up."""
    return (
        run.scan("publication/ledger")
        .with_columns(reason=pl.col("reason").str.replace_all(r"[0-9][0-9.]*", "…"))
        .group_by("fate", "stage", "reason")
        .agg(rows=pl.col("rows").sum())
        .collect()
        .sort("rows", "fate", "reason", descending=[True, False, False])
    )


def _grouped(run: Run, by: str | None) -> pl.LazyFrame:
    value = pl.col(by).fill_null("(unknown)") if by else pl.lit("(all)")
    return run.scan("deduplication/records").select("record_id", group=value)


def fates_by_group(run: Run, by: str | None) -> pl.DataFrame:
    """Count records by group and fate; one group `(all)` where no group is named."""
    ledger = run.scan("publication/ledger").filter(pl.col("record_id").is_not_null())
    return (
        ledger.join(_grouped(run, by), on="record_id")
        .group_by("group", "fate")
        .agg(rows=pl.len().cast(pl.Int64))
        .collect()
        .sort("group", "fate")
    )


def survival(run: Run, by: str | None) -> pl.DataFrame:
    """Count by group the records that are left after each step, from `read` to `published`."""
    fates = fates_by_group(run, by)
    stays = {
        "read": fates["fate"].unique().to_list(),
        "unique": ["published", "held_out", "filtered", "not_allocated"],
        "kept": ["published", "held_out", "not_allocated"],
        "offered": ["published", "not_allocated"],
        "published": ["published"],
    }
    parts = [
        fates.filter(pl.col("fate").is_in(names))
        .group_by("group")
        .agg(rows=pl.col("rows").sum())
        .with_columns(step=pl.lit(step))
        .select("group", "step", "rows")
        .sort("group")
        for step, names in stays.items()
    ]
    return pl.concat(parts)


def clusters(run: Run) -> pl.DataFrame:
    """Count clusters of twins by size and kind."""
    return (
        run.scan("deduplication/duplicates")
        .group_by("cluster")
        .agg(size=pl.len().cast(pl.Int64), near=(pl.col("kind") == "near").any())
        .with_columns(kind=pl.when("near").then(pl.lit("near")).otherwise(pl.lit("exact")))
        .group_by("size", "kind")
        .agg(clusters=pl.len().cast(pl.Int64))
        .collect()
        .sort("size", "kind")
    )


def histograms(run: Run) -> dict[str, pl.DataFrame]:
    """Count records by score in 30 bins a scorer; the outermost also hold the 0.5 % beyond them on each side."""
    scores = current(run.scan("scoring/scores")).select(pl.selectors.float()).collect()
    out = {}
    for name in scores.columns:
        values = scores[name].drop_nulls().to_numpy()
        if not len(values):
            continue
        low, high = np.quantile(values, [0.005, 0.995])
        counts, edges = np.histogram(np.clip(values, low, high), bins=30)
        out[name] = pl.DataFrame(
            {"low": edges[:-1], "high": edges[1:], "rows": counts.astype(np.int64)}
        )
    return out


def quality_by_pool(pools: pl.DataFrame) -> pl.DataFrame:
    """Return the 10th, 50th and 90th percentile of quality by pool, of records that are not held out."""
    return (
        pools.filter(~pl.col("held_out"))
        .group_by("pool")
        .agg(
            low=pl.col("quality").quantile(0.1),
            median=pl.col("quality").median(),
            high=pl.col("quality").quantile(0.9),
            rows=pl.len().cast(pl.Int64),
        )
        .with_columns(pl.col("pool").cast(pl.Int64))
        .sort("pool")
    )


def curves(run: Run) -> pl.DataFrame:
    """Return what was measured on pools and mixtures of them."""
    return (
        run.scan("filtering/curves")
        .filter(pl.col("pool").is_not_null(), pl.col("metric_value").is_not_null())
        .filter(pl.col("kind").is_in(["pool", "mixture"]))
        .select("pool", "samples_seen", "unique", "metric_name", "metric_value", "se", "seed")
        .collect()
        .with_columns(
            law_value=pl.lit(None, pl.Float64),
            lo80=pl.lit(None, pl.Float64),
            hi80=pl.lit(None, pl.Float64),
        )
        .sort("pool", "samples_seen", "unique", "seed")
    )


def curve_bands(answer: Mapping[str, Any]) -> pl.DataFrame:
    """Return each pool's own law, on fresh records."""
    schema = {
        "pool": pl.String,
        "samples": pl.Float64,
        "predicted": pl.Float64,
        "lo80": pl.Float64,
        "hi80": pl.Float64,
    }
    return pl.DataFrame(answer.get("pool_bands", []), schema=schema, orient="row")


def plans(run: Run, analysis: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the candidate plans with their budgets as the recipe states them, and which ones tie."""
    ties = pl.DataFrame(
        [
            (row["budget"], "+".join(plan["pools"]), plan.get("tie"))
            for row in analysis
            for plan in json.loads(row["answer"]).get("plans", [])
        ],
        schema={"budget": pl.Int64, "pools": pl.String, "tie": pl.Boolean},
        orient="row",
    ).unique(["budget", "pools"], keep="first", maintain_order=True)
    columns = ("budget", "pools", "predicted", "lo80", "hi80", "p_best", "regret", "chosen")
    return (
        run.read("filtering/plan")
        .filter(pl.col("predicted").is_not_null())
        .select(*columns, "published")
        .join(ties, on=["budget", "pools"], how="left", nulls_equal=True, maintain_order="left")
    )


def switch_points(answer: Mapping[str, Any], unit_size: float) -> pl.DataFrame:
    """Return where the best plan changes, in the recipe's unit: the laws count records."""
    rows = [
        (float(p["samples"]) * unit_size, "+".join(p["from"]), "+".join(p["to"]))
        for p in answer.get("switch_points", [])
    ]
    schema = {"samples": pl.Float64, "from": pl.String, "to": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def group_curves(run: Run) -> pl.DataFrame:
    """Measured performance by group: one minus the error, of fresh records only."""
    return (
        run.read("allocation/group_curves")
        .filter(pl.col("metric_value").is_not_null(), pl.col("samples_seen") <= pl.col("unique"))
        .select(
            "group",
            "samples_seen",
            metric_value=pl.when(pl.col("direction") == "lower")
            .then(1 - pl.col("metric_value"))
            .otherwise("metric_value"),
            se="se",
        )
        .sort("group", "samples_seen")
    )


def group_bands(
    report: Mapping[str, Any], curves: pl.DataFrame, allocation: pl.DataFrame
) -> pl.DataFrame:
    """Return each group's fitted curve from its smallest measured size to the size it was given.

    The band is 1.28 times the fit's root mean square error to both sides: where four of five runs
    fall if they scatter normally. It is no interval of the curve.
    """
    schema = {
        "group": pl.String,
        "samples": pl.Float64,
        "performance": pl.Float64,
        "lo80": pl.Float64,
        "hi80": pl.Float64,
    }
    sizes = [
        curves.select("group", pl.col("samples_seen").cast(pl.Float64).alias("size")),
        allocation.group_by("group").agg(size=pl.col("samples").sum().cast(pl.Float64)),
    ]
    reach = {
        str(group): (float(low), float(high))
        for group, low, high in pl.concat(sizes)
        .filter(pl.col("size") > 0, pl.col("group").is_not_null())
        .group_by("group")
        .agg(low=pl.col("size").min(), high=pl.col("size").max())
        .iter_rows()
    }
    rows: list[tuple[Any, ...]] = []
    for fit in json.loads(report["curves"] or "[]"):
        if fit["a"] is None or fit["group"] not in reach:
            continue
        low, high = reach[fit["group"]]
        spread = 1.2816 * float(fit["rmse"] or 0.0)
        for n in np.geomspace(low, high, 25):
            value = fit["a"] - fit["b"] * n ** -fit["p"]
            rows.append((fit["group"], float(n), value, value - spread, value + spread))
    return pl.DataFrame(rows, schema=schema, orient="row")


def prospects(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plan promises: the card's frames `sweep`, `rule_points` and `rules`, `chosen` and `weighted`."""
    found = json.loads(report.get("prospects") or "{}")
    frames: dict[str, tuple[str, dict[str, Any]]] = {
        "sweep": ("sweep", {"aversion": pl.Float64, "overall": pl.Float64, "worst": pl.Float64}),
        "rule_points": ("points", {"rule": pl.String, "overall": pl.Float64, "worst": pl.Float64}),
        "rules": ("rules", {"rule": pl.String, "group": pl.String, "samples": pl.Float64}),
    }
    chosen = found.get("chosen")
    return {
        **{
            name: pl.DataFrame(found.get(key, []), schema=schema)
            for name, (key, schema) in frames.items()
        },
        "chosen": None if chosen is None else (float(chosen[0]), float(chosen[1])),
        "weighted": str(found.get("weighted", "")),
    }


LEAST = 10


def intersections(run: Run, by: str | None) -> pl.DataFrame:
    """Count published records by the allocation's group and each other group, cells below `LEAST` suppressed."""
    from assets.allocation.fairness import suppress_cells

    schema = {"rows": pl.Int64, "value": pl.Float64, "suppressed": pl.Boolean}
    text = dict.fromkeys(("attribute", "down", "across"), pl.String)
    parts = [pl.DataFrame(schema={**text, **schema})]
    for other in run.recipe.group_names if by is not None else ():
        if other == by:
            continue
        counted = (
            run.scan("publication/training_set")
            .group_by(
                down=pl.col(str(by)).fill_null("(unknown)"),
                across=pl.col(other).fill_null("(unknown)"),
            )
            .agg(rows=pl.len().cast(pl.Int64), value=pl.len().cast(pl.Float64))
            .collect()
            .sort("down", "across")
        )
        hidden = suppress_cells(counted, "down", "across", least=LEAST)
        parts.append(hidden.select(pl.lit(other).alias("attribute"), "down", "across", *schema))
    return pl.concat(parts)


def marginal_values(allocation: pl.DataFrame) -> pl.DataFrame:
    """Return each group's largest marginal value over its pools, and `available` where every pool is all taken."""
    taken = pl.col("bound") == "available" if "bound" in allocation.columns else pl.lit(value=False)
    return (
        allocation.with_columns(pl.col("group").fill_null("(no group)"), taken=taken)
        .group_by("group", maintain_order=True)
        .agg(marginal_value=pl.col("marginal_value").max(), taken=pl.col("taken").all())
        .select(
            "group",
            "marginal_value",
            bound=pl.when("taken").then(pl.lit("available")).otherwise(pl.lit("none")),
        )
    )
