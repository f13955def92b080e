"""The recipe: draft it, run it, look at it, ask it, keep it in order."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestration.arguments.options import (
    json_option,
    output_option,
    recipe_argument,
    sample_option,
    wait_option,
)
from orchestration.arguments.paths import DataPath


@click.command()
@recipe_argument
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "--select",
    multiple=True,
    metavar="KEY...",
    help="A stage, a table, or +table with all that it needs.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would be read, computed and spent; do nothing."
)
@sample_option
@click.option(
    "--accept-shrink",
    is_flag=True,
    help="Let a run pass that loses more than 20 % of tables, rows or a group.",
)
@click.option(
    "--recalibrate",
    is_flag=True,
    help="Fit scorers, pool cuts and training curves anew instead of keeping the last release's.",
)
@click.option(
    "--calibration",
    "calibration_from",
    type=DataPath(file_okay=False),
    metavar="OUTPUT",
    help="Keep to the calibration and the held-out records of another output's last release.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    metavar="N",
    help="Buy the study of allocation.rounds up to round N (0 is the pilot), from the first that is not there.",
)
@click.option("--restart", is_flag=True, help="With --rounds: begin the study anew at the pilot.")
@wait_option
@json_option
def run(
    recipe: Path,
    more: tuple[str, ...],
    *,
    select: tuple[str, ...],
    dry_run: bool,
    sample: float | None,
    accept_shrink: bool,
    recalibrate: bool,
    calibration_from: Path | None,
    rounds: int | None,
    restart: bool,
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Materialise the recipe's tables in this process; the same that the UI shows."""
    from orchestration import logs
    from orchestration.commands.dry_run import dry_run as show
    from orchestration.commands.run import run as work

    logs.configure()
    if more and not select:
        message = f"unexpected argument {more[0]!r}; one recipe at a time, and keys after --select"
        raise click.UsageError(message)
    if dry_run:
        if select:
            message = "--dry-run tells of all stages; leave --select out"
            raise click.UsageError(message)
        show(recipe, sample=sample, as_json=as_json)
        return
    if restart and rounds is None:
        message = "--restart begins a study in rounds anew; say --rounds N with it"
        raise click.UsageError(message)
    if rounds is not None:
        if select or accept_shrink or recalibrate or calibration_from is not None:
            message = "--rounds reads what is released; of the other options it takes --restart, --sample and --wait"
            raise click.UsageError(message)
        from orchestration.commands.run_rounds import run_rounds

        sys.exit(
            run_rounds(
                recipe,
                last=rounds,
                restart=restart,
                sample=sample,
                wait_seconds=wait_seconds,
                as_json=as_json,
            )
        )
    status = work(
        recipe,
        select=(*select, *more),
        sample=sample,
        accept_shrink=accept_shrink,
        recalibrate=recalibrate,
        calibration_from=calibration_from,
        wait_seconds=wait_seconds,
        as_json=as_json,
    )
    sys.exit(status)


@click.command()
@click.argument("lake", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the recipe here; recipe.yaml by default."
)
@click.option("--force", is_flag=True, help="Replace a recipe that is there already.")
@json_option
def init(lake: Path, *, out: Path | None, force: bool, as_json: bool) -> None:
    """Look at a lake and write a recipe for it, each guess explained; policy is left to fill in."""
    from orchestration.commands.init import init as work

    work(lake, out=out, force=force, as_json=as_json)


@click.command()
@click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True, type=int)
def ui(recipes: tuple[Path, ...], host: str, port: int) -> None:
    """Open the Dagster UI on some recipes, with the same history as `sluice run`."""
    from orchestration.commands.ui import ui as work

    work(recipes, host=host, port=port)


@click.command()
@click.argument("target", metavar="RECORD_ID|TABLE#POSITION")
@click.option("--recipe", type=click.Path(path_type=Path), help="The recipe whose output is asked.")
@output_option
@click.option("--release", type=int, help="A release number; the last one by default.")
@sample_option
@json_option
def trace(
    target: str,
    *,
    recipe: Path | None,
    output: Path | None,
    release: int | None,
    sample: float | None,
    as_json: bool,
) -> None:
    """Print a row's whole way, from file to fate."""
    from orchestration.commands.trace import trace as work

    work(target, recipe=recipe, output=output, release=release, sample=sample, as_json=as_json)


@click.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@output_option
@click.option(
    "--retention",
    default="7d",
    show_default=True,
    metavar="7d|36h",
    help="Remove nothing younger than this.",
)
@click.option(
    "--keep-releases",
    type=int,
    metavar="N",
    help="Let go of all but the last N releases; all are kept by default.",
)
@click.option("--force", is_flag=True, help="Allow a retention below a day.")
@click.option("--dry-run", is_flag=True, help="Tell what would go; do nothing.")
@wait_option
@json_option
def maintain(
    recipe: Path | None,
    *,
    output: Path | None,
    retention: str,
    keep_releases: int | None,
    force: bool,
    dry_run: bool,
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Sweep what killed runs left, compact small files, and let go of releases that are not kept."""
    from orchestration.commands.maintain import maintain as work

    status = work(
        recipe,
        output=output,
        retention=retention,
        keep_releases=keep_releases,
        dry_run=dry_run,
        force=force,
        wait_seconds=wait_seconds,
        as_json=as_json,
    )
    sys.exit(status)
