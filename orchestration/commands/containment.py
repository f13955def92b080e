"""`sluice containment`: which tables of any folder are contained in which others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import click
import polars as pl

from assets.containment.folder import PROGRAM_BYTES, FolderSearch, search_folder
from assets.containment.paper_content import PaperSettings
from assets.containment.sampling import Sampling
from assets.ingestion.model import MIB
from assets.kernels.cell_hash import Equality
from assets.kernels.peak_memory import peak_bytes
from orchestration.commands.containment_report import report
from orchestration.commands.watch import Watch
from resources.errors import EXIT_DONE, EXIT_QUARANTINE, RecipeError
from resources.recipe import Recipe, parse_bytes

_JSON_FIELDS = (
    "child", "parent", "containment", "multiset_containment", "exact", "equality", "column_map",
    "child_rows", "parent_rows",
)  # fmt: skip
_OVERLAP_FIELDS = ("parent_containment", "jaccard")
MAX_QUARANTINE: float = Recipe.model_fields["max_quarantine"].default


def containment(
    lake: Path,
    *,
    equality: str,
    min_containment: float,
    min_rows: int,
    renamed: bool,
    unions: bool,
    versions: bool,
    overlaps: bool,
    mode: str,
    sampling: tuple[int, float] | None,
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
    if mode == "paper" and (renamed or unions or sampling):
        message = "--mode paper takes none of --renamed, --unions and --sample; leave them out"
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
        unions=unions,
        versions=versions,
        sampling=None if sampling is None else Sampling(*sampling),
        paper=PaperSettings() if mode == "paper" else None,
        progress=lambda message, done, total: watch("containment", message, done, total),
    )
    if as_json:
        shown = _JSON_FIELDS + _OVERLAP_FIELDS * overlaps
        sampled = {"low": "lo", "high": "hi"} if mode == "paper" or sampling else {}
        rows = found.edges.select(*shown, *sampled).rename(sampled).to_dicts()
        pairs = [{**row, "column_map": json.loads(row["column_map"])} for row in rows]
        click.echo(json.dumps([*pairs, *found.unions.to_dicts()]))
    else:
        lines = report(
            lake,
            found,
            equality=equality,
            min_containment=min_containment,
            limit=limit,
            overlaps=overlaps,
        )
        for line in lines:
            click.echo(line)
    _told_aside(found, limit)
    _told_memory(parse_bytes(memory), memory)
    if stats:
        _told_stages(found.stages, err=as_json)
    return EXIT_QUARANTINE if found.set_aside_share > MAX_QUARANTINE else EXIT_DONE


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


def _told_memory(bound: int, asked: str) -> None:
    """Say where the bound could not be kept, since a page, a document and the program itself can't be divided."""
    peak = peak_bytes()
    if peak is not None and peak > bound:
        held = f"{peak / MIB:,.0f} MiB were held at most, more than --memory {asked}"
        least = f"the program alone takes about {PROGRAM_BYTES // MIB:,} MiB"
        pages = "a page of a Parquet file and a JSON document are held whole"
        _lines([f"sluice: {held}: {least}; {pages}. --workers 1 holds the least."])


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
