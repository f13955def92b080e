"""The filtering stage: `filtering/pools`, `filtering/curves`, and `filtering/laws` with `filtering/plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.filtering.flow import (
    ANALYSIS_SCHEMA,
    law_rows,
    mixture_table,
    plan_rows,
    pool_bands,
    pool_worths,
    read_given_curves,
)
from assets.filtering.pool_sizes import measure_pools
from assets.filtering.tables import ANALYSIS, CURVES, CUTS, LAWS, PLAN, POOLS, TABLES
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.recipe import Recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec, digest

RECORDS, FATES = "deduplication/records", "deduplication/fates"
CUT_RECORDS = "deduplication/cut_records"
SCORES, EMBEDDINGS, SCORING = "scoring/scores", "scoring/embeddings", "scoring/calibration"
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
    tables=(POOLS, CUTS),
    reads=(RECORDS, FATES, CUT_RECORDS, SCORES, SCORING),
    code_version="2",
    layer="recipe",
    sections=("filtering.pools", "allocation.by"),
    extra=lambda run: run.recipe.recalibrate_at,
    remembers=(POOLS, CUTS),
    calibrates=True,
)
CURVES_SPEC = StageSpec(
    name="filtering/curves",
    tables=(CURVES,),
    reads=(RECORDS, FATES, CUT_RECORDS, EMBEDDINGS, POOLS, CUTS),
    code_version="3",
    layer="recipe",
    sections=(
        "filtering.curves",
        "filtering.proxy",
        "scoring.embedder",
        "scoring.encoder",
        "scoring.dimensions",
    ),
    extra=_given_curves,
    remembers=(CURVES, CUTS),
    calibrates=True,
)
PLAN_SPEC = StageSpec(
    name="filtering/plan",
    tables=(LAWS, PLAN, ANALYSIS),
    reads=(CURVES, POOLS),
    code_version="3",
    layer="recipe",
    sections=("filtering", "unit"),
)
SPECS = (POOLS_SPEC, CURVES_SPEC, PLAN_SPEC)


def compute_pools(run: Run, stage: Stage) -> Facts:
    """Put the records into pools by quality, within each group if a policy is stated; new cuts make equal pools."""
    from assets.deduplication.cut_records import going_on
    from assets.filtering.cuts import cuts_for
    from assets.filtering.pools import assign
    from assets.scoring.stored_scores import current

    recipe = run.recipe
    by = recipe.allocation.by if recipe.allocation is not None else None
    group = pl.col(by).fill_null(UNKNOWN_GROUP) if by else pl.lit(ALL_GROUP)
    frame = (
        current(run.scan(SCORES))
        .select("record_id", "quality")
        .join(going_on(run.scan).select("record_id", "tokens", group=group), on="record_id")
        .join(run.scan(FATES).select("record_id", "fate"), on="record_id")
        .collect(engine="streaming")
        .sort("record_id")
    )
    base, reason = run.kept_calibration(POOLS_SPEC)
    kept = None if base is None else base.scan(CUTS)
    cuts = cuts_for(
        frame.filter(pl.col("fate").is_null()),
        scoring=run.read(SCORING, ["calibration"])["calibration"][0],
        by_group=by is not None,
        pools=recipe.filtering.pools,
        seed=recipe.seed,
        kept=None if kept is None else kept.collect(),
        reason=reason,
        most_moved=recipe.recalibrate_at,
    )
    pool = assign(cuts.state, frame["quality"], frame["group"] if by else None, frame["record_id"])
    pools = frame.select(
        "record_id",
        pool.alias("pool"),
        "group",
        "quality",
        "tokens",
        held_out=pl.col("fate").is_not_null(),
    )
    stage.put(POOLS, pools)
    stage.put(CUTS, cuts.to_frame())
    stage.identities[CUTS] = digest([CUTS, cuts.identity])
    sizes = (
        pools.filter(~pl.col("held_out") & pl.col("quality").is_not_null())
        .group_by("group", "pool")
        .len()
        .group_by("group")
        .agg(spread=pl.col("len").max() - pl.col("len").min(), pools=pl.len())
        .filter(pl.col("pools") == recipe.filtering.pools, pl.col("spread") > 1)
    )
    stage.check(
        "pools_are_equal",
        sizes.is_empty() or cuts.state.nulls > 0 or not cuts.renewed,
        uneven=sizes.height,
        renewed=cuts.renewed,
    )
    return {
        POOLS: {
            "pools": recipe.filtering.pools,
            "cut_within": by or "all records",
            "without_quality": cuts.state.nulls,
        },
        CUTS: {
            "calibration": cuts.identity,
            "renewed": cuts.renewed,
            "made_because": cuts.reason,
            "share_moved": round(cuts.moved, 5),
        },
    }


def compute_curves(run: Run, stage: Stage) -> Facts:
    """Obtain training curves: those that the recipe names, those of the kept calibration, or proxies trained here."""
    from assets.filtering.proxies.run import NOTE, SCHEMA

    recipe = run.recipe
    note = NOTE
    widened: dict[str, Any] = {}
    kept = _kept_curves(run)
    if recipe.filtering.curves != "proxy":
        rows = read_given_curves(Path(recipe.filtering.curves), SCHEMA)
        note = f"given: {recipe.filtering.curves}"
    elif kept is not None:
        rows = kept
    else:
        from assets.filtering.proxy_curves import train_proxies

        rows, widened = train_proxies(run)
    stage.put(CURVES, rows)
    stage.identities[CURVES] = digest([CURVES, rows.rows()])
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
            "kept": kept is not None,
            "further_runs": int(widened.get("runs", 0)),
            "further_runs_stopped": str(widened.get("stopped", "none were asked for")),
            "further_rounds": json.dumps(widened.get("rounds", [])),
            "what_proxies_can_tell": note,
        }
    }


def _kept_curves(run: Run) -> pl.DataFrame | None:
    """Return the base release's curves where they were measured on pools of the same cuts, else None."""
    base, _ = run.kept_calibration(CURVES_SPEC)
    if base is None or base.identity(CUTS) != run.committed(CUTS).identity:
        return None
    rows = base.scan(CURVES)
    return None if rows is None else rows.collect().sort("run_id", maintain_order=True)


def compute_plan(run: Run, stage: Stage) -> Facts:
    """Fit the laws, and say for every budget which pools to train on and how often."""
    from assets.filtering.analyse import study
    from assets.filtering.proxies.merged_runs import merging_error, merging_said
    from assets.filtering.proxies.run import pool_curves

    recipe = run.recipe
    measured = run.read(CURVES)
    curves = pool_curves(measured)
    pools = measure_pools(run.read(POOLS, ["pool", "held_out", "tokens"]), recipe)
    sizes = pools.records
    budgets: Sequence[int | None] = [b.amount for b in recipe.filtering.budgets] or [None]
    reason = _no_laws(measured, sizes)
    answers: list[dict[str, Any]] = []
    worths: dict[str, dict[str, float]] = {}
    if reason is None:
        run.report("filtering", "fitting laws", None, None)
        fitted = study(
            curves,
            law=recipe.filtering.law,
            pool_sizes={name: float(size) for name, size in sizes.items()},
            seed=recipe.seed,
            bootstraps=BOOTSTRAPS,
        )
        for stated, budget in zip(recipe.filtering.budgets or (None,), budgets, strict=True):
            spent = None if budget is None else pools.spent(budget)
            answer = fitted.answer(budget=spent, max_passes=recipe.filtering.max_passes)
            answers.append(answer | ({"budget": stated.converted()} if stated else {}))
        worths = pool_worths(fitted, sizes)
        for answer in answers:
            answer["merging"] = merging_error(measured)
        answers[recipe.filtering.publish]["pool_bands"] = pool_bands(fitted, curves, sizes)
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
                    pools.unit_size,
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
            "merging": merging_said(merging_error(measured)),
            "mixture_rule": dg.MetadataValue.md(mixture_table(answers[0] if answers else {})),
            "warnings": dg.MetadataValue.md(
                "\n".join(f"* **{w['code']}**: {w['message']} {w['remedy']}" for w in warnings)
                or "none"
            ),
        },
    }


def _no_laws(curves: pl.DataFrame, sizes: Mapping[str, int]) -> str | None:
    """Say why no law can be fitted, or None."""
    curves = curves.filter(pl.col("kind") != "group")
    measured = curves.filter(pl.col("metric_value").is_not_null())
    single = measured.filter(~pl.col("pool").str.contains("+", literal=True))["pool"]
    missing = sorted(set(sizes) - set(single))
    if not missing:
        return None
    told = curves.filter(pl.col("metric_value").is_null(), pl.col("reason").is_not_null())
    reasons = told["reason"].unique().sort().to_list()
    because = f": {'; '.join(reasons)}" if reasons else ""
    if len(missing) == len(sizes):
        return f"there is no training curve{because}"
    return f"pools {', '.join(missing)} have no training curve{because}"


INFO = {name: TableInfo(row, columns) for name, (row, columns) in TABLES.items()}


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
