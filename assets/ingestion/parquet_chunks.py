"""The pages of Parquet column chunks, decompressed but not decoded, where that is as plain as it can be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.ingestion.footers import Footer
from assets.ingestion.model import MIB
from assets.kernels import parquet_pages as pages

Bytes = npt.NDArray[np.uint8]

MOST_BYTES = 16 * MIB
"""Larger chunks and pages are left to Arrow, which reads a chunk in pieces."""

_CODECS = {"SNAPPY": "snappy", "ZSTD": "zstd", "UNCOMPRESSED": None}
_KINDS: dict[tuple[str, pa.DataType], int] = {
    ("INT32", pa.int32()): pages.INT32,
    ("INT32", pa.date32()): pages.INT32,
    ("INT64", pa.int64()): pages.INT64,
    ("FLOAT", pa.float32()): pages.FLOAT,
    ("DOUBLE", pa.float64()): pages.DOUBLE,
    ("BYTE_ARRAY", pa.string()): pages.SLICES,
    ("BYTE_ARRAY", pa.binary()): pages.SLICES,
    ("BOOLEAN", pa.bool_()): pages.BITS,
}
_INDEXED = (2, 8)
_NOTHING = np.empty(0, np.uint8)
_NOTHING.flags.writeable = False  # like what Arrow decompresses, so that loops are compiled once


class Leaf(NamedTuple):
    """A top-level column whose pages can be read as they are.

    Attributes
    ----------
    number
        Of the file's leaf columns.
    kind
        How its values are stored, as `assets.kernels.parquet_pages` has it.
    highest
        The highest definition level: 1 if it may have NULL, else 0.
    """

    number: int
    kind: int
    highest: int


class Page(NamedTuple):
    """One page.

    Attributes
    ----------
    kind
        0 or 3 for rows, 2 for a dictionary.
    values
        Rows, or values of the dictionary.
    indexed
        Whether its values are places in the dictionary.
    levels
        Definition levels, where they are stored apart.
    content
        The rest, decompressed.
    """

    kind: int
    values: int
    indexed: bool
    levels: Bytes
    content: Bytes


def plain_leaves(footer: Footer) -> dict[str, Leaf]:
    """Return the columns whose stored form is certain to be that of their Arrow type, by name.

    Integers and floats of 4 and 8 bytes, dates, microseconds, booleans, strings and bytes; neither nested nor
    repeated, and of a name that only one column has.
    """
    schema = footer.metadata.schema
    columns = [schema.column(number) for number in range(footer.metadata.num_columns)]
    paths = [column.path for column in columns]
    own = dict(zip(footer.plain.names, footer.plain.types, strict=True))
    once = {n for n, times in Counter([*paths, *footer.plain.names]).items() if times == 2}
    found = {}
    for number, (column, path) in enumerate(zip(columns, paths, strict=True)):
        if path not in once or path not in own or column.max_repetition_level:
            continue
        kind = _kind(column, own[path])
        if kind is not None and column.max_definition_level <= 1:
            found[path] = Leaf(number, kind, column.max_definition_level)
    return found


def _kind(column: Any, arrow: pa.DataType) -> int | None:  # noqa: ANN401 - pyarrow's ColumnSchema
    if pa.types.is_timestamp(arrow):
        micros = "timeUnit=microseconds" in str(column.logical_type)
        return (
            pages.INT64
            if arrow.unit == "us" and micros and column.physical_type == "INT64"
            else None
        )
    return _KINDS.get((column.physical_type, arrow))


def chunk_pages(handle: int, group: Any, leaf: Leaf) -> Iterator[Page]:  # noqa: ANN401 - RowGroupMetaData
    """Yield the pages of a column chunk, up to the first that needs Arrow to be read or to say what is wrong.

    Parameters
    ----------
    handle
        The open file.
    group
        The row group's metadata.
    leaf
        Of `plain_leaves`.
    """
    chunk = group.column(leaf.number)
    size = chunk.total_compressed_size
    if chunk.compression not in _CODECS or not 0 < size <= MOST_BYTES or chunk.file_path:
        return
    start, first = chunk.data_page_offset, chunk.dictionary_page_offset
    if first is not None and 0 < first < start:
        start = first
    raw = np.empty(size, np.uint8)
    if start < 0 or os.preadv(handle, [raw.data], start) != size:
        return
    raw.flags.writeable = False
    name = _CODECS[chunk.compression]
    codec = None if name is None else _codec(name)
    stored = pa.py_buffer(raw)
    for page in pages.list_pages(raw, group.num_rows).tolist():
        kind, at, length, plain, values, encoding, apart, compressed, how = page
        if kind == 1:  # an index, which nobody writes
            continue
        if not 0 <= apart <= min(length, plain) or plain > MOST_BYTES or how != 3:
            return
        indexed = encoding in _INDEXED and kind != 2
        if not (indexed or encoding == 0 or (kind == 2 and encoding in _INDEXED)):
            return
        levels = raw[at : at + apart] if apart else _NOTHING
        content: Bytes = raw[at + apart : at + length]
        if codec is not None and compressed and plain == apart:
            content = _NOTHING
        elif codec is not None and compressed:
            if name == "snappy" and not _says(content, plain - apart):
                return
            try:
                whole = codec.decompress(stored.slice(at + apart, length - apart), plain - apart)
            except (pa.ArrowException, OSError):
                return
            content = np.frombuffer(whole, np.uint8)
        elif length != plain:
            return
        yield Page(kind, values, indexed, levels, content)


def _codec(name: str) -> pa.Codec:
    return pa.Codec(name)


def _says(content: Bytes, size: int) -> bool:
    """Tell whether a piece of Snappy says that it has so many bytes; fewer would leave others unwritten."""
    told = shift = 0
    for byte in content[:5].tolist():
        told |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return bool(told == size)
    return False
