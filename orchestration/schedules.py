"""A daily run of everything; stopped until someone turns it on."""

from __future__ import annotations

import dagster as dg

from orchestration.jobs import job_name
from resources.recipe import Recipe


def schedules_of(recipe: Recipe) -> list[dg.ScheduleDefinition]:
    """Make the schedules of a recipe."""
    return [
        dg.ScheduleDefinition(
            name=f"{job_name(recipe)}_daily",
            job_name=job_name(recipe),
            cron_schedule="0 2 * * *",
            description="Every night at two. A lake that did not change costs seconds and commits nothing.",
        )
    ]
