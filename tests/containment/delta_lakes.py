"""Delta tables written by hand, where no writer at hand makes them: vectors, clones, loose statistics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.ingestion.test_delta import delete_rows

__all__ = ["clone", "commit", "delete_rows", "entries", "hard_link", "rewrite_stats"]


def entries(table: Path, version: int) -> list[dict[str, Any]]:
    file = table / "_delta_log" / f"{version:020d}.json"
    return [json.loads(line) for line in file.read_text().splitlines()]


def commit(table: Path, version: int, actions: list[dict[str, Any]]) -> None:
    file = table / "_delta_log" / f"{version:020d}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(json.dumps(action) for action in actions))


def clone(table: Path, place: Path, versions: int) -> None:
    """Make a shallow clone: a log of its own that names the other table's files."""
    actions = []
    for version in range(versions):
        for action in entries(table, version):
            if "add" in action:
                action["add"]["path"] = f"file://{table}/{action['add']['path']}"
            if "metaData" in action:
                action["metaData"]["id"] = "clone-" + action["metaData"]["id"]
            actions.append(action)
    commit(place, 0, actions)


def rewrite_stats(table: Path, version: int, **changes: Any) -> None:
    """Change the statistics that a commit states of its files."""
    actions = entries(table, version)
    for action in actions:
        if "add" in action:
            stats = json.loads(action["add"]["stats"])
            action["add"]["stats"] = json.dumps({**stats, **changes})
    commit(table, version, actions)


def hard_link(folder: Path, place: Path) -> None:
    shutil.copytree(folder, place, copy_function=lambda a, b: Path(b).hardlink_to(a))
