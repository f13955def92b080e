"""Put row hashes into runs ordered by their first bits, so that all hashes of a range lie together; compiled.

A run is up to `RUN_ROWS` hashes in parts of some hundred. The hashes of a part begin with the same bits and are in
the order of their rows. Who compares tables reads the same range of each, which fits the cache, and no more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from assets.kernels.compiled import compiled
from assets.kernels.xxh64 import Hashes

Rows = npt.NDArray[np.uint32]

RUN_ROWS = 1 << 18
"""Most hashes in a run: 2 MB, ordered within the second-level cache."""

_PART_ROWS = 256


class Run(NamedTuple):
    """Where the hashes of one run are.

    Attributes
    ----------
    first
        How many hashes there are in the runs before.
    bits
        The parts are those of 2**bits ranges.
    starts
        Where each part starts in the run, and where the last one ends.
    """

    first: int
    bits: int
    starts: Rows

    @property
    def size(self) -> int:
        """How many hashes it has."""
        return int(self.starts[-1])

    def between(self, number: int, bits: int) -> tuple[int, int]:
        """Return from where to where the hashes of range `number` of 2**bits lie, perhaps among others."""
        if bits <= self.bits:
            low, high = number << (self.bits - bits), (number + 1) << (self.bits - bits)
        else:
            low = number >> (bits - self.bits)
            high = low + 1
        return int(self.starts[low]), int(self.starts[high])


def part_bits(rows: int) -> int:
    """Return the bits by which a run of so many hashes is divided into parts."""
    return max(0, (max(rows, 1) - 1) // _PART_ROWS).bit_length()


def order(hashes: Hashes, first: int, out: Hashes, rows: Rows) -> Run:
    """Order hashes by part.

    Parameters
    ----------
    hashes : np.ndarray
        n hashes.
    first : int
        `Run.first`.
    out : np.ndarray
        n, written: the hashes of the run.
    rows : np.ndarray
        n, written: where in `hashes` each of them was.
    """
    bits = part_bits(hashes.size)
    starts = np.zeros((1 << bits) + 1, np.uint32)
    _order(hashes, bits, out, rows, starts)
    return Run(first, bits, starts)


@compiled
def _order(hashes: Hashes, bits: int, out: Hashes, rows: Rows, starts: Rows) -> None:
    shift = np.uint64(64 - bits)
    cursor = np.zeros((1 << bits) + 1, np.int64)
    for value in hashes:
        part = np.int64(value >> shift) if bits else 0
        cursor[part + 1] += 1
    for part in range(1 << bits):
        cursor[part + 1] += cursor[part]
        starts[part + 1] = cursor[part + 1]
    for i in range(hashes.size):
        value = hashes[i]
        part = np.int64(value >> shift) if bits else 0
        out[cursor[part]] = value
        rows[cursor[part]] = i
        cursor[part] += 1


@compiled
def of_range(hashes: Hashes, number: int, bits: int) -> Hashes:
    """Return the hashes that begin with the `bits` bits of `number`, in their order."""
    if bits == 0:
        return hashes
    shift = np.uint64(64 - bits)
    out = np.empty(hashes.size, np.uint64)
    count = 0
    for value in hashes:
        out[count] = value
        count += np.int64(value >> shift) == number
    return out[:count].copy()
