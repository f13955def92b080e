"""What a run tells people at its end: rows by fate, redundant tables, the plan, the groups, and where to read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import polars as pl

from assets.publication.calibration_note import calibration_note
from orchestration.execute import Outcome
from orchestration.stages_light import layer_of
from resources import delta
from resources.recipe import Recipe
from resources.rules import matching_rule
from resources.sample import sample_note, sampled


def summarise(
    whole_recipe: Recipe, outcome: Outcome, sample: float | None = None
) -> dict[str, Any]:
    """Gather the summary of the release that a run ended at (on that share of the records), as plain data."""
    recipe = whole_recipe if sample is None else sampled(whole_recipe, sample)
    release = outcome.release or {}
    versions = cast("Mapping[str, int]", release["versions"])

    def table(name: str) -> pl.DataFrame:
        root = Path(recipe.state_root if layer_of(name) == "lake" else recipe.output)
        return delta.scan(root / name, int(versions[name])).collect()

    tables = table("ingestion/tables")
    retention = table("containment/retention").filter(pl.col("decision") == "retire")
    plan = table("filtering/plan").filter("chosen")
    allocation = table("allocation/plan")
    analysis = table("filtering/analysis").to_dicts()
    report = table("allocation/report").to_dicts()[0]
    answer = json.loads(analysis[recipe.filtering.publish]["answer"]) if analysis else {}
    aside = table("ingestion/quarantine").height
    read = tables.filter(
        pl.Series([_is_read(recipe, name) for name in tables["table"]], dtype=pl.Boolean)
    )
    counted = int(read["counted"].fill_null(0).sum())
    unread = tables.filter(~pl.col("table").is_in(read["table"].to_list()))
    groups = (
        allocation.group_by("group")
        .agg(
            pl.col("available", "samples", "records").sum(),
        )
        .sort("samples", "group", descending=[True, False])
    )
    return {
        "release": release["release"],
        "changed": outcome.changed,
        "sample": sample,
        "note": None if sample is None else sample_note(whole_recipe, sample),
        "run_id": release["run_id"],
        "rows_in": counted,
        "tables": read.height,
        "rows_in_tables_without_rule": int(unread["counted"].fill_null(0).sum()),
        "tables_without_rule": unread.height,
        "set_aside_share": aside / counted if counted else 0.0,
        "rows_by_fate": release["rows"],
        "redundant_tables": retention.height,
        "redundant_bytes": int(retention["bytes"].sum()),
        "calibration": calibration_note(
            table("scoring/calibration"), table("filtering/calibration"), recipe.recalibrate_at
        ),
        "unit": recipe.unit,
        "plans": plan.select(
            "budget", "pools", "passes", "predicted", "lo80", "hi80", "published", "reason"
        ).to_dicts(),
        "next_budget": [
            # the laws count records; people count in the recipe's unit
            {**step, "budget": step["budget"] * analysis[recipe.filtering.publish]["unit_size"]}
            for step in answer.get("next_budget", [])
        ],
        "warnings": [
            f"scorer {row['scorer']} is {row['reason']}"
            for row in table("scoring/silences").filter(pl.col("rows").is_null()).to_dicts()
        ]
        + [w["message"] for w in answer.get("warnings", [])]
        + [w["message"] for w in json.loads(report["warnings"])],
        "failed_checks": [
            {"check": fault.name, "blocking": fault.blocking, **fault.facts}
            for fault in outcome.faults
        ],
        "policy": report["policy"],
        "groups": groups.to_dicts(),
        "training_set": str(Path(recipe.output) / "publication" / "training_set"),
        "version": int(versions["publication/training_set"]),
        "card": str(
            Path(recipe.output) / "publication" / "cards" / f"release-{release['release']:04d}.html"
        ),
    }


def _is_read(recipe: Recipe, table: str) -> bool:
    index = matching_rule(recipe.records, table)
    return index is not None and recipe.records[index].role != "ignore"


def as_text(summary: Mapping[str, Any], recipe_path: Path) -> str:
    """Write the summary for people."""
    lines = [""]
    if not summary["changed"]:
        lines.append(
            f"Nothing changed: release {summary['release']} is up to date, and nothing was committed."
        )
    lines.append(
        f"Release {summary['release']} from {summary['rows_in']:,} rows in {summary['tables']} tables"
    )
    if summary["note"]:
        lines.append(summary["note"])
    for fate, rows in sorted(summary["rows_by_fate"].items(), key=lambda item: -item[1]):
        lines.append(f"  {fate:<14} {rows:>10,}")
    if summary["tables_without_rule"]:
        lines.append(
            f"  and {summary['rows_in_tables_without_rule']:,} rows in {summary['tables_without_rule']} tables "
            "that no rule reads"
        )
    megabytes = summary["redundant_bytes"] / 1e6
    lines.append(
        f"Redundant tables: {summary['redundant_tables']} ({megabytes:.1f} MB could be retired and rebuilt)"
    )
    lines.append(f"Calibration {summary['calibration']}")
    lines += [_plan_line(plan, summary["unit"]) for plan in summary["plans"]]
    for step in summary["next_budget"][:1]:
        change = step["changes"]
        words = [f"adds pool {p}" for p in change["added"]]
        words += [f"drops pool {p}" for p in change["dropped"]]
        told = ", ".join(words)
        lines.append(
            f"At {step['budget']:,.0f} {summary['unit']}: {told or 'the same pools, shown more often'}"
        )
    lines.append("Allocation by group (available, shown, of which unique)")
    lines += [
        f"  {row['group'] or '(none)':<14} {row['available']:>9,} {row['samples']:>9,} {row['records']:>9,}"
        for row in summary["groups"][:20]
    ]
    if len(summary["groups"]) > 20:
        lines.append(f"  and {len(summary['groups']) - 20} more groups")
    lines += [f"Note: {message}" for message in summary["warnings"]]
    lines += [
        f"{'FAILED' if failed['blocking'] else 'Warning'}: {failed['check']}: {failed['which']}"
        for failed in summary["failed_checks"]
    ]
    lines += [
        f"Training set: {summary['training_set']}, version {summary['version']}",
        f'  pl.read_delta("{summary["training_set"]}", version={summary["version"]})',
        f"Card: {summary['card']}",
        f"A row's way: sluice trace RECORD_ID --recipe {recipe_path}"
        + (f" --sample {summary['sample']:g}" if summary["sample"] is not None else ""),
    ]
    return "\n".join(lines)


def _plan_line(plan: Mapping[str, Any], unit: str) -> str:
    budget = f"{plan['budget']:,} {unit}" if plan["budget"] is not None else "no budget"
    passes = ", ".join(f"{p:.2g}" for p in plan["passes"])
    if plan["predicted"] is None:
        return f"Plan for {budget}: pools {plan['pools']}, passes {passes} ({plan['reason']})"
    mark = " [published]" if plan["published"] else ""
    return (
        f"Plan for {budget}: pools {plan['pools']}, passes {passes}, predicted {plan['predicted']:.4f} "
        f"(80 %: {plan['lo80']:.4f} to {plan['hi80']:.4f}){mark}"
    )
