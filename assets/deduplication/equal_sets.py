"""Collapse texts with equal shingle sets, so that copies of a text cost no comparisons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.errors import ChangedTextError
from assets.deduplication.first_pass import distinct_sets
from assets.deduplication.keys import format_keys, mixed_keys
from assets.deduplication.order import sorted_rows

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def equal_sets(digests: U64, sizes: I64, member: I64, high: U64, low: U64) -> tuple[I64, I64, I64]:
    """Give each distinct set a number.

    Parameters
    ----------
    digests, sizes
        (rows, 2) and (rows,) of sets, some of them equal.
    member, high, low
        (n,) the row of each text's set, and its key.

    Returns
    -------
    group, first, sample
        (n,) number of each text's set; of each number the text with the smallest key, and a row.
    """
    from assets.deduplication.key_kernels import may_repeat

    sample, number = distinct_sets(digests, sizes)
    group = number[member]
    doubtful = may_repeat(mixed_keys(high, low).astype(np.uint32))
    order = doubtful[sorted_rows(high[doubtful], low[doubtful])]
    same = (np.diff(high[order]) == 0) & (np.diff(low[order]) == 0)
    wrong = same & (group[order][1:] != group[order][:-1])
    if bool(wrong.any()):
        place = order[1:][wrong][:1]
        key = format_keys(high[place], low[place])[0].as_py()
        message = f"key {key} was added with two different texts; give each text a key of its own"
        raise ChangedTextError(message)
    alone = np.bincount(group, minlength=len(sample))[group] == 1
    first = np.empty(len(sample), np.int64)
    first[group[alone]] = np.flatnonzero(alone)
    shared = np.flatnonzero(~alone)
    order = shared[sorted_rows(high[shared], low[shared])]
    first[group[order[::-1]]] = order[::-1]  # the last one written is the smallest key
    return group, first, sample


def twins(high: U64, low: U64, group: I64, first: I64) -> pl.DataFrame:
    """Return key and representative of every text that shares its set with another key."""
    leader = first[group]
    several = np.zeros(len(first), bool)
    other = (high != high[leader]) | (low != low[leader])
    several[group[other]] = True
    rows = np.flatnonzero(several[group])
    rows = rows[sorted_rows(high[rows], low[rows])]
    again = (np.diff(high[rows]) == 0) & (np.diff(low[rows]) == 0)
    rows = rows[np.concatenate([[True], ~again])] if len(rows) else rows
    lead, name = np.unique(leader[rows], return_inverse=True)
    names = pl.Series(format_keys(high[lead], low[lead]), dtype=pl.String)
    return pl.DataFrame(
        {
            "key": pl.Series(format_keys(high[rows], low[rows]), dtype=pl.String),
            "representative": names.gather(name.astype(np.uint32)),
        },
        schema={"key": pl.String, "representative": pl.String},
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
