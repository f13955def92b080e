"""Keep the rows of finished proxy runs, a file a run, so that a killed study repeats none of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.filtering.proxies.spec import RunSpec


@dataclass(frozen=True)
class Finished:
    """Hold finished runs in a folder by ``run_id``; each file appears whole or not at all."""

    folder: Path

    def get(self, spec: RunSpec) -> list[dict[str, Any]] | None:
        """Return the rows of a run, None where it is not finished."""
        file = self._file(spec)
        if not file.exists():
            return None
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        # why a run is made is no part of what it measured
        return [row | {"purpose": spec.purpose} for row in found]

    def put(self, spec: RunSpec, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a run."""
        file = self._file(spec)
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(rows), encoding="utf-8")
        fresh.replace(file)

    def _file(self, spec: RunSpec) -> Path:
        return self.folder / f"{spec.run_id}.json"
