"""The run as a Dagster resource: opened once a run (once a step in several processes), then released."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import dagster as dg

from orchestration.preflight import check_recipe_against_lake
from orchestration.stages import SPECS
from orchestration.standing import up_to_date
from resources.recipe import Recipe
from resources.run import Run

LOGGER = logging.getLogger("sluice")
ACCEPT_SHRINK, RECALIBRATE = "sluice/accept-shrink", "sluice/recalibrate"
"""Tags of a run that stand for the options of `sluice run`; their value is `true`."""


def log_report(stage: str, message: str, done: int | None = None, total: int | None = None) -> None:
    """Report to the log, where nobody watches a terminal."""
    counted = f" ({done:,} of {total:,})" if done is not None and total is not None else ""
    LOGGER.info("%s: %s%s", stage, message, counted)


def run_resource(recipe: Recipe) -> dg.ResourceDefinition:
    """Make the resource that gives stages their run."""

    @dg.resource(description=f"A run of the recipe that writes to {recipe.output}")
    def _resource(context: dg.InitResourceContext) -> Iterator[Run]:
        tags = {} if context.run is None else context.run.tags
        with Run(
            recipe,
            context.run_id,
            specs=SPECS,
            accept_shrink=tags.get(ACCEPT_SHRINK) == "true",
            recalibrate=tags.get(RECALIBRATE) == "true",
            report=log_report,
            wait_seconds=5.0,
        ) as run:
            if not up_to_date(run):
                check_recipe_against_lake(recipe)
            yield run

    return _resource
