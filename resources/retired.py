"""What is known of retired tables: the tombstone beside each, and the record in `state/held/tables/`.

The record is a folder with `recipe.json` and the files it names: with the held parents it is all that a restore needs.
It is there, whole and proven, before the tombstone is; and the tombstone before anything of the table goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.errors import StoreError
from resources.held import HELD, PARENTS, faults, hash_file

TOMBSTONE = ".sluice-retired.json"
"""Ending of a tombstone's name; what precedes it is the name of the table's file or folder."""
FORMAT = "sluice-retired/1"
RECORDS = HELD / "tables"
RECIPE = "recipe.json"
_MEND = "`sluice restore` of the table does without it, if the record is whole"


@dataclass(frozen=True)
class Tombstone:
    """A tombstone as it was read.

    Attributes
    ----------
    file
        Where it is.
    told
        Its content.
    """

    file: Path
    told: dict[str, Any]

    @property
    def path(self) -> Path:
        """Where the table was."""
        return self.file.with_name(self.file.name.removesuffix(TOMBSTONE))

    @property
    def reason(self) -> str:
        """Say to a person what became of the table."""
        parents = ", ".join(parent["table"] for parent in self.told["parents"])
        since = f"retired on {self.told['retired_at'][:10]}: every row is in {parents}"
        return f"{since}; `sluice restore` brings it back"


def tombstone_of(path: Path) -> Path:
    """Return where the tombstone of a file or folder is."""
    return path.with_name(path.name + TOMBSTONE)


def read_tombstone(file: Path) -> Tombstone:
    """Read a tombstone.

    Raises
    ------
    StoreError
        When it is none that this version wrote.
    """
    told = _load(file, _MEND)
    needed = {"table", "rows", "version", "parents", "retired_at", "record", "fingerprint"}
    if told.get("format") != FORMAT or not needed <= told.keys():
        message = f"{file}: is no tombstone of the form {FORMAT}; {_MEND}"
        raise StoreError(message)
    return Tombstone(file, told)


@dataclass(frozen=True)
class Record:
    """How one retired table is rebuilt, and from what.

    Attributes
    ----------
    state
        The state root.
    folder
        Holds `recipe.json` and the files that it names.
    told
        The recipe.
    """

    state: Path
    folder: Path
    told: dict[str, Any]

    @property
    def table(self) -> str:
        """Name of the table."""
        return str(self.told["table"])

    @property
    def parents(self) -> list[str]:
        """Names of the tables that it is rebuilt from."""
        return [str(parent["table"]) for parent in self.told["parents"]]

    @property
    def hash(self) -> str:
        """Hash of `recipe.json`, which the tombstone repeats."""
        return hash_file(self.folder / RECIPE)

    def faults(self) -> list[str]:
        """Hash every file that a restore reads, and say what is wrong; costs one reading of them all."""
        held = [file for parent in self.told["parents"] for file in parent["files"]]
        return [*faults(self.folder, self.told["files"]), *faults(self.state, held)]


def load_record(state: Path, folder: Path) -> Record:
    """Read one record; `StoreError` where it can't be read."""
    told = _load(folder / RECIPE, "bring it back from a backup of state/held")
    if told.get("format") != FORMAT:
        message = f"{folder / RECIPE}: is no recipe of the form {FORMAT}"
        raise StoreError(message)
    return Record(state, folder, told)


def records(state: Path) -> list[Record]:
    """Return the records of all retired tables, sorted by folder.

    Raises
    ------
    StoreError
        When one can't be read: then nobody knows what is needed.
    """
    folders = sorted(f for f in (state / RECORDS).glob("*") if not f.name.startswith("."))
    return [load_record(state, folder) for folder in folders]


def dependants(known: Iterable[Record], table: str) -> list[str]:
    """Return the retired tables that are rebuilt from a table."""
    return sorted(record.table for record in known if table in record.parents)


def held_versions(state: Path) -> dict[Path, set[int]]:
    """Return the landed versions that retired tables are rebuilt from; `StoreError` as for `records`."""
    pins: dict[Path, set[int]] = {}
    for record in records(state):
        for parent in record.told["parents"]:
            if parent["data_version"] is not None:
                pins.setdefault(state / parent["place"], set()).add(parent["data_version"])
    return pins


def held_leftovers(state: Path) -> list[Path]:
    """Return folders under `held/` that no record needs: killed processes leave them.

    Raises
    ------
    StoreError
        As for `records`.
    """
    needed = {
        (state / parent["place"]).relative_to(state / PARENTS).parts[0]
        for record in records(state)
        for parent in record.told["parents"]
        if (state / parent["place"]).is_relative_to(state / PARENTS)
    }
    unused = [f for f in sorted((state / PARENTS).glob("*")) if f.name not in needed]
    return [
        *unused,
        *sorted((state / RECORDS).glob(".*.new")),
        *sorted((state / RECORDS).glob(".*.gone")),
    ]


def _load(file: Path, remedy: str) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{file}: can't be read: {error}; {remedy}"
        raise StoreError(message) from error
    if not isinstance(told, dict):
        message = f"{file}: holds no record; {remedy}"
        raise StoreError(message)
    return told
