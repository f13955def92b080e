"""Search the tables of any folder for containment: no recipe, and nothing is written into it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from assets.containment.described import ColumnFacts, Described, summary_statistics
from assets.containment.edges import PairCounter
from assets.containment.hash_store import HashStore, Progress
from assets.containment.renamed import renamed_edges
from assets.containment.room import Room
from assets.containment.schema_graph import ANY_TYPE, flat_schema, schema_edges
from assets.containment.search import find_edges
from assets.containment.source_tables import Cells, SourceTable
from assets.ingestion.discover import discover, fingerprint
from assets.ingestion.model import MIB, Source, SourceError
from assets.ingestion.register import READER_VERSION
from assets.kernels.cell_hash import Equality, UnhashableColumnError

UNREADABLE: tuple[type[Exception], ...] = (
    SourceError,
    UnhashableColumnError,
    pa.ArrowException,
    pl.exceptions.PolarsError,
    OSError,
)
"""Errors that set a table apart and do not end the search."""

_PROGRAM_BYTES = 416 * MIB
_LEAST_BYTES = 64 * MIB


@dataclass(frozen=True)
class FolderSearch:
    """What a search of a folder found.

    Attributes
    ----------
    edges
        As in `containment/edges`, without versions.
    stages
        What each stage took in and let out, read, and took in seconds.
    bytes
        Size on disk by readable table.
    unreadable
        Why a name in the folder was not compared, by table.
    set_aside
        Records that a reader rejected, by table, of the tables that were read whole.
    notes
        What was changed to make a file a table, by table.
    rows_read
        Rows of all tables that were read whole.
    coincidences
        Edges left out since their rows carry too little information.
    """

    edges: pl.DataFrame
    stages: pl.DataFrame
    bytes: dict[str, int]
    unreadable: dict[str, str]
    set_aside: dict[str, int]
    notes: dict[str, list[str]]
    rows_read: int
    coincidences: int

    @property
    def set_aside_share(self) -> float:
        """The share of what was looked at that was set aside; an unreadable table counts as one row."""
        aside = sum(self.set_aside.values()) + len(self.unreadable)
        total = self.rows_read + aside
        return aside / total if total else 0.0


def search_folder(
    lake: Path,
    *,
    equality: Equality = "value",
    min_containment: float = 0.9,
    min_rows: int = 1,
    workers: int = 1,
    memory_bytes: int = 2048 * MIB,
    cache: Path | None = None,
    renamed: bool = False,
    progress: Progress | None = None,
) -> FolderSearch:
    """Search a folder.

    Parameters
    ----------
    lake
        The folder; it is only read.
    equality, min_containment, min_rows, workers, progress
        As in `find_edges`.
    memory_bytes
        About what the process may take in all. Hashes beyond their share go to files.
    cache
        Where hashes are kept for the next search; without it files go to a temporary folder that is
        removed at the end.
    renamed
        Look for children whose columns have other names in the parent, too.

    Returns
    -------
    FolderSearch
        The same for any number of workers and any memory.

    Raises
    ------
    SourceError
        If the lake is no readable folder.

    Notes
    -----
    Cost: each table is read once, and a second time if it is not small and its types must be
    inferred (CSV under `value` and `typed`; under `text` only tables of edges whose types differ).
    A large table whose column names fit no other's is not read beyond its start.
    """
    told = progress or (lambda message, done, total: None)
    spare = max(memory_bytes - _PROGRAM_BYTES, _LEAST_BYTES)
    start = time.perf_counter()
    found = discover(lake)
    named = [source for source in found.sources if _shown(source.table) == source.table]
    folder = _Folder(named, equality, Room(spare // 4), workers)
    reason = "its name is not valid UTF-8; rename it"
    folder.unreadable.update({_shown(s.table): reason for s in found.sources if s not in named})
    folder.unreadable.update({_shown(entry.table): entry.reason for entry in found.unreadable})
    described = folder.describe(told, every=renamed)
    opened = {
        "stage": "tables",
        "candidates_in": len(found.sources) + len(found.unreadable),
        "candidates_out": len(described),
        "tables": len(described),
        "rows": sum(table.rows or 0 for table in folder.tables.values()),
        "bytes_read": sum(
            table.bytes for table in folder.tables.values() if table.rows is not None
        ),
        "seconds": round(time.perf_counter() - start, 3),
    }
    with ExitStack() as stack:
        place = cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-")))

        def store(kind: Equality, cells: Cells, share: int) -> HashStore:
            return HashStore(
                described,
                folder.reader(cells),
                kind,
                place,
                memory_bytes=0 if cache else share,
                keep=cache is not None,
                workers=workers,
                tolerate=UNREADABLE,
                cost=lambda table: 0 if folder.tables[table].held else described[table].bytes,
            )

        by_text = equality == "text"
        hashes = store(equality, "text" if by_text else "typed", spare // 4)
        result = find_edges(
            described,
            hashes,
            by_value=store("value", "typed", spare // 8) if by_text else None,
            min_containment=min_containment,
            min_rows=min_rows,
            workers=workers,
            count_bytes=spare // 4,
            progress=progress,
        )
        edges, stages = result.edges, result.stages
        if renamed:
            others, stage = renamed_edges(
                described,
                PairCounter(hashes, workers, spare // 4),
                min_containment=min_containment,
                min_rows=min_rows,
                progress=progress,
            )
            edges = pl.concat([edges, others]).sort("child", "parent")
            stages = pl.concat([stages, pl.DataFrame([stage])])
    folder.unreadable.update(hashes.failed)
    readable = {name: table for name, table in folder.tables.items() if name in described}
    return FolderSearch(
        edges,
        pl.concat([pl.DataFrame([opened]), stages]),
        {name: table.bytes for name, table in readable.items()},
        dict(sorted(folder.unreadable.items())),
        {name: table.rejected for name, table in readable.items() if table.rejected},
        {name: table.notes for name, table in readable.items() if table.notes},
        sum(table.rows or 0 for table in readable.values()),
        result.coincidences,
    )


def _shown(name: str) -> str:
    """Return a name as it can be written; bytes of a path that are no UTF-8 become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Folder:
    def __init__(
        self, sources: Sequence[Source], equality: Equality, room: Room, workers: int
    ) -> None:
        self.tables = {s.table: SourceTable(s, equality, room) for s in sources}
        self.equality = equality
        self.workers = workers
        self.unreadable: dict[str, str] = {}

    def reader(self, cells: Cells) -> Callable[[str, Sequence[str]], Iterable[pa.Table]]:
        def read(table: str, columns: Sequence[str]) -> Iterator[pa.Table]:
            return self.tables[table].batches(columns, cells)

        return read

    def describe(self, told: Progress, *, every: bool) -> dict[str, Described]:
        """Open every table; those whose names fit another's, or all, are described to the full."""
        names = self._each(
            "opening tables", sorted(self.tables), lambda t: flat_schema(t.schema(), "text"), told
        )
        if self.equality == "text":
            return {name: self._described(name, keys) for name, keys in names.items()}
        named_alike = {table for pair in schema_edges(names) for table in pair}
        fitting = sorted(names if every else named_alike)
        keys = self._each("inferring types", fitting, self._keys, told)
        return {
            name: self._described(name, keys.get(name, {}))
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

    def _described(self, name: str, keys: dict[str, str]) -> Described:
        table = self.tables[name]
        version = f"{fingerprint(table.source)}:{READER_VERSION}:{self.equality == 'text'}"
        rows, summaries = table.summaries() if self.equality != "text" else (None, {})
        bounds = summary_statistics(summaries, rows)
        return Described(name, version, rows, keys, _Facts(table), bounds, table.bytes)

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
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            for number, (name, answer) in enumerate(zip(names, pool.map(one, names), strict=True)):
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
