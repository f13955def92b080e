"""Turn 128-bit keys written as 32 hexadecimal digits into two 64-bit columns, and back.

A key costs 16 bytes here instead of 32 and compares as the text does: by `high`, then `low`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.deduplication.errors import KeyFormatError

Keys: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str] | npt.NDArray[Any]
U64 = npt.NDArray[np.uint64]

_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


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
    array = array.cast(pa.large_string())
    count = len(array)
    if count == 0:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset :][: count + 1]
    if array.null_count or not bool((np.diff(offsets) == 32).all()):
        _refuse(array)
    from assets.deduplication.key_kernels import read_digits

    data = np.frombuffer(array.buffers()[2], dtype=np.uint8)
    high, low = np.empty(count, np.uint64), np.empty(count, np.uint64)
    if read_digits(data, int(offsets[0]), high, low) >= 0:
        _refuse(array)
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
    count = len(high)
    octets = np.empty((count, 2), dtype=">u8")
    octets[:, 0] = high
    octets[:, 1] = low
    raw = octets.view(np.uint8).reshape(count, 16)
    digits = np.empty((count, 16, 2), dtype=np.uint8)
    digits[:, :, 0] = _DIGITS[raw >> 4]
    digits[:, :, 1] = _DIGITS[raw & 15]
    offsets = np.arange(count + 1, dtype=np.int64) * 32
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), count, buffers)


class KeyLookup:
    """Find the places of keys in a list of distinct keys.

    Keys are sorted by a mix of both halves, so that ids that count up in one half are found as
    fast as hashes; the rare keys with equal mixes are told apart by comparing the halves.
    """

    def __init__(self, high: U64, low: U64) -> None:
        mixed = _mixed(high, low)
        self._order = np.argsort(mixed, kind="stable")
        self._mixed = mixed[self._order]
        self._high, self._low = high[self._order], low[self._order]

    def find(self, high: U64, low: U64) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return which of the given keys are in the list (rows, ascending), and their places."""
        last = len(self._mixed) - 1
        if last < 0:
            none = np.empty(0, np.int64)
            return none, none
        mixed = _mixed(high, low)
        place = np.searchsorted(self._mixed, mixed)
        rows = np.flatnonzero(self._mixed[np.minimum(place, last)] == mixed)
        place = place[rows]
        found_rows, found_places = [], []
        while len(rows):
            same = (self._high[place] == high[rows]) & (self._low[place] == low[rows])
            found_rows.append(rows[same])
            found_places.append(self._order[place[same]])
            rows, place = rows[~same], place[~same] + 1
            more = place <= last
            rows, place = rows[more], place[more]
            more = self._mixed[place] == mixed[rows]
            rows, place = rows[more], place[more]
        if not found_rows:
            return rows, place
        every = np.concatenate(found_rows)
        order = np.argsort(every, kind="stable")
        return every[order], np.concatenate(found_places)[order]


def _mixed(high: U64, low: U64) -> U64:
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
