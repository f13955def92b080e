"""Shares of a text's characters that sit in repeated n-grams of its tokens, compiled; see `text_metrics`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.scoring.tokens import finish_hash


@compiled
def slot(
    keys: NDArray[np.uint64],
    owner: NDArray[np.int64],
    stamp: int,
    mask: int,
    key: np.uint64,
) -> Any:  # noqa: ANN401 a numba scalar
    """Find the place of a key in the table of one stamp; a new place has another owner still."""
    at = np.int64(key & np.uint64(mask))
    while owner[at] == stamp and keys[at] != key:
        at = (at + 1) & mask
    return at


@compiled
def measure_ngrams(
    first: int,
    last: int,
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    table: tuple[
        NDArray[np.uint64],
        NDArray[np.int64],
        NDArray[np.int32],
        NDArray[np.int32],
        NDArray[np.int64],
    ],
    mask: int,
    stamp: int,
    characters: int,
    out: NDArray[np.float64],
) -> Any:  # noqa: ANN401 a numba scalar
    """Write the shares of characters in repeated n-grams of tokens `first` to `last`; returns the next free stamp."""
    keys, owner, counts, sizes, order = table
    # the most frequent n-gram, n of 2 to 4, where it occurs more than once
    for size in range(2, 5):
        used = 0
        for i in range(first, last - size + 1):
            key = hashes[i]
            length = lengths[i]
            for j in range(1, size):
                key = finish_hash(key + hashes[i + j] * np.uint64(0x9E3779B97F4A7C15))
                length += lengths[i + j] + 1
            place = slot(keys, owner, stamp, mask, key)
            if owner[place] != stamp:
                owner[place] = stamp
                keys[place] = key
                counts[place] = 0
                sizes[place] = length
                order[used] = place
                used += 1
            counts[place] += 1
        stamp += 1
        best = 1
        covered = 0
        for i in range(used):
            if counts[order[i]] > best:
                best = counts[order[i]]
                covered = best * sizes[order[i]]
        out[20 + size] = covered / max(characters, 1)
    # repeated n-grams, n of 5 to 10
    for size in range(5, 11):
        covered = 0
        i = first
        while i <= last - size:
            key = hashes[i]
            length = lengths[i]
            for j in range(1, size):
                key = finish_hash(key + hashes[i + j] * np.uint64(0x9E3779B97F4A7C15))
                length += lengths[i + j]
            place = slot(keys, owner, stamp, mask, key)
            if owner[place] == stamp:
                covered += length
                i += size
            else:
                owner[place] = stamp
                keys[place] = key
                i += 1
        stamp += 1
        out[20 + size] = covered / max(characters, 1)
    return stamp
