"""`sluice trace`: a row's whole way, from file to fate."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import polars as pl
import pyarrow.compute as pc

from assets.publication.trace import trace as find
from orchestration.stages_light import layer_of
from resources import delta
from resources.errors import NotReadyError, RecipeError
from resources.outputs import dropped_releases
from resources.recipe import Recipe
from resources.recipe_file import load_recipe
from resources.releases import RELEASES
from resources.rules import matching_rule
from resources.sample import sampled


def trace(
    target: str,
    *,
    recipe: Path | None,
    output: Path | None,
    release: int | None,
    sample: float | None,
    as_json: bool,
) -> None:
    """Print the way of one record, or of one row of a table."""
    root, state = _roots(recipe, output, sample)
    row = _release(root, release)
    versions: dict[str, int] = json.loads(row["versions"])
    recipe_then = Recipe.model_validate_json(row["recipe"])
    if state is None:
        # a root that was moved holds its own lake layer; one without any reads what the release read
        state = root if (root / "ingestion").is_dir() else Path(recipe_then.state_root)

    def scan(table: str) -> pl.LazyFrame:
        place = state if layer_of(table) == "lake" else root
        return delta.scan(place / table, versions[table])

    def content_of(table: str, position: int) -> str | None:
        return _content_of(recipe_then, scan, state, table, position)

    def held_at(table: str, position: int) -> tuple[str, str, int] | None:
        return _held_at(state, table, position)

    answer = find(scan, target, content_of, held_at)
    answer["release"] = row["release"]
    if as_json:
        click.echo(json.dumps(answer, default=str))
        return
    for heading, value in answer.items():
        click.echo(click.style(f"{heading}:", bold=True) + _told(value))


def _told(value: Any) -> str:  # noqa: ANN401 - plain data of any shape
    if not isinstance(value, dict):
        return f" {value}"
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines.append(f"\n    {key}:" + _told(item).replace("\n", "\n    "))
            continue
        text = str(item)
        shown = text if len(text) <= 300 else f"{text[:300]} … ({len(text):,} characters)"
        lines.append(f"\n    {key}: {shown}")
    return "".join(lines)


def _content_of(
    recipe: Recipe, scan: Callable[[str], pl.LazyFrame], state: Path, table: str, position: int
) -> str | None:
    """Read one row where it is and return the content id that it has as a record."""
    from assets.deduplication.records import RecordMaker, record_schema
    from assets.ingestion.access import read_table, registered_tables
    from assets.ingestion.discover import discover
    from assets.ingestion.model import POSITION_COLUMN, SourceError

    index = matching_rule(recipe.records, table)
    here = pl.col("table") == table
    known = registered_tables(
        scan("ingestion/tables").filter(here).collect(),
        scan("ingestion/columns").filter(here).collect(),
        state,
    )
    if index is None or table not in known:
        return None
    schema = record_schema(recipe.group_names, recipe.kept_columns)
    maker = RecordMaker(table, recipe.records[index], index, schema, known[table].columns)
    try:
        sources = {source.table: source for source in discover(Path(recipe.lake)).sources}
        for batch in read_table(known[table], sources):
            row = batch.filter(pc.equal(batch.column(POSITION_COLUMN), position))
            if row.num_rows:
                content: str | None = maker.make(row).column("content_id")[0].as_py()
                return content
    except SourceError:
        return None  # the file has changed since: its rows can't be shown, its fate can
    return None


def _held_at(state: Path, table: str, position: int) -> tuple[str, str, int] | None:
    """Say from which row a row of a retired table is rebuilt."""
    from assets.containment.rebuild import chosen_positions
    from assets.containment.retire import find_record

    record = find_record(state, table)
    if record is None or position >= record.told["rows"]:
        return None
    place = int(chosen_positions(record)[position])
    parent = next(p for p in reversed(record.told["parents"]) if p["base"] <= place)
    return parent["table"], parent["version"], place - parent["base"]


def _roots(
    recipe: Path | None, output: Path | None, sample: float | None
) -> tuple[Path, Path | None]:
    if output is not None:
        return output, None
    named = recipe or (
        Path(os.environ["SLUICE_RECIPE"]) if os.environ.get("SLUICE_RECIPE") else None
    )
    if named is None:
        message = "say where to look: --recipe RECIPE, --output FOLDER, or set SLUICE_RECIPE"
        raise RecipeError(message)
    loaded = load_recipe(named)
    if sample is not None:
        loaded = sampled(loaded, sample)
    return Path(loaded.output), Path(loaded.state_root)


def _release(root: Path, number: int | None) -> dict[str, Any]:
    table = delta.open_table(root / RELEASES)
    if table is None:
        message = f"{root} has no release yet; `sluice run RECIPE` makes one"
        raise NotReadyError(message)
    rows = delta.scan(root / RELEASES, table.version()).sort("release").collect()
    if number is not None:
        rows = rows.filter(pl.col("release") == number)
    if rows.is_empty():
        message = f"{root} has no release {number}"
        raise NotReadyError(message)
    if number in dropped_releases(root):
        message = f"release {number} of {root} is not kept any more: `sluice maintain` let go of it"
        raise NotReadyError(message)
    return rows.row(-1, named=True)
