"""Keep what reading a table told about it, so that an unchanged one is not opened again."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import xxhash

from assets.containment.bounds import ColumnBounds, FileStatistics, TableStatistics


class DescribedCache:
    """One small file a table version: a digest, then JSON. Any of them may be removed.

    Parameters
    ----------
    folder
        Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tables"

    def _file(self, table: str, version: str) -> Path:
        key = json.dumps([table, version])
        name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def load(self, table: str, version: str) -> dict[str, Any] | None:
        """Return what was kept of a table version; None if nothing, or if it is not what was written."""
        try:
            digest, _, content = self._file(table, version).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if xxhash.xxh3_128_hexdigest(content).encode() != digest:
            return None
        known: dict[str, Any] = json.loads(content)
        return known

    def save(self, table: str, version: str, known: dict[str, Any]) -> None:
        """Keep what is known of a table version; the file appears whole or not at all."""
        file = self._file(table, version)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(known).encode()
        fresh = file.with_suffix(f".{uuid.uuid4().hex}.new")
        fresh.write_bytes(xxhash.xxh3_128_hexdigest(content).encode() + b"\n" + content)
        fresh.replace(file)


def plain_statistics(known: TableStatistics) -> dict[str, Any]:
    """Return statistics as values that JSON has; `statistics_of` is the inverse."""
    files = [[f.rows, _plain_bounds(f.columns), f.path, f.deleted] for f in known.files]
    return {"rows": known.rows, "columns": _plain_bounds(known.columns), "files": files}


def statistics_of(plain: Mapping[str, Any]) -> TableStatistics:
    """Return the statistics that `plain_statistics` was given."""
    files = [FileStatistics(n, _bounds_of(own), p, d) for n, own, p, d in plain["files"]]
    return TableStatistics(plain["rows"], _bounds_of(plain["columns"]), tuple(files))


_BOUNDS = tuple(part.name for part in fields(ColumnBounds))


def _plain_bounds(columns: Mapping[str, ColumnBounds]) -> dict[str, list[Any]]:
    return {
        name: [
            {"bytes": base64.b64encode(v).decode()} if isinstance(v, bytes) else v
            for v in (getattr(bounds, part) for part in _BOUNDS)
        ]
        for name, bounds in columns.items()
    }


def _bounds_of(plain: Mapping[str, list[Any]]) -> dict[str, ColumnBounds]:
    found = {}
    for name, values in plain.items():
        own: list[Any] = [
            base64.b64decode(v["bytes"]) if isinstance(v, dict) else v for v in values
        ]
        found[name] = ColumnBounds(*own)
    return found
