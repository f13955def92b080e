"""Write the rows of Parquet files and Delta tables again: the same schema, rows and order.

A Parquet file keeps its row groups, codecs and key-value metadata, and so often its bytes. Of a Delta
table the newest version is written, as version 0 of a new one; its history is gone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.transaction import create_table_with_add_actions

from assets.ingestion.arrow_types import plain_schema
from assets.ingestion.column_mapping import MODE
from assets.ingestion.delta_files import snapshot
from assets.ingestion.model import Source
from assets.kernels.logical_types import is_list_like
from resources.delta_actions import add_action

Manner = Mapping[str, Any]


class UnwritableError(ValueError):
    """A file or table has something that can't be written again; the message says what."""


def parquet_manner(path: Path) -> dict[str, Any]:
    """Return how a Parquet file is written, as plain data for `write_parquet`."""
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        # as its writer had it: reading gives list items another name
        stored = (metadata.metadata or {}).get(b"ARROW:schema")
        schema = base64.b64encode(file.schema_arrow.serialize().to_pybytes())
        columns = [groups[0].column(i) for i in range(metadata.num_columns)] if groups else []
        return {
            "rows": metadata.num_rows,
            "schema": (stored or schema).decode(),
            "arrow": stored is not None,
            "groups": [group.num_rows for group in groups],
            "codecs": {column.path_in_schema: column.compression for column in columns},
            "dictionary": [
                c.path_in_schema
                for c in columns
                if any("DICTIONARY" in name for name in c.encodings)
            ],
            "version": metadata.format_version,
            "int96": any(column.physical_type == "INT96" for column in columns),
        }


def write_parquet(path: Path, rows: pa.Table, manner: Manner) -> None:
    """Write a Parquet file in a manner; the columns of `rows` are matched by name and cast."""
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(manner["schema"])))
    table = cast_rows(rows, schema)
    codecs = {name: _codec(codec) for name, codec in manner["codecs"].items()}
    with pq.ParquetWriter(
        path,
        schema,
        compression=codecs or "snappy",
        use_dictionary=manner["dictionary"] or False,
        version=manner["version"],
        store_schema=manner["arrow"],
        use_deprecated_int96_timestamps=manner["int96"],
    ) as writer:
        start = 0
        for size in manner["groups"]:
            writer.write_table(table.slice(start, size), row_group_size=max(size, 1))
            start += size


def _codec(name: str) -> str:
    return "none" if name == "UNCOMPRESSED" else name.lower()


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
            if pa.types.is_dictionary(field.type):
                column = column.cast(field.type.value_type).dictionary_encode()
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = f"column {field.name!r} is {column.type} in the parent and can't be made {field.type}: {error}"
            raise UnwritableError(message) from error
    return pa.Table.from_arrays(columns, schema=schema)


def parquet_difference(old: Path, new: Path) -> str | None:
    """Say in what two Parquet files differ as tables, or return None: schema, metadata, row groups, every bit."""
    with pq.ParquetFile(old) as first, pq.ParquetFile(new) as second:
        if not first.schema_arrow.equals(second.schema_arrow, check_metadata=True):
            return "the Arrow schema or its metadata"
        if not first.schema.equals(second.schema):
            return "the Parquet types"
        for group in range(first.metadata.num_row_groups):
            mine, theirs = first.read_row_group(group), second.read_row_group(group)
            for name in mine.column_names:
                if not same_cells(mine.column(name), theirs.column(name)):
                    return f"column {name!r} in row group {group}"
        return None if first.metadata.num_rows == second.metadata.num_rows else "the number of rows"


def same_cells(first: pa.ChunkedArray | pa.Array, second: pa.ChunkedArray | pa.Array) -> bool:
    """Tell whether two columns are the same to the bit: 0.0 is not -0.0, and NaN is itself."""
    mine, theirs = _one(first), _one(second)
    kind = mine.type
    if kind != theirs.type or len(mine) != len(theirs):
        return False
    if not mine.is_valid().equals(theirs.is_valid()):
        return False
    if pa.types.is_floating(kind):
        width = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        return bool(mine.view(width).equals(theirs.view(width)))
    if pa.types.is_struct(kind):
        return all(
            same_cells(pc.struct_field(mine, [i]), pc.struct_field(theirs, [i]))
            for i in range(kind.num_fields)
        )
    if pa.types.is_map(kind):
        listed = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        return same_cells(mine.cast(listed), theirs.cast(listed))
    if is_list_like(kind):
        sizes = [pc.list_value_length(array) for array in (mine, theirs)]
        return bool(sizes[0].equals(sizes[1])) and same_cells(mine.flatten(), theirs.flatten())
    return bool(mine.equals(theirs))


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    array = column
    if isinstance(column, pa.ChunkedArray):
        array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def delta_manner(source: Source) -> dict[str, Any]:
    """Return how the pinned version of a Delta table is written, as plain data for `write_delta`."""
    table = DeltaTable(str(source.path), version=source.version)
    metadata = table.metadata()
    snap = snapshot(source)
    files = []
    for file in snap.files:
        live = file.records if file.kept is None else int(file.kept.sum())
        if live is None or (file.kept is not None and file.records != file.kept.size):
            with pq.ParquetFile(file.path) as opened:
                total = opened.metadata.num_rows
            dropped = 0 if file.kept is None else int((~file.kept).sum())
            live = total - dropped
        values = [None if v is None else _partition_text(v) for v in file.partition]
        files.append({"rows": live, "partition": values})
    return {
        "schema": table.schema().to_json(),
        "partitions": list(snap.partition_columns),
        "files": files,
        "name": metadata.name,
        "description": metadata.description,
        "configuration": dict(metadata.configuration),
    }


def _partition_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def write_delta(path: Path, rows: pa.Table, manner: Manner) -> None:
    """Write a Delta table in a manner, a file for each of the old one's, so that rows keep their order.

    Raises
    ------
    UnwritableError
        If the table has a feature that can't be written.
    """
    if manner["configuration"].get(MODE, "none") != "none":
        message = "the Delta table uses column mapping, which can't be written again"
        raise UnwritableError(message)
    schema = Schema.from_json(manner["schema"])
    arrow = pa.schema(schema.to_arrow())
    stored = pa.schema([field for field in arrow if field.name not in manner["partitions"]])
    path.mkdir(parents=True)
    actions, start = [], 0
    for number, told in enumerate(manner["files"]):
        part = cast_rows(rows.slice(start, told["rows"]), stored)
        start += told["rows"]
        file = path / f"part-{number:05d}.zstd.parquet"
        pq.write_table(part, file, compression="zstd", store_schema=False)
        values = dict(zip(manner["partitions"], told["partition"], strict=True))
        actions.append(add_action(path, file, values))
    try:
        create_table_with_add_actions(
            str(path),
            schema,
            actions,
            mode="error",
            partition_by=manner["partitions"],
            name=manner["name"],
            description=manner["description"],
            configuration=manner["configuration"],
        )
    except Exception as error:  # deltalake raises several unrelated types, plain Exception included
        message = f"the Delta table can't be written again: {error}"
        raise UnwritableError(message) from error


def delta_difference(old: Source, new: Source, rows: Sequence[pa.Table]) -> str | None:
    """Say in what two Delta tables differ but for their history; `rows` are all of theirs, in order."""
    for name in ("schema", "partitions", "name", "description", "configuration"):
        if delta_manner(old)[name] != delta_manner(new)[name]:
            return f"the {name}"
    first, second = rows
    if plain_schema(first.schema) != plain_schema(second.schema):
        return "the types of columns"
    for name in first.column_names:
        if not same_cells(first.column(name), second.column(name)):
            return f"column {name!r}"
    return None
