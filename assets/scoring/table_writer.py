"""Writes a table batch by batch as Parquet, CSV or JSON Lines, and shows it only when it is whole."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import polars as pl
import pyarrow.parquet as pq

from assets.scoring.protocol import ScoringError

ENDINGS = (".parquet", ".csv", ".jsonl", ".ndjson")
METADATA_KEY = b"sluice"


def check_output(out: Path, inputs: list[Path]) -> None:
    """Refuse an output of unknown format, in no folder, or that is also read.

    Raises
    ------
    ScoringError
        Naming --out and what to change.
    """
    if out.suffix.lower() not in ENDINGS:
        message = f"--out {out}: the name ends in none of {', '.join(ENDINGS)}"
        raise ScoringError(message)
    if not out.parent.is_dir() or out.is_dir():
        message = (
            f"--out {out}: {'is a folder' if out.is_dir() else f'there is no folder {out.parent}'}"
        )
        raise ScoringError(message)
    for path in inputs:
        if out.resolve().is_relative_to(path.resolve()):
            message = f"--out {out}: that is read as {path}; write elsewhere"
            raise ScoringError(message)


class TableWriter:
    """Write batches of one schema to a file that appears when all are written.

    Parameters
    ----------
    out
        Its ending says the format.
    metadata
        JSON values kept in the schema of Parquet under `METADATA_KEY`; other formats hold none.

    Notes
    -----
    Used as a context manager; after an error nothing is left behind. Write a frame without rows first,
    so that a table without rows has its columns.
    """

    def __init__(self, out: Path, metadata: Mapping[str, Any] | None = None) -> None:
        self.out = out
        self.metadata = metadata
        self.rows = 0
        self._part = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
        self._parquet: pq.ParquetWriter | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, frame: pl.DataFrame) -> None:
        """Write the next rows."""
        if self.out.suffix.lower() == ".parquet":
            self._write_parquet(frame)
        else:
            self._write_lines(frame)
        self.rows += frame.height

    def _write_parquet(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow()
        if self._parquet is None:
            schema = table.schema
            if self.metadata is not None:
                schema = schema.with_metadata({METADATA_KEY: json.dumps(self.metadata).encode()})
            self._parquet = pq.ParquetWriter(self._part, schema)
        self._parquet.write_table(table.cast(self._parquet.schema))

    def _write_lines(self, frame: pl.DataFrame) -> None:
        first = self._file is None
        lines = self.out.suffix.lower() != ".csv"
        if self._file is None:
            for name, kind in frame.schema.items():
                if not _fits(kind, lists=lines):
                    message = f"--out {self.out}: this format can't hold column {name!r} ({kind}); write .parquet"
                    raise ScoringError(message)
            self._file = self._part.open("wb")
        if lines:
            frame.write_ndjson(self._file)
        else:
            frame.write_csv(self._file, include_header=first)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for open_file in (self._parquet, self._file):
            if open_file is not None:
                open_file.close()
        if kind is None:
            self._part.replace(self.out)
        else:
            self._part.unlink(missing_ok=True)


def _fits(kind: pl.DataType, *, lists: bool) -> bool:
    """Tell whether a type can be written as text; `lists` and structures too if the format has them."""
    if isinstance(kind, pl.List | pl.Array):
        return lists and isinstance(kind.inner, pl.DataType) and _fits(kind.inner, lists=True)
    if isinstance(kind, pl.Struct):
        inner = [field.dtype for field in kind.fields]
        return lists and all(isinstance(k, pl.DataType) and _fits(k, lists=True) for k in inner)
    return kind != pl.Binary and (lists or kind != pl.Duration)


def written_metadata(path: Path) -> dict[str, Any]:
    """Return what `TableWriter` kept in a Parquet file; empty for other files."""
    if path.suffix.lower() != ".parquet":
        return {}
    kept = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    found: dict[str, Any] = json.loads(kept) if kept else {}
    return found
