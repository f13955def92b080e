"""Shared vocabulary of the reading side: sources, options, rejects, and the stream of rows.

Nothing here reads a file. Every reader takes a `Source` and `ReadOptions` and returns a
`RowStream`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

POSITION_COLUMN = "sluice_position"
RAW_LIMIT = 2_000
MIB = 1 << 20

Format = Literal["parquet", "delta", "csv", "tsv", "json", "jsonl", "text"]
Compression = Literal["none", "gzip", "zstd"]


class IngestionError(ValueError):
    """Base of the errors of this stage."""


class SourceError(IngestionError):
    """A whole source cannot be read.

    Parameters
    ----------
    path
        The file or folder at fault.
    reason
        What is wrong with it.
    remedy
        What a person can do about it.
    """

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}. {remedy}")
        self.path = path
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file as discovery saw it; `relative` is its posix path below the lake's root."""

    path: Path
    relative: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Source:
    """One table of the lake.

    `version` and `table_id` are set for Delta only: the version that discovery pinned. `files` is
    empty for Delta, whose log lists them.
    """

    table: str
    path: Path
    format: Format
    compression: Compression
    files: tuple[FileInfo, ...]
    partition_columns: tuple[str, ...] = ()
    version: int | None = None
    table_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A name in the lake that is no table, and why."""

    table: str
    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Retired:
    """A table that a tombstone stands for.

    Its rows are in other tables (`parents`), from which `sluice restore` rebuilds it; it is never read, whether
    its bytes are still there or not. `source` is what is at its place, if anything.
    """

    table: str
    path: Path
    version: str
    rows: int
    parents: tuple[str, ...]
    reason: str
    source: Source | None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a lake holds, sorted by table name.

    `footers` remembers what had to be looked up inside files, keyed by name, size and time; hand it
    to the next `discover` and unchanged files are not opened again.
    """

    sources: tuple[Source, ...]
    unreadable: tuple[Unreadable, ...]
    footers: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    retired: tuple[Retired, ...] = ()


class ReadOptions(BaseModel):
    """How a source is to be read; an unknown setting is an error.

    Attributes
    ----------
    delimiter
        One ASCII character, or None: a comma for CSV, a tab for TSV.
    quote
        One ASCII character, or "" for no quoting.
    encoding
        A Python codec name, or None: by the byte order mark, else UTF-8.
    text
        One record a file, or a line.
    max_record_bytes
        A longer record is rejected. Also the cap on a JSON document, which is held whole.
    max_decompressed_ratio
        A compressed file that grows by more than this is cut there; never below 64 MiB.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: str | None = None
    quote: str = '"'
    encoding: str | None = None
    text: Literal["file", "line"] = "file"
    max_record_bytes: int = Field(default=256 * MIB, ge=1, le=1024 * MIB)
    max_decompressed_ratio: float = Field(default=1000.0, ge=1.0)

    @field_validator("delimiter", "quote")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if not value:
            return value
        if len(value) != 1 or not value.isascii() or value in "\r\n":
            message = "must be one ASCII character other than a line end"
            raise ValueError(message)
        return value

    @field_validator("encoding")
    @classmethod
    def _known_codec(cls, value: str | None) -> str | None:
        if value is not None:
            import codecs

            try:
                codecs.lookup(value)
            except LookupError as error:
                message = f"unknown encoding {value!r}; name a codec such as utf-8 or cp1252"
                raise ValueError(message) from error
        return value

    def delimiter_for(self, file_format: Format) -> str:
        """Return the delimiter in force for CSV or TSV; raise when it equals the quote."""
        delimiter = self.delimiter or ("\t" if file_format == "tsv" else ",")
        if delimiter == self.quote:
            message = f"delimiter and quote are both {delimiter!r}; change one of them"
            raise IngestionError(message)
        return delimiter


@dataclass(frozen=True, slots=True)
class Reject:
    """A record set aside. `position` is None for what is no whole record (a cut-off tail)."""

    position: int | None
    reason: str
    raw: str


def excerpt(raw: bytes) -> str:
    """Return at most 2,000 characters of raw bytes, with escapes where they are not UTF-8."""
    return raw[: 4 * RAW_LIMIT].decode("utf-8", "backslashreplace")[:RAW_LIMIT]


class RowStream:
    """Record batches of one source, readable once.

    Attributes
    ----------
    schema
        Arrow schema of every batch; its last column is `sluice_position`, int64, 0-based.
    rejects
        Filled while iterating. A consumer that must stay small drains it with `take_rejects`.
    notes
        What was changed to make the source a table (renamed columns and the like).
    error
        Why reading stopped before the end, or None. What came before stays valid.

    Notes
    -----
    After full iteration, rows delivered + rejects with a position == `count.independent_count`.
    """

    def __init__(
        self,
        schema: pa.Schema,
        batches: Callable[[RowStream], Iterator[pa.RecordBatch]],
        notes: list[str] | None = None,
    ) -> None:
        self.schema = schema
        self.rejects: list[Reject] = []
        self.notes: list[str] = list(notes or ())
        self.error: str | None = None
        self._batches = batches
        self._started = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._started:
            message = "a RowStream is read once; call read() again for a second pass"
            raise IngestionError(message)
        self._started = True
        return self._batches(self)

    def reject(self, position: int | None, reason: str, raw: bytes | str) -> None:
        """Set one record aside."""
        text = excerpt(raw) if isinstance(raw, bytes) else raw[:RAW_LIMIT]
        self.rejects.append(Reject(position, reason, text))

    def stop(self, error: str, tail: bytes) -> None:
        """Note that reading ended early; `tail` is what was left of a record that is not whole."""
        self.error = error
        self.reject(None, f"{error}; {len(tail)} bytes of an unfinished record are dropped", tail)

    def take_rejects(self) -> list[Reject]:
        """Return the rejects gathered so far and forget them."""
        taken, self.rejects = self.rejects, []
        return taken


def with_position(schema: pa.Schema) -> pa.Schema:
    """Append the position column to a schema."""
    return schema.append(pa.field(POSITION_COLUMN, pa.int64(), nullable=False))


def unique_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Make column names non-empty and unique without regard to case, as Delta needs.

    Returns
    -------
    tuple
        The names, and one note for each that was changed. First holders keep their name; a
        duplicate gets the first free `name_2`, `name_3`, ...; an empty name becomes `column_N`
        (1-based).
    """
    filled = [name if name.strip() else f"column_{i + 1}" for i, name in enumerate(names)]
    reserved = {name.casefold() for name in filled} | {POSITION_COLUMN}
    seen = {POSITION_COLUMN}
    result: list[str] = []
    notes: list[str] = []
    for i, name in enumerate(filled):
        new = name
        if name.casefold() in seen:
            suffix = 2
            while f"{name}_{suffix}".casefold() in reserved:
                suffix += 1
            new = f"{name}_{suffix}"
            reserved.add(new.casefold())
        seen.add(new.casefold())
        result.append(new)
        if new != names[i]:
            notes.append(f"column {i + 1}: name {names[i]!r} became {new!r}")
    return result, notes
