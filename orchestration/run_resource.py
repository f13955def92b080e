"""The run as a Dagster resource: opened once a run (once a step in several processes), then released."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import dagster as dg

from orchestration.preflight import check_recipe_against_lake
from orchestration.stages import SPECS
from resources.recipe import Recipe
from resources.run import Run

LOGGER = logging.getLogger("sluice")


def log_report(stage: str, message: str, done: int | None = None, total: int | None = None) -> None:
    """Report to the log, where nobody watches a terminal."""
    counted = f" ({done:,} of {total:,})" if done is not None and total is not None else ""
    LOGGER.info("%s: %s%s", stage, message, counted)


def run_resource(recipe: Recipe) -> dg.ResourceDefinition:
    """Make the resource that gives stages their run."""

    @dg.resource(description=f"A run of the recipe that writes to {recipe.output}")
    def _resource(context: dg.InitResourceContext) -> Iterator[Run]:
        with Run(recipe, context.run_id, specs=SPECS, report=log_report, wait_seconds=5.0) as run:
            check_recipe_against_lake(recipe)
            yield run

    return _resource
