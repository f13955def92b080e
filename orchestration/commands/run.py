"""`sluice run`: materialise a recipe's tables and tell what came out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from orchestration.execute import Outcome, execute
from orchestration.summary import as_text, summarise
from resources.errors import EXIT_DONE, EXIT_QUARANTINE
from resources.recipe import load_recipe


class Watch:
    """Shows people which stage is at work and how far it is; silent lines only where nobody watches."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.live = sys.stderr.isatty()
        self.started = time.monotonic()
        self.stage = ""
        self.shown = 0.0

    def __call__(
        self, stage: str, message: str, done: int | None = None, total: int | None = None
    ) -> None:
        """Report progress; called as often as a stage likes."""
        now = time.monotonic()
        finished = done is None and total is None
        if self.quiet or (not finished and now - self.shown < (0.2 if self.live else 5.0)):
            return
        self.shown = now
        counted = ""
        if done is not None:
            counted = f" {done:,}" + (f" of {total:,}" if total is not None else "")
        line = f"{now - self.started:6.1f} s  {stage:<22} {message}{counted}"
        if self.live:
            click.echo("\r\x1b[2K" + line, err=True, nl=finished)
        else:
            click.echo(line, err=True)


def run(
    path: Path,
    *,
    select: Sequence[str],
    sample: float | None,
    accept_shrink: bool,
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
        wait_seconds=wait_seconds,
        report=Watch(quiet=as_json),
    )
    if outcome.release is None or select:
        _told_selection(outcome, select, as_json=as_json)
        return EXIT_DONE
    summary = summarise(recipe, outcome, sample)
    if as_json:
        click.echo(json.dumps(summary, default=str))
    else:
        click.echo(as_text(summary, path))
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
