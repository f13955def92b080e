"""Hash table cells and rows so that equal rows of different files have equal hashes.

The scheme ``xxh64-sum/3``: a cell is XXH64 of its canonical bytes; the seed is XXH64 of the tag
(which says what kind of value the bytes are) seeded by XXH64 of the column name; a row is the XXH64
avalanche of the sum of its cells modulo 2^64. A sum is indifferent to the order of the columns, and
the hash of any projection is a sum over fewer cells. NULL has its own tag, all NaN are one value,
and -0.0 is 0.0.

Three equalities decide what the canonical bytes are:

``typed``
    The tag is the logical Arrow type: ``int32`` 1 is not ``int64`` 1. Physical variants of one
    logical type (``string``, ``large_string``, dictionary of strings) are the same. NULL is NULL
    in a column of any type.
``value``
    The tag is the family: 1 == 1.0 == decimal 1.00; a fraction is a float64 or, as a decimal, the
    float64 with the same shortest text (else its own text); instants are UTC microseconds, one
    without a zone is read as UTC, and nanoseconds that do not fit stay apart; dates equal dates,
    strings equal strings.
``text``
    Cells as written: strings as they are, everything else by one text (integers in decimal, floats
    in the shortest form that reads back, so 1.0 is not 1, ISO 8601, lower-case true and false);
    NULL equals the empty string.

Nested values (lists, structs, maps) are hashed by their JSON text with sorted keys.

Cost: 5 to 12 ns a fixed-width cell and about 20 ns a short string on one shared core; decimals,
nested values and floats as text go through Python once per distinct value. A false match of one row
against a table of n rows has probability n/2^64; `row_digests` gives the keyed 128-bit form for
certificates.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from assets.kernels.cell_bytes import Equality, decoded, plain, segments
from assets.kernels.cell_text import UnhashableColumnError
from assets.kernels.plain_cells import plain_cells, seed_of
from assets.kernels.xxh64 import Hashes, avalanche_all, hash_bytes, hash_slices, hash_words

__all__ = [
    "DIGEST",
    "DIGEST_SCHEME",
    "SCHEME",
    "Equality",
    "Hashes",
    "UnhashableColumnError",
    "column_cells",
    "combine_cells",
    "find_column",
    "row_digests",
    "row_hashes",
]

SCHEME = "xxh64-sum/3"
"""Name and version of the hash scheme; part of every cache key."""

DIGEST = np.dtype([("high", ">u8"), ("low", ">u8")])
"""The dtype of a 128-bit row digest; sorts like the digest's bytes."""

DIGEST_SCHEME = "blake2b-128-rows/1"
"""Name and version of what `row_digests` gives; part of every certificate."""


def _chunks(array: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return list(array.chunks) if isinstance(array, pa.ChunkedArray) else [array]


def _chunk_cells(array: pa.Array, base: np.uint64, equality: Equality) -> Hashes:
    array = plain(array)
    cells = plain_cells(array, base, equality)
    if cells is not None:
        return cells
    if pa.types.is_dictionary(array.type):
        # each distinct value is hashed once; index len(dictionary) stands for NULL
        values = pa.concat_arrays([decoded(array.dictionary), pa.nulls(1, array.type.value_type)])
        index = array.indices.cast(pa.int64()).fill_null(len(values) - 1)
        taken: Hashes = _chunk_cells(values, base, equality)[index.to_numpy(zero_copy_only=False)]
        return taken
    out = np.empty(len(array), np.uint64)
    for segment in segments(array, equality):
        seed = seed_of(segment.tag, base)
        if segment.words is not None:
            hashes = hash_words(np.ascontiguousarray(segment.words, np.uint64), seed)
        elif segment.slices is not None:
            hashes = hash_slices(*segment.slices, seed)
        else:
            hashes = np.full(0 if segment.at is None else segment.at.size, hash_bytes(b"", seed))
        if segment.at is None:
            return np.asarray(hashes, np.uint64)
        out[segment.at] = hashes
    return out


def column_cells(array: pa.Array | pa.ChunkedArray, name: str, equality: Equality) -> Hashes:
    """Hash the cells of one column.

    Parameters
    ----------
    array : pa.Array or pa.ChunkedArray
        The column, of n rows and any type but union. Dictionary-encoded strings are hashed once per
        distinct value; encoding plain strings for this purpose would cost more than hashing them,
        so read the column as a dictionary where the file stores one.
    name : str
        The name that seeds the hashes; "" compares values across columns.
    equality : {"typed", "value", "text"}
        Which cells are equal, see the module.

    Returns
    -------
    np.ndarray
        n hashes of dtype uint64, in row order; independent of chunking.

    Raises
    ------
    UnhashableColumnError
        If the type has no canonical bytes.
    """
    base = seed_of(name, np.uint64(0))
    parts = [_chunk_cells(chunk, base, equality) for chunk in _chunks(array)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def find_column(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array | pa.ChunkedArray:
    """Return a column by name, or a field of a struct column by its dotted path.

    Parameters
    ----------
    table : pa.Table or pa.RecordBatch
        The table.
    name : str
        A column name, which wins, or a path such as ``address.city``. A field of a NULL struct is
        NULL.

    Returns
    -------
    pa.Array or pa.ChunkedArray
        The column.

    Raises
    ------
    UnhashableColumnError
        If there is no such column, or more than one of that name.
    """
    found = table.schema.get_all_field_indices(name)
    if len(found) == 1:
        return table.column(found[0])
    if len(found) > 1:
        message = f"column {name!r} occurs {len(found)} times; rename all but one"
        raise UnhashableColumnError(message)
    for cut in (i for i, letter in enumerate(name) if letter == "."):
        head, path = name[:cut], name[cut + 1 :]
        if head in table.schema.names and pa.types.is_struct(table.schema.field(head).type):
            fields = pa.RecordBatch.from_struct_array
            parts = []
            for chunk in _chunks(table.column(head)):
                batch = fields(pa.StructArray.from_arrays(chunk.flatten(), fields=list(chunk.type)))
                parts.extend(_chunks(find_column(batch, path)))
            return (
                pa.chunked_array(parts, parts[0].type) if parts else pa.chunked_array([], pa.null())
            )
    message = f"no column {name!r} among {table.schema.names[:20]}; check the schema of the table"
    raise UnhashableColumnError(message)


def row_hashes(
    table: pa.Table | pa.RecordBatch,
    columns: Sequence[str],
    equality: Equality,
    rename: Mapping[str, str] | None = None,
) -> Hashes:
    """Hash each row, projected on some columns.

    Parameters
    ----------
    table : pa.Table or pa.RecordBatch
        n rows.
    columns : sequence of str
        The columns of `table` (or dotted paths) to hash, in any order; each once.
    equality : {"typed", "value", "text"}
        Which cells are equal, see the module.
    rename : mapping of str to str, optional
        For a column of `table`, the name under which it is hashed: maps a parent's column to the
        child's name.

    Returns
    -------
    np.ndarray
        n hashes of dtype uint64, in row order. With no columns all rows are equal.

    Raises
    ------
    UnhashableColumnError
        If a column is missing or its type has no canonical bytes.
    """
    names = rename or {}
    sums = np.zeros(table.num_rows, np.uint64)
    for column in columns:
        sums += column_cells(find_column(table, column), names.get(column, column), equality)
    avalanche_all(sums)
    return sums


def combine_cells(cells: Sequence[Hashes]) -> Hashes:
    """Combine the cell hashes of a projection's columns to row hashes.

    Parameters
    ----------
    cells : sequence of np.ndarray
        One array of n uint64 for each column, from `column_cells`; at least one.

    Returns
    -------
    np.ndarray
        What `row_hashes` gives for these columns, without reading them again.
    """
    sums = np.zeros(cells[0].size, np.uint64)
    for column in cells:
        sums += column
    avalanche_all(sums)
    return sums


def _cell_bytes(array: pa.Array | pa.ChunkedArray, equality: Equality) -> list[bytes]:
    cells: list[bytes] = []
    for raw in _chunks(array):
        chunk = decoded(plain(raw))
        out = [b""] * len(chunk)
        for tag, at, words, slices in segments(chunk, equality):
            prefix = tag.encode() + b"\0"
            rows = range(len(chunk)) if at is None else at.tolist()
            if words is not None:
                little = np.ascontiguousarray(words).astype("<u8").tobytes()
                contents = [little[i : i + 8] for i in range(0, len(little), 8)]
            elif slices is not None:
                raw_bytes, offsets = slices[0].tobytes(), slices[1].tolist()
                contents = [raw_bytes[a:b] for a, b in itertools.pairwise(offsets)]
            else:
                contents = [b""] * len(rows)
            for row, content in zip(rows, contents, strict=True):
                out[row] = prefix + content
        cells.extend(out)
    return cells


def row_digests(
    table: pa.Table | pa.RecordBatch,
    columns: Sequence[str],
    equality: Equality,
    key: bytes,
    rename: Mapping[str, str] | None = None,
) -> np.ndarray[Any, Any]:
    """Digest each row to 128 keyed bits, for certificates.

    BLAKE2b over the same canonical bytes as `row_hashes`, each cell preceded by its column name and
    both by their length, in the order of the names, so that no two different rows have the same
    input.

    Parameters
    ----------
    table, columns, equality, rename
        As in `row_hashes`.
    key : bytes
        A secret of 1 to 64 bytes: who does not know it can't make rows that collide.

    Returns
    -------
    np.ndarray
        n digests of dtype `DIGEST`, in row order; they sort and compare like their bytes.

    Raises
    ------
    UnhashableColumnError
        If a column is missing or its type has no canonical bytes.
    ValueError
        If the key is empty or too long.

    Notes
    -----
    Cost: about 1 microsecond a row plus 0.5 a cell, in Python: meant for the few tables that are
    retired.
    """
    if not 1 <= len(key) <= 64:
        message = f"the key of row_digests has {len(key)} bytes; give 1 to 64"
        raise ValueError(message)
    names = rename or {}
    ordered = sorted(columns, key=lambda column: names.get(column, column))
    heads = []
    for column in ordered:
        name = names.get(column, column).encode()
        heads.append(len(name).to_bytes(4, "little") + name)
    cells = [_cell_bytes(find_column(table, column), equality) for column in ordered]
    out = bytearray()
    for i in range(table.num_rows):
        state = hashlib.blake2b(digest_size=16, key=key)
        for head, column_bytes in zip(heads, cells, strict=True):
            cell = column_bytes[i]
            state.update(head + len(cell).to_bytes(8, "little") + cell)
        out += state.digest()
    return np.frombuffer(bytes(out), DIGEST)
