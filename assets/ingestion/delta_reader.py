"""Delta tables, streamed at a pinned version; deleted rows do not appear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.ingestion.arrow_types import plain_schema
from assets.ingestion.column_mapping import ColumnMapping
from assets.ingestion.delta_files import DeltaFile, Mask, snapshot
from assets.ingestion.model import ReadOptions, RowStream, Source, unique_names, with_position
from assets.ingestion.parquet_files import open_parquet
from assets.ingestion.parquet_reader import place


def read_delta(
    source: Source,
    options: ReadOptions,
    *,
    batch_rows: int = 8192,
    only: Path | None = None,
    dictionaries: bool = False,
) -> RowStream:
    """Stream a Delta table, or one data file of it; see `assets.ingestion.read.read`.

    Data columns come in schema order, then partition columns. A column that a file lacks is null
    there; columns that column mapping renamed have the table's names. Positions count the live
    rows, in the order of file paths and of rows within a file.

    Raises
    ------
    SourceError
        If the log or a data file cannot be read (the file may have been vacuumed); also while
        iterating.
    """
    del options  # a data file is never compressed as a whole
    snap = snapshot(source)
    plain = plain_schema(snap.schema)
    data = [field for field in plain if field.name not in snap.partition_columns]
    partitions = [plain.field(name) for name in snap.partition_columns]
    names, notes = unique_names([field.name for field in (*data, *partitions)])
    types = [field.type for field in (*data, *partitions)]
    schema = with_position(pa.schema(list(zip(names, types, strict=True))))

    def batches(_: RowStream) -> Iterator[pa.RecordBatch]:
        position = 0
        for file in snap.files:
            if only is not None and file.path != only:
                continue
            constants = [_typed(v, f.type) for v, f in zip(file.partition, partitions, strict=True)]
            with open_parquet(file.path, dictionaries=dictionaries) as opened:
                order = _order(opened.schema_arrow, [field.name for field in data], snap.mapping)
                stored = opened.iter_batches(batch_size=batch_rows, use_threads=False)
                if (
                    snap.mapping is not None
                ):  # first of all: ids of fields stand in the file's schema
                    stored = map(snap.mapping.shown, stored)
                for batch in _live(stored, file):
                    yield place(batch, order, constants, schema, position)
                    position += batch.num_rows

    return RowStream(schema, batches, notes)


def _order(file: pa.Schema, columns: list[str], mapping: ColumnMapping | None) -> list[int | None]:
    if mapping is not None:
        return mapping.placed(file, columns)
    found = [file.get_field_index(name) for name in columns]
    return [index if index >= 0 else None for index in found]


def _live(stored: Iterator[pa.RecordBatch], file: DeltaFile) -> Iterator[pa.RecordBatch]:
    at = 0
    for batch in stored:
        if file.kept is None:
            yield batch
        else:
            # views cannot be filtered, so the plain types come first
            plain = plain_schema(batch.schema)
            columns = [c.cast(t) for c, t in zip(batch.columns, plain.types, strict=True)]
            window = pa.array(_window(file.kept, at, batch.num_rows))
            yield pa.record_batch(columns, schema=plain).filter(window)
        at += batch.num_rows


def _window(kept: Mask, start: int, rows: int) -> Mask:
    import numpy as np

    # a vector may end before the file does; the rows after it are live
    window = np.ones(rows, dtype=np.bool_)
    part = kept[start : start + rows]
    window[: part.size] = part
    return window


def _typed(value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 - a partition value
    if value is None or not isinstance(value, str) or pa.types.is_string(kind):
        return value
    return pa.scalar(value).cast(kind).as_py()
