"""Count the rows that one table shares with each of many, reading each of them once; compiled.

What a new table of a lake costs: its rows make a table of distinct hashes, and the others are looked up in it as
they come. Nothing of the others is held, so that this also needs to know how many distinct rows they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from assets.containment.pair_counts import NONE_LACKING, Integers
from assets.kernels.xxh64 import Hashes

Pieces = Callable[[], Iterable[Hashes]]
"""Gives the hashes of a table, piece by piece, as often as it is called."""

Counts = npt.NDArray[np.int32]

PLACE_BYTES = 12
"""Memory for a place of the table of hashes; 4 more for each thread."""

PLACES_A_ROW = 3
"""There are at most so many places a row, and at least half as many."""

_EMPTY = np.uint64(2**64 - 1)
_BLOCK = 256

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


def count_star(
    hub: Pieces, hub_rows: int, others: Sequence[Pieces], *, chunk_bits: int, workers: int
) -> StarCounts:
    """Count what a table shares with each of some others.

    Parameters
    ----------
    hub
        The row hashes of the table.
    hub_rows
        How many they are.
    others
        The row hashes of the others.
    chunk_bits
        Hashes are dealt with in 2**chunk_bits groups, by their first bits; each reads all tables again.
    workers
        Threads.

    Notes
    -----
    Cost: for each row of the hub an insertion, for each row of the others a look-up, and for each other
    a pass over the places of the table.
    """
    n = len(others)
    found = StarCounts(
        0,
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.full(n, NONE_LACKING),
        np.full(n, NONE_LACKING),
    )
    distinct = 0
    with ThreadPoolExecutor(workers) as pool:
        for chunk in range(1 << chunk_bits):
            rows = hub_rows
            if chunk_bits:
                rows = sum(count_chunk(piece, chunk, chunk_bits) for piece in hub())
            places = 1 << max(PLACES_A_ROW * rows // 2, 15).bit_length()
            keys = np.full(places + 1, _EMPTY)
            counts = np.zeros(places + 1, np.int32)
            for piece in hub():
                distinct += insert(piece, chunk, chunk_bits, keys, counts)

            look = partial(_look, others, found, chunk, chunk_bits, keys, counts)
            for _ in pool.map(look, [range(first, n, workers) for first in range(workers)]):
                pass
    return found._replace(distinct=distinct)


def _look(
    others: Sequence[Pieces],
    found: StarCounts,
    chunk: int,
    chunk_bits: int,
    keys: Hashes,
    counts: Counts,
    numbers: range,
) -> None:
    seen = np.empty_like(counts)
    for number in numbers:
        seen[:] = 0
        for piece in others[number]():
            least = probe(piece, chunk, chunk_bits, keys, counts, seen)
            found.other_lacking[number] = min(found.other_lacking[number], least)
        common, surplus, least = shared(keys, counts, seen)
        found.common[number] += common
        found.surplus[number] += surplus
        found.hub_lacking[number] = min(found.hub_lacking[number], least)


@_compiled
def _in_chunk(value: np.uint64, chunk: int, chunk_bits: int) -> bool:
    return chunk_bits == 0 or np.int64(value >> np.uint64(64 - chunk_bits)) == chunk


@_compiled
def count_chunk(hashes: Hashes, chunk: int, chunk_bits: int) -> int:
    """Count the hashes that begin with the bits of a chunk."""
    count = 0
    for value in hashes:
        count += _in_chunk(value, chunk, chunk_bits)
    return count


@_compiled
def insert(hashes: Hashes, chunk: int, chunk_bits: int, keys: Hashes, counts: Counts) -> int:
    """Count hashes of a chunk in a table; return how many are new.

    The table has a power of two places, empty ones with the key `_EMPTY`, and a last one for that hash itself.
    """
    last = np.int64(keys.size - 1)
    mask = np.uint64(last - 1)
    fresh = 0
    for value in hashes:
        if not _in_chunk(value, chunk, chunk_bits):
            continue
        slot = np.int64(value & mask) if value != _EMPTY else last
        while keys[slot] != value and keys[slot] != _EMPTY:
            slot = np.int64(np.uint64(slot + 1) & mask)
        keys[slot] = value
        fresh += counts[slot] == 0
        counts[slot] += 1
    return fresh


@_compiled
def probe(
    hashes: Hashes, chunk: int, chunk_bits: int, keys: Hashes, counts: Counts, seen: Counts
) -> np.uint64:
    """Count in `seen` how often each place of the table is met; return the least hash that has none."""
    last = np.int64(keys.size - 1)
    mask = np.uint64(last - 1)
    least = NONE_LACKING
    values = np.empty(_BLOCK, np.uint64)
    first = np.empty(_BLOCK, np.uint64)
    for start in range(0, hashes.size, _BLOCK):
        m = 0
        for k in range(start, min(start + _BLOCK, hashes.size)):
            values[m] = hashes[k]
            m += _in_chunk(hashes[k], chunk, chunk_bits)
        for j in range(m):  # without branches, so that the processor waits for many places at once
            first[j] = keys[values[j] & mask]
        for j in range(m):
            value, key = values[j], first[j]
            slot = np.int64(value & mask)
            if value == _EMPTY:
                slot = np.int64(last)
                key = value if counts[last] else ~value
            while key != value and key != _EMPTY and slot != last:
                slot = np.int64(np.uint64(slot + 1) & mask)
                key = keys[slot]
            if key == value:
                seen[slot] += 1
            else:
                least = min(least, value)
    return least


@_compiled
def shared(keys: Hashes, counts: Counts, seen: Counts) -> tuple[int, int, np.uint64]:
    """Return the places that were met, the sum of min(count, seen) - 1 over them, and the least key not met."""
    common = surplus = 0
    least = NONE_LACKING
    for slot in range(keys.size):
        if counts[slot] and seen[slot]:
            common += 1
            surplus += min(counts[slot], seen[slot]) - 1
        elif counts[slot]:
            least = min(least, keys[slot])
    return common, surplus, least
