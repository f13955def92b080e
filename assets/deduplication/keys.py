"""Turn 128-bit keys written as 32 hexadecimal digits into two 64-bit columns, and back.

A key costs 16 bytes here instead of 32 and compares as the text does: by `high`, then `low`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.deduplication.errors import KeyFormatError

Keys: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str] | npt.NDArray[Any]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

CHUNK = 1 << 18  # keys that are held as text and as numbers at once


def parse_keys(keys: Keys) -> tuple[U64, U64]:
    """Read keys of 32 lower-case hexadecimal digits.

    Parameters
    ----------
    keys
        (n,) Arrow string array, numpy array or list of `str`; or (n, 2) uint64: both halves as they are.

    Returns
    -------
    tuple of uint64 arrays
        `high` and `low`, (n,) each; the order of (high, low) is the order of the texts.

    Raises
    ------
    KeyFormatError
        A key is null or not 32 lower-case hexadecimal digits; the message names it.
    """
    if isinstance(keys, np.ndarray) and keys.dtype == np.uint64 and keys.ndim == 2:
        return np.ascontiguousarray(keys[:, 0]), np.ascontiguousarray(keys[:, 1])
    array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if not isinstance(array, pa.Array):
        array = pa.array(list(array), type=pa.large_string())
    read = read_keys(array)
    if read is None:
        _refuse(array)
        raise AssertionError
    return read


def read_keys(array: pa.Array) -> tuple[U64, U64] | None:
    """Do what `parse_keys` does for one array of strings; None where one of them is no such key."""
    array = array.cast(pa.large_string())
    count = len(array)
    if count == 0:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset :][: count + 1]
    if array.null_count or not bool((np.diff(offsets) == 32).all()):
        return None
    from assets.deduplication.key_kernels import read_digits

    data = np.frombuffer(array.buffers()[2], dtype=np.uint8)
    high, low = np.empty(count, np.uint64), np.empty(count, np.uint64)
    return None if read_digits(data, int(offsets[0]), high, low) >= 0 else (high, low)


def key_numbers(names: pl.Series) -> tuple[U64, U64] | None:
    """Return both halves of names that all are keys of 32 hexadecimal digits, or None.

    Names are read in chunks, so that no second copy of all of them is held.
    """
    high, low = np.empty(len(names), np.uint64), np.empty(len(names), np.uint64)
    for first in range(0, len(names), CHUNK):
        read = read_keys(names[first : first + CHUNK].to_arrow())
        if read is None:
            return None
        high[first : first + CHUNK], low[first : first + CHUNK] = read
    return high, low


def format_keys(high: U64, low: U64) -> pa.Array:
    """Write keys as 32 hexadecimal digits.

    Parameters
    ----------
    high, low
        (n,) uint64 halves.

    Returns
    -------
    pyarrow.Array
        (n,) `large_string`.
    """
    from assets.deduplication.key_kernels import write_digits

    count = len(high)
    digits = np.empty(32 * count, np.uint8)
    write_digits(high, low, digits)
    offsets = np.arange(count + 1, dtype=np.int64) * 32
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), count, buffers)


class KeyLookup:
    """Find the places of keys in a list of distinct keys: a table of 8 to 16 bytes a key.

    Parameters
    ----------
    high, low
        (n,) halves of the keys; they are held, not copied.

    Attributes
    ----------
    repeated
        The place of a key that came before, or -1. Where it is not -1, keys from there on are not found.
    """

    def __init__(self, high: U64, low: U64) -> None:
        from assets.deduplication.key_kernels import fill_table

        self._high, self._low = high, low
        self._slots = np.zeros(1 << max(4, (2 * len(high) - 1).bit_length()), np.uint32)
        self.repeated = int(fill_table(mixed_keys(high, low), high, low, self._slots))

    def find(self, high: U64, low: U64) -> tuple[I64, I64]:
        """Return which of the given keys are in the list (rows, ascending), and their places."""
        places = self.places(high, low)
        rows = np.flatnonzero(places >= 0)
        return rows, places[rows]

    def places(self, high: U64, low: U64) -> I64:
        """Return the place of each key in the list, or -1."""
        from assets.deduplication.key_kernels import look_up

        places = np.empty(len(high), np.int64)
        look_up(mixed_keys(high, low), high, low, self._slots, self._high, self._low, places)
        return places


def mixed_keys(high: U64, low: U64) -> U64:
    """Return 64 bits of each key that are as good as a hash, whatever the keys are."""
    mixed = high * np.uint64(0x9E3779B97F4A7C15)
    mixed += (low ^ (low >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    spread: U64 = mixed ^ (mixed >> np.uint64(32))
    return spread


def _refuse(array: pa.Array) -> None:
    for position, key in enumerate(array.to_pylist()):
        if key is None or len(key) != 32 or not set(key) <= set("0123456789abcdef"):
            message = (
                f"key {key!r} at position {position} of the batch is not 32 lower-case hexadecimal "
                "digits; give content ids, or hash other ids to 128 bits first"
            )
            raise KeyFormatError(message)
