"""XXH64 of words and of slices of bytes, compiled.

numba is used because XXH64 over Arrow buffers needs one pass with 64-bit wrapping arithmetic. The
alternatives are a Python loop over the `xxhash` package (some fifty times slower) or an engine's
own ``hash()``, whose values may change with its version. Importing this module imports numba and
compiles on first use (cached on disk): import it only where rows are hashed.

Constants and rounds are those of the published XXH64 specification; the tests compare with
`xxhash`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.kernels.compiled import compiled
from assets.kernels.intrinsics import load4, load8

Hashes = npt.NDArray[np.uint64]


_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_NAN = np.float64(np.nan).view(np.uint64)


@compiled
def _rotate(x: np.uint64, r: int) -> np.uint64:
    return (x << np.uint64(r)) | (x >> np.uint64(64 - r))


@compiled
def _round(state: np.uint64, lane: np.uint64) -> np.uint64:
    return _rotate(state + lane * _P2, 31) * _P1


@compiled
def _avalanche(h: np.uint64) -> np.uint64:
    h ^= h >> np.uint64(33)
    h *= _P2
    h ^= h >> np.uint64(29)
    h *= _P3
    return h ^ (h >> np.uint64(32))


@compiled
def hash_slice(data: npt.NDArray[np.uint8], start: int, stop: int, seed: np.uint64) -> np.uint64:
    """Hash `data` from `start` up to `stop`, which must lie within it."""
    i = start
    if stop - start >= 32:
        a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
        while i + 32 <= stop:
            a = _round(a, load8(data, i))
            b = _round(b, load8(data, i + 8))
            c = _round(c, load8(data, i + 16))
            d = _round(d, load8(data, i + 24))
            i += 32
        h = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        for state in (a, b, c, d):
            h = (h ^ _round(np.uint64(0), state)) * _P1 + _P4
    else:
        h = seed + _P5
    h += np.uint64(stop - start)
    while i + 8 <= stop:
        h = _rotate(h ^ _round(np.uint64(0), load8(data, i)), 27) * _P1 + _P4
        i += 8
    if i + 4 <= stop:
        h = _rotate(h ^ (load4(data, i) * _P1), 23) * _P2 + _P3
        i += 4
    while i < stop:
        h = _rotate(h ^ (np.uint64(data[i]) * _P5), 11) * _P1
        i += 1
    return _avalanche(h)


@compiled
def _hash_word(word: np.uint64, start: np.uint64) -> np.uint64:
    return _avalanche(_rotate(start ^ _round(np.uint64(0), word), 27) * _P1 + _P4)


@compiled
def hash_words(words: Hashes, seed: np.uint64) -> Hashes:
    """Hash each 8-byte little-endian word."""
    out = np.empty(words.size, np.uint64)
    start = seed + _P5 + np.uint64(8)
    for i in range(words.size):
        out[i] = _hash_word(words[i], start)
    return out


@compiled
def hash_floats(
    numbers: npt.NDArray[np.float64], whole_seed: np.uint64, seed: np.uint64
) -> tuple[Hashes, bool]:
    """Hash each number: a whole one as its int64 under `whole_seed`, others as their bits.

    Returns
    -------
    tuple
        The hashes, and whether all whole numbers fit an int64; those that don't have no valid hash.
        All NaN are one value, and -0.0 is the whole number 0.
    """
    out = np.empty(numbers.size, np.uint64)
    whole_start, start = whole_seed + _P5 + np.uint64(8), seed + _P5 + np.uint64(8)
    bits = numbers.view(np.uint64)
    misfits = np.int64(0)
    for i in range(numbers.size):  # without branches, so that it is vectorised
        x = numbers[i]
        whole = np.floor(x) == x
        small = whole & (x >= -9223372036854775808.0) & (x < 9223372036854775808.0)
        misfits += np.int64(whole & (not small) & (np.abs(x) < np.inf))
        bits_of = bits[i] if x == x else _NAN
        word = np.uint64(np.int64(x if small else 0.0)) if small else bits_of
        out[i] = _hash_word(word, whole_start if small else start)
    return out, misfits == 0


@compiled
def hash_slices(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], seed: np.uint64
) -> Hashes:
    """Hash the slices of `data` between consecutive offsets (m + 1 offsets, m hashes)."""
    out = np.empty(offsets.size - 1, np.uint64)
    for i in range(out.size):
        out[i] = hash_slice(data, offsets[i], offsets[i + 1], seed)
    return out


@compiled
def put_where_null(
    out: Hashes, valid: npt.NDArray[np.uint8], offset: int, value: np.uint64
) -> None:
    """Write `value` where bit `offset + i` of `valid`, least significant first, is not set."""
    i = 0
    while i < out.size:
        at = np.uint64(offset + i)
        byte = valid[at >> np.uint64(3)]
        if byte == 255 and (at & np.uint64(7)) == 0:
            i += 8
            continue
        if not (byte >> np.uint8(at & np.uint64(7))) & np.uint8(1):
            out[i] = value
        i += 1


@compiled
def take_hashes(values: Hashes, indices: npt.NDArray[np.int32]) -> Hashes:
    """Return `values` at some indices; one that lies outside gives 0."""
    out = np.empty(indices.size, np.uint64)
    for i in range(indices.size):
        at = np.uint64(indices[i])
        out[i] = values[at] if at < np.uint64(values.size) else np.uint64(0)
    return out


@compiled
def avalanche_all(sums: Hashes) -> None:
    """Apply the final avalanche of XXH64 to each word, in place."""
    for i in range(sums.size):
        sums[i] = _avalanche(sums[i])


def hash_bytes(content: bytes, seed: np.uint64) -> np.uint64:
    """Hash one byte string; for seeds and constants."""
    data = np.frombuffer(content, np.uint8) if content else np.empty(0, np.uint8)
    return np.uint64(hash_slice(data, 0, len(content), np.uint64(seed)))
