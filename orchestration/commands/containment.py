"""`sluice containment`: which tables of any folder are contained in which others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import click
import polars as pl

from assets.containment.folder import FolderSearch, search_folder
from assets.containment.savings import droppable_tables
from assets.kernels.cell_hash import Equality
from orchestration.commands.watch import Watch
from resources.errors import EXIT_DONE, EXIT_QUARANTINE, RecipeError
from resources.recipe import Recipe, parse_bytes

MAX_QUARANTINE: float = Recipe.model_fields["max_quarantine"].default


def containment(
    lake: Path,
    *,
    equality: str,
    min_containment: float,
    min_rows: int,
    renamed: bool,
    workers: int | None,
    memory: str,
    cache: Path | None,
    limit: int,
    stats: bool,
    as_json: bool,
) -> int:
    """Search a folder and print what was found; returns the exit status."""
    if cache is not None and cache.resolve().is_relative_to(lake.resolve()):
        message = (
            f"--cache {cache} lies in the lake, which is only read; name a folder outside of {lake}"
        )
        raise RecipeError(message)
    watch = Watch(quiet=as_json)
    found = search_folder(
        lake,
        equality=cast("Equality", equality),
        min_containment=min_containment,
        min_rows=min_rows,
        workers=workers or os.cpu_count() or 1,
        memory_bytes=parse_bytes(memory),
        cache=cache,
        renamed=renamed,
        progress=lambda message, done, total: watch("containment", message, done, total),
    )
    if as_json:
        rows = found.edges.drop("witness").to_dicts()
        click.echo(
            json.dumps([{**row, "column_map": json.loads(row["column_map"])} for row in rows])
        )
    else:
        _print(lake, found, equality, min_containment, limit)
    _told_aside(found, limit)
    if stats:
        _told_stages(found.stages, err=as_json)
    return EXIT_QUARANTINE if found.set_aside_share > MAX_QUARANTINE else EXIT_DONE


def _print(
    lake: Path, found: FolderSearch, equality: str, min_containment: float, limit: int
) -> None:
    edges = found.edges
    total = sum(found.bytes.values())
    click.echo(
        f"{lake}: {len(found.bytes):,} tables, {_size(total)}, compared by {equality}; "
        f"{edges.height:,} pairs reach {min_containment:g}"
    )
    drop = droppable_tables(edges, found.bytes)
    copies = drop.filter(pl.col("kind") == "duplicate")
    groups = [
        f"{own['kept'][0]} ({own['kept_rows'][0]:,} rows) = {', '.join(own['table'])}"
        for own in copies.partition_by("group", maintain_order=True)
    ]
    _section(f"Duplicates (groups: {len(groups):,})", groups, limit)
    held = drop.filter(pl.col("kind") == "contained").sort(
        "bytes", "table", descending=[True, False]
    )
    lines = [_held(row) for row in held.iter_rows(named=True)]
    _section(f"Contained wholly in one that stays (tables: {held.height:,})", lines, limit)
    saved = int(drop["bytes"].sum())
    share = f" ({saved / total:.1%})" if total else ""
    click.echo(
        f"\nDropping them (tables: {drop.height:,}) would save {_size(saved)} of {_size(total)}{share}; "
        "nothing was changed."
    )
    repeated = drop.filter(pl.col("multiset_containment") < 1).height
    if repeated:
        click.echo(f"{repeated:,} of them repeat rows more often than the table that holds them.")
    rest = edges.join(drop.select(child="table", parent="kept"), on=["child", "parent"], how="anti")
    partly = rest.filter(pl.col("containment") < 1)
    _edge_section(f"Contained in part (pairs: {partly.height:,})", partly, limit)
    wholly = rest.filter(pl.col("containment") == 1)
    _edge_section(f"Further pairs of those above (pairs: {wholly.height:,})", wholly, limit)


def _edge_section(title: str, edges: pl.DataFrame, limit: int) -> None:
    first = edges.sort("containment", "child", "parent", descending=[True, False, False])
    lines = [_edge(row) for row in first.head(limit or edges.height).iter_rows(named=True)]
    _section(title, lines, limit, edges.height)


def _section(title: str, lines: Sequence[str], limit: int, total: int | None = None) -> None:
    click.echo(f"\n{title}")
    shown = lines[:limit] if limit else lines
    for line in shown:
        click.echo(f"  {line}")
    more = (len(lines) if total is None else total) - len(shown)
    if more > 0:
        click.echo(f"  … and {more:,} more; --limit 0 shows all, --json every pair")


def _held(row: dict[str, object]) -> str:
    return (
        f"{_size(cast('int', row['bytes'])):>9}  {row['table']} ({row['rows']:,} rows) in {row['kept']} "
        f"({row['kept_rows']:,} rows), {row['equality']}"
    )


def _edge(row: dict[str, object]) -> str:
    columns = json.loads(cast("str", row["column_map"]))
    told = [f"{mine} as {theirs}" for mine, theirs in columns.items() if mine != theirs]
    lacks = "" if row["witness"] is None else f", lacks row {row['witness']:,} among others"
    return (
        f"{row['containment']:.6f}  {row['child']} ({row['child_rows']:,} rows) in {row['parent']} "
        f"({row['parent_rows']:,} rows), {row['equality']}, "
        f"multiset {row['multiset_containment']:.6f}{lacks}{', ' if told else ''}{', '.join(told)}"
    )


def _told_aside(found: FolderSearch, limit: int) -> None:
    notes = [f"{table}: not compared: {reason}" for table, reason in found.unreadable.items()]
    notes += [f"{table}: {reason}" for table, reason in found.retired.items()]
    notes += [f"{table}: {rows:,} records set aside" for table, rows in found.set_aside.items()]
    for table, own in found.notes.items():
        more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
        notes.append(f"{table}: {own[-1]}{more}")
    shown = notes[:limit] if limit else notes
    _lines(f"sluice: {note}" for note in shown)
    if len(shown) < len(notes):
        _lines([f"sluice: … and {len(notes) - len(shown):,} more notes; --limit 0 shows all"])
    if found.coincidences:
        why = "the child's rows carry too little to tell from coincidence"
        _lines([f"sluice: {found.coincidences:,} pairs left out: {why}"])


def _lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line, err=True)


def _told_stages(stages: pl.DataFrame, *, err: bool) -> None:
    header = [name.replace("_", " ") for name in stages.columns]
    cells = [
        [f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in stages.iter_rows()
    ]
    widths = [max(len(row[i]) for row in [header, *cells]) for i in range(len(header))]
    click.echo("", err=err)
    for row in [header, *cells]:
        click.echo(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), err=err
        )


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
