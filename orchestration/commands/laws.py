"""`sluice laws`: fits and a plan from a table of training curves."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal, cast

import click

from orchestration.commands.tables import read_table
from resources.errors import RecipeError

Form = Literal["paper", "code"]
Law = Literal["utility", "saturation", "power", "data_constrained", "average"]


def laws(
    curves: Path,
    *,
    law: str,
    form: str,
    budget: str | None,
    predict: Path | None,
    as_json: bool,
) -> None:
    """Fit laws to curves, and print them with the ranked plans."""
    from assets.filtering.analyse import analyse

    answer = analyse(
        read_table(curves),
        law=cast("Law", law),
        form=cast("Form", form),
        budget=_samples(budget),
        predict=read_table(predict) if predict is not None else None,
    )
    if as_json:
        click.echo(json.dumps(answer))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, fitted in answer["laws"].items():
        table = Table(title=f"law {name}: rmse {fitted.get('rmse')}")
        for column in ("pool", "b", "tau"):
            table.add_column(column)
        for pool, values in fitted.get("pools", {}).items():
            table.add_row(str(pool), f"{values['b']:.5g}", f"{values.get('tau')}")
        console.print(table)
    if answer["plans"]:
        table = Table(title="plans, best first")
        for column in ("pools", "passes", "predicted", "interval80", "p_best", "regret"):
            table.add_column(column)
        for plan in answer["plans"][:10]:
            table.add_row(
                *[
                    str(plan[c])
                    for c in ("pools", "passes", "predicted", "interval80", "p_best", "regret")
                ]
            )
        console.print(table)
    for point in answer["switch_points"]:
        console.print(
            f"from {point['samples']:,.0f} samples: {point['from']} gives way to {point['to']}"
        )
    for warning in answer["warnings"]:
        console.print(
            f"[yellow]{warning['code']}: {warning['message']} {warning['remedy']}[/yellow]"
        )


def _samples(budget: str | None) -> float | None:
    if budget is None:
        return None
    name, _, value = budget.partition("=")
    try:
        samples = float(value) if name == "samples" else math.nan
    except ValueError:
        samples = math.nan
    if not samples > 0:
        message = f"--budget {budget}: write --budget samples=640e6"
        raise RecipeError(message)
    return samples
