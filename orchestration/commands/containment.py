"""`sluice containment`: which tables of any folder are contained in which others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import click
import polars as pl

from assets.containment.folder import FolderSearch, search_folder
from assets.kernels.cell_hash import Equality
from orchestration.commands.containment_report import report
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
        told = report(
            lake,
            found.edges,
            found.bytes,
            equality=equality,
            min_containment=min_containment,
            limit=limit,
        )
        for line in told:
            click.echo(line)
    _told_aside(found, limit)
    if stats:
        _told_stages(found.stages, err=as_json)
    return EXIT_QUARANTINE if found.set_aside_share > MAX_QUARANTINE else EXIT_DONE


def _told_aside(found: FolderSearch, limit: int) -> None:
    notes = [f"{table}: not compared: {reason}" for table, reason in found.unreadable.items()]
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
