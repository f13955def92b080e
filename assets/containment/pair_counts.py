"""Count the rows that pairs of tables share, part by part; compiled.

The hashes of all tables are partitioned by their top bits into parts of some thousand rows, which
fit the cache. In a part each distinct hash gets a local id, each table a row of bits; what two
tables share is a population count of the AND of two rows, or, where the child is small, a look-up
of each of its ids. Repeated rows are counted from the few ids that a table holds more than once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from assets.kernels.intrinsics import population_count
from assets.kernels.xxh64 import Hashes

Integers = npt.NDArray[np.int64]

NONE_LACKING = np.uint64(2**64 - 1)
"""Stands for no hash; a row that hashes to it is no witness."""

_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    compiled: _F = numba.njit(cache=True, nogil=True)(function)
    return compiled


@_compiled
def _part_of(value: np.uint64, skip_bits: int, part_bits: int) -> np.int64:
    if part_bits == 0:
        return np.int64(0)
    return np.int64((value << np.uint64(skip_bits)) >> np.uint64(64 - part_bits))


@_compiled
def _elsewhere(value: np.uint64, chunk: int, skip_bits: int) -> bool:
    return skip_bits > 0 and np.int64(value >> np.uint64(64 - skip_bits)) != chunk


@_compiled
def histogram(hashes: Hashes, chunk: int, skip_bits: int, part_bits: int, counts: Integers) -> None:
    """Add to `counts` the number of hashes of one chunk in each of its parts.

    Parameters
    ----------
    hashes : np.ndarray
        n hashes of one table.
    chunk, skip_bits : int
        Hashes whose first `skip_bits` bits are not `chunk` are passed over.
    part_bits : int
        The part of a hash is the `part_bits` bits after the first `skip_bits`.
    counts : np.ndarray
        2**part_bits counts, changed in place.
    """
    for value in hashes:
        if _elsewhere(value, chunk, skip_bits):
            continue
        counts[_part_of(value, skip_bits, part_bits)] += 1


@_compiled
def scatter(
    hashes: Hashes,
    table: int,
    chunk: int,
    skip_bits: int,
    part_bits: int,
    cursor: Integers,
    out: Hashes,
    owner: npt.NDArray[np.int32],
) -> None:
    """Append one table's hashes of one chunk to their parts; `cursor` moves on in place.

    Parameters
    ----------
    hashes, chunk, skip_bits, part_bits
        As in `histogram`.
    table : int
        Number of the table; tables must come in ascending order.
    cursor : np.ndarray
        The next free position of each part.
    out, owner : np.ndarray
        All hashes by part, and the table of each; written in place.
    """
    for value in hashes:
        if _elsewhere(value, chunk, skip_bits):
            continue
        part = _part_of(value, skip_bits, part_bits)
        out[cursor[part]] = value
        owner[cursor[part]] = table
        cursor[part] += 1


@_compiled
def _local_ids(hashes: Hashes, ids: Integers) -> int:
    """Give each distinct hash a number, in order of first occurrence; return how many."""
    size = 16
    while size < 2 * hashes.size:
        size *= 2
    slots = np.full(size, -1, np.int64)
    keys = np.empty(size, np.uint64)
    mask = np.uint64(size - 1)
    found = 0
    for i in range(hashes.size):
        slot = hashes[i] & mask
        while slots[slot] >= 0 and keys[slot] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] < 0:
            slots[slot] = found
            keys[slot] = hashes[i]
            found += 1
        ids[i] = slots[slot]
    return found


@_compiled
def _count_part(
    hashes: Hashes,
    owner: npt.NDArray[np.int32],
    n_tables: int,
    child: Integers,
    parent: Integers,
    distinct: Integers,
    common: Integers,
    surplus: Integers,
    lacking: Hashes,
) -> None:
    n = hashes.size
    ids = np.empty(n, np.int64)
    words = (_local_ids(hashes, ids) + 63) // 64
    value = np.empty(words * 64, np.uint64)
    for i in range(n):
        value[ids[i]] = hashes[i]
    bits = np.zeros((n_tables, words), np.uint64)
    unique = np.empty(n, np.int64)  # the distinct ids of each table, one table after the other
    unique_from = np.zeros(n_tables + 1, np.int64)
    repeat = np.empty(n, np.int64)  # the ids that a table holds again, each time, sorted
    repeat_from = np.zeros(n_tables + 1, np.int64)
    i = uniques = repeats = 0
    for table in range(n_tables):
        first = repeats
        while i < n and owner[i] == table:
            word, bit = ids[i] // 64, np.uint64(1) << np.uint64(ids[i] % 64)
            if bits[table, word] & bit:
                repeat[repeats] = ids[i]
                repeats += 1
            else:
                bits[table, word] |= bit
                unique[uniques] = ids[i]
                uniques += 1
            i += 1
        if repeats > first + 1:
            repeat[first:repeats] = np.sort(repeat[first:repeats])
        unique_from[table + 1] = uniques
        repeat_from[table + 1] = repeats
        distinct[table] += uniques - unique_from[table]
    for pair in range(child.size):
        c, p = child[pair], parent[pair]
        shared = np.int64(0)
        if unique_from[c + 1] - unique_from[c] < words:
            for k in range(unique_from[c], unique_from[c + 1]):
                word, shift = unique[k] // 64, np.uint64(unique[k] % 64)
                shared += np.int64((bits[p, word] >> shift) & np.uint64(1))
        else:
            for word in range(words):
                shared += np.int64(population_count(bits[c, word] & bits[p, word]))
        common[pair] += shared
        for side, (a, b) in enumerate(((c, p), (p, c))):
            missing = unique_from[a + 1] - unique_from[a] - shared
            if missing and lacking[side, pair] == NONE_LACKING:
                for k in range(unique_from[a], unique_from[a + 1]):
                    word, shift = unique[k] // 64, np.uint64(unique[k] % 64)
                    if not (bits[b, word] >> shift) & np.uint64(1):
                        lacking[side, pair] = min(lacking[side, pair], value[unique[k]])
        a, b = repeat_from[c], repeat_from[p]
        while a < repeat_from[c + 1] and b < repeat_from[p + 1]:
            if repeat[a] == repeat[b]:
                surplus[pair] += 1
                a += 1
                b += 1
            elif repeat[a] < repeat[b]:
                a += 1
            else:
                b += 1


@_compiled
def count_parts(
    hashes: Hashes,
    owner: npt.NDArray[np.int32],
    starts: Integers,
    n_tables: int,
    child: Integers,
    parent: Integers,
    distinct: Integers,
    common: Integers,
    surplus: Integers,
    lacking: Hashes,
) -> None:
    """Count, over some parts, the distinct rows of each table and the shared rows of each pair.

    Parameters
    ----------
    hashes, owner : np.ndarray
        What `scatter` wrote.
    starts : np.ndarray
        Where each part starts, and where the last one ends.
    n_tables : int
        The number of tables.
    child, parent : np.ndarray
        Table numbers of each pair.
    distinct, common, surplus : np.ndarray
        Added to in place: distinct rows by table; shared distinct rows by pair; further shared
        rows by pair, the sum of min(count in child, count in parent) - 1.
    lacking : np.ndarray
        Lowered in place, 2 rows by pair: the least hash of the child that the parent lacks, and of
        the parent that the child lacks. The parts must come in ascending order.
    """
    for part in range(starts.size - 1):
        a, b = starts[part], starts[part + 1]
        if b > a:
            _count_part(
                hashes[a:b], owner[a:b], n_tables, child, parent, distinct, common, surplus, lacking
            )


@_compiled
def find_first(hashes: Hashes, start: int, wanted: Hashes, found: Integers) -> None:
    """Note in `found` where each of some sorted hashes occurs first; -1 is not found yet.

    Parameters
    ----------
    hashes : np.ndarray
        A piece of a table's hashes.
    start : int
        The row of its first one.
    wanted, found : np.ndarray
        Sorted hashes, and the rows, changed in place.
    """
    for i in range(hashes.size):
        at = np.searchsorted(wanted, hashes[i])
        if at < wanted.size and wanted[at] == hashes[i] and found[at] < 0:
            found[at] = start + i
