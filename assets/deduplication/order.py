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
    if keys.null_count() or keys.n_unique() != len(keys):
        twice = order.filter(pl.col("key").is_duplicated() | pl.col("key").is_null())["key"][0]
        message = f"key {twice!r} is null or occurs twice in the survivor order; give each key once"
        raise RankError(message)
    by = [*columns, "key"]
    return (
        order.sort(by, nulls_last=True)
        .select("key")
        .with_row_index("rank")
        .select("key", pl.col("rank").cast(pl.Int64))
    )


def order_ranks(keys: pa.Array, order: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return the rank of each key; keys that the order lacks come last, all equal."""
    ranked = sorted_order(order)
    column = pl.Series("key", keys)
    joined = pl.DataFrame({"key": column.cast(pl.String)}).join(
        ranked, on="key", how="left", maintain_order="left"
    )
    return joined["rank"].fill_null(len(ranked)).to_numpy().astype(np.int64)


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
