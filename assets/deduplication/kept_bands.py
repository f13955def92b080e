"""Band keys of the first pass: in memory up to a limit, beyond it in a scratch file that is read a band at a time."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

U32 = npt.NDArray[np.uint32]


class BandPart(Protocol):
    """Band keys of some sets: an array (bands, sets), or what reads one from a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How many bands, and how many sets."""

    def __getitem__(self, band: int, /) -> U32:
        """Return the keys of a band: (sets,)."""


class _Written:
    """Rows of one array in a file."""

    def __init__(self, file: IO[bytes], begin: int, shape: tuple[int, ...]) -> None:
        self._file, self._begin, self.shape = file, begin, shape

    def __getitem__(self, band: int) -> U32:
        size = 4 * self.shape[1]
        octets = os.pread(self._file.fileno(), size, self._begin + band * size)
        if len(octets) < size:
            message = "a scratch file of band keys was cut short; free some disk and run again"
            raise OSError(message)
        return np.frombuffer(octets, np.uint32)


class KeptBands:
    """Holds band keys, added by any thread in any order.

    Parameters
    ----------
    folder
        Where the scratch file lies; None: where the system keeps temporary files. The file has no name and goes
        away with the process, however that ends.
    limit_bytes
        How much is held in memory before the file is begun.
    """

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._held = self._written = 0

    def add(self, keys: U32) -> BandPart:
        """Take (bands, sets) keys. Where the disk is full they stay in memory."""
        with self._lock:
            if self._held + keys.nbytes <= self._limit:
                self._held += keys.nbytes
                return keys
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - lives as long as this
            begin = self._written
            self._written += keys.nbytes
        octets = np.ascontiguousarray(keys).view(np.uint8).data.cast("B")
        try:
            done = os.pwrite(self._file.fileno(), octets, begin)
        except OSError:
            done = 0
        if done < len(octets):
            return keys
        return _Written(self._file, begin, keys.shape)
