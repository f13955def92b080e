"""Prove from a Delta log alone that one version of a table holds the rows of another.

Commits say which files they add and remove, and whether that changes data: an OPTIMIZE does not. So
versions of a table that only grew contain each other in order, without a look at a data file.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAPPING_MODE = "delta.columnMapping.mode"


@dataclass(frozen=True)
class Commit:
    """What one commit did: whether it brought or took rows, and the table's metadata if it set it."""

    adds_rows: bool
    removes_rows: bool
    metadata: dict[str, Any] | None


def read_commits(table: Path) -> dict[int, Commit]:
    """Read the commits of a Delta table that its log still has.

    Parameters
    ----------
    table : Path
        The table's folder.

    Returns
    -------
    dict of int to Commit
        By version. A commit that can't be parsed is left out, as one that was cleaned up is.

    Notes
    -----
    ``dataChange`` that is absent counts as true, so an action of unknown kind proves nothing. Cost:
    the JSON files of the log.
    """
    commits: dict[int, Commit] = {}
    for file in sorted((table / "_delta_log").glob("*.json")):
        if not file.stem.isdigit():
            continue
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
            actions = [json.loads(line) for line in lines if line.strip()]
        except (OSError, ValueError):
            continue
        commits[int(file.stem)] = Commit(
            _changes(actions, "add"),
            _changes(actions, "remove"),
            next((a["metaData"] for a in actions if a.get("metaData")), None),
        )
    return commits


def _changes(actions: list[dict[str, Any]], kind: str) -> bool:
    return any(a[kind].get("dataChange", True) is not False for a in actions if a.get(kind))


def version_holds(
    commits: dict[int, Commit], child: int, parent: int, columns: Collection[str]
) -> bool:
    """Tell whether the log proves that one version holds every row of another, as often.

    Parameters
    ----------
    commits : dict of int to Commit
        Of `read_commits`.
    child, parent : int
        Versions. The child may be older (nothing was removed since) or newer (nothing was added).
    columns : collection of str
        Columns of the child; fields of structs by their dotted path.

    Returns
    -------
    bool
        True if every commit between the two is there, none of them takes away rows of the child,
        and none changes the child's columns, the partitioning or the column mapping. False proves nothing.
    """
    between = range(min(child, parent) + 1, max(child, parent) + 1)
    if any(version not in commits for version in between):
        return False
    steps = [commits[version] for version in between]
    if any(step.removes_rows if child < parent else step.adds_rows for step in steps):
        return False
    changes = [step.metadata for step in steps if step.metadata is not None]
    if not changes:
        return True
    before = _metadata_at(commits, min(child, parent))
    return before is not None and all(_same(before, change, columns) for change in changes)


def _metadata_at(commits: dict[int, Commit], version: int) -> dict[str, Any] | None:
    """Return the metadata in force at a version; None if the log no longer tells."""
    while version in commits:
        found = commits[version].metadata
        if found is not None:
            return found
        version -= 1
    return None


def _same(before: dict[str, Any], after: dict[str, Any], columns: Collection[str]) -> bool:
    for meta in (before, after):
        if (meta.get("configuration") or {}).get(_MAPPING_MODE, "none") != "none":
            return False
    if before.get("partitionColumns") != after.get("partitionColumns"):
        return False
    old, new = _types(before), _types(after)
    owners = [next((head for head in heads(name) if head in old), None) for name in columns]
    return all(name is not None and old[name] == new.get(name) for name in owners)


def _types(metadata: dict[str, Any]) -> dict[str, Any]:
    schema = json.loads(metadata["schemaString"])
    return {field["name"]: field["type"] for field in schema["fields"]}


def heads(name: str) -> list[str]:
    """Return the names that the top-level column of a flattened one can have."""
    return [name[:i] for i, letter in enumerate(name) if letter == "."] + [name]
