"""`sluice run --dry-run`: what a run would read, compute and cost, without doing or writing anything."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from assets.ingestion.model import Source
from orchestration.forecast import Forecast, forecast, source_bytes
from orchestration.preflight import Preview, check_recipe_against_lake
from resources.recipe import Recipe
from resources.recipe_file import load_recipe
from resources.recipe_records import RecordRule
from resources.rules import group_value_from_path
from resources.sample import sample_note, sampled

MOST_TABLES = 30


def dry_run(path: Path, *, sample: float | None, as_json: bool) -> None:
    """Show what a run of the recipe (on that share of the records) would do."""
    recipe = load_recipe(path)
    preview = check_recipe_against_lake(recipe)
    ahead = forecast(recipe, preview.found, sample=sample)
    tables = [
        _row(recipe, source, preview, source.table in ahead.unchanged)
        for source in preview.found.sources
    ]
    told = {
        "tables": tables,
        "unreadable": [{"table": u.table, "reason": u.reason} for u in preview.found.unreadable],
        "retired": [{"table": r.table, "reason": r.reason} for r in preview.found.retired],
        "output": recipe.output if sample is None else sampled(recipe, sample).output,
        "note": None if sample is None else sample_note(recipe, sample),
        "up_to_date": ahead.up_to_date,
        "stages": [
            {"stage": s.stage, "status": s.status, "seconds": round(s.seconds, 1)}
            for s in ahead.steps
        ],
        "tables_to_read": sum(not row["unchanged"] for row in tables),
        "bytes": ahead.source_bytes,
        "bytes_to_read": ahead.read_bytes,
        "disk_bytes": ahead.disk_bytes,
        "seconds": round(ahead.seconds, 1),
        "basis": ahead.basis,
    }
    click.echo(json.dumps(told) if as_json else "\n".join(_lines(recipe, told, ahead)))


def _row(recipe: Recipe, source: Source, preview: Preview, unchanged: bool) -> dict[str, Any]:  # noqa: FBT001
    index = preview.rules.get(source.table)
    rule = None if index is None else recipe.records[index]
    columns = preview.columns.get(source.table)
    read = rule is not None and rule.role != "ignore"
    return {
        "table": source.table,
        "format": source.format,
        "bytes": source_bytes(source),
        "rule": index,
        "role": "no rule" if rule is None else rule.role,
        "columns": _mapped(rule, source.table, columns) if rule is not None and read else {},
        "lacks": _lacking(rule, columns) if rule is not None and read else [],
        "unchanged": unchanged,
    }


def _mapped(rule: RecordRule, table: str, columns: Sequence[str] | None) -> dict[str, Any]:
    """Return what feeds each part of a record; where only reading would tell a table's columns, by the rule's word."""

    def there(names: Sequence[str | None]) -> list[str]:
        return [n for n in names if n is not None and (columns is None or n in columns)]

    mapped: dict[str, Any] = {
        "text": there(rule.text),
        "features": there(rule.features),
        "uri": there([rule.uri]),
        "label": there([rule.label]),
        "id": there([rule.id]) or ["(the whole row)"],
        "keep": there(rule.keep),
    }
    for name, group in rule.groups.items():
        if group.column is not None:
            mapped[f"group {name}"] = there([group.column])
        else:
            value = group.value or group_value_from_path(group.path or "", table)
            mapped[f"group {name}"] = [] if value is None else [f"= {value}"]
    return {part: names for part, names in mapped.items() if names}


def _lacking(rule: RecordRule, columns: Sequence[str] | None) -> list[str]:
    """Return the columns that the rule names and the table has not: its rows are without them."""
    if columns is None:
        return []
    named = [*rule.text, *rule.keep, rule.label, *(g.column for g in rule.groups.values())]
    return [name for name in dict.fromkeys(named) if name is not None and name not in columns]


def _lines(recipe: Recipe, told: Mapping[str, Any], ahead: Forecast) -> list[str]:
    lines = [told["note"]] if told["note"] else []
    by_rule: dict[int | None, list[dict[str, Any]]] = defaultdict(list)
    for row in told["tables"]:
        by_rule[row["rule"]].append(row)
    for index in [*range(len(recipe.records)), None]:
        if by_rule[index]:
            lines += _of_rule(recipe, index, by_rule[index])
    for item in told["retired"][:MOST_TABLES]:
        lines.append(f"retired: {item['table']}: {item['reason']}")
    for item in told["unreadable"][:MOST_TABLES]:
        lines.append(f"unreadable: {item['table']}: {item['reason']}")
    size = f"{told['bytes'] / 1e6:,.1f} MB in {len(told['tables']):,} tables"
    lines += [
        "",
        f"Lake: {size}, {told['bytes_to_read'] / 1e6:,.1f} MB of it in {told['tables_to_read']:,} to read",
    ]
    for status, meaning in _MEANINGS.items():
        names = [s.stage for s in ahead.steps if s.status == status]
        if names:
            lines.append(f"{meaning}: {', '.join(names)}")
    if ahead.up_to_date:
        lines.append("A run would commit nothing: inputs, recipe and code equal the last release.")
    else:
        disk = f"{told['disk_bytes'] / 1e6:,.0f} MB on disk under {told['output']}"
        lines.append(f"Estimate: {_duration(told['seconds'])}, {disk}. By {told['basis']}.")
    return [*lines, "Nothing was done."]


_MEANINGS = {
    "unchanged": "Stands as released",
    "adopted": "Finished by an earlier run, taken over",
    "computed": "To compute",
    "depends": "To compute, unless what it reads comes out equal",
}


def _of_rule(recipe: Recipe, index: int | None, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    size = sum(row["bytes"] for row in rows) / 1e6
    count = f"{len(rows):,} table{'' if len(rows) == 1 else 's'}, {size:,.1f} MB"
    if index is None:
        lines = [f"no rule: {count}"]
    else:
        rule = recipe.records[index]
        lines = [f"records.{index} {rule.role} {', '.join(rule.tables)}: {count}"]
    alike: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        alike[_parts(row)].append(row)
    for parts, those in alike.items():
        lines += [f"    {parts}"] if parts else []
        for row in those[:MOST_TABLES]:
            mark = "unchanged" if row["unchanged"] else "to read"
            lines.append(
                f"        {row['bytes']:>13,}  {row['format']:<8} {mark:<9}  {row['table']}"
            )
        if len(those) > MOST_TABLES:
            lines.append(f"        and {len(those) - MOST_TABLES:,} more")
    return lines


def _parts(row: Mapping[str, Any]) -> str:
    told = []
    for part, names in row["columns"].items():
        more = f", ... ({len(names)})" if len(names) > 6 else ""
        told.append(f"{part}: {', '.join(names[:6])}{more}")
    if row["lacks"]:
        told.append(f"has no {', '.join(row['lacks'])}")
    return "; ".join(told)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
