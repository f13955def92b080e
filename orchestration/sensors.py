"""A sensor that starts a run when a source of the lake appears, changes or goes."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from orchestration.dead_runs import dead_runs_of, give_up
from orchestration.jobs import job_name
from resources.recipe import Recipe
from resources.stage_spec import digest


def lake_state(lake: Path) -> str:
    """Hash of the lake's listing: names, sizes and times; reads no data."""
    from assets.ingestion.discover import discover
    from assets.ingestion.source_changes import fingerprint

    found = discover(lake)
    state = [[source.table, fingerprint(source)] for source in found.sources]
    return digest(state + [[retired.table, "retired"] for retired in found.retired])


def sensors_of(recipe: Recipe) -> list[dg.SensorDefinition]:
    """Make the sensors of a recipe."""

    @dg.sensor(
        name=f"{job_name(recipe)}_on_change",
        job_name=job_name(recipe),
        minimum_interval_seconds=60,
        description="Runs everything when the lake's listing differs from the one it last ran on.",
    )
    def _on_change(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        # a run that was killed would hold its place in the queue for good
        give_up(context.instance, dead_runs_of(recipe))
        state = lake_state(Path(recipe.lake))
        if state == context.cursor:
            return dg.SkipReason("the lake has not changed")
        # no run key: a lake that goes back to an earlier state has changed too
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=state)

    return [_on_change]
