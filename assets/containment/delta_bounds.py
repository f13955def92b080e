"""Read bounds from the add actions of a Delta log, as intervals."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from assets.containment.bounds import (
    ColumnBounds,
    FileStatistics,
    TableStatistics,
    merge,
)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_ZERO = dt.date(1970, 1, 1)


def from_delta(
    adds: pl.DataFrame,
    *,
    loose_files: Collection[str] = (),
    names: Mapping[str, str] | None = None,
) -> TableStatistics:
    """Read the statistics of a Delta table from its active files.

    Parameters
    ----------
    adds : pl.DataFrame
        ``DeltaTable.get_add_actions(flatten=True)``: a row for each active file with `path`,
        `num_records` and, where known, ``min.X``, ``max.X``, ``null_count.X``,
        ``partition.X``.
    loose_files : collection of str
        Paths of files with a deletion vector, or with statistics that are not tight. Columns of
        `adds` that tell of deletion vectors are honoured too.
    names : mapping of str to str, optional
        Logical by physical column name, for tables with column mapping. Physical columns that
        are not named are left out. Without a mapping names are taken as they are.

    Returns
    -------
    TableStatistics
        Rows are known only if no file has deleted rows. A partition value is an exact bound of
        each of its files.
    """
    files = []
    for row in adds.iter_rows(named=True):
        loose = row["path"] in set(loose_files) or _tells_of_deletion(row)
        files.append(_file(row, adds.schema, names, loose=loose))
    return merge(files)


def _tells_of_deletion(row: Mapping[str, Any]) -> bool:
    return any(
        (name.startswith("deletion_vector") and value not in (None, 0, ""))
        or (name in ("tight_bounds", "tightBounds") and value is False)
        for name, value in row.items()
    )


def _file(
    row: Mapping[str, Any], schema: pl.Schema, names: Mapping[str, str] | None, *, loose: bool
) -> FileStatistics:
    columns: dict[str, ColumnBounds] = {}
    rows = row["num_records"]
    physical = {
        name.split(".", 1)[1]
        for name in row
        if name.startswith(("min.", "max.", "null_count.", "partition."))
    }
    for name in sorted(physical):
        logical = name if names is None else names.get(name)
        data_type = next(
            (schema[f"{kind}.{name}"] for kind in _KINDS if f"{kind}.{name}" in schema), None
        )
        if logical is None or data_type is None:
            continue
        if f"partition.{name}" in schema:
            bounds = _partition(row[f"partition.{name}"], data_type, rows)
        else:
            # writers disagree on whether a NULL struct counts as NULL for its fields
            nulls = None if "." in name else row.get(f"null_count.{name}")
            low, high = row.get(f"min.{name}"), row.get(f"max.{name}")
            bounds = _bounds(low, high, data_type, nulls)
        if bounds is not None:
            columns[logical] = bounds.wide() if loose else bounds
    return FileStatistics(rows, columns, row["path"], loose)


_KINDS = ("partition", "min", "max")


def _family(data_type: pl.DataType) -> str | None:
    if data_type.is_numeric():
        return "number"
    families: dict[type[pl.DataType], str] = {
        pl.String: "string",
        pl.Binary: "binary",
        pl.Boolean: "bool",
        pl.Date: "date",
        pl.Datetime: "timestamp",
    }
    return families.get(data_type.base_type())


def _partition(value: Any, data_type: pl.DataType, rows: int | None) -> ColumnBounds | None:  # noqa: ANN401
    family = _family(data_type)
    if family is None:
        return None
    if value is None or value == "":  # Delta writes a NULL partition value either way
        return ColumnBounds(family, nulls=rows)
    if isinstance(value, float | decimal.Decimal | dt.datetime):
        bounds = _bounds(value, value, data_type, 0)
    else:
        bounds = ColumnBounds.exact(family, _plain(value), _plain(value), 0)
    return bounds


def _bounds(
    low: Any,  # noqa: ANN401 - any type of column
    high: Any,  # noqa: ANN401
    data_type: pl.DataType,
    nulls: int | None,
) -> ColumnBounds | None:
    family = _family(data_type)
    if family is None:
        return None
    return ColumnBounds.published(family, _plain(low), _plain(high), nulls)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Bring a value of polars to the form in which bounds are compared."""
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
        return (aware - _EPOCH) // dt.timedelta(microseconds=1)
    if isinstance(value, dt.date):
        return (value - _DAY_ZERO).days
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value.encode() if isinstance(value, str) else value
