"""The canonical encoding of typed rows: one byte string for each distinct row, whatever the file layout.

Scheme `canonical/2`. A cell is a tag byte and a payload:

======  =======================================  ==================================================
tag     values                                   payload
======  =======================================  ==================================================
``n``   null                                     none
``b``   booleans                                 one byte
``i``   integers of any width                    8 bytes, signed, big-endian (``I``: text, beyond 64 bits)
``f``   floats                                   8 bytes IEEE 754, big-endian; one NaN; -0.0 is 0.0
``s``   text                                     8 bytes length, UTF-8 bytes
``y``   binary                                   8 bytes length, bytes
``d``   dates                                    8 bytes, days since 1970-01-01
``t``   timestamps                               8 bytes, microseconds since 1970-01-01 (UTC if zoned)
``T``   timestamps between two microseconds      8 bytes, nanoseconds since 1970-01-01
``x``   decimals                                 8 bytes length, plain text without trailing zeros
``l``   lists                                    8 bytes count, the items as cells
``p``   maps                                     8 bytes count, the pairs as cells, by their bytes
``m``   structs                                  8 bytes count, each field's name and cell, by name
``j``   times and durations; what is left        8 bytes length; nanoseconds; JSON with sorted keys
======  =======================================  ==================================================

A row is its cells in the order of the sorted column names, each after its name (8 bytes length,
UTF-8). Row order, chunking,
integer width and column order therefore never change an encoding; a type, a name or a value does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.kernels.logical_types import is_list_like

SCHEME = "canonical/2"


def encode_rows(data: pa.Table | pa.RecordBatch, columns: Sequence[str] | None = None) -> pa.Array:
    """Encode rows.

    Parameters
    ----------
    data
        Rows of any flat or nested Arrow types.
    columns
        Columns to encode, in any order; all by default.

    Returns
    -------
    pyarrow.Array
        One binary value a row. Injective: equal exactly when names, types (up to width) and values are equal.

    Examples
    --------
    >>> import pyarrow as pa
    >>> a = encode_rows(pa.table({"x": pa.array([1], pa.int8()), "y": ["a"]}))
    >>> b = encode_rows(pa.table({"y": ["a"], "x": pa.array([1], pa.int64())}))
    >>> a == b
    True
    """
    names = sorted(data.schema.names if columns is None else columns)
    if not names:
        return pa.array([b""] * data.num_rows, pa.large_binary())
    parts: list[Any] = []
    for name in names:
        key = name.encode()
        parts.append(binary_scalar(len(key).to_bytes(8, "big") + key))
        column = data.column(name)
        parts.append(
            encode_cells(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
        )
    return pc.binary_join_element_wise(*parts, binary_scalar(b""))


def encode_cells(array: pa.Array) -> pa.Array:
    """Encode the cells of one column; see the module for the scheme."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return encode_cells(array.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return encode_cells(array.storage)
    if pa.types.is_null(kind):
        return pa.array([b"n"] * len(array), pa.large_binary())
    cells = _tagged(*_payload(array, kind))
    if pa.types.is_uint64(kind):
        large = pc.greater_equal(array, pa.scalar(2**63, pa.uint64()))
        if pc.any(large).as_py():
            cells = pc.if_else(large, _tagged(b"I", _sized(pc.cast(array, pa.string()))), cells)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        instants = pc.cast(array, pa.int64())
        whole = pc.multiply(pc.divide(instants, 1000), 1000)
        finer = pc.not_equal(instants, whole)
        if pc.any(finer).as_py():
            cells = pc.if_else(finer, _tagged(b"T", _fixed(_integers(instants))), cells)
    return pc.if_else(array.is_valid(), cells, binary_scalar(b"n"))


def _tagged(tag: bytes, payload: pa.Array) -> pa.Array:
    empty = binary_scalar(b"")
    return pc.binary_join_element_wise(binary_scalar(tag), payload, empty)


def _payload(array: pa.Array, kind: pa.DataType) -> tuple[bytes, pa.Array]:
    types = pa.types
    if types.is_boolean(kind):
        return b"b", _fixed(
            pc.cast(array, pa.uint8()).fill_null(0).to_numpy(zero_copy_only=False).astype(">u1")
        )
    if types.is_integer(kind):
        if types.is_uint64(kind):
            # larger ones are encoded by the caller, cell by cell
            small = pc.less(array, pa.scalar(2**63, pa.uint64()))
            array = pc.if_else(small, array, pa.scalar(0, pa.uint64()))
        return b"i", _fixed(_integers(array))
    if types.is_floating(kind):
        values = pc.cast(array, pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
        values = np.where(np.isnan(values), np.nan, values)
        return b"f", _fixed(values.astype(">f8"))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return b"s", _sized(array)
    if (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    ):
        return b"y", _sized(array)
    if types.is_date(kind):
        return b"d", _fixed(_integers(pc.cast(pc.cast(array, pa.date32()), pa.int32())))
    if types.is_timestamp(kind):
        return b"t", _fixed(
            _integers(pc.cast(pc.cast(array, pa.timestamp("us", kind.tz), safe=False), pa.int64()))
        )
    if types.is_time(kind) or types.is_duration(kind):
        factor = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
        width = pa.int32() if types.is_time32(kind) else pa.int64()
        ticks = array.view(width).to_pylist()
        return b"j", _sized(
            pa.array([None if v is None else f"{v * factor}ns" for v in ticks], pa.string())
        )
    if types.is_decimal(kind):
        return b"x", _sized(
            pa.array([None if v is None else _decimal(v) for v in array.to_pylist()], pa.string())
        )
    if types.is_struct(kind):
        return b"m", _members(array)
    if types.is_map(kind):
        pairs = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        return b"p", _items(array.cast(pairs), ordered=False)
    if is_list_like(kind):
        return b"l", _items(array, ordered=True)
    return b"j", _sized(
        pa.array([None if v is None else _json(v) for v in array.to_pylist()], pa.string())
    )


def _members(array: pa.StructArray) -> pa.Array:
    """Encode structs: their fields as a row's columns, so the order of fields doesn't matter."""
    fields = sorted(range(array.type.num_fields), key=lambda i: array.type.field(i).name)
    parts: list[Any] = [_fixed(np.full(len(array), len(fields), ">i8"))]
    for i in fields:
        name = array.type.field(i).name.encode()
        parts.append(binary_scalar(len(name).to_bytes(8, "big") + name))
        parts.append(encode_cells(pc.struct_field(array, [i])))
    return pc.binary_join_element_wise(*parts, binary_scalar(b""))


def _items(array: pa.Array, *, ordered: bool) -> pa.Array:
    """Encode lists: the number of items, then each as a cell; a map's pairs in the order of their bytes."""
    lengths = pc.if_else(array.is_valid(), pc.list_value_length(array), None).fill_null(0)
    sizes = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    cells = encode_cells(array.flatten())
    if ordered:
        # cells lie one after the other, so the bytes from a list's first to its last are its items
        _, offsets, data = cells.buffers()
        bounds = np.frombuffer(offsets, np.int64)[cells.offset : cells.offset + len(cells) + 1]
        joined = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(array), [None, pa.py_buffer(bounds[ends]), data]
        )
    else:
        items = cells.to_pylist()
        starts = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        joined = pa.array([b"".join(sorted(items[i:j])) for i, j in starts], pa.large_binary())
    return pc.binary_join_element_wise(_fixed(sizes.astype(">i8")), joined, binary_scalar(b""))


def _integers(array: pa.Array) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = (
        pc.cast(array, pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    )
    return values.astype(">i8")


def binary_scalar(value: bytes) -> pa.Scalar:
    """Return bytes as a large binary scalar; `pyarrow.scalar` would import pandas to see what they are."""
    ends = np.array([0, len(value)], np.int64)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(value)]
    return pa.Array.from_buffers(pa.large_binary(), 1, buffers)[0]


def _fixed(values: np.ndarray[Any, Any]) -> pa.Array:
    width = values.dtype.itemsize
    array = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(values), [None, pa.py_buffer(np.ascontiguousarray(values).tobytes())]
    )
    return pc.cast(array, pa.large_binary())


def _sized(array: pa.Array) -> pa.Array:
    raw = pc.cast(array, pa.large_binary()).fill_null(binary_scalar(b""))
    found = pc.binary_length(raw)  # int64, and none is null
    held = np.frombuffer(found.buffers()[1], np.int64) if len(raw) else np.empty(0, np.int64)
    lengths = held[found.offset : found.offset + len(raw)].astype(">i8")
    return pc.binary_join_element_wise(_fixed(lengths), raw, binary_scalar(b""))


def _decimal(value: Any) -> str:  # noqa: ANN401 - decimal.Decimal
    text = format(value, "f")  # not normalize(): that rounds to the context's 28 digits
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "0") else text


def _json(value: object) -> str:
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, default=_plain, separators=(",", ":")
    )


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, tuple):
        return list(value)
    return str(value)
