"""Count the rows that one table shares with each of many, reading each of them once; compiled.

What a new table of a lake costs: range by range its hashes make a table that fits the cache, and those of the
others are looked up in it. Nothing of the others is held, so that this also needs to know how many distinct rows they
have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from assets.containment.pair_counts import NONE_LACKING, Integers
from assets.containment.ranges import Ranged, Ranges
from assets.kernels.xxh64 import Hashes

Counts = npt.NDArray[np.int32]

RANGE_ROWS = 1 << 16
"""About so many rows of the table in all pairs are in work at once: 2.8 MB."""

_OPEN_AT_ONCE = 256
_BLOCK = 256
_LAST = 2**64 - 1

_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    compiled: _F = numba.njit(cache=True, nogil=True)(function)
    return compiled


class StarCounts(NamedTuple):
    """What `count_star` found, by other table.

    Attributes
    ----------
    distinct
        Distinct rows of the hub.
    common, surplus
        Shared distinct rows; further shared rows, the sum of min(count in hub, count in other) - 1.
    hub_lacking, other_lacking
        The least hash of the hub that the other lacks, and of the other that the hub lacks;
        `NONE_LACKING` if there is none.
    """

    distinct: int
    common: Integers
    surplus: Integers
    hub_lacking: Hashes
    other_lacking: Hashes


def count_star(hub: Ranged, others: Sequence[Ranged], *, workers: int) -> StarCounts:
    """Count what a table shares with each of some others.

    Parameters
    ----------
    hub
        The row hashes of the table.
    others
        The row hashes of the others.
    workers
        Threads.

    Notes
    -----
    Cost: for each row of the hub an insertion, for each row of the others a look-up. All occurrences of one row of
    the hub are in work together.
    """
    bits = max(1, ((max(hub.size, 1) - 1) // RANGE_ROWS).bit_length())
    edges = np.linspace(0, 1 << bits, min(workers, 1 << bits) + 1).astype(int).tolist()
    found: list[StarCounts] = []
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(others), _OPEN_AT_ONCE):
            with ExitStack() as stack:
                own = stack.enter_context(hub.by_range(bits))
                block = [
                    stack.enter_context(other.by_range(bits))
                    for other in others[start : start + _OPEN_AT_ONCE]
                ]
                count = partial(_count_ranges, own, block, bits)
                found.append(_added(list(pool.map(count, edges[:-1], edges[1:]))))
    return StarCounts(found[0].distinct, *map(np.concatenate, list(zip(*found, strict=True))[1:]))


def _added(parts: Sequence[StarCounts]) -> StarCounts:
    distinct, common, surplus, hub, other = zip(*parts, strict=True)
    least = np.minimum.reduce
    return StarCounts(sum(distinct), sum(common), sum(surplus), least(hub), least(other))


def _count_ranges(
    hub: Ranges, others: Sequence[Ranges], bits: int, first: int, stop: int
) -> StarCounts:
    """Count over some ranges, in ascending order: a hash that is lacked in one is less than those in later ones."""
    common, surplus = np.zeros((2, len(others)), np.int64)
    hub_lacking, other_lacking = np.full((2, len(others)), NONE_LACKING)
    distinct = 0
    for number in range(first, stop):
        own = hub(number)
        place_bits = (2 * max(sum(piece.size for piece in own), 32) - 1).bit_length()
        # what stands for no hash is a hash of another range
        keys = np.full(1 << place_bits, 0 if number else _LAST, np.uint64)
        counts, marks = np.zeros(keys.size, np.int32), np.zeros(keys.size, np.int64)
        bitmap = np.zeros(keys.size // 8, np.uint64)
        before = distinct
        for piece in own:
            distinct += insert(piece, bits, keys, counts, bitmap)
        for at, other in enumerate(others):
            met = 0
            for piece in other(number):
                shared, more, least = probe(piece, bits, keys, counts, bitmap, marks, at + 1)
                met += shared
                surplus[at] += more
                other_lacking[at] = min(other_lacking[at], least)
            common[at] += met
            if met < distinct - before and hub_lacking[at] == NONE_LACKING:
                hub_lacking[at] = least_unmet(keys, counts, marks, at + 1)
    return StarCounts(distinct, common, surplus, hub_lacking, other_lacking)


@_compiled
def _shift(places: int) -> np.uint64:
    """Return by how much to shift a hash so that its first bits are one of so many places, a power of two."""
    bits = 0
    while (1 << bits) < places:
        bits += 1
    return np.uint64(64 - bits)


@_compiled
def insert(hashes: Hashes, skip: int, keys: Hashes, counts: Counts, bitmap: Hashes) -> int:
    """Count hashes in a table; return how many are new.

    Parameters
    ----------
    hashes : np.ndarray
        Of one range.
    skip : int
        The bits that all hashes of the range have in common. The places go by those after, so that ordered hashes
        walk along the table.
    keys, counts : np.ndarray
        Hash and occurrences by place, changed in place; where there is none, the key is of another range. A power of
        two places, more than hashes.
    bitmap : np.ndarray
        Words whose bits tell where hashes are, eight times as finely; changed in place.
    """
    up, shift, fine = np.uint64(skip), _shift(keys.size), _shift(64 * bitmap.size)
    last = np.uint64(keys.size - 1)
    fresh = 0
    for value in hashes:
        slot = (value << up) >> shift
        while counts[slot] and keys[slot] != value:
            slot = (slot + np.uint64(1)) & last
        keys[slot] = value
        at = (value << up) >> fine
        bitmap[at >> np.uint64(6)] |= np.uint64(1) << (at & np.uint64(63))
        fresh += counts[slot] == 0
        counts[slot] += 1
    return fresh


@_compiled
def probe(
    hashes: Hashes,
    skip: int,
    keys: Hashes,
    counts: Counts,
    bitmap: Hashes,
    marks: Integers,
    mark: int,
) -> tuple[int, int, np.uint64]:
    """Look hashes of another table up.

    Parameters
    ----------
    hashes, skip, keys, counts, bitmap
        As of `insert`.
    marks : np.ndarray
        By place; changed in place.
    mark : int
        The number of the other table, from 1 on; greater than that of each before.

    Returns
    -------
    tuple
        How many places were met for the first time by this table, how many times one was met again that the hub has
        as often, and the least hash that has none.
    """
    up, shift, fine = np.uint64(skip), _shift(keys.size), _shift(64 * bitmap.size)
    one, last = np.uint64(1), np.uint64(keys.size - 1)
    base = np.int64(mark) << 32
    met = again = 0
    least = NONE_LACKING
    likely = np.empty(_BLOCK, np.uint64)
    for start in range(0, hashes.size, _BLOCK):
        m = np.uint64(0)
        for value in hashes[start : start + _BLOCK]:  # no branch on what can't be foreseen
            at = (value << up) >> fine
            there = (bitmap[at >> np.uint64(6)] >> (at & np.uint64(63))) & one
            likely[m] = value
            m += there
            least = min(least, value | (np.uint64(0) - there))
        for value in likely[:m]:
            slot = (value << up) >> shift
            while keys[slot] != value and counts[slot]:
                slot = (slot + one) & last
            if keys[slot] != value:
                least = min(least, value)
                continue
            times = max(marks[slot], base) + 1
            marks[slot] = times
            met += 1
            if times > base + 1:
                met -= 1
                again += times - base <= counts[slot]
    return met, again, least


@_compiled
def least_unmet(keys: Hashes, counts: Counts, marks: Integers, mark: int) -> np.uint64:
    """Return the least key that the table of this number did not meet."""
    base = np.int64(mark) << 32
    least = NONE_LACKING
    for slot in range(keys.size):
        if counts[slot] and marks[slot] < base:
            least = min(least, keys[slot])
    return least
