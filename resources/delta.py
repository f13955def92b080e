"""Delta tables at pinned versions, and what our commits wrote in their logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import (
    DeltaTable,
)
from deltalake.exceptions import DeltaError, TableNotFoundError

from resources.errors import StoreError

METADATA_KEY = "sluice"


def open_table(uri: Path, version: int | None = None) -> DeltaTable | None:
    """Open a Delta table, or return None where there is none."""
    try:
        return DeltaTable(str(uri), version=version)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        message = f"{uri}: can't be opened at version {version}: {error}"
        raise StoreError(message) from error


def commits(uri: Path, limit: int | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (version, our metadata) of the last `limit` commits that carry it, newest first; reads the log only."""
    table = open_table(uri)
    if table is None:
        return
    found = _ours(table, limit)
    if limit is not None and len(found) < limit:
        found = _ours(table, None)[:limit]
    yield from found


def _ours(table: DeltaTable, limit: int | None) -> list[tuple[int, dict[str, Any]]]:
    newest = table.version()
    found = []
    for offset, entry in enumerate(table.history(limit)):
        metadata = entry.get(METADATA_KEY)
        if isinstance(metadata, str):
            metadata = json.loads(metadata)
        if isinstance(metadata, dict):
            found.append((int(entry.get("version", newest - offset)), metadata))
    return found


def is_whole(uri: Path, version: int) -> bool:
    """Tell whether a version can be read: its log entry and every file of it are there."""
    try:
        table = open_table(uri, version)
    except StoreError:
        return False
    return table is not None and all((uri / name).exists() for name in file_names(table))


def file_names(table: DeltaTable) -> list[str]:
    """Return the files of an open version, relative to the table's folder."""
    return [str(name) for name in pl.DataFrame(table.get_add_actions(flatten=True))["path"]]


def files(uri: Path, version: int) -> list[Path]:
    """Return the data files of a pinned version.

    Raises
    ------
    StoreError
        When there is no such table.
    """
    table = open_table(uri, version)
    if table is None:
        message = f"{uri}: there is no table"
        raise StoreError(message)
    add = table.get_add_actions()
    return sorted(uri / path for path in pa.table(add).column("path").to_pylist())


def count(uri: Path, version: int) -> int:
    """Count the rows of a table's version from its log alone; no data is read."""
    table = open_table(uri, version)
    if table is None:
        return 0
    return int(pl.DataFrame(table.get_add_actions(flatten=True))["num_records"].sum())


def scan(uri: Path, version: int) -> pl.LazyFrame:
    """Scan a table at a pinned version."""
    return pl.scan_delta(str(uri), version=version)
