"""Keep what reading a table told about it, so that an unchanged one is not opened again."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import xxhash


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
