"""A Delta table at a pinned version: its active files, partition values and deleted rows.

The log is read with deltalake; data files are read by the Parquet reader, file by file in the order
of their paths, so that positions are a function of the version alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from assets.ingestion.column_mapping import ColumnMapping, column_mapping
from assets.ingestion.model import Source, SourceError

_WIDE = re.compile(rb'tightBounds\\*"\s*:\s*false')

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class DeltaFile:
    """One active data file; `records` includes deleted rows and is None where the log has none.

    `wide`: its statistics need not be those of rows that are there (``tightBounds`` is false).
    """

    path: Path
    key: str
    records: int | None
    partition: tuple[Any, ...]
    kept: Mask | None
    wide: bool = False


@dataclass(frozen=True, slots=True)
class DeltaSnapshot:
    """What the log says at one version.

    `actions` holds one row a file, with statistics under the table's own column names; `mapping`
    says how data files name them, None where they use the same names.
    """

    schema: pa.Schema
    partition_columns: tuple[str, ...]
    files: tuple[DeltaFile, ...]
    actions: pa.Table
    mapping: ColumnMapping | None = None


def open_delta(path: Path, version: int | None = None) -> DeltaTable:
    """Open a Delta table; raise `SourceError` with the cause if its log cannot be read."""
    try:
        return DeltaTable(str(path), version=version)
    except Exception as error:  # deltalake raises several unrelated types, plain Exception included
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = f"unreadable Delta log ({text})"
        raise SourceError(path, reason, "Restore the files under _delta_log.") from error


def snapshot(source: Source) -> DeltaSnapshot:
    """Read the log of a source at its pinned version. Cost: the log; no data file is opened.

    Raises
    ------
    SourceError
        If the log cannot be read, or contradicts itself about column mapping.
    """
    table = open_delta(source.path, source.version)
    metadata = table.metadata()
    try:
        mapping = column_mapping(table.schema().to_json(), metadata.configuration)
    except ValueError as error:
        raise SourceError(source.path, str(error), "Restore the files under _delta_log.") from error
    partitions = tuple(metadata.partition_columns)
    try:
        actions = pa.table(table.get_add_actions(flatten=True))
        if mapping is not None:
            actions = mapping.statistics(actions)
        deleted = _kept_rows(table)
        log = source.path / "_delta_log"
        wide = _wide_files(log, log.stat().st_mtime_ns)
    except Exception as error:  # as above
        reason = f"unreadable Delta log ({error})"
        raise SourceError(source.path, reason, "Restore the files under _delta_log.") from error
    columns: Sequence[list[Any]] = [
        actions.column(f"partition.{name}").to_pylist() for name in partitions
    ]
    records = actions.column("num_records").to_pylist()
    files: list[DeltaFile] = []
    for i, key in enumerate(actions.column("path").to_pylist()):
        path = _local(source.path, key)
        values = tuple(column[i] for column in columns)
        wide_here = unquote(key) in wide
        files.append(DeltaFile(path, key, records[i], values, deleted.get(path), wide_here))
    files.sort(key=lambda file: str(file.path))
    schema = pa.schema(pa.schema(table.schema().to_arrow()))
    return DeltaSnapshot(schema, partitions, tuple(files), actions, mapping)


def _kept_rows(table: DeltaTable) -> dict[Path, Mask]:
    vectors = pa.table(table.deletion_vectors())
    root = Path(table.table_uri.removeprefix("file://"))
    return {
        _local(root, path): np.asarray(kept, dtype=np.bool_)
        for path, kept in zip(
            vectors.column(0).to_pylist(), vectors.column(1).to_pylist(), strict=True
        )
    }


@lru_cache(maxsize=256)
def _wide_files(log: Path, changed: int) -> frozenset[str]:
    """Name the files that any entry of a log says have statistics that are not tight.

    Entries never change, so an answer holds until the folder does, at `changed`.
    """
    del changed
    found: set[str] = set()
    for entry in sorted(log.iterdir()):
        if entry.suffix == ".json" and entry.stem.isdigit():
            content = entry.read_bytes()
            if _WIDE.search(content):
                actions = [json.loads(line) for line in content.splitlines() if line.strip()]
                adds = [action["add"] for action in actions if action.get("add")]
                found |= {a["path"] for a in adds if _WIDE.search((a.get("stats") or "").encode())}
        elif entry.suffix == ".parquet":
            with pq.ParquetFile(entry) as opened:
                stated = opened.read(columns=["add.path", "add.stats"])
            if "add" in stated.schema.names:
                adds = [add for add in stated.column("add").to_pylist() if add is not None]
                found |= {a["path"] for a in adds if _WIDE.search((a.get("stats") or "").encode())}
    return frozenset(unquote(path) for path in found)


def _local(root: Path, key: str) -> Path:
    decoded = unquote(key)
    if decoded.startswith("file://"):
        return Path(decoded.removeprefix("file://"))
    return root / decoded
