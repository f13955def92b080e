"""Materialise the partitions of `allocation/rounds` one after another, from the first that is not there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from assets.allocation.study import Round
from orchestration import logs
from orchestration.dead_runs import give_up
from orchestration.execute import dagster_home, execute_job
from orchestration.jobs import ROUNDS
from orchestration.stages import SPECS
from resources.errors import RecipeError, StoreError
from resources.recipe import Recipe
from resources.run import Run
from resources.stage_spec import Report, silent


@dataclass(frozen=True)
class Bought:
    """One round, and whether this call bought it or found it there."""

    round: Round
    run_id: str | None


def execute_rounds(
    recipe: Recipe,
    last: int,
    *,
    restart: bool = False,
    sample: float | None = None,
    wait_seconds: float = 0.0,
    report: Report = silent,
) -> Iterator[Bought]:
    """Buy the rounds up to number `last`, each in a run of its own, and yield them all, those that stood first.

    Parameters
    ----------
    recipe
        States `allocation.rounds`.
    last
        Number of the last round to buy, at most the recipe's count.
    restart
        Begin anew at the pilot, whatever stands.
    sample, wait_seconds, report
        As for `execute`.

    Raises
    ------
    SluiceError
        The recipe states no rounds or fewer; those that stand were bought under other settings; or the stage's own.
    """
    stated = recipe.allocation.rounds if recipe.allocation is not None else None
    if stated is None:
        message = (
            "--rounds: the recipe states no allocation.rounds; see docs/methods/adaptive_rounds.md"
        )
        raise RecipeError(message)
    if last > stated.count:
        message = f"--rounds {last}: allocation.rounds.count is {stated.count}; ask for no more, or state more"
        raise RecipeError(message)
    dagster_home()
    found: list[Round] = []
    if not restart:
        with _run(recipe, sample=sample, wait_seconds=wait_seconds) as run:
            _close_dead(run)
            found = _bought(run)
    yield from (Bought(one, None) for one in found)
    while len(found) <= last and not (found and found[-1].stopped):
        number = len(found)
        run = _run(
            recipe,
            sample=sample,
            wait_seconds=wait_seconds,
            report=report,
            restart=restart and number == 0,
        )
        try:
            with logs.logged(run.run_id), run:
                _close_dead(run)
                execute_job(run, job=ROUNDS, partition=str(number))
                found = _bought(run)
        except OSError as error:
            message = f"the store refused: {error}"
            raise StoreError(message) from error
        yield Bought(found[number], run.run_id)


def _run(
    recipe: Recipe,
    *,
    sample: float | None,
    wait_seconds: float,
    report: Report = silent,
    restart: bool = False,
) -> Run:
    run_id = str(uuid.uuid4())
    return Run(
        recipe,
        run_id,
        specs=SPECS,
        sample=sample,
        restart=restart,
        wait_seconds=wait_seconds,
        report=logs.reporting(report, run_id),
    )


def _close_dead(run: Run) -> None:
    """Free what a killed run holds in Dagster's pools: the first run after it takes its lease and alone knows of it."""
    if run.dead_runs:
        with dg.DagsterInstance.get() as instance:
            give_up(instance, run.dead_runs)


def _bought(run: Run) -> list[Round]:
    from assets.allocation.round_stage import rounds_bought

    return rounds_bought(run)
