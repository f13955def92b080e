r"""Words of a text column as 64-bit hashes, compiled: the front of DSIR, embedder and rules.

A token is a maximal run of word characters, or a maximal run of characters that are neither word
nor space: the regular expression ``\w+|[^\w\s]+`` of Python (the WordPunct tokenizer), decided by a
table that is filled from `re` itself. About 200 MB/s on one core; `re.findall` reaches about 10.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assets.kernels.compiled import compiled, inlined

# character flags
SPACE = 1
WORD = 2
ALPHA = 4
SPACELESS = 8
PUNCTUATION = 16
ENDS_LINE = 32  # full stop, marks and closing quotes that end a sentence or a line of prose
ENDS_SENTENCE = 64
BULLET = 128

# token kinds
IS_WORD = 1
HAS_ALPHA = 2
HAS_SPACELESS = 4
HAS_PLAIN = 8  # some character that is not punctuation

# scripts that are written without spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana,
# Han, Yi
_SPACELESS_RANGES = (
    (0x0E00, 0x0EFF),
    (0x0F00, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)

_ENDS_SENTENCE = ".!?\u3002\uff01\uff1f\u0964\u061f\u06d4\u1362"
_ENDS_LINE = _ENDS_SENTENCE + "\"'\u2026\u201d\u2019"
_BULLETS = "-*\u2022\u2023\u25cf\u25cb\u25e6\u2013\u00b7"


@lru_cache(maxsize=1)
def character_table() -> NDArray[np.uint8]:
    """Return the flags of every code point (uint8, shape (0x110000,)); a constant."""
    table = np.zeros(0x110000, dtype=np.uint8)
    points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    everything = "".join(map(chr, points))
    shift = 0xE000 - 0xD800
    for pattern, flag in ((r"\w+", WORD), (r"\s+", SPACE)):
        for match in re.finditer(pattern, everything):
            start, end = match.span()
            first = start if start < 0xD800 else start + shift
            last = (end - 1 if end - 1 < 0xD800 else end - 1 + shift) + 1
            table[first:last] |= flag
    table[0xD800:0xE000] = 0
    for point in points:
        character = chr(point)
        if character.isalpha():
            table[point] |= ALPHA
        elif unicodedata.category(character)[0] in "PS":
            table[point] |= PUNCTUATION
    for low, high in _SPACELESS_RANGES:
        table[low : high + 1] |= SPACELESS
    for characters, flag in ((_ENDS_LINE, ENDS_LINE), (_ENDS_SENTENCE, ENDS_SENTENCE)):
        table[[ord(character) for character in characters]] |= flag
    table[[ord(character) for character in _BULLETS]] |= BULLET
    table.setflags(write=False)
    return table


@dataclass(frozen=True, slots=True)
class Utf8:
    """A text column as bytes.

    Attributes
    ----------
    data
        uint8.
    offsets
        int64, shape (n + 1,); row i is ``data[offsets[i]:offsets[i + 1]]``.
    present
        bool, shape (n,); False where the text is null (its bytes are empty then).
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a column; those of row i are ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    hashes
        uint64 hash of the token's UTF-8 bytes (64 bits of FNV-1a, finished by SplitMix64).
    kinds
        uint8 flags ``IS_WORD``, ``HAS_ALPHA``, ``HAS_SPACELESS``, ``HAS_PLAIN``.
    lengths
        int32 length in code points.
    offsets
        int64, shape (n + 1,).
    """

    hashes: NDArray[np.uint64]
    kinds: NDArray[np.uint8]
    lengths: NDArray[np.int32]
    offsets: NDArray[np.int64]


def utf8(text: pa.Array, *, lower: bool = False) -> Utf8:
    """View an Arrow string column as bytes, in lower case if wanted (Unicode rules, by polars)."""
    if lower:
        text = pl.Series(text).cast(pl.String).str.to_lowercase().to_arrow()
    if isinstance(text, pa.ChunkedArray):
        text = text.combine_chunks()
    array = text.cast(pa.large_string())
    n = len(array)
    present = np.asarray(array.is_valid()) if array.null_count else np.ones(n, dtype=bool)
    if n == 0:
        return Utf8(np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64), present)
    if array.null_count:
        array = array.fill_null("")
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + n + 1]
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    return Utf8(data, offsets, present)


@inlined
def finish_hash(x: Any) -> Any:  # noqa: ANN401 a numba scalar
    """Spread a 64-bit value over all bits (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inlined
def pair_hash(left: Any, right: Any) -> Any:  # noqa: ANN401 numba scalars
    """Hash an ordered pair of token hashes."""
    return finish_hash(
        left * np.uint64(0x9E3779B97F4A7C15) + (right ^ np.uint64(0xD6E8FEB86659FD93))
    )


@inlined
def decode(data: NDArray[np.uint8], at: int) -> Any:  # noqa: ANN401 a pair of numba scalars
    """Read the code point that starts at a byte of valid UTF-8; returns it and its length."""
    b = np.int64(data[at])
    if b < 0x80:
        return b, 1
    if b < 0xE0:
        return ((b & 0x1F) << 6) | (np.int64(data[at + 1]) & 0x3F), 2
    if b < 0xF0:
        point = ((b & 0x0F) << 12) | ((np.int64(data[at + 1]) & 0x3F) << 6)
        return point | (np.int64(data[at + 2]) & 0x3F), 3
    point = ((b & 0x07) << 18) | ((np.int64(data[at + 1]) & 0x3F) << 12)
    return point | ((np.int64(data[at + 2]) & 0x3F) << 6) | (np.int64(data[at + 3]) & 0x3F), 4


@compiled
def _scan(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    lengths: NDArray[np.int32],
    ends: NDArray[np.int64],
) -> None:
    count = 0
    for row in range(len(offsets) - 1):
        at = offsets[row]
        end = offsets[row + 1]
        while at < end:
            point, step = decode(data, at)
            flags = table[point]
            if flags & 1:
                at += step
                continue
            own = flags & 3  # a token goes on for as long as these flags are equal
            h = np.uint64(0xCBF29CE484222325)
            some = np.uint8(0)
            every = np.uint8(255)
            length = 0
            while True:
                for i in range(step):
                    h = (h ^ np.uint64(data[at + i])) * np.uint64(0x100000001B3)
                length += 1
                some |= flags
                every &= flags
                at += step
                if at >= end:
                    break
                first = data[at]
                if first < 0x80:
                    step = 1
                    flags = table[first]
                else:
                    point, step = decode(data, at)
                    flags = table[point]
                if flags & 3 != own:
                    break
            kind = 1 if own == 2 else 0
            if some & 4:
                kind |= 2
            if some & 8:
                kind |= 4
            if not every & 16:
                kind |= 8
            hashes[count] = finish_hash(h)
            kinds[count] = kind
            lengths[count] = length
            count += 1
        ends[row + 1] = count


def tokenise(column: Utf8) -> Tokens:
    """Split a column into hashed tokens; null and empty texts have none."""
    size = int(column.offsets[-1] - column.offsets[0])
    hashes = np.empty(size, dtype=np.uint64)
    kinds = np.empty(size, dtype=np.uint8)
    lengths = np.empty(size, dtype=np.int32)
    ends = np.zeros(len(column.offsets), dtype=np.int64)
    _scan(column.data, column.offsets, character_table(), hashes, kinds, lengths, ends)
    total = int(ends[-1])
    return Tokens(hashes[:total], kinds[:total], lengths[:total], ends)
