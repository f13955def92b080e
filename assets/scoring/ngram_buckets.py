"""Hashed unigrams and bigrams of documents, in buckets: compiled, and parted over the cores."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.kernels.core_threads import on_every_core
from assets.scoring.tokens import Utf8, pair_hash, tokenise, utf8

PART_BYTES = 2**18
Found = TypeVar("Found")
_WORD_PUNCT = re.compile(r"\w+|[^\w\s]+")


@compiled
def _fast_buckets(
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    buckets: int,
    out: NDArray[np.int32],
    out_offsets: NDArray[np.int64],
) -> None:
    size = np.uint64(buckets)
    at = 0
    for row in range(len(offsets) - 1):
        for i in range(offsets[row], offsets[row + 1]):
            out[at] = np.int32(hashes[i] % size)
            at += 1
            if i > offsets[row]:
                out[at] = np.int32(pair_hash(hashes[i - 1], hashes[i]) % size)
                at += 1
        out_offsets[row + 1] = at


@compiled
def count(buckets: NDArray[np.int32], total: NDArray[np.int64]) -> None:
    """Add each bucket to its count."""
    for bucket in buckets:  # np.bincount would copy them as int64 first
        total[bucket] += 1


@compiled
def sum_by_row(
    buckets: NDArray[np.int32], offsets: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each document's sum of its buckets' weights."""
    sums = np.zeros(len(offsets) - 1)
    for row in range(len(offsets) - 1):
        total = 0.0
        for i in range(offsets[row], offsets[row + 1]):
            total += weights[buckets[i]]
        sums[row] = total
    return sums


@lru_cache(maxsize=200_000)
def sha256_bucket(ngram: str, buckets: int = 10_000) -> int:
    """Return the bucket of an n-gram in the authors' package: SHA-256 of its UTF-8, modulo."""
    return int.from_bytes(hashlib.sha256(ngram.encode()).digest(), "big") % buckets


def ngram_buckets(
    text: pa.Array, buckets: int = 10_000, scheme: Literal["fast", "sha256"] = "fast"
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Hash the unigrams and bigrams of each document.

    Parameters
    ----------
    text
        n Arrow strings; null counts as empty.
    buckets
        Number of buckets.
    scheme
        ``fast`` or ``sha256`` (compatible with the authors' package).

    Returns
    -------
    buckets : numpy.ndarray
        int32, all n-grams of all documents.
    offsets : numpy.ndarray
        int64, shape (n + 1,).
    """
    if scheme == "fast":
        parts = list(on_parts(text, buckets, lambda _, found, offsets: (found, np.diff(offsets))))
        whole = [np.empty(0, dtype=np.int32), *(found for found, _ in parts)]
        lengths = [np.zeros(1, dtype=np.int64), *(each for _, each in parts)]
        return np.concatenate(whole), np.cumsum(np.concatenate(lengths))
    rows: list[list[int]] = []
    for document in text.to_pylist():
        words = _WORD_PUNCT.findall((document or "").lower())
        row = [sha256_bucket(word, buckets) for word in words]
        row += [sha256_bucket(f"{a} {b}", buckets) for a, b in pairwise(words)]
        rows.append(row)
    sizes = [0, *(len(row) for row in rows)]
    flat = np.array([b for row in rows for b in row], dtype=np.int32)
    return flat, np.cumsum(sizes).astype(np.int64)


def on_parts(
    text: pa.Array,
    buckets: int,
    work: Callable[[slice, NDArray[np.int32], NDArray[np.int64]], Found],
    scheme: Literal["fast", "sha256"] = "fast",
) -> Iterator[Found]:
    """Yield what `work` returns of each part of the documents: its rows, buckets and offsets; on every core."""
    if scheme != "fast":
        yield work(slice(0, len(text)), *ngram_buckets(text, buckets, scheme))
        return
    column = utf8(text, lower=True)

    def hashed(rows: slice) -> Found:
        part = Utf8(column.data, column.offsets[rows.start : rows.stop + 1], column.present[rows])
        tokens = tokenise(part)
        found = np.empty(2 * len(tokens.hashes), dtype=np.int32)
        offsets = np.zeros(len(tokens.offsets), dtype=np.int64)
        _fast_buckets(tokens.hashes, tokens.offsets, buckets, found, offsets)
        return work(rows, found[: offsets[-1]], offsets)

    yield from on_every_core(hashed, _parts(column.offsets))


def _parts(offsets: NDArray[np.int64]) -> list[slice]:
    """Part documents into runs of about `PART_BYTES`, whose tokens stay in cache."""
    n = len(offsets) - 1
    marks = np.arange(offsets[0] + PART_BYTES, offsets[-1], PART_BYTES)
    ends = np.unique([0, *np.searchsorted(offsets, marks), n])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]
