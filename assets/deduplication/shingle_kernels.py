r"""Compiled loops that turn units of text into the set of its hashed shingles, and sets into sketches.

Why compiled: a Python object for every token and shingle is what makes other pipelines slow, and
no vectorised library splits text into `\w+` tokens by Python's Unicode rules. The loops read the
Arrow buffer in place, hold one piece of text and the set that has been found so far, and let
go of the interpreter lock. Compiled code is cached on disk, so only the first run pays for it.

The hash of a shingle (version 1), all arithmetic modulo 2**64: units t are hashed as in
`unit_kernels`; a window of k of them is `fmix64(sum(t[i] * M**(k - 1 - i)) + k)`, 1 if that is 0; the
32-bit hash is the low half. Sums of all windows of a piece come from sums of half the length, and
loops over one array are what the compiler makes vector code of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.text_set_kernels import (
    BASE,
    SHORT,
    collect,
    collect_short,
    scratch_of,
    short_scratch,
)
from assets.deduplication.unit_kernels import (
    I32,
    K1,
    SEED,
    U64,
    WORD,
    fmix64,
)
from assets.deduplication.wide_loads import LANES, U8, U32, lower_minima, lower_minima_of_two
from assets.kernels.compiled import compiled

I64 = npt.NDArray[np.int64]

HASH_NAME = "sluice-shingle-1"
EMPTY = np.uint32(0xFFFFFFFF)
PART_BYTES = 1 << 23  # of text for which one table of shingles is held

_0, _31, _32 = (np.uint64(v) for v in (0, 31, 32))


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
def _kept(unique: U64, count: int, flat: U64, written: int) -> int:
    """Write a set behind what is written; return how much is then, or -1 where it has no room (or had none)."""
    if written < 0 or written + count > flat.size:
        return -1
    for index in range(count):
        flat[written + index] = unique[index]
    return written + count


@compiled
def _summed(unique: U64, count: int) -> tuple[np.uint64, np.uint64]:
    """Return two sums over a set that do not depend on its order."""
    first, second = _0, _0
    for index in range(count):
        value = unique[index]
        first += value
        second += (value ^ (value >> _31)) * K1
    return first, second


@compiled
def _lower(unique: U64, count: int, mixed: U32, factors: U32, addends: U32, minima: U32) -> None:
    """Lower the minima to those of a set."""
    _mix32(unique, count, mixed)
    lane: Any = 0
    while lane + 2 * LANES <= minima.size:
        lower_minima_of_two(mixed, count, factors, addends, minima, lane)
        lane += 2 * LANES
    if lane < minima.size:
        lower_minima(mixed, count, factors, addends, minima, lane)


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
    scratch = scratch_of(n)
    low, edges, units, values, slots, few = short_scratch(n)
    mixed = np.empty(2 * few.size, np.uint32)
    wide_factors, wide_addends = _padded(factors), _padded(addends)
    minima = np.empty(wide_factors.size, np.uint32)
    for doc in range(starts.size):
        start, end = starts[doc], ends[doc]
        for lane in range(minima.size):
            minima[lane] = EMPTY
        total, first, second = 0, _0, _0
        begins[doc] = written
        if kind == WORD and end - start <= SHORT:
            total = collect_short(data, start, end, n, lower, low, edges, units, values, slots, few)
            if total > 0:
                written = _kept(few, total, flat, written)
                first, second = _summed(few, total)
                _lower(few, total, mixed, wide_factors, wide_addends, minima)
        else:
            parts = 1 + (end - start) // PART_BYTES
            for part in range(parts):
                count, scratch = collect(data, start, end, kind, n, lower, part, parts, scratch)
                if count < 0:
                    total = -1
                    written = min(written, begins[doc])
                    break
                total += count
                if count > mixed.size:
                    mixed = np.empty(2 * count, np.uint32)
                written = _kept(scratch[5], count, flat, written)
                one, two = _summed(scratch[5], count)
                first, second = first + one, second + two
                _lower(scratch[5], count, mixed, wide_factors, wide_addends, minima)
        for lane in range(factors.size):
            signatures[doc, lane] = minima[lane]
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
    scratch = scratch_of(n)
    low, edges, units, values, slots, few = short_scratch(n)
    for doc in range(starts.size):
        start, end = starts[doc], ends[doc]
        where, total = offsets[doc], 0
        if kind == WORD and end - start <= SHORT:
            total = collect_short(data, start, end, n, lower, low, edges, units, values, slots, few)
            if total > sizes[doc]:
                return doc
            for index in range(total):
                flat[where + index] = few[index]
        else:
            parts = 1 + (end - start) // PART_BYTES
            for part in range(parts):
                count, scratch = collect(data, start, end, kind, n, lower, part, parts, scratch)
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
