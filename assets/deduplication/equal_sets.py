"""Collapse texts with equal shingle sets, so that copies of a text cost no comparisons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.errors import ChangedTextError
from assets.deduplication.keys import format_keys

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def equal_sets(digests: U64, sizes: I64, high: U64, low: U64) -> tuple[I64, I64]:
    """Return the number of each text's set, and each set's text with the smallest key."""
    order = np.lexsort((low, high, sizes, digests[:, 1], digests[:, 0]))
    table = digests[order]
    new = np.ones(len(order), bool)
    new[1:] = (table[1:] != table[:-1]).any(axis=1) | (np.diff(sizes[order]) != 0)
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    again = np.lexsort((low, high))
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
        order = np.lexsort((low, high, -sizes))
    else:
        best = np.full(groups, np.iinfo(np.int64).max, np.int64)
        np.minimum.at(best, group, rank)
        order = np.argsort(best, kind="stable")
    place = np.empty(groups, np.int64)
    place[order] = np.arange(groups)
    return place
