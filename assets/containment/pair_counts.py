"""Count the rows that pairs of tables share, part by part; compiled.

The hashes of all tables are partitioned by their top bits into parts of some thousand rows, which
fit the cache. In a part each distinct hash gets a local id, each table a row of bits; what two
tables share is a population count of the AND of two rows, or, where the child is small, a look-up
of each of its ids. Repeated rows are counted from the few ids that a table holds more than once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.kernels.compiled import compiled
from assets.kernels.intrinsics import population_count
from assets.kernels.xxh64 import Hashes

Integers = npt.NDArray[np.int64]

NONE_LACKING = np.uint64(2**64 - 1)
"""Stands for no hash; a row that hashes to it is no witness."""


@compiled
def _part_of(value: np.uint64, skip_bits: int, part_bits: int) -> np.int64:
    if part_bits == 0:
        return np.int64(0)
    return np.int64((value << np.uint64(skip_bits)) >> np.uint64(64 - part_bits))


@compiled
def _elsewhere(value: np.uint64, chunk: int, skip_bits: int) -> bool:
    return skip_bits > 0 and np.int64(value >> np.uint64(64 - skip_bits)) != chunk


@compiled
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


@compiled
def scatter(
    hashes: Hashes, chunk: int, skip_bits: int, part_bits: int, cursor: Integers, out: Hashes
) -> None:
    """Put one table's hashes of one chunk into their parts; `cursor` moves on in place.

    Parameters
    ----------
    hashes, chunk, skip_bits, part_bits
        As in `histogram`.
    cursor : np.ndarray
        The table's next free position in each part; no two tables share one.
    out : np.ndarray
        The hashes of all tables, by part and in it by table; written in place.
    """
    for value in hashes:
        if _elsewhere(value, chunk, skip_bits):
            continue
        part = _part_of(value, skip_bits, part_bits)
        out[cursor[part]] = value
        cursor[part] += 1


@compiled
def _local_ids(hashes: Hashes, ids: Integers, slots: Integers, value: Hashes) -> int:
    """Give each distinct hash a number, in order of first occurrence; return how many.

    `slots` is a table of at least twice as many places as hashes, a power of two; `value` receives
    the hash of each number.
    """
    size = 16
    while size < 2 * hashes.size:
        size *= 2
    slots[:size] = -1
    mask = np.uint64(size - 1)
    found = 0
    for i in range(hashes.size):
        slot = hashes[i] & mask
        at = slots[slot]
        while at >= 0 and value[at] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
            at = slots[slot]
        if at < 0:
            slots[slot] = at = found
            value[found] = hashes[i]
            found += 1
        ids[i] = at
    return found


@compiled
def _count_part(
    hashes: Hashes,
    sizes: Integers,
    slots: Integers,
    child: Integers,
    parent: Integers,
    distinct: Integers,
    common: Integers,
    surplus: Integers,
    lacking: Hashes,
) -> None:
    n, n_tables = hashes.size, sizes.size
    ids = np.empty(n, np.int64)
    value = np.empty(n, np.uint64)
    words = (_local_ids(hashes, ids, slots, value) + 63) // 64
    bits = np.zeros((n_tables, words), np.uint64)
    unique = np.empty(n, np.int64)  # the distinct ids of each table, one table after the other
    unique_from = np.zeros(n_tables + 1, np.int64)
    repeat = np.empty(n, np.int64)  # the ids that a table holds again, each time, sorted
    repeat_from = np.zeros(n_tables + 1, np.int64)
    uniques = repeats = end = 0
    for table in range(n_tables):
        first, start = repeats, end
        end += sizes[table]
        for i in range(start, end):
            word, bit = ids[i] // 64, np.uint64(1) << np.uint64(ids[i] % 64)
            if bits[table, word] & bit:
                repeat[repeats] = ids[i]
                repeats += 1
            else:
                bits[table, word] |= bit
                unique[uniques] = ids[i]
                uniques += 1
        if repeats > first + 1:
            repeat[first:repeats] = np.sort(repeat[first:repeats])
        unique_from[table + 1] = uniques
        repeat_from[table + 1] = repeats
        distinct[table] += uniques - unique_from[table]
    for pair in range(child.size):
        c, p = child[pair], parent[pair]
        ours = unique_from[c + 1] - unique_from[c]
        theirs = unique_from[p + 1] - unique_from[p]
        shared = np.int64(0)
        if min(ours, theirs) < words:
            few, many = (c, p) if ours <= theirs else (p, c)
            for k in range(unique_from[few], unique_from[few + 1]):
                word, shift = unique[k] // 64, np.uint64(unique[k] % 64)
                shared += np.int64((bits[many, word] >> shift) & np.uint64(1))
        else:
            for word in range(words):
                shared += np.int64(population_count(bits[c, word] & bits[p, word]))
        common[pair] += shared
        if ours > shared and lacking[0, pair] == NONE_LACKING:
            lacking[0, pair] = _least_lacking(c, p, unique, unique_from, bits, value)
        if theirs > shared and lacking[1, pair] == NONE_LACKING:
            lacking[1, pair] = _least_lacking(p, c, unique, unique_from, bits, value)
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


@compiled
def _least_lacking(
    ours: int,
    theirs: int,
    unique: Integers,
    unique_from: Integers,
    bits: npt.NDArray[np.uint64],
    value: Hashes,
) -> np.uint64:
    """Return the least hash in a part that one table has and the other lacks."""
    least = NONE_LACKING
    for k in range(unique_from[ours], unique_from[ours + 1]):
        word, shift = unique[k] // 64, np.uint64(unique[k] % 64)
        if not (bits[theirs, word] >> shift) & np.uint64(1):
            least = min(least, value[unique[k]])
    return least


@compiled
def count_parts(
    hashes: Hashes,
    starts: Integers,
    sizes: Integers,
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
    hashes : np.ndarray
        What `scatter` wrote.
    starts : np.ndarray
        Where each part starts, and where the last one ends.
    sizes : np.ndarray
        How many hashes each table has in each part (parts x tables).
    child, parent : np.ndarray
        Table numbers of each pair.
    distinct, common, surplus : np.ndarray
        Added to in place: distinct rows by table; shared distinct rows by pair; further shared
        rows by pair, the sum of min(count in child, count in parent) - 1.
    lacking : np.ndarray
        Lowered in place, 2 rows by pair: the least hash of the child that the parent lacks, and of
        the parent that the child lacks. The parts must come in ascending order.
    """
    most = 0
    for part in range(sizes.shape[0]):
        most = max(most, starts[part + 1] - starts[part])
    places = 16
    while places < 2 * most:
        places *= 2
    slots = np.empty(places, np.int64)
    for part in range(sizes.shape[0]):
        a, b = starts[part], starts[part + 1]
        if b > a:
            _count_part(
                hashes[a:b], sizes[part], slots, child, parent, distinct, common, surplus, lacking
            )


@compiled
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
    if not wanted.size:
        return
    low, high = wanted[0], wanted[wanted.size - 1]  # mostly the least hashes of all
    for i in range(hashes.size):
        if low <= hashes[i] <= high:
            at = np.searchsorted(wanted, hashes[i])
            if wanted[at] == hashes[i] and found[at] < 0:
                found[at] = start + i
