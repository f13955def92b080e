"""`sluice laws`: fits and a plan from a table of training curves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import click

from orchestration.commands.tables import read_table
from resources.errors import RecipeError

Form = Literal["paper", "code"]
Law = Literal["utility", "saturation", "power", "data_constrained", "average"]


@dataclass(frozen=True)
class Asked:
    """What was asked on the command line."""

    law: str
    form: str
    budget: str | None
    predict: Path | None
    max_passes: float | None
    schedule: Path | None
    plot: Path | None
    as_json: bool


def laws(curves: Path, asked: Asked) -> None:
    """Fit laws to curves, and print them with the ranked plans."""
    from assets.filtering.analyse import study
    from resources.compute import parse_compute

    budget = None if asked.budget is None else parse_compute(asked.budget)
    for path, needs in ((asked.schedule, "--schedule"), (asked.plot, None)):
        _check_output(path, needs if budget is None else None, [curves, asked.predict])
    fitted = study(read_table(curves), law=cast("Law", asked.law), form=cast("Form", asked.form))
    answer = fitted.answer(
        budget=budget,
        predict=None if asked.predict is None else read_table(asked.predict),
        max_passes=asked.max_passes,
    )
    if asked.schedule is not None:
        _write_schedule(answer, asked.schedule)
    if asked.plot is not None:
        from orchestration.commands.laws_plot import write_plot

        write_plot(fitted, answer, asked.plot)
    if asked.as_json:
        click.echo(json.dumps(answer))
        return
    from orchestration.commands.laws_table import show

    show(answer)


def _check_output(path: Path | None, needs_budget: str | None, inputs: list[Path | None]) -> None:
    if path is None:
        return
    if needs_budget is not None:
        message = (
            f"{needs_budget} lays a plan out in time, which needs a budget; add --budget samples=N"
        )
        raise RecipeError(message)
    if not path.absolute().parent.is_dir():
        message = f"{path}: the folder {path.absolute().parent} does not exist; make it first"
        raise RecipeError(message)
    if any(given is not None and given.resolve() == path.resolve() for given in inputs):
        message = f"{path} is read from; write elsewhere"
        raise RecipeError(message)


def _write_schedule(answer: dict[str, Any], path: Path) -> None:
    import polars as pl

    from assets.filtering.schedule import table

    rows = [
        {"schedule": name, **row}
        for name, schedule in answer["schedules"].items()
        for row in table(schedule["phases"])
    ]
    frame = pl.DataFrame(rows)
    if path.suffix == ".csv":
        frame.write_csv(path)
    elif path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(answer["schedules"], indent=1), encoding="utf-8")
    else:
        message = f"--schedule {path}: give a file that ends in .csv, .parquet or .json"
        raise RecipeError(message)
