"""Gather what the card shows from the tables of one run, and write the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from resources.rules import matching_rule
from resources.run import Run
from resources.sample import sample_note


def write_card(run: Run, release: Mapping[str, Any], versions: Mapping[str, int]) -> Path:
    """Write `publication/cards/release-N.html` under the output root, and `publication/card.html` beside it.

    Returns
    -------
    pathlib.Path
        The release's own page; `card.html` is a copy of the latest.
    """
    from assets.publication.card import render_card

    html = render_card(gather(run, release, versions))
    folder = run.output / "publication" / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"release-{release['release']:04d}.html"
    for place in (page, run.output / "publication" / "card.html"):
        fresh = place.with_suffix(".new")
        fresh.write_text(html, encoding="utf-8")
        fresh.replace(place)
    return page


def gather(run: Run, release: Mapping[str, Any], versions: Mapping[str, int]) -> Any:  # noqa: ANN401 - CardFacts
    """Read the facts of a card; nothing is drawn yet."""
    from assets.publication.card_facts import CardFacts

    recipe = run.recipe
    by = recipe.allocation.by if recipe.allocation is not None else None
    analysis = run.read("filtering/analysis").to_dicts()
    answer = json.loads(analysis[recipe.filtering.publish]["answer"]) if analysis else {}
    report = run.read("allocation/report").to_dicts()[0]
    pools = run.read("filtering/pools")
    unit_size = float(analysis[0]["unit_size"]) if analysis else 1.0
    warnings = [
        *_warnings(analysis, recipe.filtering.publish, recipe.unit),
        *json.loads(report["warnings"]),
    ]
    group_curves = _group_curves(run)
    allocation = run.read("allocation/plan").with_columns(pl.col("pool").cast(pl.Int64))
    policy = {} if recipe.allocation is None else _policy(recipe.allocation.model_dump())
    return CardFacts(
        title=recipe.name or Path(recipe.lake).name,
        release=int(release["release"]),
        run_id=str(release["run_id"]),
        recipe_hash=str(release["recipe_hash"]),
        code_version=str(release["code_version"]),
        time=release["time"].strftime("%Y-%m-%d %H:%M UTC"),
        unit=recipe.unit,
        output=recipe.output,
        note="" if run.sample is None else sample_note(run.whole_recipe, run.sample),
        versions=dict(versions),
        tables=_tables(run),
        quarantine=run.scan("ingestion/quarantine")
        .select("table", "position", "reason")
        .head(1000)
        .collect(),
        fates=_fates(run),
        group_name=by,
        fates_by_group=_fates_by_group(run, by),
        survival=_survival(run, by),
        edges=run.read("containment/edges"),
        retention=run.read("containment/retention"),
        clusters=_clusters(run),
        scores=_histograms(run),
        quality_by_pool=_quality_by_pool(pools),
        samples=_samples(run),
        silences=run.read("scoring/silences").with_columns(pl.col("rows").fill_null(0)),
        curves=_curves(run),
        curve_bands=_curve_bands(answer),
        plans=_plans(run, analysis),
        switch_points=_switch_points(answer, unit_size),
        warnings=warnings,
        group_curves=group_curves,
        group_bands=_group_bands(report, group_curves, allocation),
        allocation=allocation,
        policy=policy,
    )


def _policy(stated: Mapping[str, Any]) -> dict[str, str]:
    flat = {**{k: v for k, v in stated.items() if k != "policy"}, **stated["policy"]}
    return {k: _said(v) for k, v in flat.items() if v not in (None, {}, "")}


def _said(value: object) -> str:
    """Write a setting for people: ``am 4, hi 20`` rather than a Python dict."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(inner) for inner in value)
    return str(value)


def _warnings(
    analysis: Sequence[Mapping[str, Any]], publish: int, unit: str
) -> list[dict[str, Any]]:
    """Return the warnings of the published budget, then those that only other budgets have."""
    told: list[dict[str, Any]] = []
    if analysis:
        told += json.loads(analysis[publish]["answer"]).get("warnings", [])
    for place, row in enumerate(analysis):
        if place == publish or row["budget"] is None:
            continue
        for one in json.loads(row["answer"]).get("warnings", []):
            if one not in told:
                at = f"for a budget of {row['budget']:,} {unit}: {one['message']}"
                told.append({**one, "message": at})
    return told


def _tables(run: Run) -> pl.DataFrame:
    """Return the tables that were found, and for each whether a rule of the recipe reads it."""
    rules = run.recipe.records
    tables = run.read("ingestion/tables")
    matched = [matching_rule(rules, name) for name in tables["table"]]
    read = [at is not None and rules[at].role != "ignore" for at in matched]
    return tables.with_columns(read=pl.Series(read, dtype=pl.Boolean))


def _fates(run: Run) -> pl.DataFrame:
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


def _fates_by_group(run: Run, by: str | None) -> pl.DataFrame:
    ledger = run.scan("publication/ledger").filter(pl.col("record_id").is_not_null())
    return (
        ledger.join(_grouped(run, by), on="record_id")
        .group_by("group", "fate")
        .agg(rows=pl.len().cast(pl.Int64))
        .collect()
        .sort("group", "fate")
    )


def _survival(run: Run, by: str | None) -> pl.DataFrame:
    fates = _fates_by_group(run, by)
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


def _clusters(run: Run) -> pl.DataFrame:
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


def _histograms(run: Run) -> dict[str, pl.DataFrame]:
    scores = run.read("scoring/scores").drop("record_id", "calibration")
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


def _quality_by_pool(pools: pl.DataFrame) -> pl.DataFrame:
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


def _samples(run: Run) -> pl.DataFrame:
    """Pick the best, median and worst records with text, for people to read."""
    scores = run.read("scoring/scores", ["record_id", "quality"]).drop_nulls()
    texts = run.scan("deduplication/records").filter(pl.col("text").is_not_null())
    ids = texts.select("record_id").collect()
    ranked = scores.join(ids, on="record_id", how="semi").sort("quality", "record_id")
    count = min(3, ranked.height)
    middle = max(ranked.height // 2 - count // 2, 0)
    picks = [
        ("best", ranked.tail(count).reverse()),
        ("median", ranked.slice(middle, count)),
        ("worst", ranked.head(count)),
    ]
    chosen = pl.concat([part.with_columns(where=pl.lit(where)) for where, part in picks])
    wide = texts.select("record_id", "table", "position", "text").join(
        chosen.lazy().select("record_id").unique(), on="record_id", how="semi"
    )
    return chosen.join(wide.collect(), on="record_id").select(
        "where", "record_id", "table", "position", "quality", "text"
    )


def _curves(run: Run) -> pl.DataFrame:
    return (
        run.scan("filtering/curves")
        .filter(pl.col("pool").is_not_null(), pl.col("metric_value").is_not_null())
        .filter(pl.col("kind") != "group")
        .select("pool", "samples_seen", "unique", "metric_name", "metric_value", "se", "seed")
        .collect()
        .with_columns(
            law_value=pl.lit(None, pl.Float64),
            lo80=pl.lit(None, pl.Float64),
            hi80=pl.lit(None, pl.Float64),
        )
        .sort("pool", "samples_seen", "unique", "seed")
    )


def _curve_bands(answer: Mapping[str, Any]) -> pl.DataFrame:
    """Return each pool's own law, on fresh records."""
    schema = {
        "pool": pl.String,
        "samples": pl.Float64,
        "predicted": pl.Float64,
        "lo80": pl.Float64,
        "hi80": pl.Float64,
    }
    return pl.DataFrame(answer.get("pool_bands", []), schema=schema, orient="row")


def _plans(run: Run, analysis: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
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


def _switch_points(answer: Mapping[str, Any], unit_size: float) -> pl.DataFrame:
    """Return where the best plan changes, in the recipe's unit: the laws count records."""
    rows = [
        (float(p["samples"]) * unit_size, "+".join(p["from"]), "+".join(p["to"]))
        for p in answer.get("switch_points", [])
    ]
    schema = {"samples": pl.Float64, "from": pl.String, "to": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _group_curves(run: Run) -> pl.DataFrame:
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


def _group_bands(
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
