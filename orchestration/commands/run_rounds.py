"""`sluice run RECIPE --rounds N`: buy the rounds of a study one after another, and tell what each bought."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from orchestration.commands.watch import Watch
from orchestration.execute_rounds import Bought, execute_rounds
from resources.errors import EXIT_DONE
from resources.recipe_file import load_recipe

_TOLD = ("number", "bought", "held", "spend", "predicted_gain", "stopped")


def run_rounds(
    path: Path,
    *,
    last: int,
    restart: bool,
    sample: float | None,
    wait_seconds: float,
    as_json: bool,
) -> int:
    """Buy the rounds up to number `last` and print them; returns the exit status."""
    bought: list[Bought] = []
    for one in execute_rounds(
        load_recipe(path),
        last,
        restart=restart,
        sample=sample,
        wait_seconds=wait_seconds,
        report=Watch(quiet=as_json),
    ):
        bought.append(one)
        if not as_json:
            click.echo(_line(one))
    stopped = bought[-1].round.stopped
    if as_json:
        told = [
            {key: asdict(one.round)[key] for key in _TOLD} | {"run_id": one.run_id}
            for one in bought
        ]
        spent = sum(one.round.spend for one in bought)
        click.echo(json.dumps({"rounds": told, "spent": spent, "stopped": stopped}))
    elif stopped is not None:
        click.echo(f"The study ends: {stopped}.")
    else:
        click.echo(f"Round {len(bought)} is next; ask for more with --rounds.")
    return EXIT_DONE


def _line(one: Bought) -> str:
    made = one.round
    name = "pilot" if made.number == 0 else f"round {made.number}"
    counts = ", ".join(f"{group} {count:,}" for group, count in made.bought.items() if count)
    gain = "" if made.predicted_gain is None else f", gain at most {made.predicted_gain:.3g}"
    stood = " (stood already)" if one.run_id is None else ""
    return f"{name}: {made.spend:,.6g} for {counts or 'nothing'}{gain}{stood}"
