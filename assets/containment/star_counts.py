"""Count the rows that one table shares with each of many, reading each of them once; compiled.

What a new table of a lake costs: range by range its hashes make a table that fits the cache, and those of the
others are looked up in it. Nothing of the others is held, so that this also needs to know how many distinct rows they
have.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np

from assets.containment.pair_counts import NONE_LACKING, Integers
from assets.containment.ranges import Ranged, Ranges
from assets.kernels.compiled import compiled
from assets.kernels.intrinsics import population_count
from assets.kernels.xxh64 import Hashes

RANGE_ROWS = 1 << 16
"""About so many rows of the table in all pairs are in work at once: 2.8 MB."""

_OPEN_AT_ONCE = 256
_BLOCK = 256
_LAST = 2**64 - 1
_BUCKETS_A_KEY = 16
_NOTHING = np.empty(0, np.uint64)


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
    Cost: for each row of the hub a place in a sort, for each row of the others a look-up. All occurrences of one row of
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
        keys, counts = np.unique(np.concatenate([_NOTHING, *own]), return_counts=True)
        words = 1 << max((_BUCKETS_A_KEY * keys.size // 64).bit_length(), 1)
        bitmap, starts = np.zeros(words, np.uint64), np.zeros(words, np.int64)
        index_keys(keys, bits, bitmap, starts)
        keys = np.append(keys, np.uint64(_LAST))  # where any search ends
        marks = np.zeros(counts.size, np.int64)
        distinct += counts.size
        for at, other in enumerate(others):
            met = 0
            for piece in other(number):
                shared, more, least = probe(
                    piece, bits, keys, counts, bitmap, starts, marks, at + 1
                )
                met += shared
                surplus[at] += more
                other_lacking[at] = min(other_lacking[at], least)
            common[at] += met
            if met < counts.size and hub_lacking[at] == NONE_LACKING:
                hub_lacking[at] = keys[first_unmet(marks, at + 1)]
    return StarCounts(distinct, common, surplus, hub_lacking, other_lacking)


@compiled
def _shift(places: int) -> np.uint64:
    """Return by how much to shift a hash so that its first bits are one of so many places, a power of two."""
    bits = 0
    while (1 << bits) < places:
        bits += 1
    return np.uint64(64 - bits)


@compiled
def index_keys(keys: Hashes, skip: int, bitmap: Hashes, starts: Integers) -> None:
    """Note which buckets have a key.

    Parameters
    ----------
    keys : np.ndarray
        Distinct hashes of one range, sorted.
    skip : int
        The bits that all hashes of the range have in common. The buckets go by those after, so that ordered hashes
        walk along the keys.
    bitmap : np.ndarray
        A power of two words of zeros; a bit is set for each bucket with a key.
    starts : np.ndarray
        As many zeros; becomes how many keys are in the buckets of all words before.
    """
    up, fine = np.uint64(skip), _shift(64 * bitmap.size)
    for key in keys:
        at = (key << up) >> fine
        bitmap[at >> np.uint64(6)] |= np.uint64(1) << (at & np.uint64(63))
        starts[at >> np.uint64(6)] += 1
    before = 0
    for word in range(starts.size):
        before, starts[word] = before + starts[word], before


@compiled
def probe(
    hashes: Hashes,
    skip: int,
    keys: Hashes,
    counts: Integers,
    bitmap: Hashes,
    starts: Integers,
    marks: Integers,
    mark: int,
) -> tuple[int, int, np.uint64]:
    """Look hashes of another table up.

    Parameters
    ----------
    hashes : np.ndarray
        Of the same range.
    skip, bitmap, starts
        As of `index_keys`.
    keys : np.ndarray
        n distinct hashes, sorted, and after them the largest there can be.
    counts : np.ndarray
        How often the hub has each of the n.
    marks : np.ndarray
        n, changed in place.
    mark : int
        The number of the other table, from 1 on; greater than that of each before.

    Returns
    -------
    tuple
        How many keys were met for the first time by this table, how many times one was met again that the hub has
        as often, and the least hash that is no key.
    """
    up, fine = np.uint64(skip), _shift(64 * bitmap.size)
    one, six, low = np.uint64(1), np.uint64(6), np.uint64(63)
    base = np.int64(mark) << 32
    met = again = 0
    least = NONE_LACKING
    likely = np.empty(_BLOCK, np.uint64)
    for start in range(0, hashes.size, _BLOCK):
        m = np.uint64(0)
        for value in hashes[start : start + _BLOCK]:  # no branch on what can't be foreseen
            at = (value << up) >> fine
            there = (bitmap[at >> six] >> (at & low)) & one
            likely[m] = value
            m += there
            least = min(least, value | (np.uint64(0) - there))
        for value in likely[:m]:
            at = (value << up) >> fine
            before = bitmap[at >> six] & ((one << (at & low)) - one)
            slot = np.uint64(starts[at >> six]) + population_count(before)
            while keys[slot] < value:  # buckets before it in the word had two, or its own has
                slot += one
            if keys[slot] != value or slot == np.uint64(counts.size):
                least = min(least, value)
                continue
            times = max(marks[slot], base) + 1
            marks[slot] = times
            met += 1
            if times > base + 1:
                met -= 1
                again += times - base <= counts[slot]
    return met, again, least


@compiled
def first_unmet(marks: Integers, mark: int) -> int:
    """Return the first key that the table of this number did not meet; there is one."""
    base = np.int64(mark) << 32
    slot = 0
    while marks[slot] >= base:
        slot += 1
    return slot
