"""Compiled loops over sets of hashed shingles: their digests, copies of them, and how alike two are.

Compiled for the reason that `shingle_kernels` gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.unit_kernels import K1, U64, fmix64
from assets.kernels.compiled import compiled

I64 = npt.NDArray[np.int64]

_0, _1, _31 = (np.uint64(v) for v in (0, 1, 31))


@compiled
def copy_sets(source: U64, begins: I64, sizes: I64, target: U64, places: I64) -> None:
    """Copy source[begins[i]:begins[i] + sizes[i]] to target[places[i]:] for each set i."""
    for row in range(sizes.size):
        begin, place = begins[row], places[row]
        for index in range(sizes[row]):
            target[place + index] = source[begin + index]


@compiled
def set_digests(flat: U64, sizes: I64, digests: U64) -> None:
    """Fill the digests (sets, 2) of sets that lie one after another, as `sketch` does."""
    place: Any = 0
    for row in range(sizes.size):
        first, second = _0, _0
        for _ in range(sizes[row]):
            value = flat[place]
            first += value
            second += (value ^ (value >> _31)) * K1
            place += 1
        digests[row, 0] = first
        digests[row, 1] = fmix64(second + np.uint64(sizes[row])) if sizes[row] > 0 else _0


@compiled
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
