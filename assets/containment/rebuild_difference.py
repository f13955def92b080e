"""Say in what a rebuilt Parquet file or Delta table differs from the one that it stands for.

Cells are compared to the bit. Of a schema all that a reader sees counts: names, order, types,
nullability, field ids and other metadata. What the Parquet specification calls insignificant does not:
the names of the groups inside lists, the annotation of an integer of the usual kind, and the bytes in
which a decimal is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.containment.delta_rebuild import delta_manner
from assets.containment.parquet_rebuild import ARROW_SCHEMA
from assets.ingestion.arrow_types import plain_schema
from assets.ingestion.model import Source
from assets.kernels.logical_types import is_list_like

_MAP = re.compile(r"^ *(?:optional|required) group .*\(Map\)", re.MULTILINE)
_ORIGIN = re.compile(r", is_from_converted_type=\w+|, force_set_converted_type=\w+")
_USUAL = {"Int(bitWidth=32, isSigned=true)", "Int(bitWidth=64, isSigned=true)"}


def parquet_difference(old: Path, new: Path) -> str | None:
    """Say in what two Parquet files differ as tables, or return None."""
    with pq.ParquetFile(old) as first, pq.ParquetFile(new) as second:
        told = _schema_difference(first, second) or _cell_difference(first, second)
        old_times = any(leaf.physical_type == "INT96" for leaf in _leaves(first))
    if told is None and old_times:
        # as nanoseconds, years after 2262 are others; as microseconds, they are not
        with (
            pq.ParquetFile(old, coerce_int96_timestamp_unit="us") as first,
            pq.ParquetFile(new, coerce_int96_timestamp_unit="us") as second,
        ):
            told = _cell_difference(first, second)
    return told


def _schema_difference(first: pq.ParquetFile, second: pq.ParquetFile) -> str | None:
    mine, theirs = (_plainly_named(file.schema_arrow) for file in (first, second))
    if not mine.equals(theirs, check_metadata=True) or _metadata(first) != _metadata(second):
        return "the Arrow schema or its metadata"
    for leaf, other in zip(_leaves(first), _leaves(second), strict=True):
        if _stored(leaf) != _stored(other):
            return f"the Parquet type of {leaf.path!r}"
    if len(_MAP.findall(str(first.schema))) != len(_MAP.findall(str(second.schema))):
        return "the Parquet types of maps"
    return None


def _cell_difference(first: pq.ParquetFile, second: pq.ParquetFile) -> str | None:
    groups = [
        [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        for file in (first, second)
    ]
    for group in range(min(len(groups[0]), len(groups[1]))):
        mine, theirs = first.read_row_group(group), second.read_row_group(group)
        for name, own, other in zip(mine.column_names, mine.columns, theirs.columns, strict=True):
            if not same_cells(_plain_items(own), _plain_items(other)):
                return f"column {name!r} in row group {group}"
    return None if groups[0] == groups[1] else "the number of rows, or row groups"


def _leaves(file: pq.ParquetFile) -> Iterator[Any]:
    yield from (file.schema.column(i) for i in range(len(file.schema)))


def _metadata(file: pq.ParquetFile) -> dict[bytes, bytes]:
    told = file.metadata.metadata or {}
    return {key: value for key, value in told.items() if key != ARROW_SCHEMA}


def _stored(leaf: Any) -> tuple[object, ...]:  # noqa: ANN401 - pyarrow's ColumnSchema
    logical = _ORIGIN.sub("", str(leaf.logical_type))
    kind = None if leaf.logical_type.type == "DECIMAL" else (leaf.physical_type, leaf.length)
    levels = (leaf.max_definition_level, leaf.max_repetition_level)
    return (kind, "None" if logical in _USUAL else logical, *levels)


def _plainly_named(schema: pa.Schema) -> pa.Schema:
    """Give list items one name."""
    return pa.schema(
        [field.with_type(_plain_items_of(field.type)) for field in schema], schema.metadata
    )


def _plain_items_of(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_items_of(field.type)) for field in kind])
    if pa.types.is_map(kind):
        key, item = kind.key_field, kind.item_field
        return pa.map_(
            key.with_type(_plain_items_of(key.type)).with_name("key"),
            item.with_type(_plain_items_of(item.type)).with_name("value"),
            kind.keys_sorted,
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        item = kind.value_field
        item = item.with_type(_plain_items_of(item.type)).with_name("item")
        if pa.types.is_fixed_size_list(kind):
            return pa.list_(item, kind.list_size)
        return pa.large_list(item) if pa.types.is_large_list(kind) else pa.list_(item)
    return kind


def _plain_items(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = _plain_items_of(column.type)
    return column if kind == column.type else column.cast(kind)


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


def delta_difference(old: Source, new: Source, rows: Sequence[pa.Table]) -> str | None:
    """Say in what two Delta tables differ but for their history; `rows` are all of theirs, in order."""
    mine, theirs = delta_manner(old), delta_manner(new)
    for manner in (mine, theirs):  # keys of a field's metadata have no order
        manner["schema"] = json.loads(manner["schema"])
    for name in ("schema", "partitions", "name", "description", "configuration", "protocol"):
        if mine[name] != theirs[name]:
            return f"the {name}"
    first, second = rows
    if plain_schema(first.schema) != plain_schema(second.schema):
        return "the types of columns"
    for name in first.column_names:
        if not same_cells(first.column(name), second.column(name)):
            return f"column {name!r}"
    return None
