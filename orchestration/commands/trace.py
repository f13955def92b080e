"""`sluice trace`: a row's whole way, from file to fate."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import polars as pl

from assets.publication.trace import trace as find
from orchestration.stages_light import layer_of
from resources import delta
from resources.errors import NotReadyError, RecipeError
from resources.recipe import load_recipe
from resources.run import RELEASES


def trace(
    target: str, *, recipe: Path | None, output: Path | None, release: int | None, as_json: bool
) -> None:
    """Print the way of one record, or of one row of a table."""
    root, state = _roots(recipe, output)
    row = _release(root, release)
    versions: dict[str, int] = json.loads(row["versions"])

    def scan(table: str) -> pl.LazyFrame:
        place = state if layer_of(table) == "lake" else root
        return delta.scan(place / table, versions[table])

    answer = find(scan, target)
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
        text = str(item)
        shown = text if len(text) <= 300 else f"{text[:300]} … ({len(text):,} characters)"
        lines.append(f"\n    {key}: {shown}")
    return "".join(lines)


def _roots(recipe: Path | None, output: Path | None) -> tuple[Path, Path]:
    if output is not None:
        return output, output
    named = recipe or (
        Path(os.environ["SLUICE_RECIPE"]) if os.environ.get("SLUICE_RECIPE") else None
    )
    if named is None:
        message = "say where to look: --recipe RECIPE, --output FOLDER, or set SLUICE_RECIPE"
        raise RecipeError(message)
    loaded = load_recipe(named)
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
    return rows.row(-1, named=True)
