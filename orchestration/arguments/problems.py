"""Problems stated in a file: scaling laws and allocations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestration.arguments.options import (
    json_option,
)
from orchestration.arguments.paths import DataPath


def _once(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> str | None:
    """Return the one value of an option; a second is refused, as click would drop the first."""
    if len(values) > 1:
        message = f"is given {len(values)} times; one call plans for one budget"
        raise click.BadParameter(message, param=option)
    return values[0] if values else None


@click.command()
@click.argument("curves", type=DataPath())
@click.option(
    "--law",
    type=click.Choice(["utility", "saturation", "power", "data_constrained", "average"]),
    default="average",
)
@click.option("--form", type=click.Choice(["paper", "code"]), default="paper", show_default=True)
@click.option(
    "--budget",
    multiple=True,
    callback=_once,
    metavar="UNIT=N[,NAME=N…]",
    help="Plan for samples=N, tokens=N, flops=N,parameters=N or gpu_hours=N,peak=FLOP/s,utilisation=S,parameters=N; "
    "further: tokens_per_sample, scoring_flops, or scorer_parameters and scored_tokens.",
)
@click.option("--predict", type=DataPath(), help="Points to predict.")
@click.option("--max-passes", type=float, help="Cap on how often a record may be shown.")
@click.option(
    "--schedule",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the plan's schedules here (.csv, .parquet or .json).",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw curves and frontier here (.png or .html).",
)
@json_option
def laws(curves: Path, **asked: Any) -> None:  # noqa: ANN401 - the options above, by name
    """Fit scaling laws to a table of training curves, and plan for a budget."""
    from orchestration.commands.laws import Asked
    from orchestration.commands.laws import laws as work

    work(curves, Asked(**asked))


@click.command()
@click.argument("problem", type=DataPath())
@click.option(
    "--joint",
    is_flag=True,
    help="Groups, quality pools and passes under one compute budget; `budgets: […]` for several plans.",
)
@click.option(
    "--coupled",
    is_flag=True,
    help="Cells that several groups share, and transfer between groups; with a certified gap.",
)
@click.option(
    "--bags",
    is_flag=True,
    help="PROBLEM is a table of bags with the groups' shares in each; refused where all bags are alike.",
)
@click.option("--rows", type=DataPath(), help="For --bags: records with their bag and numbers.")
@click.option("--integer", is_flag=True, help="Round to whole records, never past the budget.")
@click.option(
    "--export", type=click.Path(path_type=Path), help="Write what trainers follow to this folder."
)
@click.option("--report", type=click.Path(path_type=Path), help="Write a page with pictures.")
@click.option(
    "--results",
    type=DataPath(),
    help="For --report: what trained models scored (group, arm, seed, metric), or predictions.",
)
@click.option(
    "--schedule",
    metavar="RULE",
    help="For --export: alpha=, tau=, cooldown=, unimax=; with --losses doremi, odm, worst_group, group_dro, "
    "error_bound.",
)
@click.option("--losses", type=DataPath(), help="For --schedule: losses by step and group.")
@click.option(
    "--rounds", type=click.Path(path_type=Path), help="Plan the next round of a study kept here."
)
@click.option(
    "--evaluations",
    type=DataPath(),
    help="Table of runs: the curves that the problem leaves out are fitted to them, with intervals, and --report draws "
    "them; with --joint also the worth and decay of pools; with --rounds, of the rounds so far.",
)
@json_option
def allocate(problem: Path, **settings: object) -> None:
    """Divide a budget between groups by the objective that the problem states."""
    from orchestration.commands.allocate import AllocateSettings
    from orchestration.commands.allocate import allocate as work

    work(problem, AllocateSettings.model_validate(settings))
