"""Row hashes of one table, gathered batch by batch: in memory while there is room, then in a file.

A file is 8 bytes a row, little-endian, and the XXH3-128 digest of them. It appears under its name only
when it is whole.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from assets.containment.room import Room
from assets.kernels.cell_hash import Hashes

_DIGEST_BYTES = 16
_WORD = np.dtype("<u8")
_CHECKED_BYTES = 1 << 20


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
        self.digest = xxhash.xxh3_128()
        self.handle: BinaryIO | None = None
        self.fresh = file.with_suffix(f".{time.time_ns()}.{threading.get_ident()}.new")

    def append(self, hashes: Hashes) -> None:
        """Take the hashes of a batch."""
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

    def finish(self) -> Hashes:
        """Return all hashes, mapped from the file if they lie in one."""
        if self.handle is None:
            return np.concatenate(self.parts) if self.parts else np.empty(0, np.uint64)
        self.handle.write(self.digest.digest())
        self.handle.close()
        self.fresh.replace(self.file)
        return mapped(self.file)

    def discard(self) -> None:
        """Forget what was gathered."""
        if self.handle is not None:
            self.handle.close()
            self.fresh.unlink(missing_ok=True)
        self.room.give_back(self.taken)


def mapped(file: Path) -> Hashes:
    """Map a finished file."""
    count = (file.stat().st_size - _DIGEST_BYTES) // _WORD.itemsize
    if count <= 0:
        return np.empty(0, np.uint64)
    hashes: Hashes = np.asarray(np.memmap(file, _WORD, mode="r", shape=(count,)))
    return hashes


def load(file: Path) -> Hashes | None:
    """Map a cached file, or return None: there is none, or its content is not what was written."""
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
    return mapped(file) if sound else None
