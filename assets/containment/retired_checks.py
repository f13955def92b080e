"""Whether retired tables can still be rebuilt, and whether their parents in the lake are what they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from assets.containment.retire import find_record
from resources.errors import StoreError
from resources.retired import Record, records


def known_records(
    state: Path, retired: Collection[str], there: Collection[str] = ()
) -> tuple[list[Record], dict[str, str]]:
    """Return the records of retired tables, and what is wrong where there is none, or no tombstone.

    Parameters
    ----------
    state
        The state root.
    retired, there
        Tables that a tombstone stands for, and tables that are there.
    """
    found: list[Record] = []
    faults: dict[str, str] = {}
    try:
        for lone in records(state):
            if lone.table not in retired and lone.table not in there:
                faults[lone.table] = (
                    "it is neither there nor told as retired; `sluice restore` brings it back"
                )
    except StoreError as error:
        faults["(some table)"] = str(error)
    for table in sorted(retired):
        try:
            record = find_record(state, table)
        except StoreError as error:
            faults[table] = str(error)
            continue
        if record is None:
            faults[table] = f"its record under {state / 'held'} is gone"
        else:
            found.append(record)
    return found, faults


def damaged(known: list[Record]) -> dict[str, str]:
    """Hash everything that retired tables are rebuilt from; say by table what is wrong.

    Cost: one reading of the held files and of the landed versions that are pinned.
    """
    found = {record.table: "; ".join(record.faults()[:3]) for record in known}
    return {table: why for table, why in found.items() if why}


def moved(known: list[Record], versions: Mapping[str, str]) -> dict[str, str]:
    """Say which retired tables have a parent that is gone from the lake or has another version now.

    Parameters
    ----------
    known
        Their records.
    versions
        Version by readable table of the lake.

    Returns
    -------
    dict of str to str
        What happened, by retired table. A restore does not need the parent in the lake; but whoever reads the
        lake may miss rows that only the retired table and the former parent had.
    """
    found = {}
    for record in known:
        changes = [
            f"{parent['table']} {'has changed' if parent['table'] in versions else 'is gone'}"
            for parent in record.told["parents"]
            if versions.get(parent["table"]) != parent["version"]
        ]
        if changes:
            found[record.table] = ", ".join(changes)
    return found
