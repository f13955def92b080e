r"""Shingles of texts: what they are, their hashes, and the sets that exact Jaccard compares.

`word:N`: windows of N tokens; tokens are `re.findall(r"\w+", text.lower())`.
`char:N`: windows of N characters of `" ".join(text.lower().split())`.
A text with fewer than N tokens (characters) but at least one is one shingle. A text with none
(empty, null; for words also only punctuation or emoji) has no shingle and no near duplicate.

The Unicode rules are those of the running Python; `SHINGLE_TAG` carries their version.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.deduplication.errors import ShingleSettingError
from assets.deduplication.text_spans import Texts, TextSpans, lowered, text_spans

SHINGLE_HASH = "sluice-shingle-1"
SHINGLE_TAG = f"{SHINGLE_HASH}/unicode-{unicodedata.unidata_version}"

_SEED = 0x9E3779B97F4A7C15
_K1 = 0xD6E8FEB86659FD93
_K2 = 0xFF51AFD7ED558CCD
_K3 = 0xC4CEB9FE1A85EC53
_BASE = 0x2545F4914F6CDD1D
_ONES = (1 << 64) - 1
_PYTHON_LOWER = 0x7FFFFFFF


@dataclass(frozen=True)
class Shingle:
    """A rule for cutting a text into shingles: `kind` is "word" or "char", `length` its window."""

    kind: str
    length: int

    @property
    def code(self) -> int:
        """Return the kernels' number of the kind."""
        return 0 if self.kind == "word" else 1

    def __str__(self) -> str:
        return f"{self.kind}:{self.length}"


def parse_shingle(setting: str) -> Shingle:
    """Read the setting `word:N` or `char:N`, N from 1 to 100.

    Raises
    ------
    ShingleSettingError
        The setting has another form.

    Examples
    --------
    >>> parse_shingle("word:5")
    Shingle(kind='word', length=5)
    """
    match = re.fullmatch(r"(word|char):([0-9]{1,3})", setting)
    if match is None or not 1 <= int(match[2]) <= 100:
        message = (
            f"shingle {setting!r} is not known; write word:N or char:N with N from 1 to 100, "
            "such as word:5"
        )
        raise ShingleSettingError(message)
    return Shingle(match[1], int(match[2]))


@functools.cache
def lower_table(kind: str) -> npt.NDArray[np.int32]:
    r"""Return (0x110000,) int32: each code point's lower case, as the kernels want it.

    For words, 0 marks what is not `\w`; for characters, 32 marks white space and 0 (no entry)
    what the text drops: nothing but U+0000 maps to 0, and it is given the unused value 0x110000.
    Code points whose lower case is longer than one character or depends on the neighbours
    (U+0130, U+03A3) hold 0x7FFFFFFF: such texts are lower-cased by Python. Cost: about 50 ms, once.
    """
    special = "\u0130\u03a3"
    table = np.zeros(sys.maxunicode + 1, dtype=np.int32)
    for first in range(0, len(table), 1 << 16):  # a plane at a time: all at once takes 30 MB
        where = np.arange(first, first + (1 << 16), dtype=np.uint32)
        where = where[(where < 0xD800) | (where > 0xDFFF)]
        plane = where.astype("<u4").tobytes().decode("utf-32-le")
        for letter in special:
            plane = plane.replace(letter, "_")
        small = plane.lower()
        if len(small) != len(plane):
            message = "this Python lower-cases further characters to several; the table needs them"
            raise AssertionError(message)
        table[where] = np.frombuffer(small.encode("utf-32-le"), dtype="<u4").astype(np.int32)
        keep = np.zeros(len(small), dtype=bool)
        for match in re.finditer(r"\w+" if kind == "word" else r"\s+", small):
            keep[match.start() : match.end()] = True
        if kind == "word":
            table[where[~keep]] = 0
        else:
            table[where[keep]] = 32
    if kind == "char":
        table[0] = 0x110000
    for letter in special:
        table[ord(letter)] = _PYTHON_LOWER
    table.flags.writeable = False
    return table


def _mix(value: int) -> int:
    value = ((value ^ (value >> 33)) * _K2) & _ONES
    value = ((value ^ (value >> 33)) * _K3) & _ONES
    return value ^ (value >> 33)


def _window(units: list[int]) -> int:
    rolling = 0
    for unit in units:
        rolling = (rolling * _BASE + unit) & _ONES
    return _mix((rolling + len(units)) & _ONES) or 1


def _token(token: bytes) -> int:
    state = _SEED
    for start in range(0, len(token), 8):
        state = ((state ^ int.from_bytes(token[start : start + 8], "little")) * _K1) & _ONES
        state ^= state >> 32
    state = ((state ^ len(token)) * _K2) & _ONES
    return state ^ (state >> 29)


def word_shingle_hash64(shingle: bytes) -> int:
    """Hash a word shingle (its tokens in UTF-8, joined by one space) to 64 bits."""
    return _window([_token(token) for token in shingle.split(b" ")])


def char_shingle_hash64(shingle: bytes) -> int:
    """Hash a character shingle (its characters in UTF-8) to 64 bits."""
    points = (ord(c) or 0x110000 for c in shingle.decode())
    return _window([_mix((point + _SEED) & _ONES) for point in points])


def word_shingle_hash32(shingle: bytes) -> int:
    """Hash a word shingle to 32 bits; give it to datasketch as `hashfunc`.

    Plain Python, for exchange and tests; the kernels compute the same.
    """
    return word_shingle_hash64(shingle) & 0xFFFFFFFF


def char_shingle_hash32(shingle: bytes) -> int:
    """Hash a character shingle to 32 bits; give it to datasketch as `hashfunc`."""
    return char_shingle_hash64(shingle) & 0xFFFFFFFF


def hashfunc(setting: str) -> Callable[[bytes], int]:
    """Return the 32-bit hash of the shingles that `setting` names, for datasketch's `hashfunc`."""
    return word_shingle_hash32 if parse_shingle(setting).kind == "word" else char_shingle_hash32


def shingle_texts(text: str | None, setting: str) -> set[str]:
    """Return the set of shingles of a text as strings: the definition, slow and plain.

    Examples
    --------
    >>> sorted(shingle_texts("A b, c!", "word:2"))
    ['a b', 'b c']
    """
    rule = parse_shingle(setting)
    if not text:
        return set()
    if rule.kind == "word":
        tokens = re.findall(r"\w+", text.lower())
        glue = " "
    else:
        tokens = list(" ".join(text.lower().split()))
        glue = ""
    if not tokens:
        return set()
    last = max(1, len(tokens) - rule.length + 1)
    return {glue.join(tokens[i : i + rule.length]) for i in range(last)}


def shingle_sets(texts: Texts, setting: str) -> list[npt.NDArray[np.uint64]]:
    """Return the distinct 64-bit shingle hashes of each text, sorted.

    Two different shingles of a pair of texts with s shingles in all share a hash with probability
    about s**2 / 2**65: 3e-12 for ten thousand shingles.
    """
    from assets.deduplication.minhash import permutations, sketch_texts

    rule = parse_shingle(setting)
    spans = text_spans(texts)
    sketched = sketch_texts(spans, rule, permutations(1, seed=1))
    flat, offsets = exact_sets(spans, rule, sketched.sizes)
    return [
        np.sort(flat[offset : offset + size])
        for offset, size in zip(offsets, sketched.sizes, strict=True)
    ]


def exact_sets(
    spans: TextSpans, rule: Shingle, sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the distinct shingle hashes of texts whose set sizes are known.

    Returns
    -------
    flat, offsets
        uint64 hashes of all texts one after another, unsorted, and (n,) int64 where each begins.
    """
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)[: len(sizes)]
    flat = np.empty(int(sizes.sum()), np.uint64)
    write_sets(spans, rule, offsets, sizes, flat)
    return flat, offsets


def write_sets(
    spans: TextSpans,
    rule: Shingle,
    offsets: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    flat: npt.NDArray[np.uint64],
) -> int:
    """Write each text's distinct shingle hashes to its place in `flat`.

    Returns
    -------
    int
        The first text whose set does not have the announced size, or -1.
    """
    from assets.deduplication import shingle_kernels as kernels

    got = sizes.astype(np.int64)
    wrong = int(
        kernels.fill_sets(
            spans.data,
            spans.starts,
            spans.ends,
            rule.code,
            rule.length,
            lower_table(rule.kind),
            offsets,
            got,
            flat,
        )
    )
    again = np.flatnonzero(got == -1)
    if wrong >= 0 or again.size == 0:
        return wrong
    slow = lowered(spans, again)
    wrong = int(
        kernels.fill_sets(
            slow.data,
            slow.starts,
            slow.ends,
            rule.code,
            rule.length,
            lower_table(rule.kind),
            offsets[again],
            sizes[again].astype(np.int64),
            flat,
        )
    )
    return int(again[wrong]) if wrong >= 0 else -1
