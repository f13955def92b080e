"""Compiled loops that turn UTF-8 text into the set of its hashed shingles.

Why compiled: a Python object for every token and shingle is what makes other pipelines slow, and
no vectorised library splits text into `\\w+` tokens by Python's Unicode rules. The loops read the
Arrow buffer in place, hold one window of tokens and the set that has been found so far, and let
go of the interpreter lock. Compiled code is cached on disk, so only the first run pays for it.

The hash of a shingle (version 1), all arithmetic modulo 2**64:

* a token is the UTF-8 bytes of its lower-cased characters; `h = SEED`; for each 8 bytes, little
  endian and padded with zeros, `h = (h ^ chunk) * K1; h ^= h >> 32`; then
  `h = (h ^ length) * K2; h ^= h >> 29`;
* a character is `fmix64(code point + SEED)`;
* a window of k of them is `fmix64(sum(t[i] * M**(k - 1 - i)) + k)`, 1 if that is 0;
* the 32-bit hash is the low half.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

WORD, CHARACTER = 0, 1
HASH_NAME = "sluice-shingle-1"

SEED = np.uint64(0x9E3779B97F4A7C15)
K1 = np.uint64(0xD6E8FEB86659FD93)
K2 = np.uint64(0xFF51AFD7ED558CCD)
K3 = np.uint64(0xC4CEB9FE1A85EC53)
BASE = np.uint64(0x2545F4914F6CDD1D)
EMPTY = np.uint32(0xFFFFFFFF)
PYTHON_LOWER = 0x7FFFFFFF  # a code point whose lower case depends on its neighbours or is longer

_0, _8, _29, _31, _32, _33 = (np.uint64(v) for v in (0, 8, 29, 31, 32, 33))
_1, _64 = np.uint64(1), np.uint64(64)


@njit(cache=True, nogil=True, inline="always")
def _fmix64(x: Any) -> Any:
    x = (x ^ (x >> _33)) * K2
    x = (x ^ (x >> _33)) * K3
    return x ^ (x >> _33)


@njit(cache=True, nogil=True)
def _grown(unique: Any, count: Any, capacity: Any) -> Any:
    slots = np.zeros(capacity, np.uint64)
    mask = np.uint64(capacity - 1)
    for index in range(count):
        place = unique[index] & mask
        while slots[place] != _0:
            place = (place + _1) & mask
        slots[place] = unique[index]
    wider = np.empty(capacity // 2 + 1, np.uint64)
    wider[:count] = unique[:count]
    return slots, wider


@njit(cache=True, nogil=True)
def _collect(
    data: Any, start: Any, end: Any, kind: Any, n: Any, lower: Any, ring: Any, slots: Any, unique: Any
) -> Any:
    """Put the distinct shingle hashes of data[start:end] into `unique`, in order of appearance.

    Returns (how many, slots, unique), the arrays perhaps enlarged; -1 for a text that Python must
    lower-case first.
    """
    capacity = 64
    want = (end - start) // 3
    while capacity < want and capacity < slots.size:
        capacity *= 2
    slots[:capacity] = _0
    mask = np.uint64(capacity - 1)
    top = _1
    for _ in range(n):
        top *= BASE

    count = 0  # distinct shingles
    units = 0  # tokens or characters seen
    rolling = _0
    place_in_ring = 0
    state, chunk, shift, length = SEED, _0, _0, _0
    space_waits = False
    position = start
    while position <= end:
        code = 0  # 0 closes a token; the end of the text counts as a separator
        width = 1
        if position < end:
            byte = np.int64(data[position])
            if byte < 0x80:
                code = np.int64(lower[byte])
            else:
                # malformed bytes decode to U+FFFD one at a time, and never read past the end
                point = 0xFFFD
                if byte >= 0xF0 and byte < 0xF5 and position + 3 < end:
                    point = (
                        ((byte & 7) << 18)
                        | (np.int64(data[position + 1] & 63) << 12)
                        | (np.int64(data[position + 2] & 63) << 6)
                        | np.int64(data[position + 3] & 63)
                    )
                    width = 4
                    if point > 0x10FFFF:
                        point = 0xFFFD
                elif byte >= 0xE0 and byte < 0xF0 and position + 2 < end:
                    point = (
                        ((byte & 15) << 12)
                        | (np.int64(data[position + 1] & 63) << 6)
                        | np.int64(data[position + 2] & 63)
                    )
                    width = 3
                elif byte >= 0xC2 and byte < 0xE0 and position + 1 < end:
                    point = ((byte & 31) << 6) | np.int64(data[position + 1] & 63)
                    width = 2
                code = np.int64(lower[point])
                if code == PYTHON_LOWER:
                    return -1, slots, unique
        position += width

        if kind == WORD:
            if code != 0:
                if code < 0x80:
                    chunk |= np.uint64(code) << shift
                    shift += _8
                    length += _1
                    if shift == _64:
                        state = (state ^ chunk) * K1
                        state ^= state >> _32
                        chunk, shift = _0, _0
                    continue
                octets = 2 if code < 0x800 else (3 if code < 0x10000 else 4)
                for index in range(octets):
                    octet = 0x80 | ((code >> (6 * (octets - 1 - index))) & 63)
                    if index == 0:
                        octet = code >> (6 * (octets - 1))
                        octet |= 0xC0 if octets == 2 else (0xE0 if octets == 3 else 0xF0)
                    chunk |= np.uint64(octet) << shift
                    shift += _8
                    length += _1
                    if shift == _64:
                        state = (state ^ chunk) * K1
                        state ^= state >> _32
                        chunk, shift = _0, _0
                continue
            if length == _0:
                continue
            if shift != _0:
                state = (state ^ chunk) * K1
                state ^= state >> _32
            unit = (state ^ length) * K2
            unit ^= unit >> _29
            state, chunk, shift, length = SEED, _0, _0, _0
        else:
            if code == 0:
                continue
            if code == 32:
                space_waits = units > 0
                continue
            if space_waits:
                # the space takes this turn; the character is read again in the next one
                space_waits = False
                position -= width
                code = 32
            unit = _fmix64(np.uint64(code) + SEED)

        units += 1
        rolling = rolling * BASE + unit
        if units > n:
            rolling -= ring[place_in_ring] * top
        ring[place_in_ring] = unit
        place_in_ring += 1
        if place_in_ring == n:
            place_in_ring = 0
        if units < n:
            continue
        value = _fmix64(rolling + np.uint64(n))
        if value == _0:
            value = _1
        place = value & mask
        while slots[place] != _0 and slots[place] != value:
            place = (place + _1) & mask
        if slots[place] == _0:
            slots[place] = value
            unique[count] = value
            count += 1
            if 2 * count >= capacity:
                capacity *= 4
                if capacity > slots.size:
                    slots, unique = _grown(unique, count, capacity)
                else:
                    slots[:capacity] = _0
                    for index in range(count):
                        again = unique[index] & np.uint64(capacity - 1)
                        while slots[again] != _0:
                            again = (again + _1) & np.uint64(capacity - 1)
                        slots[again] = unique[index]
                mask = np.uint64(capacity - 1)
    if units > 0 and units < n:
        value = _fmix64(rolling + np.uint64(units))
        unique[0] = value if value != _0 else _1
        count = 1
    return count, slots, unique


@njit(cache=True, nogil=True)
def sketch(
    data: Any,
    starts: Any,
    ends: Any,
    kind: Any,
    n: Any,
    lower: Any,
    factors: Any,
    addends: Any,
    signatures: Any,
    sizes: Any,
    digests: Any,
) -> None:
    """Fill signatures (docs, hashes), set sizes (docs,) and 128-bit digests of sets (docs, 2).

    A size of -1 marks a text that Python must lower-case first; its other outputs mean nothing.
    """
    slots = np.zeros(4096, np.uint64)
    unique = np.empty(2049, np.uint64)
    ring = np.empty(n, np.uint64)
    mixed = np.empty(2064, np.uint32)
    for doc in range(starts.size):
        count, slots, unique = _collect(
            data, starts[doc], ends[doc], kind, n, lower, ring, slots, unique
        )
        sizes[doc] = count
        if count <= 0:
            signatures[doc, :] = EMPTY
            digests[doc, 0] = _0
            digests[doc, 1] = _0
            continue
        if count + 16 > mixed.size:
            mixed = np.empty(2 * count + 16, np.uint32)
        first, second = _0, _0
        for index in range(count):
            value = unique[index]
            first += value
            second += (value ^ (value >> _31)) * K1
            # MurmurHash3's 32-bit finalizer, which datasketch applies to every input hash
            h = np.uint32(value)
            h = np.uint32(h ^ (h >> np.uint32(16)))
            h = np.uint32(h * np.uint32(0x85EBCA6B))
            h = np.uint32(h ^ (h >> np.uint32(13)))
            h = np.uint32(h * np.uint32(0xC2B2AE35))
            mixed[index] = np.uint32(h ^ (h >> np.uint32(16)))
        digests[doc, 0] = first
        digests[doc, 1] = _fmix64(second + np.uint64(count))
        padded = (count + 15) & ~15
        for index in range(count, padded):
            mixed[index] = mixed[0]
        for k in range(factors.size):
            a, b = factors[k], addends[k]
            smallest = EMPTY
            for index in range(padded):
                smallest = min(smallest, np.uint32(a * mixed[index] + b))
            signatures[doc, k] = smallest


@njit(cache=True, nogil=True)
def fill_sets(
    data: Any, starts: Any, ends: Any, kind: Any, n: Any, lower: Any, offsets: Any, sizes: Any, flat: Any
) -> Any:
    """Write the distinct shingle hashes of each text to flat[offset:offset + size].

    Returns the first text whose set has another size than announced, or -1. A size of -1 lets a
    text pass without writing (Python must lower-case it first: its size is left at -1).
    """
    slots = np.zeros(4096, np.uint64)
    unique = np.empty(2049, np.uint64)
    ring = np.empty(n, np.uint64)
    for doc in range(starts.size):
        count, slots, unique = _collect(
            data, starts[doc], ends[doc], kind, n, lower, ring, slots, unique
        )
        if count == -1:
            sizes[doc] = -1
            continue
        if count != sizes[doc]:
            return doc
        where = offsets[doc]
        for index in range(count):
            flat[where + index] = unique[index]
    return -1


@njit(cache=True, nogil=True)
def band_keys(signatures: Any, bands: Any, rows: Any, keys: Any) -> None:
    """Hash each band of each signature to 32 bits, salted by the band: keys (bands, docs)."""
    for doc in range(signatures.shape[0]):
        for band in range(bands):
            value = SEED + np.uint64(band) * BASE
            for row in range(rows):
                value = (value ^ np.uint64(signatures[doc, band * rows + row])) * K1
                value ^= value >> _32
            keys[band, doc] = np.uint32(_fmix64(value))


@njit(cache=True, nogil=True)
def jaccard(
    flat: Any, offsets: Any, sizes: Any, left: Any, right: Any, threshold: Any, similarity: Any
) -> None:
    """Fill the exact Jaccard similarity of set pairs that are sorted by `left`; -1 below threshold."""
    slots = np.zeros(64, np.uint64)
    capacity, last = 64, -1
    for pair in range(left.size):
        one, two = left[pair], right[pair]
        if one != last:
            capacity = 64
            while capacity < 2 * sizes[one]:
                capacity *= 2
            if capacity > slots.size:
                slots = np.zeros(capacity, np.uint64)
            else:
                slots[:capacity] = _0
            mask = np.uint64(capacity - 1)
            for index in range(offsets[one], offsets[one] + sizes[one]):
                place = flat[index] & mask
                while slots[place] != _0:
                    place = (place + _1) & mask
                slots[place] = flat[index]
            last = one
        mask = np.uint64(capacity - 1)
        total = sizes[one] + sizes[two]
        # overlap >= t / (1 + t) * (|A| + |B|); half a unit of slack keeps rounding from deciding
        need = threshold / (1.0 + threshold) * total - 0.5
        common, misses_left = 0, sizes[two] - need
        for index in range(offsets[two], offsets[two] + sizes[two]):
            value = flat[index]
            place = value & mask
            while slots[place] != _0 and slots[place] != value:
                place = (place + _1) & mask
            if slots[place] == value:
                common += 1
            else:
                misses_left -= 1.0
                if misses_left < 0.0:
                    break
        exact = common / (total - common)
        similarity[pair] = exact if misses_left >= 0.0 and exact >= threshold else -1.0
