"""Row hashes of one table, gathered batch by batch: in memory while there is room, then in a file.

A file is 8 bytes a row, little-endian, and the XXH3-128 digest of them. It appears under its name only
when it is whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from assets.containment.room import Room
from assets.kernels.cell_hash import Hashes

_DIGEST_BYTES = 16
_WORD = np.dtype("<u8")
_CHECKED_BYTES = 1 << 20
_PIECE_ROWS = 1 << 19


class HashWriter:
    """Gathers the hashes of one table.

    Parameters
    ----------
    file
        Where they go once there is no room left.
    room
        The memory that all writers share.
    """

    def __init__(self, file: Path, room: Room) -> None:
        self.file = file
        self.room = room
        self.parts: list[Hashes] = []
        self.taken = 0
        self.rows = 0
        self.digest = xxhash.xxh3_128()
        self.handle: BinaryIO | None = None
        self.fresh = file.with_suffix(f".{time.time_ns()}.{threading.get_ident()}.new")

    def append(self, hashes: Hashes) -> None:
        """Take the hashes of a batch."""
        self.rows += hashes.size
        if self.handle is None:
            if self.room.take(hashes.nbytes):
                self.taken += hashes.nbytes
                self.parts.append(hashes)
                return
            self._spill()
        self._write(hashes)

    def _spill(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.handle = self.fresh.open("wb")
        for part in self.parts:
            self._write(part)
        self.parts.clear()
        self.room.give_back(self.taken)
        self.taken = 0

    def _write(self, hashes: Hashes) -> None:
        content = hashes.astype(_WORD, copy=False).data
        self.digest.update(content)
        if self.handle is not None:
            self.handle.write(content)

    def finish(self) -> Hashes | HashFile:
        """Return all hashes, or the file that they lie in."""
        if self.handle is None:
            return np.concatenate(self.parts) if self.parts else np.empty(0, np.uint64)
        self.handle.write(self.digest.digest())
        self.handle.close()
        self.fresh.replace(self.file)
        return HashFile(self.file, self.rows)

    def discard(self) -> None:
        """Forget what was gathered."""
        if self.handle is not None:
            self.handle.close()
            self.fresh.unlink(missing_ok=True)
        self.room.give_back(self.taken)


@dataclass(frozen=True)
class HashFile:
    """A finished file of row hashes; reading it piece by piece never holds it whole."""

    path: Path
    size: int

    def pieces(self) -> Iterator[Hashes]:
        """Yield the hashes in order, some megabytes at a time."""
        for start in range(0, self.size, _PIECE_ROWS):
            count = min(_PIECE_ROWS, self.size - start)
            yield np.fromfile(self.path, _WORD, count, offset=start * _WORD.itemsize)

    def mapped(self) -> Hashes:
        """Map the file as one array."""
        if not self.size:
            return np.empty(0, np.uint64)
        hashes: Hashes = np.memmap(self.path, _WORD, mode="r", shape=(self.size,))
        return hashes


def load(file: Path) -> HashFile | None:
    """Return a cached file, or None: there is none, or its content is not what was written."""
    try:
        size = file.stat().st_size
        with file.open("rb") as handle:
            left = size - _DIGEST_BYTES
            digest: Any = xxhash.xxh3_128()
            while left > 0:
                piece = handle.read(min(left, _CHECKED_BYTES))
                digest.update(piece)
                left -= len(piece)
            stated = handle.read()
    except FileNotFoundError:
        return None
    sound = size % _WORD.itemsize == 0 and digest.digest() == stated
    return HashFile(file, (size - _DIGEST_BYTES) // _WORD.itemsize) if sound else None
