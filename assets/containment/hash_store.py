"""Row hashes by table and columns: each table is read at most once, and none whose hashes are cached.

Hashes are held in memory up to a bound and in files beyond it; with a cache folder always in files,
which later searches find again. A cached file carries the digest of its content and is made anew if it
does not match.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from assets.containment.content import Column, Rows, first_rows, hash_projections_of, named
from assets.containment.described import Described
from assets.containment.hash_files import DamagedHashesError, HashFile, HashWriter, load
from assets.containment.kept_numbers import load_number, save_number
from assets.containment.ranges import InPieces
from assets.containment.room import Room
from assets.ingestion.model import MIB
from assets.kernels.cell_hash import SCHEME, Equality, Hashes

Read = Callable[[str, Sequence[str]], Iterable[pa.Table]]
Progress = Callable[[str, int, int], None]
Columns = tuple[Column, ...]

_SUM_BYTES = 32 * MIB


@dataclass
class WorkDone:
    """What filling a store took: tables and rows that were hashed, bytes that were read from disk for it."""

    tables: int = 0
    rows: int = 0
    bytes: int = 0


class HashStore:
    """Row hashes by table and columns.

    Parameters
    ----------
    tables
        What may be asked for.
    read
        Streams some columns of a table.
    cells
        The same where they are only hashed, at most so many rows at a time; by default `read`.
    equality
        Which cells are equal.
    folder
        Where files go; any file in it may be removed between searches.
    memory_bytes
        Hashes are held in memory up to this many bytes; with 0 all go to files.
    keep
        Whether the files are a cache, looked up before a table is read.
    workers
        Tables read at a time.
    tolerate
        Errors of `read` that set a table apart, see `failed`, instead of ending the search.
    cost
        Bytes read from disk when a table is read; by default its size.

    Attributes
    ----------
    failed
        Why tables could not be read, by table.
    """

    def __init__(
        self,
        tables: Mapping[str, Described],
        read: Read,
        equality: Equality,
        folder: Path,
        *,
        memory_bytes: int = 0,
        keep: bool = True,
        workers: int = 1,
        tolerate: tuple[type[Exception], ...] = (),
        cost: Callable[[str], int] | None = None,
        cells: Callable[[str, Sequence[str], int], Iterable[Rows]] | None = None,
    ) -> None:
        self.tables = tables
        self.read = read
        self.cells = cells or (lambda table, columns, most_rows: read(table, columns))
        self.equality = equality
        self.folder = folder / "row_hashes"
        self.keep = keep
        self.workers = workers
        self.tolerate = tolerate
        self.cost = cost or (lambda table: tables[table].bytes)
        self.failed: dict[str, str] = {}
        self._room = Room(memory_bytes)
        self._held: dict[tuple[str, Columns], Hashes | HashFile] = {}

    def fill(
        self, wanted: Mapping[str, Sequence[Columns]], told: Progress | None = None
    ) -> WorkDone:
        """Hash what is not there yet; each table is read once for all its column sets.

        Returns
        -------
        WorkDone
            What was read.
        """
        done = WorkDone()
        told = told or (lambda message, number, total: None)
        largest_first = sorted(wanted, key=lambda table: (-self.tables[table].bytes, table))
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            waiting = {
                pool.submit(self._fill_table, table, wanted[table]): table
                for table in largest_first
                if table not in self.failed
            }
            for number, future in enumerate(as_completed(waiting)):
                table = waiting[future]
                try:
                    rows = future.result()
                except self.tolerate as error:
                    self.failed[table] = str(error)
                    continue
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                if rows is not None:
                    done.tables += 1
                    done.rows += rows
                    done.bytes += self.cost(table)
                told(f"hashing rows ({done.rows:,} rows read)", number + 1, len(waiting))
        return done

    def stored(self, table: str, columns: Columns) -> Hashes | InPieces:
        """Return the hashes of a table's rows on some columns, or the files that they lie in.

        Raises
        ------
        Exception
            Of `tolerate`, if the table can't be read.
        """
        found = self._find(table, columns)
        if found is None:
            self._fill_table(table, [columns])
            found = self._held[table, columns]
        return found

    def first_rows(self, table: str, columns: Columns, wanted: Iterable[int]) -> dict[int, int]:
        """Find the first row of a table that has each of some hashes, -1 where none has."""
        sought = list(wanted)
        while True:
            try:
                return first_rows(self.stored(table, columns), sought)
            except DamagedHashesError as error:
                error.file.remove()
                self._held = {
                    key: held for key, held in self._held.items() if held is not error.file
                }

    def number(
        self, table: str, columns: Columns, meaning: str, look: Callable[[], float]
    ) -> float:
        """Return what `look` finds in a table's rows on some columns, looked for once a version.

        `meaning` tells what is looked for, and by which rule.
        """
        file = self._file(table, columns).with_suffix(".number")
        kept = load_number(file, meaning) if self.keep else None
        if kept is not None:
            return kept
        found = look()
        if self.keep:
            save_number(file, meaning, found)
        return found

    def get(self, table: str, columns: Sequence[Column]) -> Hashes:
        """Return the hashes of a table's rows on some columns, in any order; mapped from disk if they lie there."""
        found = self.stored(table, tuple(columns))
        if isinstance(found, np.ndarray):
            return found
        if isinstance(found, HashFile):
            return found.mapped()
        return np.concatenate([np.empty(0, np.uint64), *found.pieces()])

    def _find(self, table: str, columns: Columns) -> Hashes | HashFile | None:
        held = self._held.get((table, columns))
        if held is None and self.keep:
            held = load(self._file(table, columns))
            if held is not None:
                self._held[table, columns] = held
        return held

    def key(self, table: str, columns: Columns) -> str:
        """Identify the hashes of a table's version on some columns: 32 hex digits."""
        known = self.tables[table]
        keys = [[*pair, known.keys[pair[0]]] for pair in sorted(map(named, columns))]
        key = json.dumps([SCHEME, self.equality, table, known.version, keys], ensure_ascii=False)
        return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _file(self, table: str, columns: Columns) -> Path:
        name = self.key(table, columns)
        return self.folder / name[:2] / f"{name}.u64"

    def _fill_table(self, table: str, sets: Sequence[Columns]) -> int | None:
        """Hash what is missing of a table; return the rows that were read, None if nothing was missing."""
        missing = [columns for columns in sets if self._find(table, columns) is None]
        if not missing:
            return None
        needed = sorted({named(column)[0] for columns in missing for column in columns})
        writers = [HashWriter(self._file(table, columns), self._room) for columns in missing]
        rows = 0
        try:
            # two words a row for each set of columns
            for batch in self.cells(table, needed, _SUM_BYTES // (16 * len(missing))):
                rows += batch.num_rows
                hashed = hash_projections_of(batch, missing, self.equality)
                for writer, hashes in zip(writers, hashed, strict=True):
                    writer.append(hashes)
            finished = {
                (table, columns): writer.finish()
                for columns, writer in zip(missing, writers, strict=True)
            }
        except BaseException:
            for writer in writers:
                writer.discard()
            raise
        self._held.update(finished)
        return rows
