"""Statistics of a stored table's files, beside those of the whole: what the point tests need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from assets.containment.bounds import ColumnBounds, FileStatistics, TableStatistics
from assets.containment.delta_bounds import from_delta
from assets.containment.described import summary_statistics
from assets.containment.parquet_bounds import from_parquet
from assets.ingestion.delta_files import snapshot
from assets.ingestion.metadata_bounds import from_delta_log, from_parquet_footers
from assets.ingestion.model import Source
from assets.ingestion.parquet_files import open_parquet, partition_values
from assets.kernels.logical_types import type_family


def stored_statistics(source: Source) -> TableStatistics:
    """Read what footers or log say of a table and of each of its files.

    Parameters
    ----------
    source : Source
        A Parquet or Delta source.

    Returns
    -------
    TableStatistics
        Partition values are exact bounds of their files; files with deleted rows, or with statistics
        that are not tight, have outer bounds only.

    Raises
    ------
    SourceError
        If the log or a footer can't be read.
    """
    if source.format == "delta":
        rows, summaries = from_delta_log(source)
        snap = snapshot(source)
        loose = {file.key for file in snap.files if file.kept is not None or file.wide}
        files = from_delta(pl.DataFrame(snap.actions), loose_files=loose).files
        return replace(summary_statistics(summaries, rows), files=files)
    rows, summaries = from_parquet_footers(source)
    return replace(summary_statistics(summaries, rows), files=tuple(_footers(source)))


def _footers(source: Source) -> list[FileStatistics]:
    found = []
    files = sorted(source.files, key=lambda file: file.relative)
    schema, values = partition_values(files, source.path)
    for file, row in zip(files, values, strict=True):
        with open_parquet(file.path, source) as opened:
            part = from_parquet(opened.metadata, file.relative)
            own = opened.schema_arrow.names
        constants = {
            field.name: _constant(value, field.type, part.rows)
            for field, value in zip(schema, row, strict=True)
            if field.name not in own
        }
        found.append(replace(part, columns={**part.columns, **constants}))
    return found


def _constant(value: Any, kind: pa.DataType, rows: int | None) -> ColumnBounds:  # noqa: ANN401
    family = type_family(kind)
    if value is None:
        return ColumnBounds(family, nulls=rows)
    return ColumnBounds.exact(family, value, value, 0)
