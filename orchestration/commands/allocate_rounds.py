"""`sluice allocate STUDY.json --rounds DIR`: the next round of a study that buys data in rounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resources.errors import RecipeError

if TYPE_CHECKING:
    import polars as pl

    from assets.allocation.adaptive import Round


def allocate_rounds(
    raw: Mapping[str, Any], folder: Path, evaluations: Path | None, *, as_json: bool
) -> None:
    """Write the next round of the study into `folder` and print it."""
    from assets.allocation.adaptive import next_round, pilot, read_study
    from assets.allocation.round_files import read_rounds, write_round

    study = read_study(raw)
    past = read_rounds(folder, study)
    if past and past[-1].stopped:
        made, file = past[-1], None
    else:
        if not past:
            made = pilot(study)
        elif evaluations is None:
            message = (
                f"round {past[-1].number} is bought; name the table of its evaluations with "
                "--evaluations to plan the next"
            )
            raise RecipeError(message)
        else:
            made = next_round(study, past, _evaluations(evaluations))
        file = write_round(folder, study, made)
        past.append(made)
    spent = sum(r.spend for r in past)
    if as_json:
        click.echo(json.dumps(asdict(made) | {"spent": spent, "budget": study.budget}))
        return
    _show(made, spent, study.budget, file)


def _evaluations(file: Path) -> pl.DataFrame:
    import polars as pl

    try:
        if file.suffix == ".csv":
            return pl.read_csv(file)
        if file.suffix == ".parquet":
            return pl.read_parquet(file)
        if file.suffix == ".jsonl":
            return pl.read_ndjson(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        message = f"--evaluations {file}: can't be read: {error}"
        raise RecipeError(message) from error
    message = f"--evaluations {file}: use a .csv, .parquet or .jsonl file"
    raise RecipeError(message)


def _show(made: Round, spent: float, budget: float, file: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"round {made.number}: {made.spend:g}, in all {spent:g} of {budget:g}")
    for column in ("group", "buy", "held then", "train on"):
        table.add_column(column)
    for name, count in made.bought.items():
        sizes = ", ".join(map(str, made.train_sizes.get(name, [])))
        table.add_row(name, str(count), str(made.held[name]), sizes)
    console = Console()
    console.print(table)
    for name, remedy in (made.unallocatable or {}).items():
        console.print(f"[yellow]{name}: {remedy}[/yellow]")
    if made.out_of_reach:
        console.print(
            f"[yellow]{', '.join(made.out_of_reach)}: the whole budget would not lift it to "
            "where half of the others are; hold_unreachable leaves it out[/yellow]"
        )
    if made.stopped:
        console.print(f"The study ends: {made.stopped}.")
    if file is not None:
        console.print(f"Written to {file}")
