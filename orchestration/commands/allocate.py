"""`sluice allocate`: the optimal allocation of a stated problem."""

from __future__ import annotations

import json
from pathlib import Path

import click

from resources.errors import RecipeError


def allocate(problem: Path, *, joint: bool, integer: bool, as_json: bool) -> None:
    """Solve a problem file and print the plan."""
    try:
        stated = json.loads(problem.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{problem}: can't be read as JSON: {error}"
        raise RecipeError(message) from error
    if joint:
        from assets.allocation.joint import solve_joint

        answer = solve_joint(stated)
    else:
        from assets.allocation.answer import allocate as solve

        answer = solve(stated, integer=integer)
    if as_json or joint:
        click.echo(json.dumps(answer, indent=None if as_json else 2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"objective {answer['objective']:.6g}, spend {answer['spend']:.6g}")
    columns = ("group", "samples", "records", "passes", "performance", "bound", "marginal_value")
    for column in columns:
        table.add_column(column)
    for row in answer["allocation"]:
        table.add_row(
            *[f"{row[c]:.6g}" if isinstance(row[c], float) else str(row[c]) for c in columns]
        )
    console = Console()
    console.print(table)
    for name, value in answer["baselines"].items():
        console.print(f"{name}: objective {value['objective']:.6g}, worst {value['worst']:.6g}")
    for warning in answer["warnings"]:
        console.print(f"[yellow]{warning}[/yellow]")
