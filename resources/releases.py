"""The releases of an output root: one row is the last act of each run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resources import delta

RELEASES = "publication/releases"


def releases(output: Path) -> list[dict[str, Any]]:
    """Return the rows of `publication/releases` under an output root, oldest first, their JSON decoded."""
    table = delta.open_table(output / RELEASES)
    if table is None:
        return []
    rows = delta.scan(output / RELEASES, table.version()).sort("release").collect().to_dicts()
    return [
        {**row, "versions": json.loads(row["versions"]), "rows": json.loads(row["rows"])}
        for row in rows
    ]


def last_release(output: Path) -> dict[str, Any] | None:
    """Return the last row of `publication/releases` under an output root, its JSON decoded, or None."""
    found = releases(output)
    return found[-1] if found else None
