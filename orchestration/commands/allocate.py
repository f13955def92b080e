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
            _report(stated, answer, settings.report)
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
    elif settings.evaluations and not settings.rounds:
        fault = "--evaluations are read by --rounds DIR; name the folder"
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


def _report(stated: Mapping[str, Any], answer: Mapping[str, Any], file: Path) -> None:
    from assets.allocation import report_figures as draw
    from assets.allocation.comparisons import aversion_sweep, rule_samples
    from assets.allocation.report_page import report_page

    figures = [
        draw.learning_curves(stated, answer),
        draw.allocation_bars(stated, answer, rule_samples(stated, answer["spend"])),
        draw.where_to_collect(answer),
    ]
    sweep = aversion_sweep(stated)
    if sweep.height > 1:
        figures.insert(2, draw.price_of_fairness(sweep, _chosen(stated, answer)))
    file.write_text(report_page(stated, answer, figures), encoding="utf-8")


def _chosen(stated: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the plan's (worst, weighted mean) on the raw metric, None where it has none."""
    f = [entry["performance"] for entry in answer["allocation"]]
    weight = [float(group.get("weight") or 0.0) for group in stated["groups"]]
    if None in f or sum(weight) <= 0:
        return None
    return min(f), sum(w * v for w, v in zip(weight, f, strict=True)) / sum(weight)
