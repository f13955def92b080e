"""Find a short predicate that selects exactly some rows of a table: the reason why a subset was one.

Conditions are ``=``, ``<=``, ``>=`` and ``in`` on one column each. The tightest condition of each kind
that all wanted rows meet excludes the most of the others, so a conjunction of at most three conditions
is exact if and only if some three of the tightest ones are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Operator = Literal["=", "in", ">=", "<="]
Batches = Callable[[], Iterable[tuple[pa.Table, Mask]]]

MOST_CONDITIONS = 3
MOST_VALUES = 16
"""Values that an ``in`` may list."""

_MOST_TEXT = 200
_MOST_TRIED = 48


@dataclass(frozen=True)
class Condition:
    """One condition; dates and times are compared as integers, in the column's own unit."""

    column: str
    operator: Operator
    values: tuple[Any, ...]

    def holds(self, table: pa.Table) -> Mask:
        """Return for each row whether it meets the condition; NULL and NaN never do."""
        column = _comparable(table.column(self.column))
        if column is None:
            return np.zeros(table.num_rows, np.bool_)
        if self.operator in ("=", "in"):
            met = pc.is_in(column, value_set=pa.array(self.values, column.type))
        else:
            compare = pc.greater_equal if self.operator == ">=" else pc.less_equal
            met = compare(column, pa.scalar(self.values[0], column.type))
        return np.asarray(pc.fill_null(met, fill_value=False).to_numpy(zero_copy_only=False), bool)

    def plain(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return {"column": self.column, "operator": self.operator, "values": list(self.values)}

    def __str__(self) -> str:
        if self.operator == "in":
            return f"{self.column} in ({', '.join(map(repr, self.values))})"
        return f"{self.column} {self.operator} {self.values[0]!r}"


def condition(told: dict[str, Any]) -> Condition:
    """Read what `Condition.plain` wrote."""
    return Condition(told["column"], told["operator"], tuple(told["values"]))


def holds(conditions: Sequence[Condition], table: pa.Table) -> Mask:
    """Return for each row whether it meets all conditions; with none all do."""
    met = np.ones(table.num_rows, np.bool_)
    for one in conditions:
        met &= one.holds(table)
    return met


def learn(batches: Batches, columns: Sequence[str]) -> list[Condition] | None:
    """Find a shortest predicate that selects exactly the wanted rows.

    Parameters
    ----------
    batches
        Streams (rows, which of them are wanted); called twice, with the same answer.
    columns
        The columns to try; nested, decimal and binary ones are passed over.

    Returns
    -------
    list of Condition or None
        At most `MOST_CONDITIONS`, without lists of values if that can be; of as many conditions those whose columns
        come first. Empty if all rows are wanted, None if no predicate is exact.

    Notes
    -----
    Exact: what is returned was evaluated on every row. If more than 48 conditions exclude anything,
    the 48 that exclude most are combined. Memory: a bit for each condition and row.
    """
    spans = {name: _Span() for name in columns}
    unwanted = 0
    for table, wanted in batches():
        rows = table.filter(pa.array(wanted))
        unwanted += int(table.num_rows - rows.num_rows)
        for name, span in spans.items():
            span.update(rows.column(name))
    if not unwanted:
        return []
    tried = [one for name, span in spans.items() for one in span.conditions(name)]
    left: list[list[npt.NDArray[np.uint8]]] = [[] for _ in tried]
    fits = [True] * len(tried)
    for table, wanted in batches():
        for number, one in enumerate(tried):
            met = one.holds(table)
            fits[number] &= bool(met[wanted].all())
            left[number].append(np.packbits(met[~wanted]))
    packed = [
        (one, np.concatenate(bits)) for one, bits, fit in zip(tried, left, fits, strict=True) if fit
    ]
    # a list of values explains the least: with as many values as rows it only names them
    ranges = _cover([(one, bits) for one, bits in packed if one.operator != "in"], unwanted)
    return ranges if ranges is not None else _cover(packed, unwanted)


def _cover(
    packed: Sequence[tuple[Condition, npt.NDArray[np.uint8]]], unwanted: int
) -> list[Condition] | None:
    """Find the fewest conditions that no unwanted row meets together."""
    counted = [(int(np.bitwise_count(bits).sum()), at) for at, (_, bits) in enumerate(packed)]
    useful = sorted((n, at) for n, at in counted if n < unwanted)[:_MOST_TRIED]
    order = sorted(at for _, at in useful)
    for size in range(1, MOST_CONDITIONS + 1):
        for chosen in combinations(order, size):
            rest = packed[chosen[0]][1]
            for at in chosen[1:]:
                rest = rest & packed[at][1]
            if not rest.any():
                return [packed[at][0] for at in chosen]
    return None


@dataclass
class _Span:
    """The least and greatest of the wanted values of a column, and all of them while they are few."""

    least: Any = None
    greatest: Any = None
    values: set[Any] | None = field(default_factory=set)
    usable: bool = True

    def update(self, rows: pa.ChunkedArray) -> None:
        column = _comparable(rows) if self.usable else None
        self.usable = column is not None and column.null_count == 0
        if column is None or not self.usable or not len(column):
            return
        if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
            self.usable = False
            return
        ends = pc.min_max(column).as_py()
        self.least = ends["min"] if self.least is None else min(self.least, ends["min"])
        self.greatest = ends["max"] if self.greatest is None else max(self.greatest, ends["max"])
        if self.values is not None:
            self.values |= set(column.unique().to_pylist())
            if len(self.values) > MOST_VALUES:
                self.values = None

    def conditions(self, name: str) -> list[Condition]:
        """List the tightest conditions, the plainest first."""
        if not self.usable or self.least is None:
            return []
        if any(isinstance(v, str) and len(v) > _MOST_TEXT for v in (self.least, self.greatest)):
            return []
        if self.least == self.greatest:
            return [Condition(name, "=", (self.least,))]
        found = [
            Condition(name, operator, (value,))
            for operator, value in _ends(self.least, self.greatest)
            if not (isinstance(value, float) and math.isinf(value))
        ]
        if self.values is not None and all(len(str(v)) <= _MOST_TEXT for v in self.values):
            found.append(Condition(name, "in", tuple(sorted(self.values))))
        return found


def _ends(least: object, greatest: object) -> list[tuple[Operator, object]]:
    return [(">=", least), ("<=", greatest)]


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return a column as 64-bit integers, floats or strings, or None where it is none of these."""
    kind, types = column.type, pa.types
    try:
        if types.is_boolean(kind) or types.is_integer(kind):
            return column.cast(pa.int64())
        if types.is_floating(kind):
            return column.cast(pa.float64())
        if types.is_date32(kind):
            return column.cast(pa.int32()).cast(pa.int64())
        if types.is_timestamp(kind) or types.is_date64(kind):
            return column.cast(pa.int64())
        if types.is_string(kind) or types.is_large_string(kind):
            return column.cast(pa.string())
    except pa.ArrowInvalid:  # unsigned beyond 63 bits
        return None
    return None
