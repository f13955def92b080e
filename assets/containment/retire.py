"""Retire a table that others hold: prove it, hold the parents, rebuild it once for trial, and leave a tombstone.

Steps, each durable before the next: parents held; record written; trial rebuild equal to the table;
tombstone beside the table. Nothing of the table goes before a second call after the grace period, and then
by one rename. So at every instant the table is there, or its tombstone and all that a restore needs.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assets.containment.held_parents import Hold
from assets.containment.prove_rebuild import Bounds, Way, prove
from assets.containment.rebuild import (
    DELETING,
    beside,
    is_the_table,
    is_unchanged,
    leftovers,
    remove,
)
from assets.containment.rebuild_recipe import total_bytes
from assets.containment.row_choice import in_words
from assets.ingestion.register import landed_name
from resources.errors import CheckError, RecipeError, StoreError
from resources.held import settle, write_whole
from resources.retired import (
    RECIPE,
    RECORDS,
    Record,
    Tombstone,
    dependants,
    held_leftovers,
    load_record,
    read_tombstone,
    records,
    tombstone_of,
)


def retire(state: Path, way: Way, bounds: Bounds) -> dict[str, Any]:
    """Retire a table; its bytes stay until `delete`.

    Parameters
    ----------
    state
        The state root, whose lease is held.
    way
        What is to be retired into what.
    bounds
        Memory, grace period, how parents are held. A dry run proves everything and leaves nothing.

    Returns
    -------
    dict
        What the tombstone tells, and `saving`: bytes of the table less what record and held copies take.

    Raises
    ------
    CheckError
        If the proof or the trial fails, or nothing would be saved.
    RecipeError
        If another retired table is rebuilt from this one.
    """
    table, path = way.table.table, way.source.path
    known = records(state)
    needed_by = dependants(known, table)
    if needed_by:
        message = f"{table}: {', '.join(needed_by)} is rebuilt from it; restore that first, or keep {table}"
        raise RecipeError(message)
    other = find_record(state, table)
    if other is not None and not is_the_table(other, path):
        message = (
            f"{table}: {other.folder} says how another table of this name is rebuilt, retired on "
            f"{other.told['retired_at'][:10]}; move this one elsewhere and restore that, or remove "
            "the folder if nobody wants it back"
        )
        raise RecipeError(message)
    for left in leftovers(path):  # of a killed restore; the table itself is there
        remove(left)
    clear(state)
    fresh = state / RECORDS / f".{uuid.uuid4().hex}.new"
    try:
        fresh.mkdir(parents=True)
        told, spent = prove(state, way, bounds, fresh)
        saved = told["source"]["bytes"]
        stored = total_bytes(told["files"]) + (fresh / RECIPE).stat().st_size
        told |= {"saving": saved - stored - spent, "recipe_bytes": stored, "held_bytes": spent}
        _assert_saves(told, saved, way, bounds.hold)
        if bounds.dry_run:
            return told
        if is_unchanged(Record(state, fresh, told), path):
            return _bury(state, way, told, fresh)
        message = f"{path} changed while it was looked at; run again when it is at rest"
        raise CheckError(message)
    except OSError as error:
        message = f"the store refused: {error}"
        raise StoreError(message) from error
    finally:
        remove(fresh)
        clear(state)


def _assert_saves(told: Mapping[str, Any], saved: int, way: Way, hold: Hold) -> None:
    if told["saving"] > 0 or (hold == "copy" and told["recipe_bytes"] < saved):
        return
    parents = ", ".join(parent.table for parent, _, _ in way.parents)
    message = (
        f"{way.table.table}: nothing would be saved: it has {saved:,} bytes, how to rebuild it takes "
        f"{told['recipe_bytes']:,} and a held copy of {parents} {told['held_bytes']:,}"
    )
    if told["held_bytes"]:
        message += (
            "; name another --parent, say --hold link if nobody writes into that file in place, or --hold copy if "
            "more tables are to be retired into it"
        )
    raise CheckError(message)


def _bury(state: Path, way: Way, told: dict[str, Any], fresh: Path) -> dict[str, Any]:
    """Put the record in its place, then the tombstone beside the table."""
    folder = state / RECORDS / landed_name(way.table.table)
    remove(folder)  # of a killed retirement: without a tombstone nothing depends on it
    settle(fresh)
    fresh.rename(folder)
    path = way.source.path
    stone = {
        **{name: told[name] for name in ("format", "table", "rows", "version", "fingerprint")},
        **{name: told[name] for name in ("retired_at", "delete_after", "saving", "certificate")},
        "deleted_at": None,
        "promise": told["source"]["promise"],
        "rows_are": in_words(told["chosen"]),
        "parents": [
            {name: parent[name] for name in ("table", "version", "place", "column_map")}
            for parent in told["parents"]
        ],
        "state": str(state),
        "record": folder.relative_to(state).as_posix(),
        "recipe_hash": Record(state, folder, told).hash,
    }
    write_whole(tombstone_of(path), json.dumps(stone, indent=1).encode())
    return told


def clear(state: Path) -> None:
    """Remove what no record needs; only under the lease."""
    for left in held_leftovers(state):
        remove(left)


def find_record(state: Path, table: str) -> Record | None:
    """Return the record of a table, if there is one."""
    folder = state / RECORDS / landed_name(table)
    return load_record(state, folder) if folder.is_dir() else None


def sound_record(state: Path, table: str, tombstone: Tombstone | None) -> Record:
    """Return the record of a retired table after hashing all that it needs.

    Raises
    ------
    CheckError
        If anything is missing or damaged.
    """
    record = find_record(state, table)
    if record is None:
        message = (
            f"{table} has no record under {state / RECORDS}; bring state/held back from a backup"
        )
        raise CheckError(message)
    found = record.faults()
    if tombstone is not None and tombstone.told.get("recipe_hash") != record.hash:
        found.insert(0, f"{record.folder / RECIPE} is not what the tombstone names")
    if found:
        message = (
            f"{table} can't be rebuilt: {'; '.join(found[:3])}; bring these files back from a backup, "
            "nothing was changed"
        )
        raise CheckError(message)
    return record


def delete(
    state: Path, path: Path, *, clock: Callable[[], float] = time.time, dry_run: bool = False
) -> dict[str, Any]:
    """Delete the bytes of a retired table whose grace period is over.

    Raises
    ------
    RecipeError
        If it is not retired, or its grace period is not over.
    CheckError
        If something that a restore needs is damaged, or the table changed since it was retired.
    """
    tombstone = _tombstone(path)
    table = str(tombstone.told["table"])
    after = dt.datetime.fromisoformat(tombstone.told["delete_after"])
    if clock() < after.timestamp():
        message = f"{table}: its grace period ends at {tombstone.told['delete_after']}; nothing was deleted"
        raise RecipeError(message)
    record = sound_record(state, table, tombstone)
    away = beside(path, DELETING)
    if path.exists() and not is_unchanged(record, path):
        message = (
            f"{path} is not the table that was retired; nothing was deleted. `sluice restore {table}` keeps what is "
            "there if it is the same table; else move it elsewhere, or keep it and remove the tombstone"
        )
        raise CheckError(message)
    told = {**tombstone.told, "bytes": record.told["source"]["bytes"]}
    if dry_run:
        return told
    if path.exists():
        remove(away)
        path.rename(away)
        if not is_unchanged(record, away):  # written to between look and rename
            away.rename(path)
            message = f"{path} is being written to; nothing was deleted"
            raise CheckError(message)
    remove(away)
    now = dt.datetime.fromtimestamp(clock(), dt.UTC).isoformat(timespec="seconds")
    stone = {**tombstone.told, "deleted_at": tombstone.told["deleted_at"] or now}
    write_whole(tombstone.file, json.dumps(stone, indent=1).encode())
    return told


def _tombstone(path: Path) -> Tombstone:
    file = tombstone_of(path)
    if not file.exists():
        message = f"{path} is not retired (there is no {file.name}); `sluice retire` without --delete comes first"
        raise RecipeError(message)
    return read_tombstone(file)
