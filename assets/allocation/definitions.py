"""The allocation stage: `allocation/group_curves`, `allocation/plan`, `allocation/report`; a study's rounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from assets.allocation import round_spec
from assets.allocation.errors import AllocationError
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec

GROUP_CURVES, PLAN, REPORT = "allocation/group_curves", "allocation/plan", "allocation/report"
CURVES, POOLS, ANALYSIS = "filtering/curves", "filtering/pools", "filtering/analysis"
FILTERING_PLAN = "filtering/plan"
SPEC = StageSpec(
    name="allocation",
    tables=(GROUP_CURVES, PLAN, REPORT),
    reads=(CURVES, POOLS, ANALYSIS, FILTERING_PLAN),
    code_version="2",
    layer="recipe",
    sections=("allocation", "filtering", "unit"),
)
SPECS = (SPEC,)


def compute(run: Run, stage: Stage) -> Facts:
    """Fit the groups' learning curves and divide the budget by the stated objective."""
    from assets.filtering.proxies.run import group_curves

    evaluations = group_curves(run.read(CURVES))
    cells = (
        run.read(POOLS)
        .filter(~pl.col("held_out"))
        .group_by("group", "pool")
        .agg(available=pl.len().cast(pl.Int64), tokens=pl.col("tokens").mean().clip(1e-9))
        .sort("group", "pool")
    )
    run.report("allocation", "dividing the budget", None, None)
    try:
        made, report = _plan(run, cells, evaluations)
    except AllocationError as error:
        message = f"allocation: {error}"
        raise RecipeError(message) from error
    stage.put(GROUP_CURVES, evaluations)
    stage.put(PLAN, made.frame)
    stage.put(REPORT, report)
    _audit(run, stage, made.frame, cells)
    drawn = made.frame.group_by("group").agg(pl.col("samples").sum()).sort("group")
    shares = "\n".join(f"| {g} | {s:,} |" for g, s in drawn.iter_rows())
    return {
        GROUP_CURVES: {"evaluations": evaluations.height},
        PLAN: {
            "samples": int(made.frame["samples"].sum()),
            "records": int(made.frame["records"].sum()),
            "policy": "no policy stated"
            if run.recipe.allocation is None
            else run.recipe.allocation.objective,
            "by_group": dg.MetadataValue.md(f"| group | samples |\n|---|---|\n{shares}"),
            "warnings": len(made.warnings),
        },
    }


def compute_round(run: Run, stage: Stage) -> Facts:
    """Buy one round of the study that the recipe states."""
    from assets.allocation.round_stage import compute as buy

    return buy(run, stage)


def _present(stated: Any, groups: Sequence[str], run: Run) -> Any:  # noqa: ANN401 - a setting
    """Leave groups out of a setting of which a sample holds no record; without a sample that is a fault."""
    if run.sample is None or not isinstance(stated, dict):
        return stated
    return {group: value for group, value in stated.items() if group in groups}


def _plan(run: Run, cells: pl.DataFrame, evaluations: pl.DataFrame) -> tuple[Any, pl.DataFrame]:
    from assets.allocation.group_curves import fit_group_curves
    from assets.allocation.plan import plan
    from assets.allocation.prospects import out_of_reach_warnings, prospects

    recipe = run.recipe
    policy = recipe.allocation
    analysis = run.read(ANALYSIS).to_dicts()
    worths = json.loads(analysis[recipe.filtering.publish]["worths"] if analysis else "{}")
    budget = recipe.budget
    curves, promised = None, None
    if policy is None or budget is None:
        made = plan(
            cells,
            budget=budget,
            pool_passes=_pool_passes(run),
            max_passes=float(recipe.filtering.max_passes),
            unit=recipe.unit,
        )
    else:
        groups = cells["group"].unique().sort().to_list()
        measured = evaluations.filter(pl.col("metric_value").is_not_null())
        curves = fit_group_curves(measured, groups, draws=policy.draws.count, seed=recipe.seed)
        objective = {"kind": policy.objective, "level": policy.level, "aversion": policy.aversion}
        settings: dict[str, Any] = {
            "budget": float(budget),
            "objective": {k: v for k, v in objective.items() if v is not None},
            "curves": curves,
            "weights": _present(policy.weights, groups, run),
            "costs": _present(policy.costs, groups, run),
            "floors": _present(policy.floors, groups, run),
            "worth": {int(pool): values["worth"] for pool, values in worths.items()},
            "repetition": "step",
            "decay": {int(pool): values["tau"] for pool, values in worths.items()} or 5.0,
            "max_passes": float(recipe.filtering.max_passes),
            "unit": recipe.unit,
            "fallback": policy.fallback,
        }
        made = plan(cells, **settings, draws=policy.draws.plan)
        promised = prospects(cells, made.frame, **settings)
        made.warnings.extend(out_of_reach_warnings(promised))
    stated = "no policy stated" if policy is None else policy.model_dump_json()
    report = pl.DataFrame(
        {
            "budget": [budget],
            "unit": [recipe.unit],
            "policy": [stated],
            "summary": [json.dumps(made.summary, default=str)],
            "warnings": [json.dumps(made.warnings, default=str)],
            "curves": [None if curves is None else curves.frame.write_json()],
            "prospects": [None if promised is None else json.dumps(promised)],
            "draws": [None if curves is None else json.dumps(curves.draws_by_group())],
        },
        schema={
            "budget": pl.Int64,
            "unit": pl.String,
            "policy": pl.String,
            "summary": pl.String,
            "warnings": pl.String,
            "curves": pl.String,
            "prospects": pl.String,
            "draws": pl.String,
        },
    )
    return made, report


def _pool_passes(run: Run) -> dict[int, float]:
    """Return the passes by pool of the published plan, for a recipe that states no policy."""
    published = run.read(FILTERING_PLAN).filter("published").to_dicts()
    if not published:
        return {}
    row = published[0]
    chosen = dict(zip(row["pools"].split("+"), row["passes"], strict=True))
    return {pool: float(chosen.get(str(pool), 0.0)) for pool in range(run.recipe.filtering.pools)}


def _audit(run: Run, stage: Stage, frame: pl.DataFrame, cells: pl.DataFrame) -> None:
    joined = frame.join(cells, on=["group", "pool"], suffix="_there")
    over = joined.filter(
        (pl.col("records") > pl.col("available_there"))
        | (pl.col("samples") > pl.col("records") * run.recipe.filtering.max_passes)
        | (pl.col("samples") < pl.col("records"))
    )
    stage.check("within_what_is_available", over.is_empty(), cells_over=over.height)
    spent = joined.select(
        pl.col("samples") * (pl.col("tokens") if run.recipe.unit == "tokens" else pl.lit(1.0))
    ).sum()["samples"][0]
    budget = run.recipe.budget
    stage.check(
        "within_the_budget",
        budget is None or spent <= budget * (1 + 1e-9),
        spent=round(float(spent or 0.0), 3),
        budget=budget if budget is not None else "none",
    )


INFO = {
    GROUP_CURVES: TableInfo(
        "One row an evaluation of a proxy trained on one group.",
        {
            "group": "string: group",
            "samples_seen": "int64: records drawn",
            "unique": "int64: distinct ones",
            "metric_value": "double: measured on the group's held-out records",
            "reason": "string: why there is no metric",
        },
    ),
    PLAN: TableInfo(
        "One row a group and pool: how many records are shown, and how often. The only plan that publication follows.",
        {
            "group": "string: group",
            "pool": "int32: pool",
            "available": "int64: records there are",
            "samples": "int64: showings, repeats included",
            "records": "int64: unique records among them",
            "passes": "double: samples / records",
            "sampling_prob": "double: share of all samples",
            "marginal_value": "double: gain of one more sample",
        },
    ),
    REPORT: TableInfo(
        "One row: the policy with owner, reason and date, the solution's account, curves and their draws, predictions.",
        {
            "policy": "string: JSON",
            "summary": "string: JSON",
            "warnings": "string: JSON",
            "curves": "string: JSON",
            "prospects": "string: JSON, predicted by group, by aversion and under simple rules",
            "draws": "string: JSON, by group the a, b and p of every refit of its curve",
        },
    ),
}
CHECKS = {
    "within_what_is_available": "no cell draws more records than it has, or more often than the cap",
    "within_the_budget": "the plan spends no more than the budget",
}


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets; those of rounds where the recipe states them."""
    made = [stage_asset(SPEC, naming, specs, compute, INFO, checks=CHECKS)]
    if recipe.allocation is not None and recipe.allocation.rounds is not None:
        keys = [str(number) for number in range(recipe.allocation.rounds.count + 1)]
        rounds = stage_asset(
            round_spec.SPEC,
            naming,
            specs,
            compute_round,
            round_spec.INFO,
            checks=round_spec.CHECKS,
            kinds=("torch", "deltalake"),
            pool="gpu",
            partitions=dg.StaticPartitionsDefinition(keys),
        )
        made.append(rounds)
    return made
