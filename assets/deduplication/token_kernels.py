r"""Compiled loops over the tokens of texts: where they are, hashes of their windows, and how far two runs agree.

A token is a maximal run of characters that Python's `\w` matches in the text as it is; it is folded character by
character to lower case (U+0130 to `i`, U+03A3 to U+03C3), so that every offset is one of the text itself. Folded
tokens lie one after another in UTF-8, each closed by a zero byte, which no token holds.

Compiled for the reason that `shingle_kernels` gives.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.shingles import lower_table
from assets.kernels.compiled import compiled

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

_SEED = np.uint64(0x9E3779B97F4A7C15)
_K1 = np.uint64(0xD6E8FEB86659FD93)
_K2 = np.uint64(0xFF51AFD7ED558CCD)
_BASE = np.uint64(0x2545F4914F6CDD1D)
_0, _1, _29, _32 = (np.uint64(v) for v in (0, 1, 29, 32))


@functools.cache
def fold_table() -> I32:
    r"""Return (0x110000,) int32: the folded character of each that `\w` matches, else 0."""
    table = lower_table("word").copy()
    table[0x130], table[0x3A3] = ord("i"), 0x3C3
    table.flags.writeable = False
    return table


@compiled
def fold_tokens(
    data: U8,
    starts: I64,
    ends: I64,
    table: I32,
    folded: U8,
    begins: I64,
    first: U32,
    last: U32,
    counts: I64,
) -> tuple[int, int]:
    """Fill the folded bytes, where each token begins in them, and its first and last character in its text.

    `last` is the place after it. Returns (bytes, tokens). Malformed bytes count as one character each.
    """
    out, token = 0, 0
    for text in range(starts.size):
        position: Any = starts[text]
        end = ends[text]
        characters, before = 0, token
        inside = False
        while position <= end:
            code: Any = 0  # the end of the text closes a token
            width = 1
            if position < end:
                byte = np.int64(data[position])
                point: Any = byte
                if byte >= 0x80:
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
                code = np.int64(table[point])
            if code != 0:
                if not inside:
                    begins[token] = out
                    first[token] = characters
                    inside = True
                if code < 0x80:
                    folded[out] = code
                    out += 1
                else:
                    octets = 2 if code < 0x800 else (3 if code < 0x10000 else 4)
                    head = 0xC0 if octets == 2 else (0xE0 if octets == 3 else 0xF0)
                    folded[out] = head | (code >> (6 * (octets - 1)))
                    for index in range(1, octets):
                        folded[out + index] = 0x80 | ((code >> (6 * (octets - 1 - index))) & 63)
                    out += octets
            elif inside:
                folded[out] = 0
                out += 1
                last[token] = characters
                token += 1
                inside = False
            characters += 1
            position += width
        counts[text] = token - before
    return out, token


@compiled
def window_hashes(folded: U8, begins: I64, offsets: I64, k: int, mask: np.uint64, out: U64) -> None:
    """Hash the windows of k tokens of each text: out[token], 0 where no window of the text begins.

    `begins` (tokens + 1,) places in `folded`; `offsets` (texts + 1,) places in `begins`. `mask` is and-ed to
    every hash; a test that clears bits makes collisions.
    """
    top = _1
    for _ in range(k):
        top *= _BASE
    ring = np.zeros(k, np.uint64)
    for text in range(offsets.size - 1):
        rolling = _0
        turn = 0
        for token in range(offsets[text], offsets[text + 1]):
            state = _SEED
            for place in range(begins[token], begins[token + 1]):
                state = (state ^ np.uint64(folded[place])) * _K1
                state ^= state >> _32
            rolling = rolling * _BASE + state
            seen = token - offsets[text] + 1
            if seen > k:
                rolling -= ring[turn] * top
            ring[turn] = state
            turn += 1
            if turn == k:
                turn = 0
            out[token] = _0
            if seen >= k:
                value = (rolling ^ (rolling >> _29)) * _K2
                value = (value ^ (value >> _32)) & mask
                out[token - k + 1] = value if value != _0 else _1
                if k > 1:
                    out[token] = _0


@compiled
def common_tokens(folded: U8, one: int, one_end: int, two: int, two_end: int) -> int:
    """Count how many whole tokens from two places of the folded bytes on are equal."""
    count = 0
    while one < one_end and two < two_end and folded[one] == folded[two]:
        if folded[one] == 0:
            count += 1
        one += 1
        two += 1
    return count


@compiled
def text_of(offsets: I64, token: int) -> int:
    """Return the text that a token lies in."""
    low, high = 0, offsets.size - 1  # the last text that begins at or before it
    while high - low > 1:
        middle = (low + high) // 2
        if offsets[middle] <= token:
            low = middle
        else:
            high = middle
    return low


@compiled
def walk_matches(
    folded: U8,
    begins: I64,
    offsets: I64,
    partner: I64,
    k: int,
    text: int,
    token: int,
    found: I64,
    wrong: I64,
) -> tuple[int, int, int, int]:
    """Walk the texts from a place on, and write a match for each repeated window that no match covers yet.

    `partner` (tokens,): one more than the token where the same window begins in another text, 0 for none. `text`,
    `token`: where to begin. `found` (m, 4) is filled with token, partner's token, tokens in common and partner's
    text; `wrong` (w,) with windows of which the partner has other tokens. Returns text, token, how many
    were found and how many wrong: the walk stops when either is full.
    """
    count, bad = 0, 0
    while text < offsets.size - 1:
        stop = offsets[text + 1]
        while token + k <= stop:
            if partner[token] == 0:
                token += 1
                continue
            if count == found.shape[0] or bad == wrong.size:
                return text, token, count, bad
            other = partner[token] - 1
            text_there = text_of(offsets, other)
            length = common_tokens(
                folded, begins[token], begins[stop], begins[other], begins[offsets[text_there + 1]]
            )
            if length < k:
                wrong[bad] = token
                bad += 1
                token += 1
                continue
            found[count, 0] = token
            found[count, 1] = other
            found[count, 2] = length
            found[count, 3] = text_there
            count += 1
            token += length - k + 1
        text += 1
        token = stop
    return text, token, count, bad
