"""What a run stands on from before: the held-out records and the calibrations of a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from resources import delta
from resources.errors import StoreError


@dataclass(frozen=True)
class Base:
    """A release, of this output or of another one, that later runs keep to.

    Attributes
    ----------
    output
        Root of its recipe-layer tables.
    versions
        Delta version by table.
    """

    output: Path
    versions: Mapping[str, int]
    _read: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def scan(self, table: str) -> pl.LazyFrame | None:
        """Scan a recipe-layer table as it stands there, or None where the release has none."""
        version = self.versions.get(table)
        return None if version is None else delta.scan(self.output / table, version)

    def metadata(self, table: str) -> dict[str, Any] | None:
        """Return what the commit of a table's version says of itself, or None where there is no such table."""
        version = self.versions.get(table)
        if version is not None and table not in self._read:
            self._read[table] = metadata_at(self.output / table, version)
        return self._read.get(table)

    def identity(self, table: str) -> str | None:
        """Return the identity of a table's content."""
        metadata = self.metadata(table)
        return None if metadata is None else str(metadata["identity"])


def metadata_at(uri: Path, version: int) -> dict[str, Any]:
    """Return our metadata of the commit that made a version.

    Raises
    ------
    StoreError
        When the log no longer has it.
    """
    for number, metadata in delta.commits(uri):
        if number == version:
            return metadata
    message = f"{uri}: version {version} of the last release is not in the log; was it vacuumed?"
    raise StoreError(message)
