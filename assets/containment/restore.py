"""Bring a retired table back: hash what is held, rebuild beside its place, compare, and move it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assets.containment.rebuild import (
    DELETING,
    RESTORING,
    beside,
    is_the_table,
    is_unchanged,
    leftovers,
    rebuild,
    remove,
)
from assets.containment.retire import clear, find_record, sound_record
from resources.errors import CheckError, RecipeError, StoreError
from resources.held import settle
from resources.retired import Record, Tombstone, read_tombstone, tombstone_of


def restore(state: Path, table: str, path: Path) -> dict[str, Any]:
    """Bring a table back and forget that it was retired.

    Parameters
    ----------
    state
        The state root, whose lease is held.
    table, path
        Its name, and where it was.

    Returns
    -------
    dict
        table, path, rows, how (`still there`, `moved back`, or `rebuilt`), identical (`bytes`, `content` or
        `rows`).

    Raises
    ------
    RecipeError
        If it is not retired, or other content is at its place.
    CheckError
        If something that it is rebuilt from is missing or damaged; then nothing is changed.
    """
    stone = tombstone_of(path)
    found = find_record(state, table)
    if found is None and not stone.exists():
        clear(state)  # a restore may have been killed at its very end
        message = f"{table} is not retired: there is no {stone.name}, and no record under {state / 'held'}"
        raise RecipeError(message)
    try:
        return _restore(state, table, path, found)
    except OSError as error:
        message = f"the store refused: {error}"
        raise StoreError(message) from error


def _restore(state: Path, table: str, path: Path, found: Record | None) -> dict[str, Any]:
    stone = tombstone_of(path)
    fresh, away = beside(path, RESTORING), beside(path, DELETING)
    if path.exists() or path.is_symlink():
        if found is None or not is_the_table(found, path):
            message = (
                f"{path}: other content is at the place of {table}; move it elsewhere, then restore"
            )
            raise RecipeError(message)
        record, how = found, "still there"
    elif found is not None and away.exists() and is_unchanged(found, away):
        away.rename(path)  # it was about to be deleted
        record, how = found, "moved back"
    else:
        record = sound_record(state, table, _readable(stone))
        remove(fresh)
        path.parent.mkdir(parents=True, exist_ok=True)
        rebuild(record, fresh)
        if not is_the_table(record, fresh):
            remove(fresh)
            message = (
                f"{table}: what was rebuilt is not the table that was retired; nothing was changed"
            )
            raise CheckError(message)
        settle(fresh)
        fresh.rename(path)
        how = "rebuilt"
    settle(path)
    for left in leftovers(path):
        remove(left)
    stone.unlink(missing_ok=True)
    settle(path.parent)
    gone = record.folder.with_name(f".{record.folder.name}.gone")
    remove(gone)
    record.folder.rename(gone)
    clear(state)
    same = "bytes" if how != "rebuilt" else record.told["source"]["promise"]
    return {
        "table": table,
        "path": str(path),
        "rows": record.told["rows"],
        "how": how,
        "identical": same,
    }


def _readable(stone: Path) -> Tombstone | None:
    try:
        return read_tombstone(stone) if stone.exists() else None
    except StoreError:  # the record is hashed all the same
        return None
