"""Sets of the first pass in a scratch file, so that texts need not be read a second time to be compared.

Why: the sets of candidates are wanted after the first pass and are not known before its end. To read and cut all
texts again costs more than to write all sets (8 bytes a shingle, about as many bytes as the text for words) once;
most of what is written never leaves the page cache. The file has no name and goes away with the process, however
that ends. What it does not hold, because it has reached its limit or the disk is full, is read again.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
SET_BYTES = 4 << 30
WINDOW = 1 << 20  # elements that are mapped at once
SHARE_OF_FREE = 4  # at most one part in so many of the free disk is taken


class KeptSets:
    """A file of sets, written by any thread in any order.

    Parameters
    ----------
    folder
        Where the file lies; None: where the system keeps temporary files.
    limit_bytes
        The most that it may hold; also at most a quarter of the free disk.
    """

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._elements = 0

    @property
    def open(self) -> bool:
        """Say whether it may have room."""
        return 8 * self._elements < self._limit

    def add(self, flat: U64) -> int:
        """Write the elements of some sets; returns where they begin in the file, or -1: they are not held."""
        with self._lock:
            begin = self._elements
            if self._file is None and self._limit:
                where = self._folder or Path(tempfile.gettempdir())
                self._limit = min(self._limit, shutil.disk_usage(where).free // SHARE_OF_FREE)
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - lives as long as this
            if self._file is None or 8 * (begin + len(flat)) > self._limit:
                return -1
            self._elements += len(flat)
        octets = flat.view(np.uint8).data
        try:
            done = os.pwrite(self._file.fileno(), octets, 8 * begin)
        except OSError:  # the disk is full: what is held stays
            done = 0
        if done < len(octets):
            self._limit = 0
            return -1
        return begin

    def read(self, begins: I64, sizes: I64) -> Iterator[tuple[I64, U64, I64]]:
        """Yield (which sets, elements, where in these each of them begins) for the sets whose begin is not -1.

        Elements are a view of the file: memory is one window, and a set that is larger.
        """
        order = np.argsort(begins, kind="stable")
        order = order[begins[order] >= 0]
        cuts = np.flatnonzero(np.diff(begins[order] // WINDOW)) + 1
        for some in np.split(order, cuts):
            if not len(some) or self._file is None:
                continue
            stop = int((begins[some] + sizes[some]).max())
            start = int(begins[some[0]]) // WINDOW * WINDOW
            view = mmap.mmap(
                self._file.fileno(), 8 * (stop - start), offset=8 * start, access=mmap.ACCESS_READ
            )  # it is closed with the last array that looks into it
            yield some, np.frombuffer(view, np.uint64), begins[some] - start
