r"""Compiled loops that turn UTF-8 text into the set of its hashed shingles.

Why compiled: a Python object for every token and shingle is what makes other pipelines slow, and
no vectorised library splits text into `\w+` tokens by Python's Unicode rules. The loops read the
Arrow buffer in place, hold one window of tokens and the set that has been found so far, and let
go of the interpreter lock. Compiled code is cached on disk, so only the first run pays for it.

The hash of a shingle (version 1), all arithmetic modulo 2**64:

* a token is the UTF-8 bytes of its lower-cased characters; `h = SEED`; for each 8 bytes, little
  endian and padded with zeros, `h = (h ^ chunk) * K1; h ^= h >> 32`; then
  `h = (h ^ length) * K2; h ^= h >> 29`;
* a character is `fmix64(code point + SEED)`;
* a window of k of them is `fmix64(sum(t[i] * M**(k - 1 - i)) + k)`, 1 if that is 0;
* the 32-bit hash is the low half.

ASCII words are read eight bytes at a time: lower case and word class of all eight come from a few
additions on the 64-bit word, and the end of the token from its trailing zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs exist
from numba.core import types
from numba.extending import intrinsic

from assets.kernels.intrinsics import load8

_F = TypeVar("_F", bound=Callable[..., Any])
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


def _compiled(function: _F) -> _F:
    compiled: _F = numba.njit(cache=True, nogil=True)(function)
    return compiled


def _trailing_zeros(typing: Any, word: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Count the trailing zero bits of a 64-bit word; 64 for 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


trailing_zeros: Callable[[np.uint64], np.uint64] = intrinsic(_trailing_zeros)

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
_2, _3, _7 = np.uint64(2), np.uint64(3), np.uint64(7)
_HIGH = np.uint64(0x8080808080808080)
# adding one of these to eight ASCII bytes sets the high bit of each byte from that letter on
_FROM_0, _FROM_COLON = (np.uint64((0x80 - ord(c)) * 0x0101010101010101) for c in "0:")
_FROM_A, _FROM_BRACKET = (np.uint64((0x80 - ord(c)) * 0x0101010101010101) for c in "A[")
_FROM_LOWER_A, _FROM_BRACE = (np.uint64((0x80 - ord(c)) * 0x0101010101010101) for c in "a{")
_UNDERSCORES = np.uint64(0x5F5F5F5F5F5F5F5F)
_ALL_7F = np.uint64(0x7F7F7F7F7F7F7F7F)


@_compiled
def _fmix64(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> _33)) * K2
    x = (x ^ (x >> _33)) * K3
    return x ^ (x >> _33)


@_compiled
def _grown(unique: U64, count: int, capacity: int) -> tuple[U64, U64]:
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


@_compiled
def _collect(
    data: U8,
    start: int,
    end: int,
    kind: int,
    n: int,
    lower: I32,
    ring: U64,
    slots: U64,
    unique: U64,
) -> tuple[int, U64, U64]:
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
    position: Any = start
    while position <= end:
        if kind == WORD and shift == _0 and position + 8 <= end:
            eight = load8(data, position)
            if eight & _HIGH == _0:
                upper = (eight + _FROM_A) & ~(eight + _FROM_BRACKET) & _HIGH
                small = eight | (upper >> _2)
                word = (small + _FROM_LOWER_A) & ~(small + _FROM_BRACE)
                word |= (eight + _FROM_0) & ~(eight + _FROM_COLON)
                word = (word | ~((eight ^ _UNDERSCORES) + _ALL_7F)) & _HIGH
                bits = trailing_zeros(~word & _HIGH) & ~_7  # of the token part, 64 if all of it
                if bits == _0 and length == _0:
                    position += np.int64(trailing_zeros(word) >> _3)
                    continue
                if bits == _64:
                    state = (state ^ small) * K1
                    state ^= state >> _32
                    length += _8
                    position += 8
                    continue
                if bits != _0:
                    state = (state ^ (small & ((_1 << bits) - _1))) * K1
                    state ^= state >> _32
                    length += bits >> _3
                position += np.int64(bits >> _3)
        code: Any = 0  # 0 closes a token; the end of the text counts as a separator
        width = 1
        if position < end:
            byte = np.int64(data[position])
            if byte < 0x80:
                code = np.int64(lower[byte])
            else:
                # malformed bytes decode to U+FFFD one at a time, and never read past the end
                point: Any = 0xFFFD
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


@_compiled
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


@_compiled
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


@_compiled
def band_keys(signatures: U32, bands: int, rows: int, keys: U32) -> None:
    """Hash each band of each signature to 32 bits, salted by the band: keys (bands, docs)."""
    for doc in range(signatures.shape[0]):
        for band in range(bands):
            value = SEED + np.uint64(band) * BASE
            for row in range(rows):
                value = (value ^ np.uint64(signatures[doc, band * rows + row])) * K1
                value ^= value >> _32
            keys[band, doc] = np.uint32(_fmix64(value))


@_compiled
def jaccard(
    flat: U64,
    offsets: I64,
    sizes: I64,
    left: I64,
    right: I64,
    threshold: float,
    similarity: npt.NDArray[np.float64],
) -> None:
    """Fill the exact Jaccard of set pairs sorted by `left`; -1 below the threshold."""
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
