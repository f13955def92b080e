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
from assets.ingestion.infer import canonical_integer
from assets.ingestion.model import MIB, FileInfo, ReadOptions, Source, SourceError

_DICTIONARY_BYTES = 2
_GROUP_ROWS = 1 << 14
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_REMEDY = "Write the file again, or remove it."


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

    Raises
    ------
    SourceError
        If it is truncated, damaged or no Parquet; also for Arrow errors raised while it is in use.
    """
    handle: Any = None
    try:
        if source is not None and source.compression != "none":
            handle = _decompressed(path, source, options or ReadOptions())
        stored = handle if handle is not None else str(path)
        with pq.ParquetFile(stored, coerce_int96_timestamp_unit="us") as opened:
            columns = _in_dictionaries(opened.metadata) if dictionaries else []
            if not columns:
                yield opened
                return
            with pq.ParquetFile(
                stored,
                metadata=opened.metadata,
                read_dictionary=columns,
                coerce_int96_timestamp_unit="us",
            ) as encoded:
                yield encoded
    except (pa.ArrowException, OSError) as error:
        reason = f"unreadable Parquet ({str(error).splitlines()[0] if str(error) else error!r})"
        raise SourceError(path, reason, _REMEDY) from error
    finally:
        if handle is not None:
            handle.close()


def _in_dictionaries(metadata: pq.FileMetaData) -> list[str]:
    """Name the top-level string columns that take at most two bytes a value, so that values must repeat."""
    if metadata.num_rows < _GROUP_ROWS * (metadata.num_row_groups - 1):
        return []  # batches with a dictionary end where a row group ends
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    found = []
    for index in range(metadata.num_columns):
        column = metadata.schema.column(index)
        if column.physical_type != "BYTE_ARRAY" or "." in column.path:
            continue
        chunks = [group.column(index) for group in groups]
        size = sum(chunk.total_uncompressed_size for chunk in chunks)
        if size <= _DICTIONARY_BYTES * sum(chunk.num_values for chunk in chunks):
            found.append(column.path)
    return found


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


def footer_schema(path: Path) -> pa.Schema:
    """Return the Arrow schema in a footer; raise `SourceError` if there is none. Reads no data."""
    with open_parquet(path) as opened:
        return opened.schema_arrow


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
