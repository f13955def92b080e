"""Read bounds from Parquet footers, as intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import orjson

from assets.containment.bounds import (
    ColumnBounds,
    FileStatistics,
    TableStatistics,
    merge,
    string_bounds,
)

_MICROSECONDS = {"milliseconds": 1000, "microseconds": 1}


def from_parquet(metadata: Any, path: str = "") -> FileStatistics:  # noqa: ANN401 - pyarrow is untyped
    """Read the statistics of one Parquet file.

    Parameters
    ----------
    metadata : pyarrow.parquet.FileMetaData
        The footer.
    path : str, default ""
        Names the file.

    Returns
    -------
    FileStatistics
        Exact rows; bounds for flat columns and struct fields (dotted). Text and binary bounds
        are never taken as whole, since pyarrow does not tell whether the writer cut them.
        INT96, float16, times, UUIDs and list or map items have no bounds.
    """
    chunks: dict[str, list[FileStatistics]] = {}
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for i in range(row_group.num_columns):
            leaf = metadata.schema.column(i)
            if leaf.max_repetition_level == 0:
                bounds = _chunk_bounds(row_group.column(i).statistics, leaf)
                # a leaf of unknown kind still takes part, as one that proves nothing
                known = {} if bounds is None else {leaf.path: bounds}
                part = FileStatistics(row_group.num_rows, known, f"{group:08d}")
                chunks.setdefault(leaf.path, []).append(part)
    columns: dict[str, ColumnBounds] = {}
    for parts in chunks.values():
        columns.update(merge(parts).columns)
    return FileStatistics(metadata.num_rows, columns, path)


def table_from_parquet(footers: Iterable[tuple[str, Any]]) -> TableStatistics:
    """Merge the footers of all files of a table.

    Parameters
    ----------
    footers : iterable of (str, pyarrow.parquet.FileMetaData)
        Path and footer of each file.

    Returns
    -------
    TableStatistics
        The table's statistics, with those of its files.
    """
    return merge(from_parquet(metadata, path) for path, metadata in footers)


def _chunk_bounds(statistics: Any, leaf: Any) -> ColumnBounds | None:  # noqa: ANN401
    if statistics is None:
        return None
    nulls = statistics.null_count if statistics.has_null_count else None
    low = high = None
    if statistics.has_min_max:
        low, high = statistics.min_raw, statistics.max_raw
    return _bounds(leaf, low, high, nulls)


def _bounds(leaf: Any, low: Any, high: Any, nulls: int | None) -> ColumnBounds | None:  # noqa: ANN401
    physical = leaf.physical_type
    logical = orjson.loads(leaf.logical_type.to_json())
    kind = logical["Type"]
    if kind == "Decimal":
        scale = logical["scale"]
        return _decimal_bounds(_unscaled(low), _unscaled(high), scale, nulls)
    if kind in ("String", "Enum", "JSON") and physical == "BYTE_ARRAY":
        return string_bounds("string", low, high, nulls)
    if kind == "Date":
        return ColumnBounds.exact("date", low, high, nulls)
    if kind == "Timestamp":
        return _instant_bounds(low, high, logical["timeUnit"], nulls)
    if kind == "Int" and physical in ("INT32", "INT64"):
        if not logical["isSigned"]:
            modulus = 2 ** (32 if physical == "INT32" else 64)
            low, high = (None if end is None else end % modulus for end in (low, high))
        return ColumnBounds.exact("number", low, high, nulls)
    if kind != "None":
        return None
    families = {"BOOLEAN": "bool", "INT32": "number", "INT64": "number"}
    families |= {"FLOAT": "number", "DOUBLE": "number"}
    if physical in families:
        return ColumnBounds.exact(families[physical], low, high, nulls)
    if physical in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):
        return string_bounds("binary", low, high, nulls)
    return None


def _unscaled(raw: bytes | int | None) -> int | None:
    return int.from_bytes(raw, "big", signed=True) if isinstance(raw, bytes) else raw


def _decimal_bounds(
    low: int | None, high: int | None, scale: int, nulls: int | None
) -> ColumnBounds:
    lows, highs = _around(low, scale), _around(high, scale)
    return ColumnBounds("number", lows[0], lows[1], highs[0], highs[1], nulls)


def _around(unscaled: int | None, scale: int) -> tuple[float, float] | tuple[None, None]:
    """Enclose a decimal and the float64 nearest to it, which count as equal."""
    if unscaled is None:
        return None, None
    nearest = unscaled / 10**scale
    return math.nextafter(nearest, -math.inf), math.nextafter(nearest, math.inf)


def _instant_bounds(
    low: int | None, high: int | None, unit: str, nulls: int | None
) -> ColumnBounds | None:
    if unit == "nanoseconds":
        floors = [None if end is None else end // 1000 for end in (low, high)]
        ceilings = [None if end is None else -(-end // 1000) for end in (low, high)]
    elif unit in _MICROSECONDS:
        factor = _MICROSECONDS[unit]
        floors = ceilings = [None if end is None else end * factor for end in (low, high)]
    else:
        return None
    return ColumnBounds("timestamp", floors[0], ceilings[0], floors[1], ceilings[1], nulls)
