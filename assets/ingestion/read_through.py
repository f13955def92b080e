"""Read what stays in place once, so that damage shows where the table can still be set aside."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from assets.ingestion.model import ReadOptions, Source, SourceError
from assets.ingestion.read import read

_BATCH_ROWS = 65_536


def read_through(
    source: Source, options: ReadOptions, counted: int, progress: Callable[[int], None] | None
) -> None:
    """Read every row of a Parquet or Delta source and throw it away.

    Parameters
    ----------
    source, options
        What to read and how.
    counted
        Rows by footers or log.
    progress
        Receives the rows read so far.

    Raises
    ------
    SourceError, pyarrow.ArrowException
        When a file is gone, a page is damaged, a text is not UTF-8, a time is beyond what microseconds hold, or the
        rows are not as many as the metadata says.
    """
    rows = 0
    for batch in read(source, options, batch_rows=_BATCH_ROWS):
        check_values(source, batch)
        rows += batch.num_rows
        if progress is not None:
            progress(rows)
    if rows != counted:
        reason = f"{rows:,} rows can be read, and its metadata says {counted:,}"
        raise SourceError(source.path, reason, "Write it again.")


def check_values(source: Source, batch: pa.RecordBatch) -> None:
    """Raise `SourceError` where a column holds what its type does not allow, or a time that later stages can't hold."""
    for field, column in zip(batch.schema, batch.columns, strict=True):
        try:
            column.validate(full=True)
            finer = _in_microseconds(field.type)
            if finer != field.type:
                column.cast(finer)
        except pa.ArrowInvalid as error:
            reason = f"column {field.name!r} holds a value that can't be used ({error})"
            raise SourceError(source.path, reason, "Mend it in the source.") from error


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    """Return the type with its times of seconds and milliseconds in microseconds, which all later stages use."""
    types = pa.types
    if types.is_timestamp(kind) and kind.unit in ("s", "ms"):
        return pa.timestamp("us", kind.tz)
    if types.is_list(kind):
        return pa.list_(_in_microseconds(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(f.name, _in_microseconds(f.type)) for f in kind])
    if types.is_map(kind):
        return pa.map_(_in_microseconds(kind.key_type), _in_microseconds(kind.item_type))
    return kind
