"""Statistics of a stored table's files, beside those of the whole: what the point tests need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from assets.containment.bounds import ColumnBounds, FileStatistics, TableStatistics
from assets.containment.delta_bounds import from_delta
from assets.containment.described import summary_statistics
from assets.containment.parquet_bounds import from_parquet
from assets.ingestion.delta_files import snapshot
from assets.ingestion.model import Source
from assets.ingestion.parquet_files import footer_of, partition_values
from assets.ingestion.summaries import ColumnSummary
from assets.kernels.logical_types import type_family


def stored_statistics(
    source: Source, rows: int | None, summaries: Mapping[str, ColumnSummary], *, by_file: bool
) -> TableStatistics:
    """Read what footers or log say of a table and of each of its files.

    Parameters
    ----------
    source : Source
        A Parquet or Delta source.
    rows, summaries
        Of `from_delta_log` or `from_parquet_footers`.
    by_file
        Whether the bounds of each file are wanted, too; only refuting full containment needs them.

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
    whole = summary_statistics(summaries, rows)
    if not by_file:
        return whole
    if source.format == "delta":
        snap = snapshot(source)
        loose = {file.key for file in snap.files if file.kept is not None or file.wide}
        files = from_delta(pl.DataFrame(snap.actions), loose_files=loose).files
        return replace(whole, files=files)
    return replace(whole, files=tuple(_footers(source)))


def _footers(source: Source) -> list[FileStatistics]:
    found = []
    files = sorted(source.files, key=lambda file: file.relative)
    schema, values = partition_values(files, source.path)
    for file, row in zip(files, values, strict=True):
        footer = footer_of(file.path, source)
        part = from_parquet(footer.metadata, file.relative)
        own = footer.schema.names
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
