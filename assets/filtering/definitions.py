"""The filtering stage: `filtering/pools`, `filtering/curves`, and `filtering/laws` with `filtering/plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pyarrow as pa

from assets.filtering.flow import (
    ANALYSIS_SCHEMA,
    LAW_SCHEMA,
    PLAN_SCHEMA,
    law_rows,
    plan_rows,
    pool_worths,
    read_given_curves,
)
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.recipe import Recipe
from resources.run import Run, Stage, StageSpec

POOLS, CURVES = "filtering/pools", "filtering/curves"
LAWS, PLAN, ANALYSIS = "filtering/laws", "filtering/plan", "filtering/analysis"
RECORDS, FATES = "deduplication/records", "deduplication/fates"
SCORES, EMBEDDINGS = "scoring/scores", "scoring/embeddings"
UNKNOWN_GROUP = "(unknown)"
ALL_GROUP = "(all)"
BOOTSTRAPS = 200


def _given_curves(run: Run) -> object:
    """Identity of a table of curves that the recipe names, by size and time."""
    if run.recipe.filtering.curves == "proxy":
        return None
    path = Path(run.recipe.filtering.curves)
    return [str(path), path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else str(path)


POOLS_SPEC = StageSpec(
    name="filtering/pools",
    tables=(POOLS,),
    reads=(RECORDS, FATES, SCORES),
    code_version="1",
    layer="recipe",
    sections=("filtering", "allocation"),
)
CURVES_SPEC = StageSpec(
    name="filtering/curves",
    tables=(CURVES,),
    reads=(RECORDS, FATES, EMBEDDINGS, POOLS),
    code_version="1",
    layer="recipe",
    sections=("filtering", "scoring"),
    extra=_given_curves,
)
PLAN_SPEC = StageSpec(
    name="filtering/plan",
    tables=(LAWS, PLAN, ANALYSIS),
    reads=(CURVES, POOLS),
    code_version="1",
    layer="recipe",
    sections=("filtering", "unit"),
)
SPECS = (POOLS_SPEC, CURVES_SPEC, PLAN_SPEC)


def compute_pools(run: Run, stage: Stage) -> Facts:
    """Cut the records into pools of equal size by quality, within each group if a policy is stated."""
    from assets.filtering.pools import assign, cut_points

    recipe = run.recipe
    by = recipe.allocation.by if recipe.allocation is not None else None
    group = pl.col(by).fill_null(UNKNOWN_GROUP) if by else pl.lit(ALL_GROUP)
    frame = (
        run.scan(SCORES)
        .select("record_id", "quality")
        .join(run.scan(RECORDS).select("record_id", "tokens", group=group), on="record_id")
        .join(run.scan(FATES).select("record_id", "fate"), on="record_id")
        .collect(engine="streaming")
        .sort("record_id")
    )
    train = frame.filter(pl.col("fate").is_null())
    state = cut_points(
        train["quality"],
        train["group"] if by else None,
        train["record_id"],
        pools=recipe.filtering.pools,
        seed=recipe.seed,
    )
    pool = assign(state, frame["quality"], frame["group"] if by else None, frame["record_id"])
    pools = frame.select(
        "record_id",
        pool.alias("pool"),
        "group",
        "quality",
        "tokens",
        held_out=pl.col("fate").is_not_null(),
    )
    stage.put(POOLS, pools)
    sizes = (
        pools.filter(~pl.col("held_out") & pl.col("quality").is_not_null())
        .group_by("group", "pool")
        .len()
        .group_by("group")
        .agg(spread=pl.col("len").max() - pl.col("len").min(), pools=pl.len())
        .filter(pl.col("pools") == recipe.filtering.pools, pl.col("spread") > 1)
    )
    stage.check("pools_are_equal", sizes.is_empty() or state.nulls > 0, uneven=sizes.height)
    return {
        POOLS: {
            "pools": recipe.filtering.pools,
            "cut_within": by or "all records",
            "without_quality": state.nulls,
        }
    }


def compute_curves(run: Run, stage: Stage) -> Facts:
    """Obtain training curves: the ones that the recipe names, or proxies trained here."""
    from assets.filtering.proxies.run import SCHEMA

    recipe = run.recipe
    if recipe.filtering.curves != "proxy":
        rows = read_given_curves(Path(recipe.filtering.curves), SCHEMA)
        note = f"given: {recipe.filtering.curves}"
    else:
        rows = _train_proxies(run)
        from assets.filtering.proxies.run import NOTE

        note = NOTE
    stage.put(CURVES, rows)
    measured = rows.filter(pl.col("metric_value").is_not_null())
    stage.check(
        "metrics_are_finite",
        bool(measured["metric_value"].is_finite().all()),
        evaluations=measured.height,
    )
    silent = rows.filter(pl.col("metric_value").is_null())
    return {
        CURVES: {
            "evaluations": measured.height,
            "runs": measured["run_id"].n_unique(),
            "without_metric": silent.height,
            "flops": float(measured["flops"].sum() or 0.0),
            "what_proxies_can_tell": note,
        }
    }


def _train_proxies(run: Run) -> pl.DataFrame:
    from assets.filtering.proxies.design import design
    from assets.filtering.proxies.run import SCHEMA, execute
    from assets.filtering.proxies.settings import ProxyLimits, ProxySettings
    from resources.device import choose_device

    proxy = run.recipe.filtering.proxy
    data, groups = _proxy_data(run)
    settings = ProxySettings()
    limits = ProxyLimits(
        seconds=proxy.seconds,
        seeds=proxy.seeds,
        group_seeds=proxy.seeds,
        largest=proxy.records_per_pool,
    )
    specs = design(data, limits=limits, settings=settings, seed=run.recipe.seed, groups=groups)
    device = str(choose_device(run.recipe.limits.device))
    rows: list[dict[str, Any]] = []
    cache = run.scratch / "proxy_runs" / device.split(":", maxsplit=1)[0]
    for number, spec in enumerate(specs):
        run.report("filtering", "training proxies", number, len(specs))
        file = cache / f"{spec.run_id}.json"
        if file.exists():
            rows.extend(json.loads(file.read_text(encoding="utf-8")))
            continue
        made = execute(spec, data, device=device, settings=settings)
        cache.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(made), encoding="utf-8")
        fresh.replace(file)
        rows.extend(made)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("run_id")


def _proxy_data(run: Run) -> tuple[Any, list[str]]:
    from assets.filtering.proxies.data import ProxyData, sample_for_proxies
    from assets.scoring.hashed import from_stored

    proxy = run.recipe.filtering.proxy
    pools = run.read(POOLS, ["record_id", "pool", "group", "held_out"])
    contents = run.read(FATES, ["record_id", "content_id"])
    narrow = pools.join(contents, on="record_id")
    chosen = sample_for_proxies(
        narrow, per_pool=proxy.records_per_pool, seed=run.recipe.seed
    )
    vectors = run.scan(EMBEDDINGS).select("content_id", "dim", "vector").unique("content_id", keep="any")
    wanted = narrow.join(chosen, on="record_id").lazy()
    frame = (
        wanted.join(
            run.scan(RECORDS).select("record_id", "text", "label", "features"), on="record_id"
        )
        .join(vectors, on="content_id", how="left")
        .collect(engine="streaming")
        .sort("record_id")
    )
    # a record of numbers is learned by its label; a record of text by its text, labelled or not
    label = pl.when(pl.col("text").is_null()).then("label") if proxy.kind == "auto" else pl.col("label")
    frame = frame.with_columns(label=label)
    if proxy.kind == "language_model":
        frame = frame.with_columns(label=pl.lit(None, pl.String))
    table = frame.to_arrow()
    text = table.column("text").combine_chunks() if proxy.kind != "head" else None
    data = ProxyData(
        ids=frame["record_id"].to_numpy().astype(str),
        content_ids=frame["content_id"].to_numpy().astype(str),
        text=None if text is None else text.cast(pa.string()),
        embedding=from_stored(
            table.column("vector").combine_chunks(), run.recipe.scoring.dimensions
        ),
        label=np.array(frame["label"].to_list(), dtype=object),
        group=np.array(frame["group"].to_list(), dtype=object),
        pool=frame["pool"].to_numpy().astype(np.int64),
        held_out=frame["held_out"].to_numpy().astype(bool),
    )
    return data, sorted(narrow["group"].unique().to_list())


def compute_plan(run: Run, stage: Stage) -> Facts:
    """Fit the laws, and say for every budget which pools to train on and how often."""
    from assets.filtering.analyse import analyse
    from assets.filtering.proxies.run import pool_curves

    recipe = run.recipe
    curves = pool_curves(run.read(CURVES))
    pools = run.read(POOLS, ["pool", "held_out", "tokens"]).filter(~pl.col("held_out"))
    sizes = {
        str(pool): count
        for pool, count in pools.group_by("pool").len().sort("pool").iter_rows()
    }
    mean_tokens = float(pools["tokens"].mean() or 1.0)  # type: ignore[arg-type]
    unit_size = 1.0 if recipe.unit == "records" else mean_tokens
    budgets: Sequence[int | None] = [b.amount for b in recipe.filtering.budgets] or [None]
    reason = _no_laws(curves, sizes)
    answers: list[dict[str, Any]] = []
    if reason is None:
        for budget in budgets:
            run.report("filtering", "fitting laws", len(answers), len(budgets))
            answers.append(
                analyse(
                    curves,
                    law=recipe.filtering.law,
                    budget=None if budget is None else budget / unit_size,
                    pool_sizes={name: float(size) for name, size in sizes.items()},
                    max_passes=recipe.filtering.max_passes,
                    seed=recipe.seed,
                    bootstraps=BOOTSTRAPS,
                )
            )
    worths: dict[str, dict[str, float]] = {}
    if reason is None:
        whole = {name: float(size) for name, size in sizes.items()}
        # point predictions only, so no draws are needed
        worths = pool_worths(
            analyse,
            curves,
            sizes,
            law=recipe.filtering.law,
            pool_sizes=whole,
            seed=recipe.seed,
            bootstraps=20,
        )
    plans = plan_rows(answers, budgets, sizes, reason=reason, publish=recipe.filtering.publish)
    stage.put(LAWS, law_rows(answers[recipe.filtering.publish] if answers else None))
    stage.put(PLAN, plans)
    stage.put(
        ANALYSIS,
        pl.DataFrame(
            [
                (budget, json.dumps(answers[i] if answers else {"reason": reason}), json.dumps(worths))
                for i, budget in enumerate(budgets)
            ],
            schema=ANALYSIS_SCHEMA,
            orient="row",
        ),
    )
    chosen = plans.filter("chosen")
    stage.check(
        "one_plan_a_budget",
        chosen.height == len(budgets),
        budgets=len(budgets),
        chosen=chosen.height,
    )
    warnings = answers[recipe.filtering.publish]["warnings"] if answers else []
    first = chosen.row(min(recipe.filtering.publish, chosen.height - 1), named=True)
    return {
        LAWS: {"laws": ", ".join(answers[0]["laws"]) if answers else f"none: {reason}"},
        PLAN: {
            "pools": first["pools"],
            "predicted": first["predicted"] if first["predicted"] is not None else "no curve",
            "worths": json.dumps(worths),
            "warnings": dg.MetadataValue.md(
                "\n".join(f"* **{w['code']}**: {w['message']} {w['remedy']}" for w in warnings) or "none"
            ),
        },
    }


def _no_laws(curves: pl.DataFrame, sizes: Mapping[str, int]) -> str | None:
    if curves.is_empty():
        return "no proxy applies to these records, so there is no training curve"
    measured = set(curves.filter(~pl.col("pool").str.contains("+", literal=True))["pool"])
    missing = sorted(set(sizes) - measured)
    if missing:
        return f"pools {', '.join(missing)} have no training curve"
    return None


INFO = {
    POOLS: TableInfo(
        "One row a scored record: its quality pool.",
        {
            "record_id": "string: record",
            "pool": "int32: 0 is the best",
            "group": "string: value of the allocation's group",
            "quality": "double: what it was cut by",
            "tokens": "int64: size of the record",
            "held_out": "bool: whether it is held out",
        },
    ),
    CURVES: TableInfo(
        "One row an evaluation of a training run.",
        {
            "pool": "string: pool, or pools joined by +",
            "group": "string: or group",
            "samples_seen": "int64: records drawn",
            "unique": "int64: distinct ones",
            "metric_name": "string: what was measured",
            "direction": "string: lower or higher is better",
            "metric_value": "double: measured on held-out records",
            "se": "double: standard error",
            "seed": "int64: seed",
            "run_id": "string: hash of all that determines the run",
        },
    ),
    LAWS: TableInfo("One row a law and pool: the fitted parameters.", {k: f"{v}: {k}" for k, v in LAW_SCHEMA.items()}),
    PLAN: TableInfo(
        "One row a candidate plan and budget, best first.", {k: f"{v}: {k}" for k, v in PLAN_SCHEMA.items()}
    ),
    ANALYSIS: TableInfo(
        "One row a budget: the whole answer as JSON.", {k: f"{v}: {k}" for k, v in ANALYSIS_SCHEMA.items()}
    ),
}


def define(recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    return [
        stage_asset(
            POOLS_SPEC,
            naming,
            specs,
            compute_pools,
            INFO,
            checks={"pools_are_equal": "pools of a group differ by at most one record"},
        ),
        stage_asset(
            CURVES_SPEC,
            naming,
            specs,
            compute_curves,
            INFO,
            checks={"metrics_are_finite": "every measured metric is a number"},
            kinds=("torch", "deltalake"),
            pool="gpu",
        ),
        stage_asset(
            PLAN_SPEC,
            naming,
            specs,
            compute_plan,
            INFO,
            checks={"one_plan_a_budget": "one plan is chosen for each budget"},
        ),
    ]


COMPUTES = ((POOLS_SPEC, compute_pools), (CURVES_SPEC, compute_curves), (PLAN_SPEC, compute_plan))
