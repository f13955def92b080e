"""The types that Delta stores, and values cast to them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa

from resources.errors import StoreError


class UnstorableValueError(StoreError, pa.ArrowInvalid):  # type: ignore[misc]  # pyarrow is untyped
    """A value that no Delta type holds; also an Arrow error, so that ingestion sets its source aside."""


def storable_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with every type replaced by the one Delta stores it as."""
    return pa.schema([pa.field(f.name, storable_type(f.type), nullable=True) for f in schema])


def storable_type(kind: pa.DataType) -> pa.DataType:
    """Return the Delta type that holds the values of `kind`; the few it can't hold are refused when written."""
    if pa.types.is_dictionary(kind):
        return storable_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return pa.string()
    if (
        pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    ):
        return pa.binary()
    if pa.types.is_uint8(kind):
        return pa.int16()
    if pa.types.is_uint16(kind):
        return pa.int32()
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz=kind.tz)
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(storable_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, storable_type(f.type)) for f in kind])
    return kind


def frame_schema(frame: pl.DataFrame) -> pa.Schema:
    """Return the storable Arrow schema of a polars frame."""
    return storable_schema(frame.head(0).to_arrow().schema)


def as_table(
    data: pa.Table | pa.RecordBatch | pl.DataFrame, schema: pa.Schema, uri: Path
) -> pa.Table:
    """Return the columns of a schema, in its order and cast to its types; `uri` is named in the error.

    Raises
    ------
    UnstorableValueError
        Naming the table, the column, both types and the remedy.
    """
    if isinstance(data, pl.DataFrame):
        data = data.to_arrow()
    table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
    table = table.select(schema.names)
    columns = [_cast(c, f, uri) for c, f in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, field: pa.Field, uri: Path) -> pa.ChunkedArray:
    if pa.types.is_time32(column.type):
        column = column.cast(pa.int32())  # Arrow has no direct way to 64 bits
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        where = "/".join(uri.parts[-2:])
        message = (
            f"{where}: column {field.name!r} is {column.type} and can't be stored as {field.type}: {error}; "
            "cast it in the source, or leave it out"
        )
        raise UnstorableValueError(message) from error
