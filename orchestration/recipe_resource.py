"""The recipe as a Dagster resource: its keys stand on the resource's page, and a launched run may change them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from resources.recipe import Recipe, parse_recipe

Section = dict[str, Any]


class RecipeResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic in its own value only
    """The recipe of a run: defaults filled in, places absolute, keys that are set to nothing left out."""

    lake: str
    output: str
    state: str | None = None
    name: str | None = None
    records: list[Section]
    unit: str
    holdout: Section
    containment: Section
    deduplication: Section
    scoring: Section
    filtering: Section
    allocation: Section | None = None
    limits: Section
    max_quarantine: float
    recalibrate_at: float
    seed: int

    def recipe(self) -> Recipe:
        """Return the recipe, checked again, since a run may be launched with other keys.

        Raises
        ------
        RecipeError
            Naming the key at fault.
        """
        keys = {name: getattr(self, name) for name in Recipe.model_fields}
        return parse_recipe(keys, base=Path.cwd(), origin="resource recipe")


def recipe_resource(recipe: Recipe) -> RecipeResource:
    """Make the resource of a recipe."""
    # Dagster takes no nulls inside a map
    return RecipeResource(**recipe.model_dump(mode="json", exclude_none=True))
