"""`sluice allocate`: the optimal allocation of a stated problem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ConfigDict

from orchestration.commands.allocate_file import as_text, naming, read_stated, shown
from resources.errors import RecipeError


class AllocateSettings(BaseModel):
    """The command's options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    joint: bool = False
    integer: bool = False
    export: Path | None = None
    schedule: str | None = None
    report: Path | None = None
    results: Path | None = None
    rounds: Path | None = None
    evaluations: Path | None = None
    as_json: bool = False


def allocate(problem: Path, settings: AllocateSettings) -> None:
    """Solve a problem file and print the plan; with `rounds`, plan the next round of a study."""
    _check(settings)
    stated = read_stated(problem)
    with naming(problem):
        _answer(stated, settings)


def _answer(stated: dict[str, Any], settings: AllocateSettings) -> None:
    joint, integer, as_json = settings.joint, settings.integer, settings.as_json
    if settings.rounds is not None:
        from orchestration.commands.allocate_rounds import allocate_rounds

        allocate_rounds(stated, settings.rounds, settings.evaluations, as_json=as_json)
        return
    if joint:
        from assets.allocation.joint_budgets import answer_joint

        answer = answer_joint(stated)
    else:
        from assets.allocation.answer import allocate as solve

        answer = solve(stated, integer=integer)
        if settings.export is not None:
            _export(stated, answer, settings.export, settings.schedule)
        if settings.report is not None:
            _report(stated, answer, settings)
    if as_json or joint:
        click.echo(as_text(answer, compact=as_json))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"objective {shown(answer['objective'])}, spend {answer['spend']:.6g}")
    columns = ("group", "samples", "records", "passes", "performance", "bound", "marginal_value")
    for column in columns:
        table.add_column(column)
    for row in answer["allocation"]:
        table.add_row(*[shown(row[c]) for c in columns])
    console = Console()
    console.print(table)
    for name, value in answer["baselines"].items():
        console.print(
            f"{name}: objective {shown(value['objective'])}, worst {shown(value['worst'])}"
        )
    for warning in answer["warnings"]:
        console.print(f"[yellow]{warning}[/yellow]")


def _check(settings: AllocateSettings) -> None:
    """Refuse options that say nothing together."""
    fault = None
    if settings.schedule and not settings.export:
        fault = "--schedule is written by --export DIR; name the folder"
    elif settings.evaluations and not (settings.rounds or settings.report):
        fault = "--evaluations are read by --rounds DIR and drawn by --report FILE; name one"
    elif settings.results and not settings.report:
        fault = "--results are drawn by --report FILE; name the page"
    elif settings.joint and (settings.export or settings.rounds or settings.report):
        fault = "--joint goes with none of --export, --report and --rounds; leave it out"
    if fault:
        raise RecipeError(fault)


def _export(
    stated: Mapping[str, Any], answer: Mapping[str, Any], folder: Path, schedule: str | None
) -> None:
    from assets.allocation.problem import records_of
    from assets.allocation.schedules import phases
    from assets.allocation.trainer_plan import trainer_plan, write_trainer_files

    sizes = {group["name"]: records_of(group) for group in stated["groups"]}
    drawn = sum(entry["samples"] for entry in answer["allocation"])
    steps = phases(schedule, sizes, drawn) if schedule else []
    write_trainer_files(trainer_plan(answer), folder, steps)


def _report(
    stated: Mapping[str, Any], answer: Mapping[str, Any], settings: AllocateSettings
) -> None:
    from assets.publication.allocation_page import allocation_page, gather
    from orchestration.commands.tables import read_table

    measured = None if settings.evaluations is None else read_table(settings.evaluations)
    results = None if settings.results is None else read_table(settings.results)
    page = allocation_page(gather(stated, answer, evaluations=measured, results=results))
    if settings.report is not None:
        settings.report.write_text(page, encoding="utf-8")
