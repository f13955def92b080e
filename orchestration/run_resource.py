"""The run as a Dagster resource: opened once a run (once a step in several processes), then released."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import dagster as dg

from orchestration.dead_runs import give_up
from orchestration.jobs import ROUNDS, job_name
from orchestration.logs import LOGGER, LogReport
from orchestration.preflight import check_recipe_against_lake
from orchestration.stages import SPECS, naming
from orchestration.standing import up_to_date
from resources.errors import SluiceError
from resources.recipe import Recipe
from resources.run import Run

ACCEPT_SHRINK, RECALIBRATE = "sluice/accept_shrink", "sluice/recalibrate"
RESTART = "sluice/restart"


def run_resource(recipe: Recipe) -> dg.ResourceDefinition:
    """Make the resource that gives stages their run; it follows the recipe that the recipe resource holds.

    A run that can't begin (a fault in the recipe, a lease that is held) is handed on as its error, for the first stage
    to fail with: Dagster would bury the message of a resource that fails. A run that is launched with the tag
    `sluice/accept_shrink: true` may lose tables, rows or a group, as with `sluice run --accept-shrink`; with
    `sluice/recalibrate: true` it fits its calibration anew; with `sluice/restart: true` round 0 begins a study anew.
    """
    key = naming(recipe).recipe_key
    rounds_job = job_name(recipe, ROUNDS)

    @dg.resource(
        description=f"A run of the recipe that writes to {recipe.output}",
        required_resource_keys={key},
    )
    def _resource(context: dg.InitResourceContext) -> Iterator[Run | SluiceError]:
        run_id = context.run.run_id if context.run is not None else uuid.uuid4().hex
        report = LogReport(context.log or LOGGER, run_id)
        with ExitStack() as held:
            begun: Run | SluiceError
            try:
                followed: Recipe = getattr(context.resources, key).recipe()
                tags = {} if context.run is None else context.run.tags
                begun = held.enter_context(
                    Run(
                        followed,
                        run_id,
                        specs=SPECS,
                        accept_shrink=tags.get(ACCEPT_SHRINK) == "true",
                        recalibrate=tags.get(RECALIBRATE) == "true",
                        restart=tags.get(RESTART) == "true",
                        report=report,
                        wait_seconds=5.0,
                    )
                )
                if context.instance is not None:
                    give_up(context.instance, begun.dead_runs)
                # rounds read what is released, not the lake
                of_rounds = context.run is not None and context.run.job_name == rounds_job
                if not of_rounds and not up_to_date(begun):
                    check_recipe_against_lake(followed)
            except SluiceError as error:
                begun = error
            yield begun

    return _resource
