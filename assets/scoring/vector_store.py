"""Vectors of a stage as float16, in memory where they are few and in a scratch file where they are many.

A file is mapped, and its pages are let go again after each thousand rows, so what a process holds of it is some tens of
megabytes however large it is. It has no name in the folder: nothing is left of it, whatever ends the process.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import id_words
from assets.kernels.unit_vectors import to_grid
from assets.scoring.batches import ScoringError

WORKING_BYTES = 12
"""Bytes that a number of a vector takes in a search that holds all vectors: as float16 twice, and on the grid twice."""
_GATHERED_ROWS = 1024


class VectorStore:
    """Vectors that are written once and then gathered by their place.

    Parameters
    ----------
    dim
        Numbers of a vector.
    folder
        Where the file is, should there be one.
    memory_bytes
        What all vectors may take in a search; a store that would take more becomes a file.
    """

    def __init__(self, dim: int, folder: Path, memory_bytes: int) -> None:
        self.dim = dim
        self.rows = 0
        self._folder, self._memory = folder, memory_bytes
        self._parts: list[NDArray[np.float16]] = []
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        self._array: NDArray[np.float16] | None = None

    @property
    def in_memory(self) -> bool:
        """Whether it is no file."""
        return self._file is None

    def add(self, vectors: NDArray[Any]) -> None:
        """Append rows; what float16 can't hold becomes infinite, which is no vector.

        Raises
        ------
        ScoringError
            Their length is another one.
        """
        if vectors.shape[1] != self.dim:
            message = (
                f"vectors have {vectors.shape[1]} numbers where {self.dim} were expected; "
                "was the embedder changed? Spaces can't be mixed"
            )
            raise ScoringError(message)
        with np.errstate(over="ignore", invalid="ignore"):
            half = np.ascontiguousarray(vectors, dtype=np.float16)
        self.rows += len(half)
        self._parts.append(half)
        if self._file is None and self.rows * self.dim * WORKING_BYTES > self._memory:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 as long as the store
        if self._file is not None:
            for part in self._parts:
                self._file.write(part.tobytes())
            self._parts = []

    def close(self) -> VectorStore:
        """End writing; returns the store, to be read."""
        if self._file is None:
            empty = np.zeros((0, self.dim), dtype=np.float16)
            self._array = np.concatenate([empty, *self._parts])
            self._parts = []
        elif self.rows:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            flat = np.frombuffer(self._map, dtype=np.float16)
            self._array = flat.reshape(self.rows, self.dim)
        return self

    def gather(self, at: NDArray[np.integer[Any]]) -> NDArray[np.float16]:
        """Return the rows at some places, zeros where the place is -1: float16, shape (n, dim)."""
        found = np.zeros((len(at), self.dim), dtype=np.float16)
        held = np.flatnonzero(np.asarray(at) >= 0)
        if self._array is None:
            return found
        for start in range(0, len(held), _GATHERED_ROWS):
            some = held[start : start + _GATHERED_ROWS]
            found[some] = self._array[at[some]]
            if self._map is not None:
                self._map.madvise(mmap.MADV_DONTNEED)
        return found


class StoredRows:
    """Rows of a store in an order of one's own, like an array of float16 that is gathered as it is sliced.

    Parameters
    ----------
    store
        Closed.
    at
        Place of each row, int64 of shape (n,); -1 for a row without a vector.
    """

    ndim = 2
    dtype = np.dtype(np.float16)

    def __init__(self, store: VectorStore, at: NDArray[np.int64]) -> None:
        self.store = store
        self.at = at
        self.shape = (len(at), store.dim)

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, rows: Any) -> NDArray[np.float16]:  # noqa: ANN401 as of an array
        return self.store.gather(self.at[rows])

    def blocks(self, rows: int = 8 * _GATHERED_ROWS) -> Iterable[NDArray[np.float16]]:
        """Yield all rows in order, some thousands at a time."""
        for start in range(0, len(self), rows):
            yield self[start : start + rows]

    def usable(self) -> NDArray[np.bool_]:
        """Tell which rows have a vector with a direction (bool, shape (n,))."""
        parts = [np.isfinite(b).all(axis=1) & b.any(axis=1) for b in self.blocks()]
        return np.concatenate([np.zeros(0, dtype=bool), *parts])


Vectors: TypeAlias = NDArray[Any] | StoredRows


def usable_rows(vectors: Vectors) -> NDArray[np.bool_]:
    """Tell which rows have a vector with a direction (bool, shape (n,))."""
    if isinstance(vectors, StoredRows):
        return vectors.usable()
    return np.asarray(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))


class GridRows:
    """Some rows of stored vectors on the grid of whole numbers, made anew whenever they are looked at."""

    def __init__(self, vectors: StoredRows, rows: NDArray[np.int64]) -> None:
        self.vectors = StoredRows(vectors.store, vectors.at[rows])

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:  # noqa: ANN401 as of an array
        return to_grid(self.vectors[rows])


class Places:
    """Finds the place of an id among those that were added: 24 bytes an id."""

    def __init__(self) -> None:
        self._words: list[NDArray[np.uint64]] = []
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None

    def add(self, ids: pl.Series) -> None:
        """Append ids, in the order of their places."""
        self._words.append(id_words(ids))

    def close(self) -> Places:
        """End adding; returns the index, to be asked."""
        words = np.concatenate([np.zeros((0, 2), dtype=np.uint64), *self._words])
        self._words = []
        order = np.lexsort((words[:, 1], words[:, 0]))
        self._sorted = words[order], order.astype(np.int64)
        return self

    def find(self, ids: pl.Series) -> NDArray[np.int64]:
        """Return the place of each id, -1 where it was not added."""
        assert self._sorted is not None
        words, order = self._sorted
        found = np.full(len(ids), -1, dtype=np.int64)
        if not len(words):
            return found
        asked = id_words(ids)
        at = np.searchsorted(words[:, 0], asked[:, 0])
        open_ = np.arange(len(ids))
        while len(open_):  # ids whose first words are equal stand beside each other
            inside = at[open_] < len(words)
            open_ = open_[inside]
            same = words[at[open_], 0] == asked[open_, 0]
            open_ = open_[same]
            hit = words[at[open_], 1] == asked[open_, 1]
            found[open_[hit]] = order[at[open_[hit]]]
            open_ = open_[~hit]
            at[open_] += 1
        return found
