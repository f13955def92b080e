"""Make few files of many small ones, without changing what a table says, and shorten the way into its log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from deltalake.exceptions import DeltaError

from resources import delta
from resources.delta_types import frame_schema
from resources.errors import StoreError
from resources.staged_table import StagedTable

SMALL_BYTES = 32 * 1024 * 1024
LEAST_FILES = 8
CHECKPOINT_ENTRIES = 20
_BATCH = 20_000
_SEEDS = (1, 2)


@dataclass(frozen=True)
class Compaction:
    """What a compaction did, or would do; `version` is None then."""

    files: int
    bytes: int
    version: int | None


def compact(uri: Path, upkeep: dict[str, Any], *, dry_run: bool = False) -> Compaction | None:
    """Rewrite the small files of a table's newest version as one, if there are many.

    The new files are read back and held against the old ones before they are committed; earlier versions keep theirs.

    Returns
    -------
    Compaction or None
        None where there are fewer than `LEAST_FILES` files below `SMALL_BYTES`.

    Raises
    ------
    StoreError
        When the store refuses, or the rows read back are not the same; nothing is committed then.
    """
    table = delta.open_table(uri)
    if table is None:
        return None
    sizes = {name: (uri / name).stat().st_size for name in delta.file_names(table)}
    small = sorted(name for name, size in sizes.items() if size < SMALL_BYTES)
    if len(small) < LEAST_FILES:
        return None
    version = table.version()
    total = sum(sizes[name] for name in small)
    if dry_run:
        return Compaction(len(small), total, None)
    schema = delta.scan(uri, version).collect_schema()
    rows = pl.scan_parquet([uri / name for name in small], schema=schema, missing_columns="insert")
    staged = StagedTable(uri, frame_schema(pl.DataFrame(schema=schema)))
    try:
        for batch in rows.collect_batches(chunk_size=_BATCH):
            staged.write(batch)
        staged.close()
        _assert_same(rows, staged.scan(), uri)
        new = staged.commit_instead_of(version, small, {**upkeep, "compacts": version})
    except BaseException:
        staged.discard()
        raise
    return Compaction(len(small), total, new)


def _assert_same(before: pl.LazyFrame, after: pl.LazyFrame, uri: Path) -> None:
    if _content(before) != _content(after):
        message = (
            f"{uri}: the compacted files don't hold the same rows; the table is left as it was"
        )
        raise StoreError(message)


def _content(rows: pl.LazyFrame) -> tuple[int, ...]:
    """Count the rows and sum their hashes: independent of order and of batches."""
    count = 0
    sums = np.zeros(len(_SEEDS), np.uint64)
    for batch in rows.collect_batches(chunk_size=_BATCH):
        count += batch.height
        hashes = [batch.hash_rows(seed).to_numpy() for seed in _SEEDS]
        sums += np.array([part.sum(dtype=np.uint64) for part in hashes], np.uint64)
    return count, *(int(total) for total in sums)


def needs_checkpoint(uri: Path, newest: int) -> bool:
    """Tell whether a reader must go through many log entries since the last checkpoint."""
    try:
        told = json.loads((uri / "_delta_log" / "_last_checkpoint").read_text(encoding="utf-8"))
        last = int(told["version"])
    except (OSError, ValueError, KeyError, TypeError):
        last = -1
    return newest - last >= CHECKPOINT_ENTRIES


def write_checkpoint(uri: Path) -> None:
    """Write a checkpoint of the newest version; every log entry stays, because releases are read by version."""
    table = delta.open_table(uri)
    if table is None:
        return
    try:
        table.create_checkpoint()
    except (DeltaError, OSError) as error:
        message = f"{uri}: no checkpoint could be written: {error}"
        raise StoreError(message) from error
