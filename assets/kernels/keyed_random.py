"""Random numbers that belong to a record rather than to a position.

Every draw is a pure function of (scheme version, purpose, seed, id). A record therefore keeps its
draw when rows are shuffled, re-batched, sharded or added to, and selections by the largest draw are
nested in their budget. The alternative, a stateful generator read in row order, loses all of that.

Scheme ``keyed_random/1``: an id is 128 bits (32 lower-case hex digits read as they stand, any other
string by XXH3-128 of its UTF-8 bytes); purpose and seed give two 64-bit keys by XXH3-128; three
rounds of the SplitMix64 finaliser mix id and keys. Cost: about 60 ns an id, no Python loop for hex
ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

SCHEME = "keyed_random/1"

_HEX_DIGITS = 32
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class KeyedRandomError(ValueError):
    """An id, seed or purpose from which no random number can be derived."""


Ids: TypeAlias = pl.Series | pa.Array | pa.ChunkedArray | Sequence[str]


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _MULTIPLY_1
    x = (x ^ (x >> np.uint64(27))) * _MULTIPLY_2
    return x ^ (x >> np.uint64(31))


def _nibbles() -> NDArray[np.uint8]:
    table = np.full(256, 255, dtype=np.uint8)
    table[ord("0") : ord("9") + 1] = np.arange(10)
    table[ord("a") : ord("f") + 1] = np.arange(10, 16)
    return table


def _as_large_string(ids: Ids) -> pa.Array:
    if isinstance(ids, pl.Series):
        array = ids.cast(pl.String).to_arrow()
    elif isinstance(ids, pa.ChunkedArray | pa.Array):
        array = ids
    else:
        array = pa.array(list(ids), type=pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # newer Arrow keeps several chunks past 2 GB
            array = pa.concat_arrays(array.chunks)
    return array.cast(pa.large_string())


def id_words(ids: Ids) -> NDArray[np.uint64]:
    """Read ids as 128-bit numbers.

    Parameters
    ----------
    ids
        n strings without nulls; 32 lower-case hex digits are read directly, others are hashed.

    Returns
    -------
    numpy.ndarray
        uint64, shape (n, 2): high and low word.

    Raises
    ------
    KeyedRandomError
        When an id is null.
    """
    array = _as_large_string(ids)
    n = len(array)
    if array.null_count:
        message = f"{array.null_count} of {n} ids are null; give every row an id before drawing"
        raise KeyedRandomError(message)
    words = np.empty((n, 2), dtype=np.uint64)
    if n == 0:
        return words
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + n + 1]
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    hexlike = np.diff(offsets) == _HEX_DIGITS
    if hexlike.any():
        rows = np.flatnonzero(hexlike)
        if len(rows) == n:
            digits = data[offsets[0] : offsets[-1]].reshape(n, _HEX_DIGITS)
        else:
            digits = data[offsets[rows][:, None] + np.arange(_HEX_DIGITS)]
        nibbles = _nibbles()[digits]
        good = (nibbles < 16).all(axis=1)
        octets = ((nibbles[:, 0::2] << 4) | (nibbles[:, 1::2] & 15)).astype(np.uint8)
        words[rows] = np.ascontiguousarray(octets).view(">u8").astype(np.uint64)
        hexlike[rows[~good]] = False
    for row in np.flatnonzero(~hexlike):
        digest = xxhash.xxh3_128_intdigest(data[offsets[row] : offsets[row + 1]].tobytes())
        words[row, 0] = digest >> 64
        words[row, 1] = digest & 0xFFFFFFFFFFFFFFFF
    return words


def hash_words(words: NDArray[np.uint64], seed: int, purpose: str) -> NDArray[np.uint64]:
    """Hash ids that were read by `id_words`; for many draws on the same ids.

    Parameters
    ----------
    words
        uint64, shape (n, 2).
    seed
        Any integer.
    purpose
        What the draw decides; draws of different purposes are independent.

    Returns
    -------
    numpy.ndarray
        uint64, shape (n,).
    """
    if not purpose:
        message = "purpose is empty; name what the draw decides, so that two draws never coincide"
        raise KeyedRandomError(message)
    key = xxhash.xxh3_128_intdigest(f"{SCHEME}\x00{purpose}\x00{int(seed)}".encode())
    key_high = np.uint64(key >> 64)
    key_low = np.uint64(key & 0xFFFFFFFFFFFFFFFF)
    with np.errstate(over="ignore"):
        mixed = _mix((words[:, 0] ^ key_high) + _GOLDEN)
        mixed = _mix(mixed ^ words[:, 1] ^ key_low)
        return _mix(mixed + key_high)


def hash64(ids: Ids, seed: int, purpose: str) -> NDArray[np.uint64]:
    """Hash ids with a seed and a purpose to 64 uniform bits.

    Examples
    --------
    >>> hash64(["a", "b"], seed=0, purpose="example").shape
    (2,)
    """
    return hash_words(id_words(ids), seed, purpose)


def uniform_from_hash(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Map 64-bit hashes to the open interval (0, 1), by 53 bits and half a step."""
    return ((hashes >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def uniform(ids: Ids, seed: int, purpose: str) -> NDArray[np.float64]:
    """Draw one number in the open interval (0, 1) for each id.

    Parameters
    ----------
    ids
        n strings without nulls.
    seed
        Any integer.
    purpose
        What the draw decides.

    Returns
    -------
    numpy.ndarray
        float64, shape (n,); the same for an id wherever and whenever it is drawn.

    Examples
    --------
    >>> a = uniform(["00000000000000000000000000000001", "x#7"], seed=3, purpose="example")
    >>> b = uniform(["x#7"], seed=3, purpose="example")
    >>> bool(a[1] == b[0])
    True
    """
    return uniform_from_hash(hash64(ids, seed, purpose))


def gumbel(ids: Ids, seed: int, purpose: str) -> NDArray[np.float64]:
    """Draw one standard Gumbel variate, ``-log(-log u)``, for each id (shape (n,), float64)."""
    return -np.log(-np.log(uniform(ids, seed, purpose)))
