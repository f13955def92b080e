"""Write the rows of a Parquet file again: the same schema, rows and order, row groups, codecs and metadata.

The same writer gives the same bytes, other writers the same table. What no reader sees may be another: the
names of the groups inside lists, and whether decimals are stored as integers or as bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Manner = Mapping[str, Any]

ARROW_SCHEMA = b"ARROW:schema"
"""Key of the metadata under which Arrow's writers keep the schema as they had it."""


class UnwritableError(ValueError):
    """A file or table has something that can't be written again; the message says what."""


def parquet_manner(path: Path) -> dict[str, Any]:
    """Return how a Parquet file is written, as plain data for `write_parquet`."""
    # INT96 holds more years than nanoseconds can count
    with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
        metadata = file.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        told = metadata.metadata or {}
        # as its writer had it: reading gives list items another name
        stored = told.get(ARROW_SCHEMA)
        schema = file.schema_arrow
        if stored is not None:
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored)))
        written = {ARROW_SCHEMA} | (set(schema.metadata or {}) if stored is not None else set())
        columns = [groups[0].column(i) for i in range(metadata.num_columns)] if groups else []
        leaves = [file.schema.column(i) for i in range(len(file.schema))]
        return {
            "rows": metadata.num_rows,
            "schema": _encoded(schema.serialize().to_pybytes())
            if stored is None
            else stored.decode(),
            "arrow": stored is not None,
            "metadata": {_encoded(k): _encoded(v) for k, v in told.items() if k not in written},
            "groups": [group.num_rows for group in groups],
            "codecs": {column.path_in_schema: column.compression for column in columns},
            "dictionary": [
                c.path_in_schema
                for c in columns
                if any("DICTIONARY" in name for name in c.encodings)
            ],
            "version": _version(metadata.format_version, schema, leaves),
            "int96": any(leaf.physical_type == "INT96" for leaf in leaves),
            "element": not any(".list.item" in leaf.path for leaf in leaves),
            "integer_decimals": any(
                leaf.logical_type.type == "DECIMAL" and leaf.physical_type.startswith("INT")
                for leaf in leaves
            ),
        }


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _version(stated: str, schema: pa.Schema, leaves: Sequence[Any]) -> str:
    """Return the version of the format that writes a file's types; footers tell 2.4 and 2.6 not apart."""
    types = [str(leaf.logical_type) for leaf in leaves]
    if any("nanoseconds" in kind for kind in types):
        return "2.6"
    if stated == "1.0":
        wide = any("bitWidth=32, isSigned=false" in kind for kind in types)
        return "2.4" if wide else stated
    cut = "timestamp[ns" in str(schema) and all(leaf.physical_type != "INT96" for leaf in leaves)
    return "2.4" if cut else stated


def write_parquet(path: Path, rows: pa.Table, manner: Manner) -> None:
    """Write a Parquet file in a manner; the columns of `rows` are matched by name and cast."""
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(manner["schema"])))
    table = cast_rows(rows, schema)
    codecs = {name: codec_of(codec) for name, codec in manner["codecs"].items()}
    # paths inside lists may be others in the new file
    one = next(iter(codecs.values()), "snappy") if len(set(codecs.values())) <= 1 else None
    with pq.ParquetWriter(
        path,
        schema,
        compression=one or codecs,
        use_dictionary=manner["dictionary"] or False,
        version=manner["version"],
        store_schema=manner["arrow"],
        use_deprecated_int96_timestamps=manner["int96"],
        use_compliant_nested_type=manner.get("element", True),
        store_decimal_as_integer=manner.get("integer_decimals", False),
    ) as writer:
        start = 0
        for size in manner["groups"]:
            writer.write_table(table.slice(start, size), row_group_size=max(size, 1))
            start += size
        more = manner.get("metadata", {})
        if more:
            decoded = {base64.b64decode(k): base64.b64decode(v) for k, v in more.items()}
            writer.add_key_value_metadata(decoded)


def codec_of(name: str) -> str:
    """Return a codec as writers name it, by its name in a footer."""
    if name == "UNCOMPRESSED":
        return "none"
    return "lz4" if name.upper() == "UNKNOWN" else name.lower()  # the LZ4 of Hadoop, deprecated


def cast_rows(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring rows into a schema without losing anything; matched by name.

    Raises
    ------
    UnwritableError
        If a value does not fit.
    """
    columns = []
    for field in schema:
        column = rows.column(field.name)
        try:
            columns.append(_cast(column, field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = f"column {field.name!r} is {column.type} in the parent and can't be made {field.type}: {error}"
            raise UnwritableError(message) from error
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_null(kind) and column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type).dictionary_encode()
    return column.cast(kind)
