"""How often each key came before: a table of open addresses for 16-byte keys, 40 to 80 bytes a distinct key."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.kernels.compiled import compiled

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
KEY_BYTES = 16
_LEAST_SLOTS = 1 << 10


class Occurrences:
    """Counts keys that are digests: their bits are taken as they are for places in the table."""

    def __init__(self) -> None:
        self._keys = np.zeros((_LEAST_SLOTS, 2), np.uint64)
        self._counts = np.zeros(_LEAST_SLOTS, np.uint32)
        self._held = 0

    def add(self, keys: bytes) -> I64:
        """Return of each of the next keys how often it came before.

        Parameters
        ----------
        keys
            n keys of `KEY_BYTES` bytes, one after another.

        Returns
        -------
        (n,) int64
        """
        wanted = np.frombuffer(keys, np.uint64).reshape(-1, 2)
        while 2 * (self._held + len(wanted)) > len(self._counts):
            self._grow()
        numbers = np.empty(len(wanted), np.int64)
        self._held += count_keys(wanted, self._keys, self._counts, numbers)
        return numbers

    def _grow(self) -> None:
        held = self._counts > 0
        keys, counts = self._keys[held], self._counts[held]
        self._keys = np.zeros((2 * len(self._counts), 2), np.uint64)
        self._counts = np.zeros(2 * len(held), np.uint32)
        place_keys(keys, counts, self._keys, self._counts)


@compiled
def count_keys(wanted: U64, keys: U64, counts: U32, numbers: I64) -> int:
    """Count each wanted key; returns how many were new."""
    mask = np.uint64(counts.size - 1)
    fresh = 0
    for row in range(len(wanted)):
        slot = wanted[row, 0] & mask
        while counts[slot] and (keys[slot, 0] != wanted[row, 0] or keys[slot, 1] != wanted[row, 1]):
            slot = (slot + np.uint64(1)) & mask
        if not counts[slot]:
            keys[slot] = wanted[row]
            fresh += 1
        numbers[row] = counts[slot]
        counts[slot] += np.uint32(1)
    return fresh


@compiled
def place_keys(held: U64, times: U32, keys: U64, counts: U32) -> None:
    """Put distinct keys with their counts into an empty table."""
    mask = np.uint64(counts.size - 1)
    for row in range(len(held)):
        slot = held[row, 0] & mask
        while counts[slot]:
            slot = (slot + np.uint64(1)) & mask
        keys[slot] = held[row]
        counts[slot] = times[row]
