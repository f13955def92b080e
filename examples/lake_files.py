"""Write tables in every format that a lake holds, so that equal rows give equal bytes.

Nothing written here depends on the clock, on a random name or on the order of a set: the gzip
header carries no time, and the Delta log is written out by hand (its writers put a time and a
random file name into every commit).
"""

from __future__ import annotations

import gzip
import io
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import zstandard

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "sluice/sample-lake")
_DELTA_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "string",
    pl.Int64: "long",
    pl.Int32: "integer",
    pl.Float64: "double",
}


class UnsupportedColumnError(ValueError):
    """A column of a type that the Delta writer of the sample lake does not know."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, compressed as the last suffix says (.gz, .zst or none); parents are made."""
    if path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=6, mtime=0)
    elif path.suffix == ".zst":
        data = zstandard.ZstdCompressor(level=6).compress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_jsonl(frame: pl.DataFrame, path: Path) -> None:
    """Write one JSON object a line."""
    lines = [orjson.dumps(row) for row in frame.iter_rows(named=True)]
    write_bytes(path, b"".join(line + b"\n" for line in lines))


def write_json(frame: pl.DataFrame, path: Path) -> None:
    """Write one JSON array of objects."""
    write_bytes(path, orjson.dumps(frame.to_dicts(), option=orjson.OPT_APPEND_NEWLINE))


def write_csv(frame: pl.DataFrame, path: Path, *, separator: str = ",") -> None:
    """Write delimited text with a header; quotes where needed."""
    buffer = io.BytesIO()
    frame.write_csv(buffer, separator=separator)
    write_bytes(path, buffer.getvalue())


def write_lines(texts: Sequence[str], path: Path) -> None:
    """Write plain text, one record a line: white space within a record becomes one blank."""
    write_bytes(path, "".join(" ".join(text.split()) + "\n" for text in texts).encode())


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write one Parquet file with statistics, zstd, row groups of 10,000 rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, compression="zstd", statistics=True, row_group_size=10_000)


def write_hive(frame: pl.DataFrame, folder: Path, *, by: str) -> None:
    """Write a hive-partitioned Parquet folder: `by` is in the path and not in the files."""
    for value in frame[by].unique().sort().to_list():
        rows = frame.filter(pl.col(by) == value).drop(by)
        write_parquet(rows, folder / f"{by}={value}" / "part-0.parquet")


def write_delta(commits: Sequence[pl.DataFrame], folder: Path) -> None:
    """Write a Delta table of one version a frame; each commit appends its frame.

    Parameters
    ----------
    commits
        Frames of one schema with String, Int32, Int64 or Float64 columns, at least one.
    folder
        The table; its name gives the ids of table and files.

    Raises
    ------
    UnsupportedColumnError
        For a column of another type.
    """
    log = folder / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    for version, frame in enumerate(commits):
        name = f"part-{version:05d}-{_stable_uuid(folder.name, version)}.parquet"
        write_parquet(frame, folder / name)
        actions: list[dict[str, Any]] = [
            {
                "commitInfo": {
                    "timestamp": 0,
                    "operation": "WRITE",
                    "operationParameters": {"mode": "Append"},
                }
            }
        ]
        if version == 0:
            actions.append({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}})
            actions.append({"metaData": _metadata(frame, folder.name)})
        actions.append(
            {
                "add": {
                    "path": name,
                    "partitionValues": {},
                    "size": (folder / name).stat().st_size,
                    "modificationTime": 0,
                    "dataChange": True,
                    "stats": json.dumps(_statistics(frame)),
                }
            }
        )
        lines = "".join(json.dumps(action) + "\n" for action in actions)
        (log / f"{version:020d}.json").write_text(lines, encoding="utf-8")


def _stable_uuid(*parts: object) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, "/".join(map(str, parts)))


def _metadata(frame: pl.DataFrame, name: str) -> dict[str, Any]:
    fields = []
    for column, dtype in frame.schema.items():
        kind = _DELTA_TYPES.get(dtype.base_type())
        if kind is None:
            known = sorted(known_type.__name__ for known_type in _DELTA_TYPES)
            message = f"column {column!r} is {dtype}; cast it to one of {known}"
            raise UnsupportedColumnError(message)
        fields.append({"name": column, "type": kind, "nullable": True, "metadata": {}})
    return {
        "id": str(_stable_uuid(name, "table")),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": fields}),
        "partitionColumns": [],
        "configuration": {},
        "createdTime": 0,
    }


def _statistics(frame: pl.DataFrame) -> dict[str, Any]:
    numeric = [c for c, t in frame.schema.items() if t.is_numeric()]
    return {
        "numRecords": frame.height,
        "minValues": {c: frame[c].min() for c in numeric},
        "maxValues": {c: frame[c].max() for c in numeric},
        "nullCount": {c: frame[c].null_count() for c in frame.columns},
    }
