"""What the search knows of a table before it reads a row; for registered tables, from `ingestion/columns` alone."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from assets.containment.bounds import ColumnBounds, TableStatistics
from assets.containment.schema_graph import ANY_TYPE
from assets.ingestion.summaries import ColumnSummary
from assets.kernels.logical_types import type_family


class ColumnFacts(NamedTuple):
    """What tells by which equalities the cells of a column can be equal to others.

    `type` is exact, `family` the one of the `value` equality ("null": a column without a value);
    `null` and `empty` say whether NULL and the empty string may occur.
    """

    type: str
    family: str
    null: bool = True
    empty: bool = True


@dataclass(frozen=True)
class Described:
    """What the search knows of a table before it reads a row.

    Attributes
    ----------
    version
        Identity of the content and of the way it is read; part of the cache key.
    rows
        Number of rows; None where only reading tells.
    keys
        By column, what a parent's column must agree in: `schema_graph.flat_schema`.
    facts
        By column. Where only reading tells (cells as text), it is filled while the table is read.
    statistics
        Bounds, as far as they are known.
    bytes
        Size on disk.
    """

    table: str
    version: str
    rows: int | None
    keys: Mapping[str, str] = field(hash=False)
    facts: Mapping[str, ColumnFacts] = field(hash=False)
    statistics: TableStatistics = field(hash=False)
    bytes: int = 0


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_ZERO = dt.date(1970, 1, 1)


@lru_cache(1 << 12)
def family_of(type_text: str) -> str:
    """Return the family of an Arrow type that is given as text; a nested type is its own family."""
    try:
        return type_family(pa.type_for_alias(type_text))
    except ValueError:
        return "number" if type_text.startswith("decimal") else type_text


def described_columns(
    columns: pl.DataFrame, rows: Mapping[str, int]
) -> dict[str, dict[str, ColumnFacts]]:
    """Return the facts of every column by table; a column without a value fits any type.

    Parameters
    ----------
    columns
        `ingestion/columns`.
    rows
        Rows by table; tables that are not in it are left out.
    """
    facts: dict[str, dict[str, ColumnFacts]] = {table: {} for table in rows}
    for row in columns.sort("table", "ordinal").iter_rows(named=True):
        if row["table"] not in facts:
            continue
        empty = row["nulls"] is not None and row["nulls"] == rows[row["table"]]
        family = ANY_TYPE if empty else family_of(row["type"])
        facts[row["table"]][row["column"]] = ColumnFacts(row["type"], family, row["nulls"] != 0)
    return facts


def described_statistics(
    columns: pl.DataFrame, rows: Mapping[str, int]
) -> dict[str, TableStatistics]:
    """Return bounds as intervals by table: of width zero where they are known to be values."""
    bounds: dict[str, dict[str, ColumnBounds]] = {table: {} for table in rows}
    for row in columns.iter_rows(named=True):
        if row["table"] in bounds:
            bounds[row["table"]][row["column"]] = _bounds(row)
    return {table: TableStatistics(rows[table], found) for table, found in bounds.items()}


def summary_statistics(summaries: Mapping[str, ColumnSummary], rows: int | None) -> TableStatistics:
    """Return the bounds of a table from the summaries of its columns."""
    bounds = {
        name: _bounds({part: getattr(summary, part) for part in _SUMMARY})
        for name, summary in summaries.items()
    }
    return TableStatistics(rows, bounds)


_SUMMARY = tuple(part.name for part in fields(ColumnSummary))


def _bounds(row: Mapping[str, Any]) -> ColumnBounds:
    family = family_of(row["type"])
    low, high = _value(row["min"], row["type"]), _value(row["max"], row["type"])
    if low is None or high is None:
        return ColumnBounds(family, nulls=row["nulls"])
    if row["bounds_exact"] and not row["type"].startswith("decimal"):
        return ColumnBounds.exact(family, low, high, row["nulls"])
    # a decimal equals the float nearest to it; other bounds need not be values: rows may be deleted
    bounds = ColumnBounds.published(family, low, high, row["nulls"])
    return bounds if row["bounds_exact"] else replace(bounds, lo_max=None, hi_min=None)


def _value(text: str | None, type_text: str) -> Any:  # noqa: ANN401 - any comparable value
    """Read a bound as `ingestion/columns` writes it, as bounds are compared."""
    if text is None:
        return None
    try:
        match family_of(type_text):
            case "string":
                return text.encode("utf-8", "surrogatepass")
            case "bool":
                return text == "true"
            case "number":
                if type_text.startswith(("int", "uint")):
                    return int(text)
                return float(decimal.Decimal(text))
            case "date":
                return (dt.date.fromisoformat(text) - _DAY_ZERO).days
            case "timestamp":
                moment = dt.datetime.fromisoformat(text)
                aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
                return (aware - _EPOCH) // dt.timedelta(microseconds=1)
    except (ValueError, decimal.InvalidOperation, OverflowError):
        return None
    return None
