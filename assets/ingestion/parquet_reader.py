"""Parquet files, and folders of them, streamed in the order of their paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assets.ingestion.arrow_types import plain_schema
from assets.ingestion.model import (
    POSITION_COLUMN,
    ReadOptions,
    RowStream,
    Source,
    SourceError,
    unique_names,
    with_position,
)
from assets.ingestion.parquet_files import footer_of, open_parquet, partition_values


def read_parquet(
    source: Source,
    options: ReadOptions,
    *,
    batch_rows: int = 8192,
    only: Path | None = None,
    dictionaries: bool = False,
) -> RowStream:
    """Stream a Parquet source, or one file of it; see `assets.ingestion.read.read`.

    Columns come in the order of the first file's schema, in plain types (`arrow_types`), then the
    hive partition columns that are no column of the file. Positions count on from file to file.

    Raises
    ------
    SourceError
        If a file is truncated or damaged, or its columns differ from the first file's; also while
        iterating.

    Notes
    -----
    Memory: a few batches and one column chunk a column.
    """
    files = sorted(source.files, key=lambda file: file.relative)
    original = footer_of(files[0].path, source, options).plain
    partitions, values = partition_values(files, source.path)
    kept = [i for i, field in enumerate(partitions) if field.name not in original.names]
    names, notes = unique_names([*original.names, *(partitions.field(i).name for i in kept)])
    types = [*original.types, *(partitions.field(i).type for i in kept)]
    schema = with_position(pa.schema(list(zip(names, types, strict=True))))

    def batches(_: RowStream) -> Iterator[pa.RecordBatch]:
        position = 0
        for file, row in zip(files, values, strict=True):
            if only is not None and file.path != only:
                continue
            constants = [row[i] for i in kept]
            with open_parquet(file.path, source, options, dictionaries=dictionaries) as opened:
                order = _column_order(source, file.relative, original, opened.schema_arrow)
                for batch in opened.iter_batches(batch_size=batch_rows, use_threads=False):
                    yield place(batch, order, constants, schema, position)
                    position += batch.num_rows

    return RowStream(schema, batches, notes)


def _column_order(
    source: Source, relative: str, expected: pa.Schema, found: pa.Schema
) -> list[int | None]:
    plain = plain_schema(found)
    if plain.names == expected.names and plain.types == expected.types:
        return list(range(len(plain.names)))
    order: list[int | None] = [plain.get_field_index(name) for name in expected.names]
    if sorted(plain.names) != sorted(expected.names) or any(
        i is None or i < 0 or plain.field(i).type != kind
        for i, kind in zip(order, expected.types, strict=True)
    ):
        reason = f"the columns of {relative} differ from those of the table's first file"
        raise SourceError(source.path, reason, "Give files of different columns their own folder.")
    return order


def place(
    batch: pa.RecordBatch,
    order: list[int | None],
    constants: list[Any],
    schema: pa.Schema,
    position: int,
) -> pa.RecordBatch:
    """Put a file's batch into the table's columns.

    Parameters
    ----------
    batch
        Columns as stored in the file; dictionaries of the wanted type stay.
    order
        For each leading column of the table, its index in the batch, or None: not in this file.
    constants
        Values of the partition columns, which follow.
    schema
        The table's schema, whose last column is the position.
    position
        The position of the batch's first row.
    """
    rows = batch.num_rows
    arrays: list[pa.Array] = []
    for i, index in enumerate(order):
        kind = schema.field(i).type
        if index is None:
            arrays.append(pa.nulls(rows, kind))
        else:
            column = batch.column(index)
            same = column.type == kind or column.type == pa.dictionary(pa.int32(), kind)
            arrays.append(column if same else column.cast(kind))
    for i, value in enumerate(constants, start=len(order)):
        arrays.append(pa.repeat(pa.scalar(value, schema.field(i).type), rows))
    places = pa.py_buffer(np.arange(position, position + rows, dtype=np.int64))
    # pa.array would import pandas, which takes longer than to read a small file
    arrays.append(pa.Array.from_buffers(pa.int64(), rows, [None, places]))
    if schema.names[-1] != POSITION_COLUMN or len(arrays) != len(schema.names):
        message = f"{len(arrays)} columns for a schema of {len(schema.names)}"
        raise ValueError(message)
    if any(pa.types.is_dictionary(array.type) for array in arrays):
        kinds = zip(schema, arrays, strict=True)
        schema = pa.schema([field.with_type(array.type) for field, array in kinds])
    return pa.record_batch(arrays, schema=schema)
