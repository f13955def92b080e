"""Small mergeable summaries of columns: nulls and bounds, from the rows themselves.

Bounds from metadata, which may be loose, are in `metadata_bounds`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

BOUND_CHARACTERS = 256
_LAST = 0x10FFFF


@dataclass(slots=True)
class ColumnSummary:
    """Type, nulls and bounds of one column.

    Attributes
    ----------
    type
        Arrow type, in words.
    nulls
        Number of nulls (NaN is no null); None where metadata does not say.
    min, max
        Canonical texts (`canonical`) of the least and greatest value, or None: no value, or
        unknown. Numbers compare as numbers, texts by code point. NaN is left out, -0.0 is 0.0.
    bounds_exact
        Whether min and max are values of the column (or there are none to find). If not, they still
        enclose all values; a bound that is None is then unknown.
    """

    type: str
    nulls: int | None
    min: str | None
    max: str | None
    bounds_exact: bool


class ColumnState:
    """Gather the summary of one column over batches.

    `merge` is commutative and associative; the result depends on no order and no batch size.
    """

    __slots__ = ("exact", "high", "kind", "known", "low", "nulls")

    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind
        self.nulls: int | None = 0
        self.low: Any = None
        self.high: Any = None
        self.exact = True
        self.known = not unbounded(kind)

    def update(self, column: pa.Array | pa.ChunkedArray) -> None:
        """Take a batch of values of this column's type into account. Cost: one pass."""
        if self.nulls is not None:
            self.nulls += column.null_count
        if not self.known or column.null_count == len(column):
            return
        values = column
        if pa.types.is_floating(self.kind):
            if pa.types.is_float16(self.kind):
                values = values.cast(pa.float32())
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        if pa.types.is_boolean(self.kind):
            values = values.cast(pa.uint8())
        ends = pc.min_max(values)
        try:
            low, high = _value(ends["min"]), _value(ends["max"])
        except OverflowError:  # a date beyond the years 1 to 9999, which Python lacks
            self.forget_bounds()
            return
        if low is not None and pa.types.is_boolean(self.kind):
            low, high = bool(low), bool(high)
        self.widen(low, high)

    def widen(self, low: Any, high: Any) -> None:  # noqa: ANN401 - values of any ordered type
        """Let the bounds enclose two more values; None is passed over."""
        if low is not None:
            low = _zero(low)
            self.low = low if self.low is None else min(self.low, low)
        if high is not None:
            high = _zero(high)
            self.high = high if self.high is None else max(self.high, high)

    def merge(self, other: ColumnState) -> None:
        """Take over what another state of the same column saw."""
        self.nulls = None if self.nulls is None or other.nulls is None else self.nulls + other.nulls
        self.widen(other.low, other.high)
        self.exact = self.exact and other.exact
        self.known = self.known and other.known

    def forget_bounds(self) -> None:
        """Note that bounds cannot be known."""
        self.known = False

    def result(self) -> ColumnSummary:
        """Return the summary; texts beyond 256 characters are cut so that they enclose."""
        if not self.known:
            return ColumnSummary(str(self.kind), self.nulls, None, None, bounds_exact=False)
        low, high, exact = self.low, self.high, self.exact
        if isinstance(low, str) and len(low) > BOUND_CHARACTERS:
            low, exact = low[:BOUND_CHARACTERS], False
        if isinstance(high, str) and len(high) > BOUND_CHARACTERS:
            high, exact = text_above(high[:BOUND_CHARACTERS]), False
        return ColumnSummary(
            str(self.kind), self.nulls, canonical(low), canonical(high), bounds_exact=exact
        )


class TableSummary:
    """Column states of one table, over batches of its typed view."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self.columns = {field.name: ColumnState(field.type) for field in schema}

    def update(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Take a batch into account; its columns are cast to the types stated at the start."""
        self.rows += batch.num_rows
        for name, state in self.columns.items():
            column = batch.column(name)
            state.update(column if column.type == state.kind else column.cast(state.kind))

    def merge(self, other: TableSummary) -> None:
        """Take over what another summary of the same table saw."""
        self.rows += other.rows
        for name, state in self.columns.items():
            state.merge(other.columns[name])

    def result(self) -> dict[str, ColumnSummary]:
        """Return the summary of each column."""
        return {name: state.result() for name, state in self.columns.items()}


def unbounded(kind: pa.DataType) -> bool:
    """Return whether a type has no bounds here: nested types, binary, and durations."""
    types: Any = pa.types
    return not (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
        or types.is_time(kind)
        or types.is_decimal(kind)
    )


def canonical(value: Any) -> str | None:  # noqa: ANN401 - a value of any ordered type
    """Return the text of a bound.

    Integers in decimal, floats so that they round-trip ("1.0", "1e+300", "inf"), "true" and
    "false", ISO 8601 dates and times, timestamps with six digits of a second and "+00:00" if they
    have a zone, texts as they are.
    """
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case dt.datetime():
            return value.isoformat(timespec="microseconds")
        case dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal():
            return format(value, "f")
    return str(value)


def text_above(prefix: str) -> str | None:
    """Return a text above every text that starts with this prefix, or None if there is none."""
    for i in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[i]) + 1
        if 0xD800 <= code <= 0xDFFF:
            code = 0xE000
        if code <= _LAST:
            return prefix[:i] + chr(code)
    return None


def _zero(value: Any) -> Any:  # noqa: ANN401
    return value + 0.0 if isinstance(value, float) and not math.isinf(value) else value


def _value(scalar: Any) -> Any:  # noqa: ANN401
    """Return a Python value; timestamps finer than microseconds are kept as texts would be cut."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(kind):
        utc = pa.timestamp(kind.unit, tz="UTC" if kind.tz else None)
        return Instant.of(scalar.cast(pa.int64()).as_py(), utc)
    return scalar.as_py()


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """A timestamp in nanoseconds since 1970: years beyond Python's 1 to 9999 included."""

    nanoseconds: int
    zoned: bool = False

    @classmethod
    def of(cls, count: int, kind: pa.DataType) -> Instant:
        """Return the instant of a count in the unit of a timestamp type."""
        scale = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
        return cls(count * scale, kind.tz is not None)

    def __str__(self) -> str:
        seconds, nanoseconds = divmod(self.nanoseconds, 10**9)
        zone = "+00:00" if self.zoned else ""
        try:
            moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
        except OverflowError:
            return f"{self.nanoseconds}ns"
        digits = f"{nanoseconds:09d}"
        fraction = digits if not digits.endswith("000") else digits[:6]
        return f"{moment.isoformat(timespec='seconds')}.{fraction}{zone}"
