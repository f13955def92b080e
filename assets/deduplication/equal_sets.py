"""Collapse texts with equal shingle sets, so that copies of a text cost no comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.errors import ChangedTextError
from assets.deduplication.keys import format_keys

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def sorted_rows(first: U64, *further: npt.NDArray[Any]) -> I64:
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


def equal_sets(digests: U64, sizes: I64, high: U64, low: U64) -> tuple[I64, I64]:
    """Return the number of each text's set, and each set's text with the smallest key."""
    order = sorted_rows(np.ascontiguousarray(digests[:, 0]), digests[:, 1], sizes, high, low)
    table = digests[order]
    new = np.ones(len(order), bool)
    new[1:] = (table[1:] != table[:-1]).any(axis=1) | (np.diff(sizes[order]) != 0)
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    again = sorted_rows(high, low)
    same = (np.diff(high[again]) == 0) & (np.diff(low[again]) == 0)
    if bool((same & (group[again][1:] != group[again][:-1])).any()):
        place = again[1:][same & (group[again][1:] != group[again][:-1])][:1]
        key = format_keys(high[place], low[place])[0].as_py()
        message = f"key {key} was added with two different texts; give each text a key of its own"
        raise ChangedTextError(message)
    return group, order[new]


def twins(high: U64, low: U64, group: I64, first: I64) -> pl.DataFrame:
    """Return key and representative of every text that shares its set with another key."""
    leader = first[group]
    several = np.zeros(len(first), bool)
    other = (high != high[leader]) | (low != low[leader])
    several[group[other]] = True
    rows = np.flatnonzero(several[group])
    rows = rows[np.lexsort((low[rows], high[rows]))]
    again = (np.diff(high[rows]) == 0) & (np.diff(low[rows]) == 0)
    rows = rows[np.concatenate([[True], ~again])] if len(rows) else rows
    lead = leader[rows]
    return pl.DataFrame(
        {
            "key": pl.Series(format_keys(high[rows], low[rows]), dtype=pl.String),
            "representative": pl.Series(format_keys(high[lead], low[lead]), dtype=pl.String),
        }
    )


def survivor_places(
    group: I64, groups: int, sizes: I64, high: U64, low: U64, rank: I64 | None
) -> I64:
    """Return the place of each distinct set in the survivor order of its best text."""
    if rank is None:
        # sizes and the first bits of the key in one number; where those do not tell, all of them
        size = np.minimum(sizes, (1 << 24) - 1).astype(np.uint64)
        whole = np.where(size < (1 << 24) - 1, high >> np.uint64(24), np.uint64(0))
        packed = ((np.uint64((1 << 24) - 1) - size) << np.uint64(40)) | whole
        order = sorted_rows(packed, -sizes, high, low)
    else:
        best = np.full(groups, np.iinfo(np.int64).max, np.int64)
        np.minimum.at(best, group, rank)
        order = np.argsort(best, kind="stable")
    place = np.empty(groups, np.int64)
    place[order] = np.arange(groups)
    return place
