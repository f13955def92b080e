"""Sets of shingles between the second pass and verification: in memory, or in a scratch file by blocks.

The file is laid out by the blocks of `verify`, so that a round of verification reads each block that it needs
from one end to the other. It has no name and goes away with the process, however that ends.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from assets.deduplication.set_copies import copy_sets, gathered_sets
from assets.deduplication.shingles import Shingle, write_sets
from assets.deduplication.text_spans import TextSpans

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class SetStore(Protocol):
    """Sets of known sizes, written once in any order and by any thread, and then read."""

    def write(self, spans: TextSpans, nodes: I64) -> int:
        """Write the sets of some texts; returns the first text whose set has another size, or -1."""

    def put(self, nodes: I64, flat: U64, begins: I64) -> None:
        """Write sets that are known: their elements lie in `flat`, each from its place in `begins` on."""

    def read(self, one: int, two: int) -> tuple[U64, I64]:
        """Return elements, and where the sets of two blocks begin in them (0 for sets of other blocks)."""


class SetsInMemory:
    """Keeps all sets, 8 bytes an element.

    Parameters
    ----------
    rule
        What a shingle is.
    sizes
        (n,) elements of each set.
    """

    def __init__(self, rule: Shingle, sizes: I64) -> None:
        self._rule, self._sizes = rule, sizes
        self._offsets = np.cumsum(sizes) - sizes
        self._flat = np.empty(int(sizes.sum()), np.uint64)

    def write(self, spans: TextSpans, nodes: I64) -> int:
        """Write the sets of some texts; returns the first text whose set has another size, or -1."""
        return write_sets(spans, self._rule, self._offsets[nodes], self._sizes[nodes], self._flat)

    def put(self, nodes: I64, flat: U64, begins: I64) -> None:
        """Write sets that are known: their elements lie in `flat`, each from its place in `begins` on."""
        copy_sets(flat, begins, self._sizes[nodes], self._flat, self._offsets[nodes])

    def read(self, one: int, two: int) -> tuple[U64, I64]:
        """Return all elements, and where each set begins."""
        return self._flat, self._offsets


class SetsOnDisk:
    """Keeps sets in a scratch file; in memory are two blocks and 8 bytes a set.

    Parameters
    ----------
    rule, sizes
        As for `SetsInMemory`.
    block
        (n,) the block of each set, from 0 without a gap.
    folder
        Where the file lies; None: where the system keeps temporary files.
    """

    def __init__(self, rule: Shingle, sizes: I64, block: I64, folder: Path | None) -> None:
        self._rule, self._sizes, self._block = rule, sizes, block
        self._lengths = np.zeros(int(block.max(initial=-1)) + 1, np.int64)
        np.add.at(self._lengths, block, sizes)
        self._begins = np.cumsum(self._lengths) - self._lengths
        self._filled = np.zeros(len(self._lengths), np.int64)
        self._within = np.zeros(len(sizes), np.int64)  # where a set begins in its block
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this
        self._slot = int(self._lengths.max(initial=0))
        self._two_blocks = np.empty(0, np.uint64)
        self._held = [-1, -1]

    def write(self, spans: TextSpans, nodes: I64) -> int:
        """Write the sets of some texts; returns the first text whose set has another size, or -1."""
        order = np.argsort(self._block[nodes], kind="stable")
        nodes = nodes[order]
        sizes = self._sizes[nodes]
        offsets = np.cumsum(sizes) - sizes
        flat = np.empty(int(sizes.sum()), np.uint64)
        wrong = write_sets(spans.take(order), self._rule, offsets, sizes, flat)
        if wrong >= 0:
            return int(order[wrong])
        self._append(nodes, flat)
        return -1

    def put(self, nodes: I64, flat: U64, begins: I64) -> None:
        """Write sets that are known: their elements lie in `flat`, each from its place in `begins` on."""
        order = np.argsort(self._block[nodes], kind="stable")
        nodes = nodes[order]
        self._append(nodes, gathered_sets(flat, begins[order], self._sizes[nodes]))

    def _append(self, nodes: I64, flat: U64) -> None:
        """Write sets that come in the order of their blocks."""
        sizes, block = self._sizes[nodes], self._block[nodes]
        offsets = np.cumsum(sizes) - sizes
        cuts = np.flatnonzero(np.diff(block)) + 1
        for part in np.split(np.arange(len(nodes)), cuts):
            if len(part):
                first, last = part[0], part[-1]
                run = flat[offsets[first] : offsets[last] + sizes[last]]
                begin = self._put(int(block[first]), run)
                self._within[nodes[part]] = begin + offsets[part] - offsets[first]

    def _put(self, block: int, run: U64) -> int:
        with self._lock:
            begin = int(self._filled[block])
            self._file.seek(8 * (int(self._begins[block]) + begin))
            self._file.write(run.view(np.uint8).data)
            self._filled[block] += len(run)
        return begin

    def read(self, one: int, two: int) -> tuple[U64, I64]:
        """Return the elements of two blocks, and where their sets begin (0 for sets of others)."""
        if not len(self._two_blocks):
            self._two_blocks = np.empty(2 * self._slot, np.uint64)
        for place, block in enumerate((one, two)):
            if self._held[place] == block:
                continue
            start = place * self._slot
            room = self._two_blocks[start : start + int(self._lengths[block])]
            self._file.seek(8 * int(self._begins[block]))
            if self._file.readinto(room.view(np.uint8).data) != 8 * len(room):
                message = (
                    "the scratch file of a search for duplicates became shorter while it was used"
                )
                raise OSError(message)
            self._held[place] = block
        offsets = np.where(self._block == one, self._within, 0)
        other = self._block == two
        offsets[other] = self._within[other] + (self._slot if two != one else 0)
        return self._two_blocks, offsets
