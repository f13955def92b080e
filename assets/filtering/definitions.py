"""The filtering stage: `filtering/pools`, `filtering/curves`, and `filtering/laws` with `filtering/plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import polars as pl
import pyarrow as pa

from assets.filtering.flow import (
    ANALYSIS_SCHEMA,
    law_rows,
    plan_rows,
    pool_bands,
    pool_worths,
    read_given_curves,
)
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.recipe import Recipe
from resources.run import Run, Stage, StageSpec

if TYPE_CHECKING:
    from assets.filtering.proxies.data import ProxyData
    from assets.filtering.proxies.design import RunSpec
    from assets.filtering.proxies.settings import ProxySettings

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
    from assets.filtering.proxies.run import SCHEMA
    from assets.filtering.proxies.settings import ProxyLimits, ProxySettings
    from resources.device import choose_device

    proxy = run.recipe.filtering.proxy
    settings = ProxySettings()
    limits = ProxyLimits(
        seconds=proxy.seconds,
        seeds=proxy.seeds,
        group_seeds=proxy.seeds,
        largest=proxy.records_per_pool,
    )
    device = str(choose_device(run.recipe.limits.device))
    frame = _proxy_records(run)
    by_pool, text_groups, number_groups = _proxy_sets(frame, proxy.kind)
    work: list[tuple[Any, Any]] = []
    for records, kinds in (
        (by_pool, ("pool", "mixture")),
        (text_groups, ("group",)),
        (number_groups, ("group",)),
    ):
        if records.height:
            data, groups = _proxy_data(records, run.recipe.scoring.dimensions)
            specs = design(
                data, limits=limits, settings=settings, seed=run.recipe.seed, groups=groups
            )
            work.extend((spec, data) for spec in specs if spec.kind in kinds)
    rows: list[dict[str, Any]] = []
    for number, (spec, data) in enumerate(work):
        run.report("filtering", "training proxies", number, len(work))
        rows.extend(
            _finished_run(run.scratch / "proxy_runs" / device[:4], spec, data, device, settings)
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("run_id")


def _finished_run(
    cache: Path, spec: RunSpec, data: ProxyData, device: str, settings: ProxySettings
) -> list[dict[str, Any]]:
    """Train one proxy, or take its rows from a run that was killed or that had the same records."""
    from assets.filtering.proxies.run import execute

    file = cache / f"{spec.run_id}.json"
    if file.exists():
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return found
    made = execute(spec, data, device=device, settings=settings)
    cache.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(made), encoding="utf-8")
    fresh.replace(file)
    return made


def _proxy_records(run: Run) -> pl.DataFrame:
    """Take a bounded number of records of every pool and group, and of the target, with what they are learned from."""
    from assets.filtering.proxies.data import sample_for_proxies

    proxy = run.recipe.filtering.proxy
    pools = run.read(POOLS, ["record_id", "pool", "group", "held_out"])
    fates = run.scan(FATES).select("record_id", "content_id")
    narrow = pools.join(fates.collect(), on="record_id").with_columns(target=pl.lit(value=False))
    chosen = narrow.join(
        sample_for_proxies(narrow, per_pool=proxy.records_per_pool, seed=run.recipe.seed),
        on="record_id",
    )
    target = (
        run.scan(RECORDS)
        .filter(pl.col("role") == "target")
        .select(
            "record_id",
            pool=pl.lit(0, pl.Int32),
            group=pl.lit(None, pl.String),
            held_out=pl.lit(value=True),
            content_id="content_id",
            target=pl.lit(value=True),
        )
        .collect()
    )
    if target.height:
        keep = sample_for_proxies(target, seed=run.recipe.seed)
        chosen = pl.concat([chosen, target.join(keep, on="record_id")])
    vectors = (
        run.scan(EMBEDDINGS).select("content_id", "dim", "vector").unique("content_id", keep="any")
    )
    learned = run.scan(RECORDS).select("record_id", "text", "label")
    return (
        chosen.lazy()
        .join(learned, on="record_id")
        .join(vectors, on="content_id", how="left")
        .collect(engine="streaming")
        .sort("record_id")
    )


def _proxy_sets(frame: pl.DataFrame, kind: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Divide the records by what is trained on them.

    Pools are compared on the target where there is one (what the data is for), else on held-out
    records; groups always on
    their own held-out records. A record of text is learned by its text, a record of numbers by its label.
    """
    no_text, no_label = (
        pl.lit(None, pl.String).alias("text"),
        pl.lit(None, pl.String).alias("label"),
    )
    if kind == "head":
        frame = frame.with_columns(no_text)
    elif kind == "language_model":
        frame = frame.with_columns(no_label)
    texts = frame.filter(pl.col("text").is_not_null()).with_columns(no_label)
    numbers = frame.filter(pl.col("text").is_null() & ~pl.col("target"))
    pooled = texts if texts.height else frame.filter(~pl.col("target"))
    if pooled["target"].any():
        pooled = pooled.filter(pl.col("target") | ~pl.col("held_out"))
    return pooled, texts.filter(~pl.col("target")), numbers


def _proxy_data(frame: pl.DataFrame, dimensions: int) -> tuple[Any, list[str]]:
    from assets.filtering.proxies.data import ProxyData
    from assets.scoring.hashed import from_stored

    table = frame.to_arrow()
    has_text = frame["text"].null_count() < frame.height
    data = ProxyData(
        ids=frame["record_id"].to_numpy().astype(str),
        content_ids=frame["content_id"].to_numpy().astype(str),
        text=table.column("text").combine_chunks().cast(pa.string()) if has_text else None,
        embedding=from_stored(table.column("vector").combine_chunks(), dimensions),
        label=np.array(frame["label"].to_list(), dtype=object),
        group=np.array(frame["group"].to_list(), dtype=object),
        pool=frame["pool"].to_numpy().astype(np.int64),
        held_out=frame["held_out"].to_numpy().astype(bool),
    )
    return data, sorted(frame["group"].drop_nulls().unique().to_list())


def compute_plan(run: Run, stage: Stage) -> Facts:
    """Fit the laws, and say for every budget which pools to train on and how often."""
    from assets.filtering.analyse import analyse
    from assets.filtering.proxies.run import pool_curves

    recipe = run.recipe
    curves = pool_curves(run.read(CURVES))
    pools = run.read(POOLS, ["pool", "held_out", "tokens"]).filter(~pl.col("held_out"))
    sizes = {
        str(pool): count for pool, count in pools.group_by("pool").len().sort("pool").iter_rows()
    }
    mean_tokens = float(pools["tokens"].mean() or 1.0)  # type: ignore[arg-type]
    unit_size = 1.0 if recipe.unit == "records" else mean_tokens
    reachable = float(recipe.filtering.max_passes * sum(sizes.values()))
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
                    # what lies beyond the cap on passes can't be spent, and is left
                    budget=None if budget is None else min(budget / unit_size, reachable),
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
        answers[recipe.filtering.publish]["pool_bands"] = pool_bands(
            analyse,
            curves,
            sizes,
            law=recipe.filtering.law,
            pool_sizes=whole,
            seed=recipe.seed,
            bootstraps=60,
        )
    plans = plan_rows(answers, budgets, sizes, reason=reason, publish=recipe.filtering.publish)
    stage.put(LAWS, law_rows(answers[recipe.filtering.publish] if answers else None))
    stage.put(PLAN, plans)
    stage.put(
        ANALYSIS,
        pl.DataFrame(
            [
                (
                    budget,
                    json.dumps(answers[i] if answers else {"reason": reason}),
                    json.dumps(worths),
                    unit_size,
                )
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
                "\n".join(f"* **{w['code']}**: {w['message']} {w['remedy']}" for w in warnings)
                or "none"
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
    LAWS: TableInfo(
        "One row a law and pool: the fitted parameters.",
        {
            "law": "string: utility, saturation, power or data_constrained",
            "pool": "string: pool",
            "b": "double: exponent, negative where more data helps",
            "tau": "double: half-life of repetition, in passes",
            "b_lo": "double: 80 % interval of b",
            "b_hi": "double: 80 % interval of b",
            "tau_lo": "double: 80 % interval of tau",
            "tau_hi": "double: 80 % interval of tau",
            "floor": "double: error that no amount of data removes",
            "anchor": "double: samples at which the reducible error would be 1",
            "rmse": "double: misfit in sample",
            "log_score": "double: predictive score on runs left out; the average weighs by it",
        },
    ),
    PLAN: TableInfo(
        "One row a candidate plan and budget, best first.",
        {
            "budget": "int64: in the recipe's unit; null where none is stated",
            "rank": "int64: 0 is the best",
            "pools": "string: pools joined by +",
            "weights": "list: share of the samples that each pool gets",
            "passes": "list: how often each pool's records are shown",
            "predicted": "double: metric",
            "lo80": "double: 80 % interval",
            "hi80": "double: 80 % interval",
            "lo90": "double: 90 % interval",
            "hi90": "double: 90 % interval",
            "p_best": "double: probability of being the best candidate",
            "regret": "double: expected loss against the best",
            "chosen": "bool: the plan of its budget",
            "published": "bool: the plan that publication's budget follows",
            "reason": "string: why, where a rule decided",
        },
    ),
    ANALYSIS: TableInfo(
        "One row a budget: the whole answer as JSON, as `sluice laws --json` prints it.",
        {
            "budget": "int64: budget",
            "answer": "string: JSON",
            "worths": "string: JSON, by pool what a sample is worth in samples of pool 0, and its half-life",
            "unit_size": "double: size of a mean record in the unit of budgets",
        },
    ),
}


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
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
