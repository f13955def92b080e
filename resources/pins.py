"""Which versions of which tables must stay readable: told by the releases, and by what their tables refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from resources import delta
from resources.errors import StoreError
from resources.outputs import dropped_releases, known_outputs
from resources.releases import releases
from resources.stage_spec import Layer
from resources.table_log import TableLog

TABLES = "ingestion/tables"
LANDED = Path("ingestion") / "landed"

Release = dict[str, Any]
Pins = dict[Path, set[int]]
"""Table's folder to versions; a table that nothing pins has an empty set."""


def split_releases(output: Path, keep: int | None) -> tuple[list[Release], list[Release]]:
    """Return the releases that are kept (all, or the last few), and those that are let go of now."""
    gone = dropped_releases(output)
    rows = [row for row in releases(output) if row["release"] not in gone]
    first = 0 if keep is None else max(len(rows) - keep, 0)
    return rows[first:], rows[:first]


def release_pins(
    rows: Iterable[Release], layers: Mapping[str, Layer], layer: Layer, root: Path
) -> Pins:
    """Return, for every table of a layer, the versions that some releases name."""
    pins: Pins = {root / name: set() for name, kind in layers.items() if kind == layer}
    for row in rows:
        for name, version in row["versions"].items():
            if layers.get(name) == layer:
                pins[root / name].add(int(version))
    return pins


def partition_pins(layers: Mapping[str, Layer], output: Path) -> Pins:
    """Return the versions that recipe-layer tables which are written in partitions stand on, whatever was released."""
    pins: Pins = {}
    for name, kind in layers.items():
        if kind != "recipe" or not (output / name).is_dir():
            continue
        try:
            newest = next((metadata for _, metadata in delta.commits(output / name, 1)), {})
        except StoreError:
            continue  # a damaged log, which is told where the logs are read
        if "partition" in newest:
            for table, version in newest["reads"].items():
                pins.setdefault(output / table, set()).add(int(version))
    return pins


def recipe_pins(
    own: Iterable[Release], layers: Mapping[str, Layer], output: Path, state: Path
) -> Pins:
    """Return what every output on a lake layer needs of its own tables.

    Raises
    ------
    Exception
        As `lake_pins`.
    """
    pins = release_pins(own, layers, "recipe", output)
    for place in _other_outputs(output, state):
        kept, _ = split_releases(place, None)
        pins.update(release_pins(kept, layers, "recipe", place))
    return pins


def lake_pins(
    own: Iterable[Release], layers: Mapping[str, Layer], output: Path, state: Path
) -> Pins:
    """Return what any output needs of the lake layer that it shares.

    Raises
    ------
    Exception
        Whatever keeps another output's releases from being read: then nobody knows what is needed.
    """
    pins = release_pins(own, layers, "lake", state)
    for place in _other_outputs(output, state):
        kept, _ = split_releases(place, None)
        for uri, versions in release_pins(kept, layers, "lake", state).items():
            pins[uri] |= versions
    return pins


def _other_outputs(output: Path, state: Path) -> list[Path]:
    found: set[Path] = set()
    for known in known_outputs(state):
        if not known.places and Path(known.told) != output:
            message = (
                f"the releases of {known.told}, which shares it, can't be read; bring that folder back, "
                f"or remove {known.file} if it is gone for good"
            )
            raise StoreError(message)
        found |= set(known.places)
    return sorted(found - {output.resolve()})


def landed_pins(state: Path, log: TableLog, files: frozenset[str]) -> Pins:
    """Return the landed versions that any version of `ingestion/tables` refers to whose `files` are all there."""
    pins: Pins = {}
    read: set[frozenset[str]] = set()
    for version, needed in enumerate(log.live):
        if needed <= files and needed not in read:
            read.add(needed)
            rows = delta.scan(state / TABLES, version).select("data_uri", "data_version")
            landed = rows.filter(pl.col("data_version").is_not_null()).collect()
            for place, number in landed.iter_rows():
                pins.setdefault(state / place, set()).add(number)
    return pins
