r"""Compiled loops that turn units of text into the set of its hashed shingles, and sets into sketches.

Why compiled: a Python object for every token and shingle is what makes other pipelines slow, and
no vectorised library splits text into `\w+` tokens by Python's Unicode rules. The loops read the
Arrow buffer in place, hold one piece of text and the set that has been found so far, and let
go of the interpreter lock. Compiled code is cached on disk, so only the first run pays for it.

The hash of a shingle (version 1), all arithmetic modulo 2**64: units t are hashed as in
`unit_kernels`; a window of k of them is `fmix64(sum(t[i] * M**(k - 1 - i)) + k)`, 1 if that is 0; the
32-bit hash is the low half. Sums of all windows of a piece come from sums of half the length, and
loops over one array are what the compiler makes vector code of.

A text of many megabytes is gone through several times, each time for the shingles of one residue
class, so that the table of what has been seen stays small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.unit_kernels import (
    I32,
    K1,
    PIECE,
    SEED,
    SLACK,
    U64,
    WORD,
    char_units,
    fmix64,
    piece_end,
    word_units,
)
from assets.deduplication.wide_loads import LANES, U8, U32, lower_minima
from assets.kernels.compiled import compiled

I64 = npt.NDArray[np.int64]
Scratch = tuple[U8, I32, U64, U64, U64, U64]

HASH_NAME = "sluice-shingle-1"
BASE = np.uint64(0x2545F4914F6CDD1D)
EMPTY = np.uint32(0xFFFFFFFF)
PART_BYTES = 1 << 23  # of text for which one table of shingles is held

FEW = 4096  # shingles of a text that are compared with each other where a bit is not enough

_0, _1, _31, _32, _58 = (np.uint64(v) for v in (0, 1, 31, 32, 58))


@compiled
def _scratch(n: int) -> Scratch:
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
def _collect(
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
def _mix32(unique: U64, count: int, mixed: U32) -> None:
    """Apply MurmurHash3's 32-bit finalizer, as datasketch does to every input hash."""
    for index in range(count):
        h = np.uint32(unique[index])
        h = np.uint32(h ^ (h >> np.uint32(16)))
        h = np.uint32(h * np.uint32(0x85EBCA6B))
        h = np.uint32(h ^ (h >> np.uint32(13)))
        h = np.uint32(h * np.uint32(0xC2B2AE35))
        mixed[index] = np.uint32(h ^ (h >> np.uint32(16)))


@compiled
def _padded(values: U32) -> U32:
    wide = np.zeros((values.size + LANES - 1) // LANES * LANES, np.uint32)
    wide[: values.size] = values
    return wide


@compiled
def sketch(
    data: U8,
    starts: I64,
    ends: I64,
    kind: int,
    n: int,
    lower: I32,
    factors: U32,
    addends: U32,
    signatures: U32,
    sizes: I64,
    digests: U64,
    begins: I64,
    flat: U64,
) -> int:
    """Fill signatures (docs, hashes), set sizes (docs,) and 128-bit digests of sets (docs, 2).

    A size of -1 marks a text that Python must lower-case first; its other outputs mean nothing. Sets are also
    written to `flat` one after another, and where each begins to `begins` (docs,), as long as there is room.
    Returns how many elements were written, or -1 where they have no room and `flat` means nothing.
    """
    written: Any = 0
    scratch = _scratch(n)
    mixed = np.empty(2049, np.uint32)
    wide_factors, wide_addends = _padded(factors), _padded(addends)
    minima = np.empty(wide_factors.size, np.uint32)
    for doc in range(starts.size):
        minima[:] = EMPTY
        parts = 1 + (ends[doc] - starts[doc]) // PART_BYTES
        total, first, second = 0, _0, _0
        begins[doc] = written
        for part in range(parts):
            count, scratch = _collect(
                data, starts[doc], ends[doc], kind, n, lower, part, parts, scratch
            )
            if count < 0:
                total = -1
                written = min(written, begins[doc])
                break
            total += count
            if count == 0:
                continue
            if count > mixed.size:
                mixed = np.empty(2 * count, np.uint32)
            unique = scratch[5]
            for index in range(count):
                value = unique[index]
                first += value
                second += (value ^ (value >> _31)) * K1
            if written + count > flat.size:
                written = -1
            if written >= 0:
                for index in range(count):
                    flat[written + index] = unique[index]
                written += count
            _mix32(unique, count, mixed)
            for lane in range(0, minima.size, LANES):
                lower_minima(mixed, count, wide_factors, wide_addends, minima, lane)
        signatures[doc, :] = minima[: factors.size]
        sizes[doc] = total
        digests[doc, 0] = first
        digests[doc, 1] = fmix64(second + np.uint64(total)) if total > 0 else _0
    return int(written)


@compiled
def fill_sets(
    data: U8,
    starts: I64,
    ends: I64,
    kind: int,
    n: int,
    lower: I32,
    offsets: I64,
    sizes: I64,
    flat: U64,
) -> int:
    """Write the distinct shingle hashes of each text to flat[offset:offset + size].

    Returns the first text whose set has another size than announced, or -1. A size of -1 lets a
    text pass without writing (Python must lower-case it first: its size is left at -1).
    """
    scratch = _scratch(n)
    for doc in range(starts.size):
        parts = 1 + (ends[doc] - starts[doc]) // PART_BYTES
        where, total = offsets[doc], 0
        for part in range(parts):
            count, scratch = _collect(
                data, starts[doc], ends[doc], kind, n, lower, part, parts, scratch
            )
            if count < 0:
                total = -1
                break
            total += count
            if total > sizes[doc]:
                return doc
            unique = scratch[5]
            for index in range(count):
                flat[where + index] = unique[index]
            where += count
        if total < 0:
            sizes[doc] = -1
        elif total != sizes[doc]:
            return doc
    return -1


@compiled
def band_keys(signatures: U32, bands: int, rows: int, keys: U32) -> None:
    """Hash each band of each signature to 32 bits, salted by the band: keys (bands, docs)."""
    for doc in range(signatures.shape[0]):
        for band in range(bands):
            value = SEED + np.uint64(band) * BASE
            for row in range(rows):
                value = (value ^ np.uint64(signatures[doc, band * rows + row])) * K1
                value ^= value >> _32
            keys[band, doc] = np.uint32(fmix64(value))
