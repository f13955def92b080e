"""Types for columns landed as strings, and the view that casts them.

A column gets a type only if every cell that is not null is written the way that type is written, so
that nothing is lost by the cast: no leading zeros or plus signs, no NaN words, ISO dates only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

import polars as pl
import pyarrow as pa

_INTEGER = r"^(?:0|-?[1-9][0-9]*)$"
_FLOAT = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIMESTAMP = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?$"
)
_ZONE = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
_BOOLEANS = (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))

ALL_TYPES = ("int64", "float64", "bool_lower", "bool_title", "bool_upper", "date", "naive", "zoned")
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def canonical_integer(text: str) -> bool:
    """Return whether a text is an int64 in canonical form ("0", "-17"; not "+1", "01", "-0")."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
        return False
    value = int(text)
    return str(value) == text and -(1 << 63) <= value < 1 << 63


class ColumnTypes:
    """Which types one column's cells still allow: a set that only shrinks."""

    __slots__ = ("possible", "seen")

    def __init__(self) -> None:
        self.possible = frozenset(ALL_TYPES)
        self.seen = False

    def merge(self, other: ColumnTypes) -> None:
        """Take over what another state saw; commutative and associative."""
        self.possible &= other.possible
        self.seen |= other.seen

    def result(self) -> pa.DataType:
        """Return int64, float64, bool, date32, timestamp[us] (UTC if zoned) or string."""
        if not self.seen or not self.possible:
            return pa.string()
        if "int64" in self.possible:
            return pa.int64()
        if "float64" in self.possible:
            return pa.float64()
        if "date" in self.possible:
            return pa.date32()
        if "naive" in self.possible:
            return pa.timestamp("us")
        if "zoned" in self.possible:
            return pa.timestamp("us", tz="UTC")
        return pa.bool_()


class TypeState:
    """Mergeable type inference for the columns of one table.

    Notes
    -----
    The result depends neither on the order of rows nor on how they are split. Cost: the patterns
    that a column still allows, over its cells; a text column drops out after its first batch.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = {name: ColumnTypes() for name in columns}

    def update(self, batch: pa.RecordBatch | pa.Table | pl.DataFrame) -> None:
        """Take a batch of string columns into account; other columns are ignored."""
        names = [name for name, state in self.columns.items() if not state.seen or state.possible]
        if not names:
            return
        frame = batch.select(names)
        if not isinstance(frame, pl.DataFrame):
            frame = pl.DataFrame(frame, schema=dict.fromkeys(names, pl.String))
        if frame.is_empty():
            return
        first = frame.select(pl.all().drop_nulls().first()).row(0, named=True)
        likely: dict[str, list[str]] = {}
        for name, cell in first.items():
            if cell is not None:
                state = self.columns[name]
                state.seen = True
                # one cell rules out most types before a column is looked at in full
                likely[name] = [kind for kind in state.possible if _may_be(cell, kind)]
        for name, fitting in _fitting(frame, likely).items():
            self.columns[name].possible = fitting

    def merge(self, other: TypeState) -> None:
        """Take over what another state of the same table saw."""
        for name, state in self.columns.items():
            state.merge(other.columns[name])

    def result(self) -> dict[str, pa.DataType]:
        """Return the type of each column."""
        return {name: state.result() for name, state in self.columns.items()}


def typed(frame: Frame, types: dict[str, pa.DataType]) -> Frame:
    """Cast landed strings to their inferred types; other columns pass unchanged.

    Raises
    ------
    polars.exceptions.InvalidOperationError
        If a cell is not of its column's type: the types are not those of this data.
    """
    casts = [_cast(name, kind) for name, kind in types.items() if not pa.types.is_string(kind)]
    return frame.with_columns(casts) if casts else frame


def _cast(name: str, kind: pa.DataType) -> pl.Expr:
    column = pl.col(name)
    if pa.types.is_int64(kind):
        return column.cast(pl.Int64)
    if pa.types.is_float64(kind):
        return column.cast(pl.Float64)
    if pa.types.is_boolean(kind):
        return column.str.to_lowercase() == "true"
    if pa.types.is_date32(kind):
        return column.str.to_date("%Y-%m-%d")
    return _timestamp(column, zoned=kind.tz is not None)


def _timestamp(column: pl.Expr, *, zoned: bool, strict: bool = True) -> pl.Expr:
    plain = column.str.replace("T", " ", literal=True)
    if not zoned:
        return plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=strict)
    offset = plain.str.replace("Z$", "+0000").str.replace(r"([+-]\d{2}):(\d{2})$", "${1}${2}")
    return offset.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", strict=strict)


_PATTERNS = {
    "int64": re.compile(_INTEGER),
    "float64": re.compile(_FLOAT),
    "date": re.compile(_DATE),
    "naive": re.compile(_TIMESTAMP),
    "zoned": re.compile(_TIMESTAMP),
}


def _may_be(cell: str, name: str) -> bool:
    """Tell whether one cell is written as a type is; never False for a cell that `_fits` accepts."""
    if name.startswith("bool"):
        return cell.lower() in ("true", "false")
    return _PATTERNS[name].search(cell) is not None


def _fitting(frame: pl.DataFrame, likely: dict[str, list[str]]) -> dict[str, frozenset[str]]:
    """Say which of some types all cells of each column are written as; two passes for all columns."""
    pairs = [(name, kind) for name, kinds in likely.items() for kind in kinds]
    plain = [pair for pair in pairs if pair[1] != "float64" or "int64" not in likely[pair[0]]]
    fits = dict(zip(plain, _row(frame, [_fits(pl.col(n), k) for n, k in plain]), strict=True))
    left = [pair for pair in pairs if pair not in fits]
    # whole numbers in canonical form are floats but for those that lose digits
    exprs = [_short(pl.col(n)) if fits[n, "int64"] else _fits(pl.col(n), k) for n, k in left]
    fits |= dict(zip(left, _row(frame, exprs), strict=True))
    return {name: frozenset(k for k in kinds if fits[name, k]) for name, kinds in likely.items()}


def _row(frame: pl.DataFrame, exprs: list[pl.Expr]) -> list[bool]:
    if not exprs:
        return []
    return list(frame.select(expr.alias(str(i)) for i, expr in enumerate(exprs)).row(0))


def _fits(cells: pl.Expr, name: str) -> pl.Expr:
    if name.startswith("bool"):
        words = _BOOLEANS[("bool_lower", "bool_title", "bool_upper").index(name)]
        return cells.is_in(words).all()
    patterns = {"int64": _INTEGER, "float64": _FLOAT, "date": _DATE}
    written = cells.str.contains(patterns.get(name, _TIMESTAMP)).all()
    if name == "int64":
        return written & _parsed(cells, cells.cast(pl.Int64, strict=False))
    if name == "float64":
        values = cells.cast(pl.Float64, strict=False)
        return written & _parsed(cells, values) & values.is_finite().all() & _short(cells)
    if name == "date":
        return written & _parsed(cells, cells.str.to_date("%Y-%m-%d", strict=False))
    zoned = name == "zoned"
    has_zone = cells.str.contains(_ZONE)
    zones = has_zone.all() if zoned else ~has_zone.any()
    return written & zones & _parsed(cells, _timestamp(cells, zoned=zoned, strict=False))


def _parsed(cells: pl.Expr, values: pl.Expr) -> pl.Expr:
    return values.null_count() == cells.null_count()


def _short(cells: pl.Expr) -> pl.Expr:
    # integers too long for int64 are identifiers more often than measurements: a float loses digits
    return ~cells.str.contains(r"^-?[0-9]{17,}$").any()


def infer_types(
    batches: Iterable[pa.RecordBatch | pa.Table | pl.DataFrame], columns: Sequence[str]
) -> dict[str, pa.DataType]:
    """Infer the types of the named string columns over a stream of batches."""
    state = TypeState(columns)
    for batch in batches:
        state.update(batch)
    return state.result()
