"""Which recipes this code location holds: `SLUICE_RECIPE` (several joined by the path separator), else the demo's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.recipe_file import load_recipe

DEMO_RECIPE = Path(__file__).resolve().parent.parent / "examples" / "recipe.yaml"


def recipe_paths() -> list[Path]:
    """Paths of the recipes to load."""
    named = os.environ.get("SLUICE_RECIPE", "")
    if named:
        return [Path(part) for part in named.split(os.pathsep) if part]
    return [DEMO_RECIPE]


def load_recipes(paths: Sequence[Path]) -> list[Recipe]:
    """Load recipes that can live in one code location.

    Raises
    ------
    RecipeError
        When two recipes would write the same tables, or share a lake layer under other settings: it names the key.
    """
    recipes = [load_recipe(path) for path in paths]
    for index, recipe in enumerate(recipes):
        for other_index, other in enumerate(recipes[:index]):
            pair = f"{paths[other_index]} and {paths[index]}"
            if recipe.name == other.name:
                message = (
                    f"{pair} are both named {recipe.name or 'nothing'}; give each its own `name:`"
                )
                raise RecipeError(message)
            if recipe.output == other.output:
                message = f"{pair} both write to {recipe.output}; give each its own `output:`"
                raise RecipeError(message)
            if recipe.state_root != other.state_root:
                message = (
                    f"{pair} have different state roots ({other.state_root}, {recipe.state_root}); recipes in one code "
                    "location share one lake layer: set the same `state:`"
                )
                raise RecipeError(message)
            if recipe.lake != other.lake:
                message = (
                    f"{pair} share {recipe.state_root} but read different lakes: key `lake` differs"
                )
                raise RecipeError(message)
            if _reading(recipe) != _reading(other):
                message = f"{pair} share {recipe.state_root}, but key `records.*.read` differs: it would be read twice"
                raise RecipeError(message)
    return recipes


def _reading(recipe: Recipe) -> list[tuple[tuple[str, ...], str]]:
    return [(rule.tables, rule.read.model_dump_json()) for rule in recipe.records]
