"""Small tools of the ingestion tests: sources of single files, and the conservation equation."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import zstandard

from assets.ingestion.count import independent_count
from assets.ingestion.file_kinds import format_of
from assets.ingestion.model import (
    POSITION_COLUMN,
    FileInfo,
    ReadOptions,
    RowStream,
    Source,
)
from assets.ingestion.read import read

_numbers = itertools.count()


def compressed(content: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(content, mtime=0)
    if suffix == ".zst":
        return zstandard.compress(content)
    return content


def source_of(path: Path) -> Source:
    kind, compression, _ = format_of(path.name)
    status = path.stat()
    info = FileInfo(path, path.name, status.st_size, status.st_mtime_ns)
    return Source(path.name, path, kind or "text", compression, (info,))


def write(folder: Path, name: str, content: bytes) -> Source:
    """Write a file under a fresh name that keeps the extensions of `name`."""
    path = folder / f"{next(_numbers)}-{name}"
    path.write_bytes(content)
    return source_of(path)


def rows_of(stream: RowStream) -> list[dict[str, Any]]:
    """Return the rows without positions, checking each batch against the schema."""
    rows: list[dict[str, Any]] = []
    last = -1
    for batch in stream:
        assert batch.schema == stream.schema
        positions = batch.column(POSITION_COLUMN).to_pylist()
        assert positions == sorted(set(positions))
        assert positions[0] > last
        last = positions[-1]
        rows += batch.drop_columns([POSITION_COLUMN]).to_pylist()
    return rows


def read_all(
    source: Source, options: ReadOptions | None = None, *, batch_rows: int = 8192
) -> tuple[list[dict[str, Any]], RowStream]:
    """Read a source whole and check that nothing is lost."""
    options = options or ReadOptions()
    stream = read(source, options, batch_rows=batch_rows)
    rows = rows_of(stream)
    placed = sum(reject.position is not None for reject in stream.rejects)
    assert len(rows) + placed == independent_count(source, options)
    return rows, stream
