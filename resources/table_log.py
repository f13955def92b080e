"""The log of a Delta table read as a whole: which files each version needs, and when a file was let go of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from resources.errors import StoreError

_DIGITS = 20


@dataclass(frozen=True)
class TableLog:
    """What a log says of files.

    Attributes
    ----------
    live
        Files of each version, relative to the table's folder, by version.
    let_go
        File to the time (seconds since the epoch) when a version last removed it.
    named
        Every file that any version ever held.
    """

    live: tuple[frozenset[str], ...]
    let_go: Mapping[str, float] = field(hash=False)
    named: frozenset[str]

    @property
    def newest(self) -> int:
        """The newest version; -1 where nothing was ever committed."""
        return len(self.live) - 1

    def needed(self, versions: Iterable[int]) -> frozenset[str]:
        """Return the files of some versions."""
        return frozenset().union(*(self.live[version] for version in versions))


def read_log(uri: Path) -> TableLog:
    """Read every entry of a table's log.

    Raises
    ------
    StoreError
        When an entry is missing (somebody else cleaned the log up) or can't be read: then it can't be told what a
        version needs.
    """
    entries = {
        int(file.stem): file
        for file in (uri / "_delta_log").glob("*.json")
        if len(file.stem) == _DIGITS and file.stem.isdigit()
    }
    missing = set(range(max(entries, default=0) + 1)) - set(entries)
    if missing and (entries or any((uri / "_delta_log").glob("*checkpoint*"))):
        message = f"{uri}: the log has no entry for version {min(missing)}, so nobody can tell which files are needed"
        raise StoreError(message)
    live: list[frozenset[str]] = []
    let_go: dict[str, float] = {}
    named: set[str] = set()
    current: frozenset[str] = frozenset()
    for version in range(len(entries)):
        added, removed = _changes(entries[version], let_go)
        # files are never renamed or written twice, so an entry that names one twice adds it
        current = (current - removed) | added
        named |= added
        live.append(current)
    return TableLog(tuple(live), let_go, frozenset(named))


def _changes(file: Path, let_go: dict[str, float]) -> tuple[set[str], set[str]]:
    added, removed = set(), set()
    for action in _actions(file):
        if "add" in action:
            added.add(unquote(action["add"]["path"]))
        elif "remove" in action:
            name = unquote(action["remove"]["path"])
            removed.add(name)
            let_go[name] = float(action["remove"].get("deletionTimestamp") or 0) / 1000
    return added, removed


def _actions(file: Path) -> list[dict[str, Any]]:
    try:
        # not splitlines(): a bound may hold another of the characters that Unicode ends lines with
        lines = file.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        message = f"{file}: can't be read: {error}"
        raise StoreError(message) from error
