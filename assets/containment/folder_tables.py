"""The tables of a folder, as the search wants them described."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from assets.containment.bounds import TableStatistics
from assets.containment.described import ColumnFacts, Described
from assets.containment.described_cache import DescribedCache
from assets.containment.hash_parts import Part, parts_of
from assets.containment.hash_store import Progress
from assets.containment.room import Room
from assets.containment.schema_graph import ANY_TYPE, flat_schema, schema_edges
from assets.containment.shared_files import FileProofs
from assets.containment.source_tables import Cells, SourceTable
from assets.ingestion.file_kinds import shown
from assets.ingestion.model import Discovery, SourceError
from assets.ingestion.register import READER_VERSION
from assets.ingestion.source_changes import fingerprint
from assets.kernels.cell_hash import SCHEME, Equality, UnhashableColumnError

UNREADABLE: tuple[type[Exception], ...] = (
    SourceError,
    UnhashableColumnError,
    pa.ArrowException,
    pl.exceptions.PolarsError,
    OSError,
)
"""Errors that set a table apart and do not end the search."""


_KNOWN_VERSION = 2
"""Of what `SourceTable.known` returns."""


class FolderTables:
    """Every table of a folder: opened, described, and read by those who hash.

    Attributes
    ----------
    tables
        By name.
    unreadable
        Why a name is no table, or one can't be read.
    """

    def __init__(self, found: Discovery, equality: Equality, room: Room, workers: int) -> None:
        self.tables: dict[str, SourceTable] = {}
        self.equality = equality
        self.workers = workers
        self.unreadable = {shown(entry.table): entry.reason for entry in found.unreadable}
        for source in found.sources:
            if shown(source.table) == source.table:
                self.tables[source.table] = SourceTable(source, equality, room)
            else:
                reason = "its name is not valid UTF-8; rename it"
                self.unreadable[shown(source.table)] = reason

    def version(self, name: str) -> str:
        """Identify the content of a table and the way it is read."""
        source = self.tables[name].source
        return f"{fingerprint(source)}:{READER_VERSION}:{SCHEME}:{self.equality == 'text'}"

    def _known_version(self, name: str) -> str:
        return f"{self.version(name)}:{_KNOWN_VERSION}"

    def restore(self, kept: DescribedCache) -> dict[str, dict[str, Any]]:
        """Tell the tables what an earlier search knew of them; returns it."""
        known = {name: kept.load(name, self._known_version(name)) for name in self.tables}
        found = {name: own for name, own in known.items() if own is not None}
        for name, own in found.items():
            self.tables[name].restore(own)
        return found

    def keep(self, kept: DescribedCache, before: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what is known of the readable tables, where it is not what was known before."""
        for name, table in self.tables.items():
            if table.as_restored:
                continue
            known = table.known()
            more = json.dumps(known) != json.dumps(before.get(name))
            if known is not None and more and name not in self.unreadable:
                kept.save(name, self._known_version(name), known)

    def reader(self, cells: Cells) -> Callable[[str, Sequence[str]], Iterable[pa.Table]]:
        """Return a function that streams some columns of a table."""

        def read(table: str, columns: Sequence[str]) -> Iterator[pa.Table]:
            return self.tables[table].batches(columns, cells)

        return read

    def parts(self, cells: Cells) -> dict[str, list[Part]]:
        """Return the data files of each stored table, as what is hashed once whoever uses them."""
        found = {}
        for name, table in self.tables.items():
            if table.stored and name not in self.unreadable:
                read, hashed = (partial(f, cells=cells) for f in (table.batches, table.cells))
                found[name] = parts_of(table.files, table.schema(), read, hashed)
        return found

    def proofs(self) -> FileProofs:
        """Return what file identity and logs prove of the stored tables."""
        stored = {
            name: table
            for name, table in self.tables.items()
            if table.stored and name not in self.unreadable
        }
        types = {name: flat_schema(table.schema(), "typed") for name, table in stored.items()}
        sources = {name: table.source for name, table in stored.items()}
        return FileProofs(sources, types, {name: table.files for name, table in stored.items()})

    def describe(self, told: Progress, *, every: bool, by_file: bool) -> dict[str, Described]:
        """Open every table; those whose names fit another's, or all, are described to the full.

        With `by_file` the bounds of each data file are read, too.
        """
        names = self._each(
            "opening tables", sorted(self.tables), lambda t: flat_schema(t.schema(), "text"), told
        )
        if self.equality == "text":
            return {
                name: self._described(name, keys, by_file=by_file) for name, keys in names.items()
            }
        named_alike = {table for pair in schema_edges(names) for table in pair}
        fitting = sorted(names if every else named_alike)
        keys = self._each("inferring types", fitting, self._keys, told)
        return {
            name: self._described(name, keys.get(name, {}), by_file=by_file)
            for name in names
            if name not in self.unreadable
        }

    def _keys(self, table: SourceTable) -> dict[str, str]:
        facts = table.facts()
        types = flat_schema(table.schema(), "typed")
        return {
            name: ANY_TYPE
            if facts[name].family == ANY_TYPE
            else facts[name].family
            if self.equality == "value"
            else facts[name].type
            for name in types
        }

    def _described(self, name: str, keys: dict[str, str], *, by_file: bool) -> Described:
        table = self.tables[name]
        known = self.equality != "text" and bool(keys)
        stated = table.statistics(by_file=by_file and known)
        bounds = stated if known else TableStatistics(stated.rows, {})
        version = self.version(name)
        return Described(name, version, stated.rows, keys, _Facts(table), bounds, table.bytes)

    def _each(
        self,
        message: str,
        names: Sequence[str],
        look: Callable[[SourceTable], dict[str, str]],
        told: Progress,
    ) -> dict[str, dict[str, str]]:
        """Look at some tables, some at a time; what can't be read is set apart."""

        def one(name: str) -> dict[str, str] | str:
            try:
                return look(self.tables[name])
            except UNREADABLE as error:
                return error.reason if isinstance(error, SourceError) else str(error)

        answers: dict[str, dict[str, str]] = {}
        # what an earlier search knew is at hand: a thread's turn would take longer
        known = {name: one(name) for name in names if self.tables[name].as_restored}
        rest = [name for name in names if name not in known]
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            looked = pool.map(one, rest)
            for number, name in enumerate(names):
                answer = known[name] if name in known else next(looked)
                told(message, number, len(names))
                if isinstance(answer, str):
                    self.unreadable[name] = answer
                else:
                    answers[name] = answer
        return answers


class _Facts(Mapping[str, ColumnFacts]):
    """The facts of a table's columns, looked up when they are asked for."""

    def __init__(self, table: SourceTable) -> None:
        self._table = table

    def __getitem__(self, column: str) -> ColumnFacts:
        try:
            return self._table.facts()[column]
        except UNREADABLE:  # gone since its rows were hashed: no family equals it
            return ColumnFacts("", f"unknown {self._table.source.table}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.schema().names)

    def __len__(self) -> int:
        return len(self._table.schema().names)
