"""`sluice run`: materialise a recipe's tables and tell what came out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from orchestration.commands.watch import Watch
from orchestration.execute import Outcome, execute
from orchestration.summary import as_text, summarise
from resources.errors import EXIT_CHECK_FAILED, EXIT_DONE, EXIT_QUARANTINE
from resources.recipe_file import load_recipe


def run(
    path: Path,
    *,
    select: Sequence[str],
    sample: float | None,
    accept_shrink: bool,
    recalibrate: bool,
    calibration_from: Path | None,
    wait_seconds: float,
    as_json: bool,
) -> int:
    """Run a recipe and print the summary; returns the exit status."""
    recipe = load_recipe(path)
    outcome = execute(
        recipe,
        select=select,
        sample=sample,
        accept_shrink=accept_shrink,
        recalibrate=recalibrate,
        calibration_from=calibration_from,
        wait_seconds=wait_seconds,
        report=Watch(quiet=as_json),
    )
    if outcome.release is None or select:
        _told_selection(outcome, select, as_json=as_json)
        failed = any(fault.blocking for fault in outcome.faults)
        return EXIT_CHECK_FAILED if failed else EXIT_DONE
    summary = summarise(recipe, outcome, sample)
    if as_json:
        click.echo(json.dumps(summary, default=str))
    else:
        click.echo(as_text(summary, path))
    if any(fault.blocking for fault in outcome.faults):
        return EXIT_CHECK_FAILED
    too_many = summary["set_aside_share"] > recipe.max_quarantine
    return EXIT_QUARANTINE if too_many else EXIT_DONE


def _told_selection(outcome: Outcome, select: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps({"run_id": outcome.run_id, "selected": list(select), "release": None})
        )
    else:
        click.echo(
            f"{' '.join(select)} done (run {outcome.run_id}); a release is made when publication runs too"
        )
