"""A job for everything and one for each stage, per recipe."""

from __future__ import annotations

import dagster as dg

from orchestration.logs import job_config
from orchestration.stages import STAGE_NAMES, naming
from resources.recipe import Recipe
from resources.stage_spec import digest

ROUNDS = "rounds"
ROOT_TAG = "sluice/root"
"""Tag of every job: runs that share a value write below the same root, so that a queue lets one through at a time."""


def job_name(recipe: Recipe, stage: str | None = None) -> str:
    """Name of the job that runs everything, or one stage."""
    return "__".join([*naming(recipe).prefix, stage or "everything"])


def jobs_of(recipe: Recipe, assets: list[dg.AssetsDefinition]) -> list[dg.JobDefinition | object]:
    """Make the jobs of a recipe from the assets it defines or shares; one for its rounds where it states them."""
    prefix = naming(recipe).prefix
    tags = {ROOT_TAG: digest(recipe.state_root)}
    keys = [
        key
        for definition in assets
        if definition.partitions_def is None
        for key in definition.keys
        if key.path[: len(prefix)] == list(prefix)
        or definition.group_names_by_key[key] in ("ingestion", "containment")
    ]
    everything = dg.define_asset_job(
        job_name(recipe),
        selection=dg.AssetSelection.assets(*keys),
        description="All stages, lake to training set.",
        config=job_config(),
        tags=tags,
    )
    groups = {
        key: group for definition in assets for key, group in definition.group_names_by_key.items()
    }
    stages = [
        dg.define_asset_job(
            job_name(recipe, stage),
            selection=dg.AssetSelection.assets(*[key for key in keys if groups[key] == stage]),
            description=f"The {stage} stage alone, on what the last release or this run wrote upstream.",
            config=job_config(),
            tags=tags,
        )
        for stage in STAGE_NAMES
    ]
    rounds = [
        dg.define_asset_job(
            job_name(recipe, ROUNDS),
            selection=dg.AssetSelection.assets(*definition.keys),
            description="One round of the study: partition 0 is the pilot, each later one needs the one before it.",
            config=job_config(),
            tags=tags,
        )
        for definition in assets
        if definition.partitions_def is not None
        and all(key.path[: len(prefix)] == list(prefix) for key in definition.keys)
    ]
    return [everything, *stages, *rounds]
