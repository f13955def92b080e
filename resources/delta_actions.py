"""What the log of a Delta table says of one data file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from deltalake.transaction import AddAction

_STATISTICS_TYPES = ("INT32", "INT64", "DOUBLE", "BOOLEAN")


def add_action(
    uri: Path, file: Path, partition_values: Mapping[str, str | None] | None = None
) -> AddAction:
    """Return the log's entry for one Parquet file below the folder of a table, with its statistics."""
    metadata = pq.read_metadata(file)
    return AddAction(
        path=file.relative_to(uri).as_posix(),
        size=file.stat().st_size,
        partition_values=dict(partition_values or {}),
        modification_time=int(time.time() * 1000),
        data_change=True,
        # as UTF-8: escaped pairs of surrogates come back from the log as other characters
        stats=json.dumps(_statistics(metadata), ensure_ascii=False),
    )


def _statistics(metadata: pq.FileMetaData) -> dict[str, Any]:
    """Statistics of one file: bounds of plain numbers and short strings, null counts of flat columns."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for position in range(min(metadata.num_columns, 32)):
        chunks = [metadata.row_group(g).column(position) for g in range(metadata.num_row_groups)]
        name = chunks[0].path_in_schema if chunks else ""
        if not chunks or "." in name or any(c.statistics is None for c in chunks):
            continue
        statistics = [c.statistics for c in chunks]
        if all(s.has_null_count for s in statistics):
            nulls[name] = sum(s.null_count for s in statistics)
        bounded = [s for s in statistics if s.has_min_max]
        if not bounded or len(bounded) < sum(s.num_values > 0 for s in statistics):
            continue
        values = [v for s in bounded for v in (s.min, s.max)]
        plain = (
            statistics[0].physical_type in _STATISTICS_TYPES
            and statistics[0].logical_type.type == "NONE"
        )
        short = all(isinstance(v, str) and len(v) <= 32 for v in values)
        if (
            plain and all(isinstance(v, int | float) and abs(v) < float("inf") for v in values)
        ) or short:
            low[name] = min(s.min for s in bounded)
            high[name] = max(s.max for s in bounded)
    return {
        "numRecords": metadata.num_rows,
        "minValues": low,
        "maxValues": high,
        "nullCount": nulls,
    }
