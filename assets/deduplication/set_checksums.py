"""Checksums of stored sets: chains, because a digest is a sum, in which damage to two elements can cancel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.kernels.compiled import compiled

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_START, _ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)


@compiled
def _fill(flat: U64, sizes: I64, out: U64) -> None:
    at = 0
    for i in range(len(sizes)):
        chain = _START
        for j in range(at, at + sizes[i]):
            chain = (chain ^ flat[j]) * _ODD
            chain ^= chain >> _HALF
        out[i] = chain
        at += sizes[i]


def set_checksums(flat: U64, sizes: I64) -> U64:
    """Return a checksum for each of n sets that lie one after another in `flat`: uint64, shape (n,)."""
    out = np.empty(len(sizes), np.uint64)
    _fill(np.ascontiguousarray(flat), np.ascontiguousarray(sizes, dtype=np.int64), out)
    return out
