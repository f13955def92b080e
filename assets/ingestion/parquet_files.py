"""Parquet files as seen from outside: footers, decompression to a temporary file, hive paths."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from assets.ingestion.decompress import ByteStream
from assets.ingestion.footers import RECENT, Footer
from assets.ingestion.infer import canonical_integer
from assets.ingestion.model import MIB, FileInfo, ReadOptions, Source, SourceError

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_REMEDY = "Write the file again, or remove it."
_BUFFER_BYTES = 64 << 10
"""Read ahead of a column chunk. Without a buffer pyarrow reads each chunk of a row group whole before its first row."""


@contextmanager
def open_parquet(
    path: Path,
    source: Source | None = None,
    options: ReadOptions | None = None,
    *,
    dictionaries: bool = False,
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, a compressed one by way of an anonymous temporary file.

    With `dictionaries`, string columns that are stored as a small dictionary are read as one.
    Column chunks are read piece by piece: of a row group of any size it holds, for each column, a
    page, packed and unpacked, and a buffer.

    Raises
    ------
    SourceError
        If it is truncated, damaged or no Parquet; also for Arrow errors raised while it is in use.
    """
    handle: Any = None
    try:
        key, kept = None, None
        stored: Any = str(path)
        if source is not None and source.compression != "none":
            stored = handle = _decompressed(path, source, options or ReadOptions())
        else:
            key, kept = RECENT.find(path)
        if kept is None:
            with pq.ParquetFile(
                stored,
                coerce_int96_timestamp_unit="us",
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
            ) as opened:
                found = Footer(opened.metadata, opened.schema_arrow)
                if key is not None:
                    RECENT.keep(key, found)
                if not (dictionaries and found.in_dictionaries):
                    yield opened
                    return
                kept = found
        with pq.ParquetFile(
            stored,
            metadata=kept.metadata,
            read_dictionary=list(kept.in_dictionaries) if dictionaries else None,
            coerce_int96_timestamp_unit="us",
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
        ) as opened:
            yield opened
    except (pa.ArrowException, OSError) as error:
        reason = f"unreadable Parquet ({str(error).splitlines()[0] if str(error) else error!r})"
        raise SourceError(path, reason, _REMEDY) from error
    finally:
        if handle is not None:
            handle.close()


def _decompressed(path: Path, source: Source, options: ReadOptions) -> Any:  # noqa: ANN401
    handle = tempfile.TemporaryFile(prefix="sluice-")  # noqa: SIM115 - closed by open_parquet
    with ByteStream(path, source.compression, max_ratio=options.max_decompressed_ratio) as stream:
        while piece := stream.read(4 * MIB):
            handle.write(piece)
    if stream.error is not None:
        handle.close()
        raise SourceError(path, stream.error, "Fetch the file again.")
    handle.seek(0)
    return handle


def footer_of(
    path: Path, source: Source | None = None, options: ReadOptions | None = None
) -> Footer:
    """Return the footer of a Parquet file; raise `SourceError` if there is none. Reads no data."""
    if source is None or source.compression == "none":
        try:
            _, kept = RECENT.find(path)
        except OSError:
            kept = None  # opening it says what is wrong
        if kept is not None:
            return kept
    with open_parquet(path, source, options) as opened:
        return Footer(opened.metadata, opened.schema_arrow)


def footer_schema(path: Path) -> pa.Schema:
    """Return the Arrow schema in a footer; raise `SourceError` if there is none. Reads no data."""
    return footer_of(path).schema


def partition_values(files: Sequence[FileInfo], root: Path) -> tuple[pa.Schema, list[list[Any]]]:
    """Return hive partition columns (`key=value` folders) and the values of each file.

    Parameters
    ----------
    files
        The files of one table.
    root
        The table's folder; only folder names below it count.

    Returns
    -------
    tuple
        A schema of int64 (every value a canonical integer) or string columns, and one list of
        values a file. Empty where the files do not agree on their keys.
    """
    keys: list[str] | None = None
    rows: list[list[str | None]] = []
    for file in files:
        pairs = hive_pairs(file.path, root)
        names = [key for key, _ in pairs]
        if keys is not None and names != keys:
            return pa.schema([]), [[] for _ in files]
        keys = names
        rows.append([value for _, value in pairs])
    fields: list[pa.Field] = []
    for i, key in enumerate(keys or ()):
        column = [row[i] for row in rows]
        integral = any(v is not None for v in column) and all(
            v is None or canonical_integer(v) for v in column
        )
        fields.append(pa.field(key, pa.int64() if integral else pa.string()))
    typed: list[list[Any]] = [
        [
            int(value) if value is not None and pa.types.is_int64(field.type) else value
            for value, field in zip(row, fields, strict=True)
        ]
        for row in rows
    ]
    return pa.schema(fields), typed


def hive_pairs(path: Path, root: Path) -> list[tuple[str, str | None]]:
    """Return the `key=value` folders between a table's folder and a file, decoded."""
    if path == root:
        return []
    parts = PurePosixPath(path.relative_to(root).as_posix()).parts[:-1]
    pairs: list[tuple[str, str | None]] = []
    for part in parts:
        key, equals, value = part.partition("=")
        if equals and key:
            pairs.append((unquote(key), None if value == HIVE_NULL else unquote(value)))
    return pairs
