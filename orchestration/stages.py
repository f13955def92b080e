"""All stages in the order the data flows: their specs, and their assets for one recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import dagster as dg

from assets.allocation import definitions as allocation
from assets.allocation import round_spec
from assets.containment import definitions as containment
from assets.deduplication import definitions as deduplication
from assets.filtering import definitions as filtering
from assets.ingestion import definitions as ingestion
from assets.publication import definitions as publication
from assets.scoring import definitions as scoring
from orchestration.column_lineage import LINEAGE
from orchestration.figures import FIGURES
from resources.dagster_stage import Naming
from resources.recipe import Recipe
from resources.stage_spec import StageSpec

Define = Callable[[Recipe, Naming, Mapping[str, StageSpec]], list[dg.AssetsDefinition]]

MODULES = (ingestion, containment, deduplication, scoring, filtering, allocation, publication)
SPECS: tuple[StageSpec, ...] = tuple(spec for module in MODULES for spec in module.SPECS)
BY_TABLE: dict[str, StageSpec] = {table: spec for spec in SPECS for table in spec.tables}
BY_ROUND_TABLE: dict[str, StageSpec] = dict.fromkeys(round_spec.SPEC.tables, round_spec.SPEC)
"""Tables that are written a round at a time: no release names them."""
STAGE_NAMES: tuple[str, ...] = tuple(module.__name__.split(".")[1] for module in MODULES)


def naming(recipe: Recipe) -> Naming:
    """Where the recipe's assets live."""
    prefix = (recipe.name,) if recipe.name else ()
    return Naming(prefix, "__".join([*prefix, "run"]), figures=FIGURES, lineage=LINEAGE)


def assets_of(recipe: Recipe, *, lake_layer: bool) -> list[dg.AssetsDefinition]:
    """Make the assets of a recipe; `lake_layer=False` leaves out the tables that another recipe already defines."""
    names = naming(recipe)
    made: list[dg.AssetsDefinition] = []
    for module in MODULES:
        define: Define = module.define
        made.extend(
            definition
            for definition in define(recipe, names, BY_TABLE)
            if lake_layer or not _is_lake_layer(definition)
        )
    return made


def _is_lake_layer(definition: dg.AssetsDefinition) -> bool:
    return any(
        BY_TABLE["/".join(key.path)].layer == "lake"
        for key in definition.keys
        if "/".join(key.path) in BY_TABLE
    )
