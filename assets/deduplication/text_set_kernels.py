"""Compiled loops that find the distinct hashed shingles of one text.

Compiled for the reason that `shingle_kernels` gives, which also says what a shingle's hash is. A text of many
megabytes is gone through several times, each time for the shingles of one residue class, so that the table of what
has been seen stays small. A short text has a way of its own without that bookkeeping, which took a fifth of the time
of texts of a kilobyte.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from assets.deduplication.unit_kernels import (
    I32,
    PIECE,
    SLACK,
    U64,
    WORD,
    char_units,
    fmix64,
    piece_end,
    word_units,
)
from assets.deduplication.wide_loads import U8
from assets.kernels.compiled import compiled

Scratch = tuple[U8, I32, U64, U64, U64, U64]

BASE = np.uint64(0x2545F4914F6CDD1D)
SHORT = 1 << 13  # bytes of a text of words that is one piece for certain, and its table small
FEW = 4096  # shingles of a text that are compared with each other where a bit is not enough

_0, _1, _32, _58 = (np.uint64(v) for v in (0, 1, 32, 58))


@compiled
def short_scratch(n: int) -> Scratch:
    """Return low, edges, units, values, slots and unique for texts of `SHORT` bytes."""
    return (
        np.empty(2 * SHORT + SLACK, np.uint8),
        np.empty(2 * SHORT + SLACK, np.int32),
        np.empty(SHORT // 2 + n + 8, np.uint64),
        np.empty(SHORT // 2 + n + 8, np.uint64),
        np.empty(2 * SHORT, np.uint64),
        np.empty(SHORT // 2 + 8, np.uint64),
    )


@compiled
def scratch_of(n: int) -> Scratch:
    """Return low, edges, units, values, slots and unique for pieces of `PIECE` bytes."""
    return (
        np.empty(2 * PIECE + SLACK, np.uint8),
        np.empty(2 * PIECE + SLACK, np.int32),
        np.empty(PIECE + n + 8, np.uint64),
        np.empty(PIECE + n + 8, np.uint64),
        np.zeros(4096, np.uint64),
        np.empty(2049, np.uint64),
    )


@compiled
def _windows(units: U64, count: int, n: int, values: U64) -> int:
    """Hash all windows of `n` units; return how many there are."""
    span, power, bit = 1, BASE, 1
    while 2 * bit <= n:
        bit *= 2
    for index in range(count):
        values[index] = units[index]
    while bit > 1:
        bit //= 2
        ahead = values[span:]
        for index in range(count - 2 * span + 1):
            values[index] = values[index] * power + ahead[index]
        span, power = 2 * span, power * power
        if n & bit:
            last = units[span:]
            for index in range(count - span):
                values[index] = values[index] * BASE + last[index]
            span, power = span + 1, power * BASE
    length = np.uint64(n)
    for index in range(count - n + 1):
        value = fmix64(values[index] + length)
        values[index] = value if value != _0 else _1
    return count - n + 1


@compiled
def _room(slots: U64, unique: U64, count: int, used: int, want: int) -> tuple[U64, U64, int]:
    """Make a table of at least 2 * `want` slots out of one of `used`; returns it with its new size."""
    capacity = 64
    while capacity < 2 * want:
        capacity *= 2
    if capacity <= used:
        return slots, unique, used
    if capacity > slots.size:
        slots = np.zeros(capacity, np.uint64)
        wider = np.empty(capacity // 2 + 1, np.uint64)
        wider[:count] = unique[:count]
        unique = wider
    else:
        slots[:capacity] = _0
    mask = np.uint64(capacity - 1)
    for index in range(count):
        place = unique[index] & mask
        while slots[place] != _0:
            place = (place + _1) & mask
        slots[place] = unique[index]
    return slots, unique, capacity


@compiled
def _distinct(values: U64, many: int, slots: U64, capacity: int, unique: U64, count: int) -> int:
    """Add values to a set; return how many distinct ones it has then."""
    mask = np.uint64(capacity - 1)
    for index in range(many):
        value = values[index]
        place = value & mask
        while slots[place] != _0 and slots[place] != value:
            place = (place + _1) & mask
        if slots[place] == _0:
            slots[place] = value
            unique[count] = value
            count += 1
    return count


@compiled
def _distinct_of_few(values: U64, many: int, slots: U64, capacity: int, unique: U64) -> int:
    """Do what `_distinct` does for a first batch in which repeats are rare, without its branches.

    A bit table says which values may have come before; only those are compared with all before them.
    Returns -1, the table empty again, where they are too many for that.
    """
    mask = np.uint64(capacity - 1)
    doubtful: Any = 0
    for index in range(many):
        value = values[index]
        place, bit = value & mask, value >> _58
        word = slots[place]
        slots[place] = word | (_1 << bit)
        unique[doubtful] = np.uint64(index)
        doubtful += np.int64((word >> bit) & _1)
    if doubtful > 8 + (many >> 5):
        slots[:capacity] = _0
        return -1
    repeats = 0
    for which in range(doubtful):
        index = int(unique[which])
        value = values[index]
        equal: Any = 0
        for before in range(index):
            equal += np.int64(values[before] == value)
        if equal > 0:
            values[index] = _0
            repeats += 1
    count: Any = 0
    for index in range(many):
        unique[count] = values[index]
        count += np.int64(values[index] != _0)
    return many - repeats


@compiled
def _of_part(values: U64, many: int, part: int, parts: int) -> int:
    """Keep the values of one residue class, in place; return how many."""
    kept: Any = 0
    for index in range(many):
        value = values[index]
        values[kept] = value
        kept += np.int64((value >> _32) % np.uint64(parts) == np.uint64(part))
    return int(kept)


@compiled
def collect(
    data: U8,
    start: int,
    end: int,
    kind: int,
    n: int,
    lower: I32,
    part: int,
    parts: int,
    scratch: Scratch,
) -> tuple[int, Scratch]:
    """Put the distinct shingle hashes of data[start:end] into the last array of `scratch`.

    Of those, only the ones of `part` among `parts`. Returns (how many, scratch, its arrays perhaps
    enlarged); -1 for a text that Python must lower-case first.
    """
    low, edges, units, values, slots, unique = scratch
    capacity, count = 0, 0
    held, seen, spaces = 0, 0, 0
    position = start
    while position < end:
        stop = piece_end(data, position, end, kind, lower)
        width = stop - position
        if width + n + 8 > units.size:
            wider = np.empty(width + n + 8, np.uint64)
            wider[:held] = units[:held]
            units, values = wider, np.empty(width + n + 8, np.uint64)
        if kind == WORD:
            if 2 * width + SLACK > low.size:
                low = np.empty(2 * width + SLACK, np.uint8)
                edges = np.empty(2 * width + SLACK, np.int32)
            fresh = word_units(data, position, stop, lower, low, edges, units, held)
        else:
            fresh, spaces = char_units(data, position, stop, lower, units, held, spaces)
        if fresh < 0:
            return -1, (low, edges, units, values, slots, unique)
        position = stop
        seen += fresh
        held += fresh
        if held < n and (position < end or seen >= n or seen == 0):
            continue
        many = _windows(units, held, min(held, n), values)
        if parts > 1:
            many = _of_part(values, many, part, parts)
        slots, unique, capacity = _room(slots, unique, count, capacity, count + many)
        alone = -1
        if kind == WORD and width == end - start and many <= FEW:
            alone = _distinct_of_few(values, many, slots, capacity, unique)
        count = alone if alone >= 0 else _distinct(values, many, slots, capacity, unique, count)
        for index in range(min(held, n - 1)):
            units[index] = units[held - min(held, n - 1) + index]
        held = min(held, n - 1)
    return count, (low, edges, units, values, slots, unique)


@compiled
def collect_short(
    data: U8,
    start: int,
    end: int,
    n: int,
    lower: I32,
    low: U8,
    edges: I32,
    units: U64,
    values: U64,
    slots: U64,
    unique: U64,
) -> int:
    """Put the distinct shingle hashes of a text of at most `SHORT` bytes of words into `unique`.

    The last six are `short_scratch`, apart, because to hand a tuple of arrays on costs more than a short text.
    Returns how many, or -1 for a text that Python must lower-case first.
    """
    held = word_units(data, start, end, lower, low, edges, units, 0)
    if held <= 0:
        return held
    many = _windows(units, held, min(held, n), values)
    capacity = 64
    while capacity < 2 * many:
        capacity *= 2
    for slot in range(capacity):
        slots[slot] = _0
    count = _distinct_of_few(values, many, slots, capacity, unique)
    return count if count >= 0 else _distinct(values, many, slots, capacity, unique, 0)
