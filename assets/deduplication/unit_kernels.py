r"""Compiled loops that cut UTF-8 text into hashed units: `\w+` tokens, or characters.

A text is read in pieces of 32 kB, so that scratch stays in the cache and does not grow with the text. In a piece
of ASCII, 64 bytes at a time become a word of bits (set where `\w`), whose edges are where tokens begin and end;
a token is then hashed from two loads of eight bytes. Other text is first written out lower-cased, with what is
not `\w` as a space, by a table made from Python's own rules; then it takes the same way.

The hash (version 1), all arithmetic modulo 2**64:

* a token is the UTF-8 bytes of its lower-cased characters; `h = SEED`; for each 8 bytes, little
  endian and padded with zeros, `h = (h ^ chunk) * K1; h ^= h >> 32`; then
  `h = (h ^ length) * K2; h ^= h >> 29`;
* a character is `fmix64(code point + SEED)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.wide_loads import (
    U8,
    high64,
    lower64,
    store8,
    trailing_zeros,
)
from assets.kernels.compiled import compiled
from assets.kernels.intrinsics import load8, population_count

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]

WORD, CHARACTER = 0, 1
PIECE = 1 << 15  # bytes of text that are cut at a time
SLACK = 128  # bytes behind a piece that wide loads and stores may touch
PYTHON_LOWER = 0x7FFFFFFF  # a code point whose lower case depends on its neighbours or is longer

SEED = np.uint64(0x9E3779B97F4A7C15)
K1 = np.uint64(0xD6E8FEB86659FD93)
K2 = np.uint64(0xFF51AFD7ED558CCD)
K3 = np.uint64(0xC4CEB9FE1A85EC53)

_0, _1, _3, _8 = (np.uint64(v) for v in (0, 1, 3, 8))
_29, _32, _33, _63 = (np.uint64(v) for v in (29, 32, 33, 63))
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@compiled
def fmix64(x: np.uint64) -> np.uint64:
    """Mix 64 bits by MurmurHash3's finalizer."""
    x = (x ^ (x >> _33)) * K2
    x = (x ^ (x >> _33)) * K3
    return x ^ (x >> _33)


@compiled
def piece_end(data: U8, start: int, end: int, kind: int, lower: I32) -> int:
    """Return where to cut a text: behind an ASCII separator, or for characters before one of them.

    A run without an ASCII separator is one piece, however long it is.
    """
    stop = start + PIECE
    if stop >= end:
        return end
    cut = stop
    if kind == CHARACTER:
        while cut > start and data[cut] & 0xC0 == 0x80:
            cut -= 1
        return cut if cut > start else stop
    while cut > start and (data[cut - 1] >= 0x80 or lower[data[cut - 1]] != 0):
        cut -= 1
    if cut > start:
        return cut
    while stop < end and (data[stop] >= 0x80 or lower[data[stop]] != 0):
        stop += 1
    return stop


@compiled
def _decode(data: U8, position: int, end: int) -> tuple[int, int]:
    """Return a code point and its bytes; a malformed byte is U+FFFD, and nothing past the end is read."""
    byte: Any = np.int64(data[position])
    if byte < 0x80:
        return byte, 1
    octets, point = 0, byte
    if byte >= 0xC2 and byte < 0xE0:
        octets, point = 1, byte & 31
    elif byte >= 0xE0 and byte < 0xF0:
        octets, point = 2, byte & 15
    elif byte >= 0xF0 and byte < 0xF5:
        octets, point = 3, byte & 7
    if octets == 0 or position + octets >= end:
        return 0xFFFD, 1
    for index in range(1, octets + 1):
        octet = np.int64(data[position + index])
        if octet & 0xC0 != 0x80:
            return 0xFFFD, 1
        point = (point << 6) | (octet & 63)
    if point > 0x10FFFF:
        return 0xFFFD, 1
    return point, octets + 1


@compiled
def _folded(data: U8, start: int, end: int, lower: I32, low: U8) -> int:
    """Write a text lower-cased, with a space for what is no word character; return its length.

    ASCII is copied as it is. -1 for a text that Python must lower-case first.
    """
    size: Any = 0
    position: Any = start
    while position < end:
        if position + 8 <= end:
            eight = load8(data, position)
            store8(low, size, eight)
            plain = np.int64(trailing_zeros(eight & _HIGH) >> _3)
            size += plain
            position += plain
            if plain == 8:
                continue
        point, octets = _decode(data, position, end)
        position += octets
        code: Any = np.int64(lower[point]) if point >= 0x80 else point
        if code == PYTHON_LOWER:
            return -1
        if code < 0x80:
            low[size] = code if code != 0 else 32
            size += 1
        elif code < 0x800:
            low[size], low[size + 1] = 0xC0 | (code >> 6), 0x80 | (code & 63)
            size += 2
        elif code < 0x10000:
            low[size], low[size + 1] = 0xE0 | (code >> 12), 0x80 | ((code >> 6) & 63)
            low[size + 2] = 0x80 | (code & 63)
            size += 3
        else:
            low[size], low[size + 1] = 0xF0 | (code >> 18), 0x80 | ((code >> 12) & 63)
            low[size + 2], low[size + 3] = 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
            size += 4
    return int(size)


@compiled
def _token_edges(data: U8, start: int, size: int, low: U8, edges: I32, folded: bool) -> int:  # noqa: FBT001 - numba has no keywords
    """Write data[start:start + size] to `low` in lower case; find where tokens begin and end, in turns.

    Every byte above ASCII counts as part of a token of a text that is `folded`; of another text the answer is -1
    where it has one.
    """
    count: Any = 0
    before = _0
    for block in range((size >> 6) + 1):  # the last block has a bit behind the text
        place = block << 6
        rest = size - place
        if start + place + 64 <= data.size:
            bits = lower64(data, start + place, low, place)
        else:
            for index in range(rest):
                low[place + index] = data[start + place + index]
            bits = lower64(low, place, low, place)
        inside = _ONES if rest >= 64 else (_1 << np.uint64(rest)) - _1
        if not folded and high64(low, place) & inside != _0:
            return -1
        bits &= inside
        edge = bits ^ ((bits << _1) | before)
        before = bits >> _63
        following = count + np.int64(population_count(edge))
        while count < following:
            # four at a time: what is written too much is overwritten by the next block
            for index in range(4):
                edges[count + index] = place + np.int64(trailing_zeros(edge))
                edge &= edge - _1
            count += 4
        count = following
    return int(count)


@compiled
def _hash_tokens(low: U8, edges: I32, count: int, units: U64, held: int) -> None:
    for token in range(count >> 1):
        begin: Any = np.int64(edges[2 * token])
        length: Any = np.int64(edges[2 * token + 1]) - begin
        first = load8(low, begin) & (_ONES >> np.uint64(64 - 8 * min(length, 8)))
        state = (SEED ^ first) * K1
        state ^= state >> _32
        second = load8(low, begin + 8) & (_ONES >> np.uint64(64 - 8 * min(max(length - 8, 1), 8)))
        longer = (state ^ second) * K1
        longer ^= longer >> _32
        state = longer if length > 8 else state
        for place in range(16, length, 8):
            chunk = load8(low, begin + place) & (
                _ONES >> np.uint64(64 - 8 * min(length - place, 8))
            )
            state = (state ^ chunk) * K1
            state ^= state >> _32
        unit = (state ^ np.uint64(length)) * K2
        units[held + token] = unit ^ (unit >> _29)


@compiled
def word_units(
    data: U8, start: int, end: int, lower: I32, low: U8, edges: I32, units: U64, held: int
) -> int:
    """Hash the tokens of a piece to units[held:]; return how many, or -1 (Python must lower-case first).

    `low` has room for 3 / 2 of the piece (a lower case may be longer) and `SLACK`.
    """
    count = _token_edges(data, start, end - start, low, edges, False)  # noqa: FBT003 - numba has no keywords
    if count < 0:
        size = _folded(data, start, end, lower, low)
        if size < 0:
            return -1
        count = _token_edges(low, 0, size, low, edges, True)  # noqa: FBT003
    _hash_tokens(low, edges, count, units, held)
    return count >> 1


@compiled
def char_units(
    data: U8, start: int, end: int, lower: I32, units: U64, held: int, spaces: int
) -> tuple[int, int]:
    """Hash the characters of a piece to units[held:], white space collapsed.

    `spaces` and the second result say what came before: 0 nothing, 1 a character, 2 white space that
    counts as soon as a character follows. A count of -1: Python must lower-case the text first.
    """
    count, position = held, start
    while position < end:
        point, octets = _decode(data, position, end)
        position += octets
        code = np.int64(lower[point])
        if code == PYTHON_LOWER:
            return -1, spaces
        if code == 0:
            continue
        if code == 32:
            spaces = 2 if spaces != 0 else 0
            continue
        if spaces == 2:
            units[count] = SEED + np.uint64(32)
            count += 1
        spaces = 1
        units[count] = SEED + np.uint64(code)
        count += 1
    for index in range(held, count):
        units[index] = fmix64(units[index])
    return count - held, spaces
