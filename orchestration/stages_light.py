"""Which layer a table lives in, without importing Dagster; a test holds this against the stages' own specs."""

from __future__ import annotations

LAKE_LAYER = frozenset({"ingestion", "containment"})


def layer_of(table: str) -> str:
    """Return `lake` for tables under `state:`, `recipe` for those under `output:`."""
    return "lake" if table.split("/", maxsplit=1)[0] in LAKE_LAYER else "recipe"
