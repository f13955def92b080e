"""The Dagster code location: assets, jobs, schedules, sensors. Loading it reads recipes, never a lake."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from orchestration import alerts, logs
from orchestration.jobs import jobs_of
from orchestration.recipe_resource import recipe_resource
from orchestration.recipes import load_recipes, recipe_paths
from orchestration.run_resource import run_resource
from orchestration.schedules import schedules_of
from orchestration.sensors import sensors_of
from orchestration.stages import assets_of, naming
from resources.recipe import Recipe


def executor() -> dg.ExecutorDefinition:
    """In one process unless `SLUICE_EXECUTOR=multiprocess`: a step costs milliseconds instead of seconds."""
    if os.environ.get("SLUICE_EXECUTOR") == "multiprocess":
        return dg.multiprocess_executor
    return dg.in_process_executor


def definitions_for(
    recipes: list[Recipe],
    resource_of: Callable[[Recipe], dg.ResourceDefinition] = run_resource,
) -> dg.Definitions:
    """Build the definitions of some recipes; `resource_of` gives each the resource that holds its run."""
    assets: list[dg.AssetsDefinition] = []
    jobs: list[object] = []
    schedules: list[dg.ScheduleDefinition] = []
    sensors: list[dg.SensorDefinition] = []
    resources: dict[str, object] = {}
    for index, recipe in enumerate(recipes):
        own = assets_of(recipe, lake_layer=index == 0)
        assets.extend(own)
        jobs.extend(jobs_of(recipe, assets))
        schedules.extend(schedules_of(recipe))
        sensors.extend(sensors_of(recipe))
        resources[naming(recipe).run_key] = resource_of(recipe)
        resources[naming(recipe).recipe_key] = recipe_resource(recipe)
    sensors.extend(alerts.sensors())
    return dg.Definitions(
        assets=assets,
        jobs=jobs,  # type: ignore[arg-type]  # dagster does not export the class of its asset jobs
        schedules=schedules,
        sensors=sensors,
        resources=resources,
        executor=executor(),
        loggers=logs.job_loggers(),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Load the recipes named by `SLUICE_RECIPE` and what `dg scaffold` added."""
    logs.configure()
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        definitions_for(load_recipes(recipe_paths())),
    )
