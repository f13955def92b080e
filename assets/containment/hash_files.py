"""Row hashes of one table, gathered batch by batch: in memory while there is room, then in files.

A table's hashes are a file of 8 bytes a row, little-endian, in runs ordered by range (`hash_runs`), the places of
the parts, and the XXH3-128 digest of all that. A second file has the row of each, 4 bytes, and a digest. Both appear
under their names only when they are whole.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from assets.containment.hash_runs import RUN_ROWS, Rows, Run, of_range, order
from assets.containment.pair_counts import find_first
from assets.containment.ranges import Ranges
from assets.containment.room import Room
from assets.kernels.cell_hash import Hashes

_DIGEST_BYTES = 16
_WORD = np.dtype("<u8")
_ROW = np.dtype("<u4")
_CHECKED_BYTES = 1 << 20


class DamagedHashesError(Exception):
    """The rows of some hashes are not what was written; hash the table again.

    Attributes
    ----------
    file
        The hashes.
    """

    def __init__(self, file: HashFile) -> None:
        super().__init__(
            f"{_rows_of(file.path)} is not what was written; remove it and search again"
        )
        self.file = file


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
        self.spilled: _Spilled | None = None

    def append(self, hashes: Hashes) -> None:
        """Take the hashes of a batch."""
        if self.spilled is None:
            if self.room.take(hashes.nbytes):
                self.taken += hashes.nbytes
                self.parts.append(hashes)
                return
            self._spill()
        if self.spilled is not None:
            self.spilled.add(hashes)

    def _spill(self) -> None:
        self.spilled = _Spilled(self.file)
        for part in self.parts:
            self.spilled.add(part)
        self.parts.clear()
        self.room.give_back(self.taken)
        self.taken = 0

    def finish(self) -> Hashes | HashFile:
        """Return all hashes, or the file that they lie in."""
        if self.spilled is not None:
            return self.spilled.finish()
        if len(self.parts) == 1:
            return self.parts[0]
        return np.concatenate(self.parts) if self.parts else np.empty(0, np.uint64)

    def discard(self) -> None:
        """Forget what was gathered."""
        if self.spilled is not None:
            self.spilled.discard()
        self.room.give_back(self.taken)


class _Spilled:
    """Files that are being written, run by run."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        mark = f".{time.time_ns()}.{threading.get_ident()}.new"
        self.hashes = _Written(file.with_suffix(mark))
        self.places = _Written(file.with_suffix(f".rows{mark}"))
        self.runs: list[Run] = []
        self.rows = 0
        self.waiting = 0
        # one set of arrays for all runs: fresh memory each time would cost more than ordering does
        self.run, self.out = np.empty((2, RUN_ROWS), np.uint64)
        self.out_rows = np.empty(RUN_ROWS, np.uint32)

    def add(self, hashes: Hashes) -> None:
        done = 0
        while done < hashes.size:
            count = min(hashes.size - done, RUN_ROWS - self.waiting)
            self.run[self.waiting : self.waiting + count] = hashes[done : done + count]
            self.waiting += count
            done += count
            if self.waiting == RUN_ROWS:
                self._write()

    def _write(self) -> None:
        out, rows = self.out[: self.waiting], self.out_rows[: self.waiting]
        self.runs.append(order(self.run[: self.waiting], self.rows, out, rows))
        self.hashes.write(out.astype(_WORD, copy=False))
        self.places.write(rows.astype(_ROW, copy=False))
        self.rows += self.waiting
        self.waiting = 0

    def finish(self) -> HashFile:
        if self.waiting:
            self._write()
        index = [part for run in self.runs for part in (_head(run), run.starts)]
        self.hashes.write(np.concatenate([*index, _tail(index, self.runs)]).astype(_ROW))
        self.places.finish(_rows_of(self.file))
        self.hashes.finish(self.file)
        return HashFile(self.file, self.rows, tuple(self.runs))

    def discard(self) -> None:
        self.hashes.discard()
        self.places.discard()


class _Written:
    """A file that is being written, and its digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle: BinaryIO = path.open("wb", buffering=0)
        self.digest = xxhash.xxh3_128()

    def write(self, content: np.ndarray[Any, Any]) -> None:
        raw = content.data.cast("B") if content.size else b""
        self.digest.update(raw)
        self._whole(raw)

    def _whole(self, raw: memoryview | bytes) -> None:
        done = 0
        while done < len(raw):
            done += self.handle.write(raw[done:])

    def finish(self, file: Path) -> None:
        self._whole(self.digest.digest())
        self.handle.close()
        self.path.replace(file)

    def discard(self) -> None:
        self.handle.close()
        self.path.unlink(missing_ok=True)


def _head(run: Run) -> Rows:
    return np.array([run.bits], np.uint32)


def _tail(index: list[Rows], runs: list[Run]) -> Rows:
    """Return the last three words before the digest: how many runs, and how many words in the index, low and high."""
    words = sum(part.size for part in index)
    return np.array([len(runs), words & 0xFFFFFFFF, words >> 32], np.uint32)


_TAIL_WORDS = 3


def _rows_of(file: Path) -> Path:
    return file.with_suffix(".rows")


@dataclass(frozen=True)
class HashFile:
    """Finished files of row hashes; reading them piece by piece never holds them whole."""

    path: Path
    size: int
    runs: tuple[Run, ...]

    def pieces(self) -> Iterator[Hashes]:
        """Yield the hashes run by run."""
        for run in self.runs:
            yield np.fromfile(self.path, _WORD, run.size, offset=run.first * _WORD.itemsize)

    @contextmanager
    def by_range(self, bits: int) -> Iterator[Ranges]:
        """Read ranges with one open file."""
        with self.path.open("rb", buffering=0) as handle:
            yield partial(self._range, handle.fileno(), bits)

    def _range(self, handle: int, bits: int, number: int) -> list[Hashes]:
        between = [run.between(number, bits) for run in self.runs]
        own = np.empty(sum(high - low for low, high in between), _WORD)
        done = 0
        for run, (low, high) in zip(self.runs, between, strict=True):
            _read(handle, run.first + low, own[done : done + high - low])
            done += high - low
        # small runs have parts wider than the range
        return [own if all(run.bits >= bits for run in self.runs) else of_range(own, number, bits)]

    def first_rows(self, wanted: Hashes) -> dict[int, int]:
        """Find the first row of each of some hashes, sorted.

        Raises
        ------
        DamagedHashesError
            If the file of rows is not what was written.
        """
        found = np.full(wanted.size, -1, np.int64)
        if wanted.size:
            with self.path.open("rb", buffering=0) as handle:
                for run in self.runs:
                    self._find(handle.fileno(), run, wanted, found)
        there = found >= 0
        if there.any():
            places = self._places()
            starts = np.array([run.first for run in self.runs], np.int64)
            runs = np.searchsorted(starts, found[there], side="right") - 1
            found[there] = starts[runs] + places[found[there]]
        return dict(zip(wanted.tolist(), found.tolist(), strict=True))

    def _find(self, handle: int, run: Run, wanted: Hashes, found: np.ndarray[Any, Any]) -> None:
        """Note where hashes of a run are that were in none before."""
        low = run.between(int(wanted[0]) >> (64 - run.bits), run.bits)[0]
        high = run.between(int(wanted[-1]) >> (64 - run.bits), run.bits)[1]
        own = np.empty(high - low, _WORD)
        _read(handle, run.first + low, own)
        find_first(own, run.first + low, wanted, found)

    def _places(self) -> Rows:
        file, bytes_of_rows = _rows_of(self.path), self.size * _ROW.itemsize
        if not file.exists() or file.stat().st_size != bytes_of_rows + _DIGEST_BYTES:
            raise DamagedHashesError(self)
        content: np.ndarray[Any, Any] = np.memmap(file, np.uint8, mode="r")
        if (
            xxhash.xxh3_128_digest(content[:bytes_of_rows].data)
            != content[bytes_of_rows:].tobytes()
        ):
            raise DamagedHashesError(self)
        return content[:bytes_of_rows].view(_ROW)

    def remove(self) -> None:
        """Remove both files."""
        self.path.unlink(missing_ok=True)
        _rows_of(self.path).unlink(missing_ok=True)

    def mapped(self) -> Hashes:
        """Map the file as one array."""
        if not self.size:
            return np.empty(0, np.uint64)
        hashes: Hashes = np.memmap(self.path, _WORD, mode="r", shape=(self.size,))
        return hashes


def _read(handle: int, first: int, into: Hashes) -> None:
    """Read as many hashes as `into` has places."""
    raw = into.data.cast("B") if into.size else memoryview(b"")
    done = 0
    while done < len(raw):
        got = os.preadv(handle, [raw[done:]], first * _WORD.itemsize + done)
        if not got:
            message = "a file of row hashes was cut while it was used; search again"
            raise OSError(message)
        done += got


def load(file: Path) -> HashFile | None:
    """Return a cached file, or None: there is none, or its content is not what was written."""
    try:
        size = file.stat().st_size
        with file.open("rb", buffering=0) as handle:
            left = size - _DIGEST_BYTES
            digest: Any = xxhash.xxh3_128()
            piece = memoryview(bytearray(_CHECKED_BYTES))
            while left > 0:
                got = handle.readinto(piece[: min(left, _CHECKED_BYTES)])
                if not got:
                    return None
                digest.update(piece[:got])
                left -= got
            if digest.digest() != handle.read() or not _rows_of(file).exists():
                return None
        runs = _runs(file, size)
    except FileNotFoundError:
        return None
    return HashFile(file, sum(run.size for run in runs), runs)


def _runs(file: Path, size: int) -> tuple[Run, ...]:
    """Read the places of the parts of a sound file."""
    end = size - _DIGEST_BYTES
    tail = np.fromfile(file, _ROW, _TAIL_WORDS, offset=end - _TAIL_WORDS * _ROW.itemsize)
    words = int(tail[1]) | int(tail[2]) << 32
    index = np.fromfile(file, _ROW, words, offset=end - (_TAIL_WORDS + words) * _ROW.itemsize)
    runs, first, at = [], 0, 0
    for _ in range(int(tail[0])):
        bits = int(index[at])
        starts = index[at + 1 : at + 2 + (1 << bits)]
        runs.append(Run(first, bits, starts))
        at += 1 + starts.size
        first += int(starts[-1])
    return tuple(runs)
