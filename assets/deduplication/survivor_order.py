"""Which record of a cluster is kept: a list of wishes, most important first, by content and never by position.

`source`: the source that is named first (a rule of the recipe, a file of the command). `longest`: the longest
text. `max:COL`, `min:COL`: the largest or smallest value of a column; numbers as numbers and before
other values, those by their text; null last. What still ties falls to the content's hash.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from assets.deduplication.errors import SurvivorOrderError

DEFAULT_ORDER = ("longest",)


def parse_order(order: Sequence[str]) -> list[tuple[str, str | None]]:
    """Read wishes as (kind, column or None).

    Raises
    ------
    SurvivorOrderError
        A wish is not known or comes twice.

    Examples
    --------
    >>> parse_order(["source", "max:stars"])
    [('source', None), ('max', 'stars')]
    """
    found: list[tuple[str, str | None]] = []
    for wish in order:
        kind, _, column = wish.partition(":")
        known = (kind in {"source", "longest"} and wish == kind) or (
            kind in {"max", "min"} and column
        )
        if not known or (kind, column or None) in found:
            message = (
                f"survivor order {wish!r} is not known or comes twice; write source, longest, "
                "max:COLUMN or min:COLUMN, each once"
            )
            raise SurvivorOrderError(message)
        found.append((kind, column or None))
    return found


def wanted_columns(order: Sequence[str]) -> list[str]:
    """Return the columns that the order looks at, each once."""
    return list(dict.fromkeys(column for _, column in parse_order(order) if column is not None))


def known_columns(order: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse an order that looks at a column that records don't have."""
    for column in wanted_columns(order):
        if column not in columns:
            message = (
                f"deduplication.order names the column {column!r}, which no rule keeps; add it to `keep` of the "
                f"rules that have it (records carry {', '.join(columns) or 'no further columns'})"
            )
            raise SurvivorOrderError(message)


def order_columns(records: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """Return the order columns of records: ascending, nulls last, named `order_0` and so on.

    Parameters
    ----------
    records
        `source` (the place of its source), `length` (of its text) and the named columns as strings.
    order
        See above.
    """
    made: list[pl.Expr] = []
    for kind, column in parse_order(order):
        if column is None:
            made.append(pl.col("source") if kind == "source" else -pl.col("length"))
            continue
        sign = -1 if kind == "max" else 1
        number = pl.col(column).cast(pl.Float64, strict=False).fill_nan(None)
        made += [number * sign, pl.col(column).rank("dense").cast(pl.Int64) * sign]
    return records.select(each.alias(f"order_{place}") for place, each in enumerate(made))
