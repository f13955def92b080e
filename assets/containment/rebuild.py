"""Rebuild a retired table from what is held of its parents, and tell whether a table is the one that was retired."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assets.containment.certificate import Positions, is_in
from assets.containment.delta_rebuild import write_delta
from assets.containment.held_parents import HeldParent, stored_source
from assets.containment.parquet_rebuild import UnwritableError, write_parquet
from assets.containment.predicates import condition, holds
from assets.containment.row_choice import BITMAP, ORDER, positions_of, unpack_order
from assets.containment.source_tables import top_level
from assets.containment.text_rebuild import apply_patch, pack, predict
from assets.ingestion.decompress import ByteStream
from assets.ingestion.delta_files import open_delta, snapshot
from assets.ingestion.model import MIB, POSITION_COLUMN, Compression, Source, SourceError
from assets.ingestion.read import read
from assets.kernels.cell_hash import UnhashableColumnError, find_column, row_digests
from resources.errors import CheckError
from resources.held import hash_file
from resources.retired import TOMBSTONE, Record

PATCH, EXTRA = "patch.zst", "extra"
Shape = Mapping[str, Sequence[str]]
"""A table's columns, each with its flattened names."""


def rebuild(record: Record, target: Path) -> None:
    """Write a retired table anew.

    Parameters
    ----------
    record
        How; its files and the held ones should have been hashed before.
    target
        Where; nothing may be there.

    Raises
    ------
    CheckError
        If what is held does not make the table.
    """
    told = record.told
    source = told["source"]
    try:
        rows = gather(
            [HeldParent(record.state, parent) for parent in told["parents"]],
            told["shape"],
            chosen_positions(record),
            as_written=source["text"],
        )
        if source["text"]:
            prediction = predict(rows, told["manner"]["rows"])
            patch = record.folder / PATCH
            content = apply_patch(prediction, patch.read_bytes() if patch.exists() else None)
            target.write_bytes(pack(content, told["manner"]["packing"]))
        elif source["format"] == "delta":
            write_delta(target, rows, told["manner"])
        else:
            _write_parquet_files(target, rows, told["manner"]["files"])
    except (UnwritableError, UnhashableColumnError, pa.ArrowException) as error:
        message = f"{record.table} can't be rebuilt: {error}"
        raise CheckError(message) from error
    extra = record.folder / EXTRA
    if extra.is_dir():
        shutil.copytree(extra, target, dirs_exist_ok=True)
    _give_back_times(target, source["files"])


def _write_parquet_files(target: Path, rows: pa.Table, files: Sequence[Mapping[str, Any]]) -> None:
    start = 0
    for told in files:
        path = target / told["relative"] if told["relative"] else target
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(path, rows.slice(start, told["rows"]), told)
        start += told["rows"]


def _give_back_times(target: Path, files: Sequence[Mapping[str, Any]]) -> None:
    """Set the old time of change on files that have the old bytes, so that they count as unchanged."""
    for told in files:
        path = target / told["relative"] if told["relative"] else target
        if path.is_file() and hash_file(path) == told["hash"]:
            os.utime(path, ns=(told["mtime_ns"], told["mtime_ns"]))


def chosen_positions(record: Record) -> Positions:
    """Return the position in the parents of each row of a retired table."""
    chosen, parents = record.told["chosen"], record.told["parents"]
    total = parents[-1]["base"] + parents[-1]["counted"]
    if chosen["kind"] == "bitmap":
        distinct = positions_of((record.folder / BITMAP).read_bytes(), total)
    else:
        conditions = [condition(told) for told in chosen["conditions"]]
        found = []
        for parent in parents:
            names = sorted({one.column for one in conditions})
            for batch in HeldParent(record.state, parent).batches(names):
                places = batch.column(POSITION_COLUMN).to_numpy() + parent["base"]
                found.append(places[holds(conditions, batch)])
        distinct = np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)
    if not chosen["order"]:
        return distinct
    taken: Positions = distinct[unpack_order((record.folder / ORDER).read_bytes())]
    return taken


def gather(
    parents: Sequence[HeldParent], shape: Shape, positions: Positions, *, as_written: bool
) -> pa.Table:
    """Return rows of parents by their positions, in that order, as columns of the child.

    Parameters
    ----------
    parents
        `told` with `base` and `column_map`.
    shape
        The child's columns.
    positions
        Of n rows; some may come more than once.
    as_written
        Take landed cells as they stood in the file.

    Notes
    -----
    Memory: the n rows. Cost: the needed columns of the parents are read once.
    """
    distinct, order = np.unique(positions, return_inverse=True)
    parts: list[pa.Table] = []
    places = [np.empty(0, np.int64)]
    for parent in parents:
        column_map, base = parent.told["column_map"], parent.told["base"]
        names = top_level(
            [column_map[leaf] for own in shape.values() for leaf in own], list(parent.types)
        )
        for batch in parent.batches(names, as_written=as_written):
            at = batch.column(POSITION_COLUMN).to_numpy() + base
            wanted = is_in(distinct, at)
            if wanted.any():
                parts.append(_child_columns(batch.filter(pa.array(wanted)), shape, column_map))
                places.append(at[wanted])
    found = np.concatenate(places)
    if found.size != distinct.size:
        message = f"{distinct.size - found.size:,} of the rows that are needed are not in what is held of the parents"
        raise CheckError(message)
    # a column that holds nothing in one batch or parent may have another type there
    rows = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    rank = np.argsort(found, kind="stable")
    return rows.take(pa.array(rank[order.reshape(-1)]))


def _child_columns(batch: pa.Table, shape: Shape, column_map: Mapping[str, str]) -> pa.Table:
    columns = {}
    for name, leaves in shape.items():
        if list(leaves) == [name]:
            columns[name] = find_column(batch, column_map[name])
        elif all(column_map[leaf] == leaf for leaf in leaves) and name in batch.schema.names:
            columns[name] = batch.column(name)
        else:
            message = f"the nested column {name!r} is not nested, or named, so in the parent"
            raise UnwritableError(message)
    return pa.table(columns)


def content_of(path: Path, compression: Compression) -> bytes:
    """Return the decompressed bytes of a file."""
    parts = []
    with ByteStream(path, compression, max_ratio=1e6) as stream:
        while piece := stream.read(4 * MIB):
            parts.append(piece)
    if stream.error is not None:
        message = f"{path}: {stream.error}; a file that is damaged is not retired"
        raise CheckError(message)
    return b"".join(parts)


def read_all(source: Source) -> pa.Table:
    """Read a Parquet or Delta source whole, without positions."""
    stream = read(source)
    # dictionaries that a file's own schema states come as such
    batches = [batch.cast(stream.schema) for batch in stream]
    table = pa.Table.from_batches(batches, schema=stream.schema)
    return table.drop_columns([POSITION_COLUMN])


def source_at(place: Path, told: Mapping[str, Any]) -> Source:
    """Describe a table of Parquet or Delta at a place; `told` as in a record's `source`."""
    version = open_delta(place).version() if told["format"] == "delta" else None
    relative = [file["relative"] for file in told["files"] if not file["extra"]]
    return stored_source(told["table"], place, told["format"], relative, version)


def rows_hash(table: pa.Table, key: bytes) -> str:
    """Hash typed rows in order, for tables whose bytes may differ."""
    digests = row_digests(table, table.schema.names, "typed", key)
    told = hashlib.blake2b(repr([str(field) for field in table.schema]).encode(), digest_size=16)
    told.update(digests.tobytes())
    return told.hexdigest()


def is_unchanged(record: Record, place: Path) -> bool:
    """Tell whether the very table that was retired is at a place: its bytes, or a Delta version with all its files."""
    source = record.told["source"]
    if source["format"] == "delta":
        try:
            table = open_delta(place)
            known = [str(table.metadata().id), table.version()] == source["delta"]
            # the log may outlive data files while a table is being removed
            return known and all(
                file.path.is_file() for file in snapshot(source_at(place, source)).files
            )
        except SourceError:
            return False
    if source["kind"] == "folder" and place.is_dir():
        found = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    elif source["kind"] == "file" and place.is_file():
        found = {""}
    else:
        return False
    expected = {file["relative"]: file for file in source["files"]}
    return found == set(expected) and all(
        hash_file(place / name if name else place) == file["hash"]
        for name, file in expected.items()
    )


def is_the_table(record: Record, place: Path) -> bool:
    """Tell whether a table at a place is the retired one, as far as the record promises it.

    `bytes`: every file; `content`: the decompressed bytes; `rows`: schema, rows and order.
    """
    source = record.told["source"]
    if is_unchanged(record, place):
        return True
    try:
        if source["promise"] == "content" and place.is_file():
            content = content_of(place, source["compression"])
            found = hashlib.blake2b(content, digest_size=16).hexdigest()
            return bool(found == source["content_hash"])
        if source["promise"] == "rows" and place.is_dir() == (source["kind"] == "folder"):
            key = bytes.fromhex(record.told["certificate"]["key"])
            rows = read_all(source_at(place, source))
            return bool(rows_hash(rows, key) == source["rows_hash"])
    except (SourceError, CheckError, OSError, pa.ArrowException):
        return False
    return False


def leftovers(path: Path) -> Iterator[Path]:
    """Yield what killed processes left beside a table: half-restored, moved away to be deleted, half a tombstone."""
    for what in (RESTORING, DELETING):
        place = beside(path, what)
        if place.exists():
            yield place
    yield from path.parent.glob(f".{glob.escape(path.name)}{TOMBSTONE}.*.new")


RESTORING, DELETING = "sluice-restoring", "sluice-deleting"


def beside(path: Path, what: str) -> Path:
    """Return the hidden name beside a table that its restore or removal uses."""
    return path.with_name(f".{path.name}.{what}")


def remove(path: Path) -> None:
    """Remove a file or folder, whether it is there or not."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
