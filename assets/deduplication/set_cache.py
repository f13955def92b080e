"""Sets of shingles that earlier runs made, by their digests: an old text is not read again to be compared.

Each run that finds new sets writes one raw file of them (8 bytes an element) and then, under its final name, where in
it each set lies, with a checksum. Any of the files may be removed at any time: a set that is missing, or whose bytes
are not those that were written, is made from its text again.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from assets.deduplication.keys import KeyLookup
from assets.deduplication.set_checksums import set_checksums
from assets.deduplication.set_copies import gathered_sets
from resources.stage_spec import digest

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
WINDOW = 1 << 17  # elements that are read at once
BATCH = 1 << 18  # lines of a list of sets that are looked at at once
DAY_SECONDS = 86_400
COLUMNS = ("first", "second", "begin", "size", "checksum")


class SetCache:
    """The sets under one rule of shingles.

    Parameters
    ----------
    folder
        Where caches of sets lie.
    scheme
        All that a set depends on beside its text.
    """

    def __init__(self, folder: Path, scheme: str) -> None:
        self.folder = folder / digest(scheme)
        self._name = self.folder / uuid.uuid4().hex
        self._lock = threading.Lock()
        self._parts: list[tuple[U64, I64, U64]] = []

    def add(self, digests: U64, sizes: I64, flat: U64) -> None:
        """Keep sets: (n, 2) digests, (n,) sizes, and all elements one after another; from any thread."""
        if not len(sizes):
            return
        with self._lock:
            if not self._parts:
                self._begin()
            with self._name.with_suffix(".new").open("ab") as file:
                file.write(flat.view(np.uint8).data)
            self._parts.append((digests, sizes, set_checksums(flat, sizes)))

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left_over in self.folder.glob("*.new"):  # of runs that were killed
            with contextlib.suppress(OSError):
                if left_over.stat().st_mtime < time.time() - DAY_SECONDS:
                    left_over.unlink()

    def close(self) -> None:
        """Make what was added known to later readers."""
        if not self._parts:
            return
        digests = np.concatenate([part[0] for part in self._parts])
        sizes = np.concatenate([part[1] for part in self._parts])
        checksums = np.concatenate([part[2] for part in self._parts])
        self._parts = []
        columns = {
            "first": digests[:, 0],
            "second": digests[:, 1],
            "begin": np.cumsum(sizes) - sizes,
            "size": sizes,
            "checksum": checksums,
        }
        self._name.with_suffix(".new").replace(self._name.with_suffix(".sets"))
        listed = self._name.with_suffix(".list.new")
        pq.write_table(pa.table(columns), listed)
        listed.replace(self._name.with_suffix(".list"))
        self._name = self.folder / uuid.uuid4().hex

    def read(self, digests: U64, sizes: I64) -> Iterator[tuple[I64, U64, I64]]:
        """Yield (places in `digests`, elements, where in these each set begins) for the sets that are known."""
        lookup = KeyLookup(np.ascontiguousarray(digests[:, 0]), np.ascontiguousarray(digests[:, 1]))
        seen = np.zeros(len(sizes), bool)
        for listed in sorted(self.folder.glob("*.list")):
            with (
                contextlib.suppress(OSError, pa.ArrowException, KeyError),
                listed.with_suffix(".sets").open("rb") as file,
                pq.ParquetFile(listed) as lines,
            ):
                for batch in lines.iter_batches(BATCH):
                    first, second, begin, size, checksum = (
                        batch.column(name).to_numpy() for name in COLUMNS
                    )
                    rows, places = lookup.find(
                        np.ascontiguousarray(first), np.ascontiguousarray(second)
                    )
                    right = (size[rows] == sizes[places]) & ~seen[places]
                    rows, places = rows[right], places[right]
                    places, once = np.unique(places, return_index=True)
                    rows = rows[once]
                    for some, flat in _windows(file, begin[rows], size[rows]):
                        made = set_digests(flat, size[rows[some]])
                        good = (made == digests[places[some]]).all(axis=1)
                        good &= set_checksums(flat, size[rows[some]]) == checksum[rows[some]]
                        begins = np.cumsum(size[rows[some]]) - size[rows[some]]
                        seen[places[some[good]]] = True
                        yield places[some[good]], flat, begins[good]


def _windows(file: BinaryIO, begins: I64, sizes: I64) -> Iterator[tuple[I64, U64]]:
    """Read sets in the order of the file; yields which, and their elements. Stops where the file breaks off."""
    order = np.argsort(begins, kind="stable")
    cuts = np.flatnonzero(np.diff(begins[order] // WINDOW)) + 1
    for some in np.split(order, cuts):
        if not len(some):
            return
        start = int(begins[some[0]])
        stop = int((begins[some] + sizes[some]).max())
        file.seek(8 * start)
        octets = file.read(8 * (stop - start))
        if len(octets) < 8 * (stop - start):
            return
        held = np.frombuffer(octets, "<u8").astype(np.uint64, copy=False)
        yield some, gathered_sets(held, begins[some] - start, sizes[some])


def set_digests(flat: U64, sizes: I64) -> U64:
    """Return the (n, 2) digests of sets, as `shingle_kernels.sketch` makes them."""
    from assets.deduplication.set_kernels import set_digests as fill

    digests = np.empty((len(sizes), 2), np.uint64)
    fill(flat, sizes, digests)
    return digests
