"""`sluice allocate --coupled PROBLEM.json` and `sluice allocate --bags BAGS`: problems of another form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from orchestration.commands.allocate_file import as_text, naming, read_stated, shown


def allocate_coupled(problem: Path, *, as_json: bool) -> None:
    """Solve a problem whose groups share cells or learn from each other, and print the answer."""
    from assets.allocation.coupled import solve_coupled

    stated = read_stated(problem)
    with naming(problem):
        answer = solve_coupled(stated)
    if as_json:
        click.echo(as_text(answer, compact=True))
        return
    title = f"objective {shown(answer['objective'])}, spend {answer['spend']:.6g}"
    cells = {cell["name"]: cell for cell in stated["cells"]}
    _show(
        f"{title}, certified to {answer['gap']:.2g}",
        [
            {"cell": name, "samples": x, "spend": x * cells[name]["cost"]}
            for name, x in answer["samples"].items()
        ],
        ("cell", "samples", "spend"),
    )
    _show(
        None,
        [{"group": name, "performance": f} for name, f in answer["performance"].items()],
        ("group", "performance"),
    )
    _warn(answer)


def allocate_bags(bags: Path, rows: Path | None, *, as_json: bool) -> None:
    """Tell about groups of which only bags' shares are known, and print nothing about a row."""
    from assets.allocation.bags import answer_bags
    from orchestration.commands.tables import read_table

    with naming(bags):
        answer = answer_bags(read_table(bags), None if rows is None else read_table(rows))
    if as_json:
        click.echo(as_text(answer, compact=True))
        return
    columns = list(answer["groups"][0])
    title = f"spread of the shares {answer['spread']:.3g} (1: every bag is pure)"
    _show(title, answer["groups"], columns)
    if answer.get("calibration") is not None:
        click.echo(f"shares of bags left out of the fit are found to {answer['calibration']:.3g}")
    if "evaluations" in answer:
        _show("runs by group", answer["evaluations"], list(answer["evaluations"][0]))
    _warn(answer)


def _show(title: str | None, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*[shown(row[column]) for column in columns])
    Console().print(table)


def _warn(answer: Mapping[str, Any]) -> None:
    for warning in answer["warnings"]:
        click.secho(warning, fg="yellow")
