"""Runs whose process died: Dagster goes on counting them as running, and keeps their place in pools and queues."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from resources.lease import dead_holder
from resources.recipe import Recipe

MESSAGE = "The run's process died. Run again: what it finished is adopted."


def give_up(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> None:
    """Close runs that are known to be dead, and free what they held."""
    for run_id in sorted(run_ids):
        run = instance.get_run_by_id(run_id)
        if run is None:
            continue
        if not run.is_finished:
            instance.report_run_failed(run, MESSAGE)
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def dead_runs_of(recipe: Recipe) -> set[str]:
    """Return the runs that died at work on a recipe's roots, told by the leases that they left."""
    roots = {Path(recipe.output), Path(recipe.state_root)}
    return {holder for root in roots if (holder := dead_holder(root)) is not None}
