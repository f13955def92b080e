"""Prove that a table can be rebuilt from held parents, by certificate and by trial."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.containment.certificate import Parent, UncertifiedError, certify
from assets.containment.held_parents import HeldParent, Hold, hold_parent
from assets.containment.rebuild import (
    is_the_table,
    is_unchanged,
    read_all,
    rebuild,
    rows_hash,
    source_at,
)
from assets.containment.rebuild_difference import delta_difference, parquet_difference
from assets.containment.rebuild_recipe import (
    choose_manner,
    choose_rows,
    describe_source,
    shape_of,
    total_bytes,
)
from assets.ingestion.access import RegisteredTable, read_table
from assets.ingestion.count import independent_count
from assets.ingestion.model import POSITION_COLUMN, ReadOptions, Source
from assets.kernels.cell_hash import Equality
from resources.errors import CheckError
from resources.held import HeldFile
from resources.retired import FORMAT, RECIPE, Record
from resources.stage_spec import Report, silent


@dataclass(frozen=True)
class Way:
    """A proven way to rebuild a table.

    Attributes
    ----------
    table, source, options
        What is retired, as registered, as it is in the lake, and how it is read.
    parents
        (registered, in the lake, parent column by child column or None for the same names) of each parent.
    equality
        By which the edge is exact.
    """

    table: RegisteredTable
    source: Source
    options: ReadOptions
    parents: Sequence[tuple[RegisteredTable, Source, Mapping[str, str] | None]]
    equality: Equality


@dataclass(frozen=True)
class Bounds:
    """How a retirement is done."""

    memory_bytes: int
    grace_hours: float
    hold: Hold = "auto"
    dry_run: bool = False
    report: Report = field(default=silent)


def prove(state: Path, way: Way, bounds: Bounds, folder: Path) -> tuple[dict[str, Any], int]:
    """Hold the parents, certify the rows, write the record and rebuild the table once.

    Parameters
    ----------
    state, way, bounds
        As in `assets.containment.retire.retire`.
    folder
        Where the record goes.

    Returns
    -------
    tuple
        The record, and the bytes of held copies.

    Raises
    ------
    CheckError
        If a row is in no parent, was set aside, or the trial differs; naming what.
    """
    report = bounds.report
    report("retire", "reading the table", None, None)
    child = _rows(way, bounds.memory_bytes)
    shape = shape_of(child.schema)
    columns = [leaf for own in shape.values() for leaf in own]
    held, copied, base = [], 0, 0
    for registered, source, column_map in way.parents:
        report("retire", f"holding {registered.table}", None, None)
        told, spent = hold_parent(state, registered, source, bounds.hold)
        copied += spent["copy"]
        same = dict(zip(columns, columns, strict=True))
        told |= {"base": base, "column_map": dict(column_map or same)}
        parent = HeldParent(state, told)
        told["counted"] = _positions(parent)
        base += told["counted"]
        held.append(parent)
    report("retire", "certifying its rows", None, None)
    streams = [Parent(p.batches(), p.told["column_map"], p.told["base"]) for p in held]
    key = secrets.token_bytes(32)
    try:
        certificate, positions = certify(child, columns, streams, way.equality, key)
    except UncertifiedError as error:
        message = f"{way.table.table}: not certified: {error}; run again, so that the edges are found anew"
        raise CheckError(message) from error
    report("retire", "looking for a predicate", None, None)
    source_told = describe_source(way.source, folder)
    source_told["bytes"] = total_bytes(source_told["files"]) or way.table.bytes
    chosen = choose_rows(positions, held, base, folder)
    manner, more = choose_manner(
        way.source, source_told, shape, positions, held, way.options, folder
    )
    now = dt.datetime.now(dt.UTC)
    later = now + dt.timedelta(hours=bounds.grace_hours)
    record: dict[str, Any] = {
        "format": FORMAT,
        "table": way.table.table,
        "retired_at": now.isoformat(timespec="seconds"),
        "delete_after": later.isoformat(timespec="seconds"),
        "version": way.table.version,
        "fingerprint": way.table.fingerprint,
        "rows": child.num_rows,
        "source": source_told | more,
        "shape": shape,
        "parents": [parent.told for parent in held],
        "chosen": chosen,
        "manner": manner,
        "certificate": certificate,
    }
    report("retire", "rebuilding it for trial", None, None)
    try_rebuild(Record(state, folder, record), way.source, key)
    record["files"] = [
        HeldFile.of(folder, file).plain() for file in sorted(folder.rglob("*")) if file.is_file()
    ]
    (folder / RECIPE).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record, copied


def _rows(way: Way, memory_bytes: int) -> pa.Table:
    """Read the table whole, in the order of its rows."""
    parts, size = [], 0
    for batch in read_table(way.table, {way.table.table: way.source}):
        parts.append(batch)
        size += batch.nbytes
        if size > memory_bytes // 3:
            message = (
                f"{way.table.table} takes more than {memory_bytes // 3:,} bytes in memory, a third of what may be "
                "used, and is rebuilt in memory; raise limits.memory in the recipe"
            )
            raise CheckError(message)
    rows = pa.concat_tables(parts).sort_by(POSITION_COLUMN)
    if rows.num_rows != independent_count(way.source, way.options):
        message = (
            f"{way.table.table}: some of its records were set aside (ingestion/quarantine lists them), and no parent "
            "is known to hold those; mend the file first"
        )
        raise CheckError(message)
    return rows.drop_columns([POSITION_COLUMN])


def _positions(parent: HeldParent) -> int:
    """Return one more than the last position of a parent."""
    last = -1
    for batch in parent.batches([]):
        if batch.num_rows:
            last = max(last, int(batch.column(POSITION_COLUMN).to_numpy().max()))
    return last + 1


def try_rebuild(record: Record, source: Source, key: bytes) -> None:
    """Rebuild the table in a scratch place from what is held, and compare it with the original."""
    told = record.told["source"]
    with tempfile.TemporaryDirectory(prefix="trial-", dir=record.folder) as scratch:
        trial = Path(scratch) / source.path.name
        rebuild(record, trial)
        if told["text"]:
            fault = None if is_the_table(record, trial) else "its content"
        elif source.format != "delta" and is_unchanged(record, trial):
            told["promise"], fault = "bytes", None
        else:
            fault = _difference(source, source_at(trial, told))
            told["rows_hash"] = rows_hash(read_all(source), key)
    if fault is not None:
        message = f"{source.path}: a trial rebuild differs in {fault}, so it is not retired"
        raise CheckError(message)


def _difference(old: Source, new: Source) -> str | None:
    if old.format == "delta":
        return delta_difference(old, new, (read_all(old), read_all(new)))
    for before, after in zip(old.files, new.files, strict=True):
        found = parquet_difference(before.path, after.path)
        if found is not None:
            return f"{found} of {before.relative}"
    return None
