"""The survivor order: a total order of keys by content, never by position.

An order is a frame with a column `key` and order columns, most important first (such as
`source_rank`, then `length_rank`: ascending, so a column of lengths is negated); ties fall to the
key itself, which is a hash of the content. Nulls come last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.deduplication.errors import RankError
from assets.deduplication.keys import KeyLookup, key_numbers

U64 = npt.NDArray[np.uint64]


def sorted_order(order: pl.DataFrame) -> pl.DataFrame:
    """Return key and rank (int64 from 0), sorted by the order.

    Raises
    ------
    RankError
        There is no column `key`, a key is null, or a key occurs twice.
    """
    if "key" not in order.columns:
        message = f"the survivor order has columns {order.columns} and no column 'key'; add it"
        raise RankError(message)
    columns = [name for name in order.columns if name != "key"]
    keys = order["key"]
    numbers = key_numbers(keys)
    if numbers is None:
        if keys.null_count() or keys.n_unique() != len(keys):
            place = int((keys.is_null() | keys.is_duplicated()).arg_max() or 0)
            _refuse(keys[place])
        rows = order.select(pl.arg_sort_by([*columns, "key"], nulls_last=True)).to_series()
    else:
        again = KeyLookup(*numbers).repeated
        if again >= 0:
            _refuse(keys[again])
        rows = _by_columns_and_key(order.select(columns), *numbers)
    return pl.DataFrame(
        {"key": keys.gather(rows), "rank": np.arange(len(keys))},
        schema={"key": pl.String, "rank": pl.Int64},
    )


def _by_columns_and_key(columns: pl.DataFrame, high: U64, low: U64) -> pl.Series:
    """Return the order of rows by some columns and then by their keys."""
    if not columns.width:
        return pl.Series(sorted_rows(high, low).astype(np.uint32))
    names = [f"column_{place}" for place in range(columns.width)]
    renamed = columns.rename(dict(zip(columns.columns, names, strict=True)))
    whole = renamed.with_columns(high=pl.Series(high), low=pl.Series(low))
    return whole.select(pl.arg_sort_by([*names, "high", "low"], nulls_last=True)).to_series()


def _refuse(key: str | None) -> None:
    message = f"key {key!r} is null or occurs twice in the survivor order; give each key once"
    raise RankError(message)


def order_ranks(keys: pa.Array, order: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return the rank of each key; keys that the order lacks come last, all equal."""
    ranked = sorted_order(order)
    from assets.deduplication.name_places import NamePlaces

    places = NamePlaces(ranked["key"]).find(pl.Series("key", keys, dtype=pl.String))
    places[places < 0] = len(ranked)
    return places


def sorted_rows(first: npt.NDArray[np.uint64], *further: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the order of rows by several columns, most important first.

    Only rows that are equal in the first column are compared in the others, which is fast where it
    tells most of them apart. Rows that are equal in all come in any order.
    """
    order = np.argsort(first)
    ahead = first[order]
    tied = np.zeros(len(order) + 1, bool)
    tied[1:-1] = ahead[1:] == ahead[:-1]
    places = np.flatnonzero(tied[1:] | tied[:-1])
    if len(places):
        rows = order[places]
        within = np.lexsort([column[rows] for column in (*further[::-1], first)])
        order[places] = rows[within]
    return order
