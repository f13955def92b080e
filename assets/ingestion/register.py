"""Register one source: land it if it must be landed, and describe it without trusting the reader that read it.

CSV, TSV, JSON, text and anything compressed is landed as Delta, cells as written; Parquet and Delta
stay where they are. They are described from footers and logs, and read through once, so that a
damaged one is set aside here and stops no later stage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from assets.ingestion.count import independent_count
from assets.ingestion.infer import TypeState, typed
from assets.ingestion.model import POSITION_COLUMN, ReadOptions, Reject, Source, SourceError
from assets.ingestion.read import read
from assets.ingestion.read_through import check_values, read_through
from assets.ingestion.source_changes import fingerprint, has_changed
from assets.ingestion.summaries import ColumnSummary, TableSummary

READER_VERSION = "reader/1"
_CHANGED = "the file changed while it was read; it is read again in the next run"
Progress = Callable[[int], None]


class Sink(Protocol):
    """Where landed rows go."""

    def write(self, data: pa.RecordBatch) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish."""

    def scan(self) -> pl.LazyFrame:
        """Read back what was written."""

    def discard(self) -> None:
        """Drop what was written."""


@dataclass
class Registered:
    """What is known of a source after it was looked at.

    Attributes
    ----------
    table
        Row of `ingestion/tables`.
    columns
        Rows of `ingestion/columns`.
    sink
        The landed rows, staged and not yet committed; None for what is used in place or can't be
        read.
    """

    table: dict[str, Any]
    columns: list[dict[str, Any]] = field(default_factory=list)
    sink: Any = None


def options_digest(options: ReadOptions) -> str:
    """Identify how a source is read: the settings and the reader's version."""
    stated = f"{READER_VERSION}:{options.model_dump_json()}".encode()
    return hashlib.blake2b(stated, digest_size=8).hexdigest()


def landed_name(table: str) -> str:
    """Return a folder name for a landed table: readable, unique, and safe on any store."""
    tail = hashlib.blake2b(table.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9.]+', '_', table)[-80:].strip('_.') or 'table'}-{tail}"


def stays_in_place(source: Source) -> bool:
    """Tell whether a source is read where it is."""
    return source.format in ("parquet", "delta") and source.compression == "none"


def content_version(source: Source) -> str:
    """Return the Delta version, a hash of the bytes (landed files), or the fingerprint (Parquet)."""
    if source.format == "delta":
        return str(source.version)
    if stays_in_place(source):
        return fingerprint(source)
    hasher = hashlib.blake2b(digest_size=16)
    for file in source.files:
        with file.path.open("rb") as handle:
            while block := handle.read(1 << 20):
                hasher.update(block)
    return hasher.hexdigest()


def blank_row(
    table: str, uri: str, file_format: str | None, status: str, error: str | None
) -> dict[str, Any]:
    """Return a row of `ingestion/tables` for something that could not be read."""
    return {
        "table": table,
        "uri": uri,
        "format": file_format,
        "compression": None,
        "version": None,
        "rows": 0,
        "bytes": 0,
        "columns": 0,
        "status": status,
        "error": error,
        "counted": None,
        "rejected": 0,
        "fingerprint": None,
        "options": None,
        "data_uri": None,
        "data_version": None,
        "notes": None,
        "parents": None,
    }


def register(
    source: Source,
    options: ReadOptions,
    *,
    open_sink: Callable[[pa.Schema], Sink],
    reject: Callable[[Reject], None],
    progress: Progress | None = None,
) -> Registered:
    """Look at one source.

    Parameters
    ----------
    source, options
        What to read and how.
    open_sink
        Opens the place for landed rows once their schema is known.
    reject
        Receives what is set aside, row by row; a whole file comes with position None.
    progress
        Receives the rows read so far.

    Returns
    -------
    Registered
        With status `ok`, `quarantined` (nothing of it could be read) or `changed` (it was written
        to meanwhile; it waits).
    """
    row = blank_row(source.table, str(source.path), source.format, "ok", None)
    row["compression"] = source.compression
    row["fingerprint"] = fingerprint(source)
    row["options"] = options_digest(options)
    row["bytes"] = sum(file.bytes for file in source.files)
    sink: Sink | None = None
    try:
        row["version"] = content_version(source)
        if stays_in_place(source):
            row["counted"] = row["rows"] = independent_count(source, options)
            read_through(source, options, row["rows"], progress)
            columns = _described_by_metadata(source, row)
            row["data_uri"] = str(source.path)
        else:
            sink, columns = _land(source, options, row, open_sink, reject, progress)
            row["counted"] = independent_count(source, options)
        row["columns"] = len(columns)
    except (SourceError, pa.ArrowException, OSError) as error:
        if sink is not None:
            sink.discard()
        if has_changed(source):  # half written: no fault of the file
            return _refused(row, "changed", _CHANGED)
        told = f"{type(error).__name__}: {error}"
        reason = error.reason if isinstance(error, SourceError) else told
        reject(Reject(None, reason, ""))
        return _refused(row, "quarantined", reason)
    if has_changed(source):
        if sink is not None:
            sink.discard()
        return _refused(row, "changed", _CHANGED)
    return Registered(row, columns, sink)


def _refused(row: dict[str, Any], status: str, reason: str) -> Registered:
    none = {"rows": 0, "counted": None, "rejected": 0}
    return Registered({**row, **none, "status": status, "error": reason})


def _land(
    source: Source,
    options: ReadOptions,
    row: dict[str, Any],
    open_sink: Callable[[pa.Schema], Sink],
    reject: Callable[[Reject], None],
    progress: Progress | None,
) -> tuple[Sink, list[dict[str, Any]]]:
    stream = read(source, options)
    names = [name for name in stream.schema.names if name != POSITION_COLUMN]
    strings = source.format in ("csv", "tsv")
    state = TypeState(names) if strings else None
    sink = open_sink(stream.schema)
    rows = rejected = 0
    try:
        for batch in stream:
            if source.format == "parquet":
                check_values(source, batch)
            sink.write(batch)
            rows += batch.num_rows
            if state is not None:
                state.update(batch)
            rejected += _pass_on(stream.take_rejects(), reject)
            if progress is not None:
                progress(rows)
        rejected += _pass_on(stream.take_rejects(), reject)
        sink.close()
    except BaseException:
        sink.discard()
        raise
    row["rows"] = rows
    row["rejected"] = rejected
    row["notes"] = "; ".join(stream.notes) or None
    row["error"] = stream.error
    types = state.result() if state is not None else {}
    kinds = [(name, types.get(name, stream.schema.field(name).type)) for name in names]
    summary = TableSummary(pa.schema(kinds))
    for part in sink.scan().select(names).collect_batches(chunk_size=50_000):
        summary.update((typed(part, types) if types else part).to_arrow())
    return sink, _columns(source.table, summary.result())


def _described_by_metadata(source: Source, row: dict[str, Any]) -> list[dict[str, Any]]:
    from assets.ingestion.metadata_bounds import from_delta_log, from_parquet_footers

    if source.format == "parquet":
        return _columns(source.table, from_parquet_footers(source)[1])
    table = DeltaTable(str(source.path), version=source.version)
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    row["bytes"] = int(actions["size_bytes"].sum()) if actions.height else 0
    return _columns(source.table, from_delta_log(source)[1])


def _pass_on(rejects: list[Reject], reject: Callable[[Reject], None]) -> int:
    for item in rejects:
        reject(item)
    return sum(item.position is not None for item in rejects)


def _columns(table: str, summaries: Mapping[str, ColumnSummary]) -> list[dict[str, Any]]:
    return [
        {
            "table": table,
            "column": name,
            "ordinal": ordinal,
            "type": str(summary.type),
            "nulls": summary.nulls,
            "min": summary.min,
            "max": summary.max,
            "bounds_exact": summary.bounds_exact,
        }
        for ordinal, (name, summary) in enumerate(summaries.items())
    ]
