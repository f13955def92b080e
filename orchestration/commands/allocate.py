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
    coupled: bool = False
    bags: bool = False
    rows: Path | None = None
    integer: bool = False
    export: Path | None = None
    schedule: str | None = None
    losses: Path | None = None
    report: Path | None = None
    results: Path | None = None
    rounds: Path | None = None
    evaluations: Path | None = None
    as_json: bool = False


def allocate(problem: Path, settings: AllocateSettings) -> None:
    """Solve a problem file and print the plan; with `rounds`, plan the next round of a study."""
    _check(settings)
    if settings.coupled or settings.bags:
        from orchestration.commands import allocate_other as other

        if settings.coupled:
            other.allocate_coupled(problem, as_json=settings.as_json)
        else:
            other.allocate_bags(problem, settings.rows, as_json=settings.as_json)
        return
    stated = read_stated(problem)
    with naming(problem):
        _answer(stated, settings)


def _answer(stated: dict[str, Any], settings: AllocateSettings) -> None:
    as_json, whole = settings.as_json, stated
    if settings.rounds is not None:
        from orchestration.commands.allocate_rounds import allocate_rounds

        allocate_rounds(stated, settings.rounds, settings.evaluations, as_json=as_json)
        return
    if settings.joint:
        asked = stated | {"integer": True} if settings.integer else stated
        click.echo(as_text(_joint(asked, settings.evaluations), compact=as_json))
        return
    if settings.evaluations is not None and not _all_stated(stated, settings):
        answer, stated = _measured(stated, settings.evaluations, integer=settings.integer)
    else:
        from assets.allocation.answer import allocate as solve
        from assets.allocation.errors import AllocationError

        about_runs = sorted({"draws", "fallback", "seed"} & set(stated))
        if about_runs:
            message = (
                f"field {about_runs[0]}: it is about runs; name their table with --evaluations"
            )
            raise AllocationError(message)
        answer = solve(stated, integer=settings.integer)
    if settings.export is not None:
        _export(whole, answer, settings.export, settings)
    if settings.report is not None:
        _report(stated, answer, settings)
    if as_json:
        click.echo(as_text(answer, compact=True))
        return
    _show(answer)


def _joint(stated: dict[str, Any], runs: Path | None) -> dict[str, Any]:
    """Return the answer to a joint problem, whose parameters come from `runs` where there are some."""
    if runs is None:
        from assets.allocation.joint_budgets import answer_joint

        return answer_joint(stated)
    from assets.allocation.group_curves import CurveError
    from assets.allocation.joint_measured import allocate_joint_measured
    from orchestration.commands.tables import read_table

    try:
        return allocate_joint_measured(stated, read_table(runs))
    except CurveError as error:
        message = f"--evaluations {runs}: {error}"
        raise RecipeError(message) from error


def _all_stated(stated: dict[str, Any], settings: AllocateSettings) -> bool:
    """Say whether every group states its curve, so that runs are only drawn by the report."""
    groups = stated.get("groups")
    rows = groups if isinstance(groups, list) else []
    return settings.report is not None and all(
        isinstance(group, dict) and group.get("curve") is not None for group in rows
    )


def _measured(
    stated: dict[str, Any], runs: Path, *, integer: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the answer, and the problem of the groups that have a curve with it filled in."""
    from assets.allocation.group_curves import CurveError
    from assets.allocation.measured import allocate_measured
    from orchestration.commands.tables import read_table

    try:
        answer = allocate_measured(stated, read_table(runs), integer=integer)
    except CurveError as error:
        message = f"--evaluations {runs}: {error}"
        raise RecipeError(message) from error
    curves = {row["group"]: row for row in answer["curves"] if row["a"] is not None}
    groups = []
    for group in stated["groups"]:
        row = curves.get(group["name"])
        if group.get("curve") is not None:
            groups.append(group)
        elif row is not None:
            fitted = {"form": "power", "a": row["a"], "b": max(row["b"], 1e-12), "p": row["p"]}
            groups.append({"chance": row["chance"]} | group | {"curve": fitted})
    return answer, {k: stated[k] for k in ("budget", "objective", "policy") if k in stated} | {
        "groups": groups
    }


def _show(answer: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"objective {shown(answer['objective'])}, spend {answer['spend']:.6g}")
    columns = ["group", "samples", "records", "passes", "performance", "bound", "marginal_value"]
    measured = "rules" in answer
    for column in [*columns, *(["records at 80 %"] if measured else [])]:
        table.add_column(column)
    for row in answer["allocation"]:
        cells = [shown(row[c]) for c in columns]
        if measured:
            cells.append(f"{shown(row['records_lo80'])} to {shown(row['records_hi80'])}")
        table.add_row(*cells)
    console = Console()
    console.print(table)
    for name, value in answer["baselines"].items():
        console.print(
            f"{name}: objective {shown(value['objective'])}, worst {shown(value['worst'])}"
        )
    for name, value in answer.get("rules", {}).items():
        gain = f"{shown(value['gain_lo80'])} to {shown(value['gain_hi80'])}"
        console.print(f"gain over {name} at 80 %: {gain}, {value['verdict']}")
    if "decided_by" in answer:
        console.print(f"decided by: {answer['decided_by']}, on {answer['planned_on']}")
    for warning in answer["warnings"]:
        console.print(f"[yellow]{warning}[/yellow]")


def _check(settings: AllocateSettings) -> None:
    """Refuse options that say nothing together."""
    from assets.allocation.online_schedules import follows_losses

    fault = None
    forms = [name for name in ("joint", "coupled", "bags") if getattr(settings, name)]
    others = [
        name
        for name in ("integer", "export", "report", "rounds", "evaluations")
        if getattr(settings, name)
    ]
    if len(forms) > 1:
        fault = f"--{forms[0]} and --{forms[1]} are two forms of problem; name one"
    elif settings.rows and not settings.bags:
        fault = "--rows are read by --bags; name both"
    elif forms and forms != ["joint"] and others:
        fault = f"--{forms[0]} does not go with --{others[0]}; leave it out"
    elif settings.schedule and not settings.export:
        fault = "--schedule is written by --export DIR; name the folder"
    elif settings.losses and not settings.schedule:
        fault = "--losses are followed by --schedule RULE; name the rule"
    elif settings.schedule and settings.losses is None and follows_losses(settings.schedule):
        fault = f"--schedule {settings.schedule} follows losses; name their table with --losses"
    elif settings.results and not settings.report:
        fault = "--results are drawn by --report FILE; name the page"
    elif settings.joint and (settings.export or settings.rounds or settings.report):
        fault = "--joint goes with none of --export, --report and --rounds; leave it out"
    if fault:
        raise RecipeError(fault)


def _export(
    stated: Mapping[str, Any], answer: Mapping[str, Any], folder: Path, settings: AllocateSettings
) -> None:
    from assets.allocation.online_schedules import follow
    from assets.allocation.problem import records_of
    from assets.allocation.schedules import phases
    from assets.allocation.trainer_plan import trainer_plan, write_trainer_files
    from orchestration.commands.tables import read_table

    sizes = {group["name"]: records_of(group) for group in stated["groups"]}
    drawn = sum(entry["samples"] for entry in answer["allocation"])
    steps, loss_weights, schedule = [], None, settings.schedule
    if schedule and settings.losses:
        followed = follow(schedule, read_table(settings.losses), list(sizes))
        steps, loss_weights = followed.phases, followed.loss_weights
    elif schedule:
        steps = phases(schedule, sizes, drawn)
    intervals = {
        entry["group"]: (entry["records_lo80"], entry["records_hi80"])
        for entry in answer["allocation"]
        if entry.get("records_lo80") is not None
    }
    write_trainer_files(
        trainer_plan(answer, loss_weights, intervals), folder, steps, policy=answer["policy"]
    )


def _report(
    stated: Mapping[str, Any], answer: Mapping[str, Any], settings: AllocateSettings
) -> None:
    from assets.allocation.group_curves import CurveError
    from assets.allocation.measured_groups import completed_runs
    from assets.allocation.results import ResultsError
    from assets.publication.allocation_page import allocation_page, gather
    from orchestration.commands.tables import read_table

    named = {group["name"] for group in stated["groups"]}  # those with a curve
    rows = [entry for entry in answer["allocation"] if entry["group"] in named]
    measured = None
    if settings.evaluations is not None:
        measured = completed_runs(read_table(settings.evaluations))
    results = None if settings.results is None else read_table(settings.results)
    try:
        found = gather(
            stated, {**answer, "allocation": rows}, evaluations=measured, results=results
        )
    except ResultsError as error:
        message = f"--results {settings.results}: {error}"
        raise RecipeError(message) from error
    except CurveError as error:
        message = f"--evaluations {settings.evaluations}: {error}"
        raise RecipeError(message) from error
    if settings.report is not None:
        settings.report.write_text(allocation_page(found), encoding="utf-8")
