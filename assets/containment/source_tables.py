"""Read the tables of a folder for comparison: cells as written, or typed by what is written in them.

Small tables are held in memory once they were read, so that nothing is parsed twice; larger ones are
streamed each time.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from assets.containment.bounds import TableStatistics
from assets.containment.content import Rows
from assets.containment.described import ColumnFacts
from assets.containment.described_cache import plain_statistics, statistics_of
from assets.containment.page_cells import FileCells
from assets.containment.room import Room
from assets.containment.schema_graph import ANY_TYPE, flat_schema
from assets.containment.shared_files import STORED, StoredFile, stored_files
from assets.containment.stored_statistics import stored_statistics
from assets.ingestion.infer import TypeState, typed
from assets.ingestion.metadata_bounds import from_delta_log, from_parquet_footers
from assets.ingestion.model import MIB, POSITION_COLUMN, ReadOptions, RowStream, Source, SourceError
from assets.ingestion.read import read
from assets.ingestion.source_changes import has_changed
from assets.ingestion.summaries import ColumnSummary
from assets.kernels.cell_hash import Equality
from assets.kernels.logical_types import logical_type, type_family

Cells = Literal["text", "typed"]

HELD_BYTES = 8 * MIB
"""Larger tables are not held."""

_BATCH_BYTES = 4 * MIB
_WIDE_BATCH_BYTES = 64 * MIB  # many columns a row cost time a batch
_EXPANSION = 4  # of what is stored compressed
_LEAST_ROWS, _BATCH_ROWS, _MOST_ROWS = 1 << 10, 1 << 13, 1 << 16


class SourceTable:
    """One table of a folder.

    Parameters
    ----------
    source
        As `discover` found it.
    equality
        Of the search. `text` reads every cell as written: TSV without quoting, rows of any width,
        JSON values as their JSON text.
    room
        The memory that all tables together may hold.

    Attributes
    ----------
    rows, rejected
        Rows, and records set aside, of the last whole pass; None rows before there was one.
    notes
        What was changed to make the source a table.
    """

    def __init__(self, source: Source, equality: Equality, room: Room) -> None:
        self.source = source
        self.as_text = equality == "text"
        tab = self.as_text and source.format == "tsv"
        self.options = ReadOptions(quote="") if tab else ReadOptions()
        self.rows: int | None = None
        self.rejected = 0
        self.notes: list[str] = []
        self._bytes_read = 0
        self._room = room
        self._held: pa.Table | None = None
        self._schema: pa.Schema | None = None
        self._facts: dict[str, ColumnFacts] | None = None
        self._types: dict[str, pa.DataType] = {}
        self._statistics: TableStatistics | None = None
        self._by_file = False
        self._restored: tuple[Any, ...] | None = None

    @property
    def landed(self) -> bool:
        """Whether cells are written as text, so that only reading them tells their types."""
        return self.source.format in ("csv", "tsv")

    @property
    def stored(self) -> bool:
        """Whether its data files are read in place, and footers or a log describe it."""
        return self.source.format in STORED

    @cached_property
    def bytes(self) -> int:
        """Size on disk of the data."""
        if self.source.format == "delta":
            return sum(file.bytes for file in self.files)
        return sum(file.bytes for file in self.source.files)

    @cached_property
    def files(self) -> list[StoredFile]:
        """The data files of a stored table."""
        return stored_files(self.source)

    def summaries(self) -> tuple[int | None, dict[str, ColumnSummary]]:
        """Return rows and column summaries from footers or log; nothing for other formats."""
        return self._summaries

    @cached_property
    def _summaries(self) -> tuple[int | None, dict[str, ColumnSummary]]:
        if self.source.format == "parquet":
            return from_parquet_footers(self.source)
        if self.source.format == "delta":
            return from_delta_log(self.source)
        return None, {}

    def statistics(self, *, by_file: bool) -> TableStatistics:
        """Return bounds of the table, and of its files if wanted; nothing where only reading tells them."""
        if not self.stored:
            return TableStatistics(None, {})
        if self._statistics is None or (by_file and not self._by_file):
            known = self.summaries()
            self._statistics = stored_statistics(self.source, *known, by_file=by_file)
            self._by_file = by_file
        return self._statistics

    def take_bytes_read(self) -> int:
        """Return the bytes that passes over the whole table read since the last call."""
        read, self._bytes_read = self._bytes_read, 0
        return read

    def schema(self) -> pa.Schema:
        """Return the schema as read.

        Footer or log tell it of a stored table; of the others a small one is read whole, and held.

        Raises
        ------
        SourceError
            If the table can't be read.
        """
        if self._schema is None and self.stored:
            stream = self._open()
            self._schema, self.notes = _without_position(stream.schema), stream.notes
            self._check_names()
            self.rows = self.statistics(by_file=False).rows
        elif self._schema is None:
            held = self._gather()
            if held is not None:
                self._held = pa.Table.from_batches(held, self._schema)
        schema: pa.Schema = self._schema
        return schema

    def _gather(self) -> list[pa.RecordBatch] | None:
        """Read the table from the start, and on while there is room for it; None if there is not."""
        batches, taken = [], 0
        for batch in self._pass():
            fits = taken + batch.nbytes <= HELD_BYTES and self.bytes <= HELD_BYTES
            if not (fits and self._room.take(batch.nbytes)):
                self._room.give_back(taken)
                return None
            taken += batch.nbytes
            batches.append(batch)
        return batches

    def batches(
        self, columns: Sequence[str], cells: Cells, only: StoredFile | None = None
    ) -> Iterator[pa.Table]:
        """Stream some columns.

        Parameters
        ----------
        columns
            Names of `flat_schema`.
        cells
            ``text`` as they are read; ``typed`` cast to the inferred types.
        only
            One data file of a stored table instead of the whole.

        Raises
        ------
        SourceError
            If the table can't be read, or changed since it was found.
        """
        wanted = top_level(columns, self.schema().names)
        types = {}
        if cells == "typed" and self.landed:
            types = {name: self.types()[name] for name in wanted}
        if self._held is not None:
            parts: Iterable[pa.Table] = [self._held.select(wanted)]
        else:
            parts = (pa.Table.from_batches([batch]).select(wanted) for batch in self._pass(only))
        for part in parts:
            yield typed(pl.DataFrame(part), types).to_arrow() if types else part

    def cells(
        self, columns: Sequence[str], cells: Cells, only: StoredFile, most_rows: int
    ) -> Iterator[Rows]:
        """Stream what `batches` does of one data file for those who only hash it, without arrays where that is safe.

        At most so many rows come at a time, or as many as in a batch.

        Raises
        ------
        SourceError
            As `batches`.
        """
        wanted = top_level(columns, self.schema().names)
        plain = self.source.format == "parquet" and self.source.compression == "none"
        if plain and not self.notes and not any("." in name for name in wanted):
            file = FileCells(only.path, self.schema(), self._batch_rows())
            if file.fits(self.source.partition_columns) and file.has(wanted):
                yield from file.groups(wanted, most_rows)
                self._check_unchanged()
                return
        yield from self.batches(columns, cells, only)

    def facts(self) -> dict[str, ColumnFacts]:
        """Return what tells by which equalities cells can be equal, by column; may read the table."""
        if self._facts is None:
            self._facts = self._landed_facts() if self.landed else self._stored_facts()
        return self._facts

    def types(self) -> dict[str, pa.DataType]:
        """Return the types inferred for cells written as text."""
        self.facts()
        return self._types

    def known(self) -> dict[str, Any] | None:
        """Return what reading told, as plain values for `restore`; None before a whole pass."""
        if self.rows is None or self._schema is None:
            return None
        stated = self._statistics
        return {
            "schema": _encoded(self._schema),
            "rows": self.rows,
            "rejected": self.rejected,
            "notes": self.notes,
            "facts": self._facts,
            "types": _encoded(pa.schema(list(self._types.items()))),
            "statistics": None if stated is None else plain_statistics(stated),
            "by_file": self._by_file,
        }

    def restore(self, known: Mapping[str, Any]) -> None:
        """Take over what an earlier search of the same version knew."""
        self._schema = _decoded(known["schema"])
        self.rows, self.rejected, self.notes = (known[n] for n in ("rows", "rejected", "notes"))
        if known["facts"] is not None:
            self._facts = {name: ColumnFacts(*fact) for name, fact in known["facts"].items()}
        if known["statistics"] is not None:
            self._statistics = statistics_of(known["statistics"])
            self._by_file = known["by_file"]
        types = _decoded(known["types"])
        self._types = dict(zip(types.names, types.types, strict=True))
        self._restored = self._state()

    @property
    def as_restored(self) -> bool:
        """Whether nothing is known but what `restore` was told."""
        return self._restored is not None and all(
            now is before or now == before
            for now, before in zip(self._state(), self._restored, strict=True)
        )

    def _state(self) -> tuple[Any, ...]:
        return (
            self._schema,
            self.rows,
            self.rejected,
            self.notes,
            self._facts,
            self._types,
            self._statistics,
            self._by_file,
        )

    def _landed_facts(self) -> dict[str, ColumnFacts]:
        names = self.schema().names
        state = TypeState(names)
        null, empty, rows = dict.fromkeys(names, 0), dict.fromkeys(names, False), 0
        for part in self.batches(names, "text"):
            state.update(part)
            rows += part.num_rows
            for name in names:
                null[name] += part.column(name).null_count
                empty[name] = empty[name] or bool(pc.any(pc.equal(part.column(name), "")).as_py())
        self._types = state.result()
        return {
            name: ColumnFacts(
                logical_type(kind),
                ANY_TYPE if null[name] == rows else type_family(kind),
                null[name] > 0,
                empty[name],
            )
            for name, kind in self._types.items()
        }

    def _stored_facts(self) -> dict[str, ColumnFacts]:
        schema = self.schema()
        if self.as_text and self.source.format in ("json", "jsonl"):
            schema = _without_position(read(self.source, self.options).schema)
        families = flat_schema(schema, "value")
        rows, summaries = self.summaries()
        nulls = {name: summary.nulls for name, summary in summaries.items()}
        families |= {name: ANY_TYPE for name in families if rows and nulls.get(name) == rows}
        return {
            name: ColumnFacts(kind, families[name], nulls.get(name) != 0, kind == "string")
            for name, kind in flat_schema(schema, "typed").items()
        }

    def _open(self, only: StoredFile | None = None) -> RowStream:
        return read(
            self.source,
            self.options,
            batch_rows=self._batch_rows(),
            as_text=self.as_text,
            dictionaries=True,
            only=None if only is None else only.path,
        )

    def _batch_rows(self) -> int:
        rows, _ = self.summaries()
        if not rows:
            return _BATCH_ROWS
        per_row = max(_EXPANSION * self.bytes // rows, 1)
        least = min(_LEAST_ROWS, _WIDE_BATCH_BYTES // per_row)
        return max(min(max(_BATCH_BYTES // per_row, least), _MOST_ROWS), 1)

    def _check_names(self) -> None:
        if self._schema is not None and any("\0" in name for name in self._schema.names):
            reason = "a column's name holds a NUL character"
            raise SourceError(self.source.path, reason, "Rename the column.")

    def _pass(self, only: StoredFile | None = None) -> Iterator[pa.RecordBatch]:
        stream = self._open(only)
        self._schema = _without_position(stream.schema)
        self._check_names()
        rows = rejected = 0
        for batch in stream:
            yield batch.select(self._schema.names)
            rows += batch.num_rows
            rejected += len(stream.take_rejects())
        rejected += len(stream.take_rejects())
        self.notes = stream.notes
        if only is None:
            self.rows, self.rejected = rows, rejected
            self._bytes_read += self.bytes
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        if has_changed(self.source):
            reason = "changed while it was read"
            raise SourceError(self.source.path, reason, "Search again once it is at rest.")


def _encoded(schema: pa.Schema) -> str:
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def _decoded(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _without_position(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name != POSITION_COLUMN])


def top_level(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Name the columns that must be read for some flattened ones."""
    known = set(names)
    wanted = []
    for column in columns:
        heads = [column[:i] for i, letter in enumerate(column) if letter == "."]
        wanted.append(next((name for name in [column, *heads] if name in known), column))
    return list(dict.fromkeys(wanted))
