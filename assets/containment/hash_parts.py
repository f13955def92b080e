"""Hash stored tables file by file, so that a file is hashed once, whichever tables and versions use it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from assets.containment.bounds import TableStatistics
from assets.containment.content import Rows, first_rows
from assets.containment.described import Described
from assets.containment.hash_store import Columns, HashStore, Progress, WorkDone
from assets.containment.ranges import InPieces, Ranges, Unordered, all_by_range
from assets.containment.shared_files import StoredFile
from assets.kernels.cell_hash import Hashes


@dataclass(frozen=True)
class Part:
    """One data file as a table reads it.

    Attributes
    ----------
    key
        Equal for equal rows: the file's identity, its live rows, its partition values and the types
        as which its columns are read.
    bytes
        Its size on disk.
    read
        Streams some columns.
    cells
        The same for those who only hash them, and say how many rows at a time they can take (`most_rows`).
    """

    key: str
    bytes: int
    read: Callable[[Sequence[str]], Iterable[pa.Table]]
    cells: Callable[..., Iterable[Rows]]


def parts_of(
    files: Sequence[StoredFile],
    schema: pa.Schema,
    read: Callable[..., Iterable[pa.Table]],
    cells: Callable[..., Iterable[Rows]] | None = None,
) -> list[Part]:
    """Describe the files of a table as parts.

    Parameters
    ----------
    files
        In the order of the table's rows.
    schema
        As the table is read.
    read
        Takes columns, and a file as `only`.
    cells
        The same with `most_rows`, for those who only hash what is read; by default `read`.
    """
    types = schema.remove_metadata().to_string()
    hashed = cells or (lambda columns, only, most_rows: read(columns, only=only))
    return [
        Part(_key(file, types), file.bytes, partial(read, only=file), partial(hashed, only=file))
        for file in files
    ]


def _key(file: StoredFile, types: str) -> str:
    kept = b"" if file.kept is None else np.packbits(file.kept).tobytes()
    size = None if file.kept is None else file.kept.size
    told = repr((file.identity, sorted(file.partition.items()), size, types))
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass") + kept, digest_size=16).hexdigest()


@dataclass(frozen=True)
class PartHashes:
    """The row hashes of a table, one part after the other."""

    parts: Sequence[Hashes | InPieces]

    @property
    def size(self) -> int:
        """How many there are."""
        return sum(part.size for part in self.parts)

    def pieces(self) -> Iterator[Hashes]:
        """Yield them part by part."""
        for part in self.parts:
            if isinstance(part, np.ndarray):
                yield part
            else:
                yield from part.pieces()

    def by_range(self, bits: int) -> AbstractContextManager[Ranges]:
        """Read ranges of all parts."""
        return all_by_range(
            [Unordered(part) if isinstance(part, np.ndarray) else part for part in self.parts], bits
        )

    def first_rows(self, wanted: Hashes) -> dict[int, int]:
        """Find the first row of each of some hashes."""
        found: dict[int, int] = {}
        start = 0
        for part in self.parts:
            for value, row in first_rows(part, wanted).items():
                if row >= 0 and value not in found:
                    found[value] = start + row
            start += part.size
        return {value: found.get(value, -1) for value in wanted.tolist()}


class PartStore(HashStore):
    """A `HashStore` in which stored tables consist of parts, and each part is hashed once.

    Parameters
    ----------
    parts
        By table; tables that are not in it are hashed whole.
    tables, read, settings, cost
        As in `HashStore`.

    Attributes
    ----------
    failed
        Why tables could not be read, by table; also those of whose parts one could not.
    """

    def __init__(
        self,
        tables: Mapping[str, Described],
        read: Callable[[str, Sequence[str]], Iterable[pa.Table]],
        *settings: Any,  # noqa: ANN401 - passed on
        parts: Mapping[str, Sequence[Part]],
        cost: Callable[[str], int],
        **more: Any,  # noqa: ANN401
    ) -> None:
        self._parts = {name: [f"\0{part.key}" for part in own] for name, own in parts.items()}
        self._broken: dict[str, str] = {}  # why a part could not be read
        by_key = {f"\0{part.key}": part for own in parts.values() for part in own}
        nothing = TableStatistics(None, {})
        described = {
            # the types are part of the key
            name: Described(name, "", None, defaultdict(str), {}, nothing, part.bytes)
            for name, part in by_key.items()
        }

        def cost_of(table: str) -> int:
            return by_key[table].bytes if table in by_key else cost(table)

        def read_part(table: str, columns: Sequence[str]) -> Iterable[pa.Table]:
            return by_key[table].read(columns) if table in by_key else read(table, columns)

        def cells_of(table: str, columns: Sequence[str], most_rows: int) -> Iterable[Rows]:
            if table in by_key:
                return by_key[table].cells(columns, most_rows=most_rows)
            return read(table, columns)

        every = {**tables, **described}
        super().__init__(every, read_part, *settings, cells=cells_of, cost=cost_of, **more)

    def fill(
        self, wanted: Mapping[str, Sequence[Columns]], told: Progress | None = None
    ) -> WorkDone:
        """Hash what is not there yet; each part is read once for all column sets of all its tables."""
        whole: dict[str, dict[Columns, None]] = {}
        for table, sets in wanted.items():
            for name in self._parts.get(table, [table]):
                whole.setdefault(name, {}).update(dict.fromkeys(sets))
        left = {name: list(sets) for name, sets in whole.items() if name not in self._broken}
        done = super().fill(left, told)
        self._broken |= {name: self.failed.pop(name) for name in left if name in self.failed}
        for table in wanted:
            reasons = [
                self._broken[n] for n in self._parts.get(table, [table]) if n in self._broken
            ]
            if reasons:
                self.failed.setdefault(table, reasons[0])
        return done

    def stored(self, table: str, columns: Columns) -> Hashes | InPieces:
        """Return the hashes of a table's rows on some columns, or the files that they lie in."""
        if table not in self._parts:
            return super().stored(table, columns)
        whole = super().stored
        return PartHashes([whole(name, columns) for name in self._parts[table]])
