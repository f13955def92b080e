"""Let go of sketches and sets of contents that no kept release holds.

The rule: a content stays in the caches as long as a kept release of any output on this lake layer has a record with
it. A file of the caches that is old enough is removed when nothing in it stays, and written anew without what doesn't
when that is a quarter of it or more; so the caches are at most a third larger than what stays, and files that young
runs wrote. A set stays if a sketch that stays has its digest.

Whatever is cut off halfway is safe: new files appear whole before old ones go, a set that is listed twice is read once,
and a set that is lost is made from its text again.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assets.deduplication.keys import KeyLookup, parse_keys
from assets.deduplication.set_cache import COLUMNS
from resources.sweep import Kind, Sweep

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
KIND: Kind = "caches"
WORTH = 0.25
BATCH = 1 << 16
PIECE = 8 << 20


def prune_caches(scratch: Path, contents: Iterable[pl.LazyFrame], sweep: Sweep) -> None:
    """Remove what no content that stays needs.

    Parameters
    ----------
    scratch
        The folder of caches, with `sketches` and `sets`.
    contents
        Frames with `content_id`: all that stays.
    sweep
        Its age, fence and tally; nothing younger is touched. No run may be at work.

    Notes
    -----
    Memory: 24 bytes a content that stays and as much a set. Sketches are read once, and the lists of sets (40 bytes
    a set); sets only where their file is written anew.
    """
    known = _lookup(_keys(contents))
    digests = [np.empty((0, 2), np.uint64)]
    files = sorted((scratch / "sketches").glob("*/*.parquet"))
    digests += [_prune_sketches(file, known, sweep) for file in files]
    wanted = _lookup(digests)
    folders = sorted((scratch / "sets").glob("*/"))
    for folder in folders:
        for listed in sorted(folder.glob("*.list")):
            _prune_sets(listed, wanted, sweep)
        for file in sorted(folder.glob("*.sets")):
            if not file.with_suffix(".list").exists():
                sweep.file(KIND, file)


def _keys(contents: Iterable[pl.LazyFrame]) -> Iterator[U64]:
    for frame in contents:
        rows = frame.select(pl.col("content_id").drop_nulls().unique())
        keys = rows.collect(engine="streaming")["content_id"]
        for first in range(0, len(keys), BATCH):
            yield np.stack(parse_keys(keys[first : first + BATCH].to_arrow()), axis=1)


def _lookup(parts: Iterable[U64]) -> KeyLookup:
    both = np.concatenate([np.empty((0, 2), np.uint64), *parts])
    order = np.lexsort((both[:, 1], both[:, 0]))
    both = both[order]
    first = np.ones(len(both), bool)
    first[1:] = (both[1:] != both[:-1]).any(axis=1)
    return KeyLookup(np.ascontiguousarray(both[first, 0]), np.ascontiguousarray(both[first, 1]))


def _stays(known: KeyLookup, high: U64, low: U64) -> Bools:
    stays: Bools = known.places(np.ascontiguousarray(high), np.ascontiguousarray(low)) >= 0
    return stays


def _prune_sketches(file: Path, known: KeyLookup, sweep: Sweep) -> U64:
    """Prune a file of sketches; returns the digests of those that stay."""
    digests, masks = [np.empty((0, 2), np.uint64)], [np.empty(0, bool)]
    try:
        young = not _old(file, sweep)
        with pq.ParquetFile(file) as rows:
            for batch in rows.iter_batches(BATCH, columns=["key", "digest"]):
                stays = _stays(known, *parse_keys(batch.column("key"))) | young
                kept = batch.column("digest").filter(pa.array(stays)).to_pylist()
                digests.append(np.frombuffer(b"".join(kept), "<u8").reshape(-1, 2))
                masks.append(stays)
    except (OSError, pa.ArrowException):  # damaged: it was only a help
        sweep.file(KIND, file)
        return digests[0]
    stays = np.concatenate(masks)
    gone = 1 - stays.mean() if len(stays) else 1.0
    if gone == 1:
        sweep.file(KIND, file)
    elif gone >= WORTH:
        size, fresh = file.stat().st_size, file.with_name(f"{uuid.uuid4().hex}.new")
        if sweep.dry_run:
            _count(sweep, int(gone * size))
        else:
            sweep.fence()
            _write_sketches(file, fresh, stays)
            fresh.replace(fresh.with_suffix(".parquet"))
            _count(sweep, size - fresh.with_suffix(".parquet").stat().st_size)
            file.unlink()
    return np.concatenate(digests)


def _write_sketches(file: Path, fresh: Path, stays: Bools) -> None:
    with pq.ParquetFile(file) as rows, pq.ParquetWriter(fresh, rows.schema_arrow) as writer:
        at = 0
        for batch in rows.iter_batches(BATCH):
            writer.write_batch(batch.filter(pa.array(stays[at : at + batch.num_rows])))
            at += batch.num_rows
    _as_old(fresh, file)


def _prune_sets(listed: Path, wanted: KeyLookup, sweep: Sweep) -> None:
    sets = listed.with_suffix(".sets")
    try:
        lines = pq.read_table(listed)
        first, second, begin, size, _ = (lines.column(name).to_numpy() for name in COLUMNS)
        length = sets.stat().st_size
    except (OSError, pa.ArrowException, KeyError):
        sweep.file(KIND, listed)
        return
    stays = _stays(wanted, first, second)
    gone = 1 - size[stays].sum() / max(1, int(size.sum()))
    whole = length >= 8 * int((begin + size).max(initial=0))
    if not stays.any() or not whole:
        if sweep.file(KIND, listed):
            sweep.file(KIND, sets)
    elif gone >= WORTH and _old(listed, sweep):
        if sweep.dry_run:
            _count(sweep, int(gone * length))
            return
        sweep.fence()
        rows = np.flatnonzero(stays)[np.argsort(begin[stays], kind="stable")]
        fresh = listed.with_name(uuid.uuid4().hex)
        _copy(sets, fresh.with_suffix(".new"), begin[rows], size[rows])
        fresh.with_suffix(".new").replace(fresh.with_suffix(".sets"))
        moved = np.cumsum(size[rows]) - size[rows]
        place = lines.schema.get_field_index("begin")
        kept = lines.take(pa.array(rows)).set_column(place, "begin", pa.array(moved))
        pq.write_table(kept, fresh.with_suffix(".list.new"))
        for new, old in ((".sets", sets), (".list.new", listed)):
            _as_old(fresh.with_suffix(new), old)
        fresh.with_suffix(".list.new").replace(fresh.with_suffix(".list"))
        listed.unlink()
        sets.unlink()
        _count(sweep, length - 8 * int(size[rows].sum()))


def _copy(sets: Path, fresh: Path, begins: I64, sizes: I64) -> None:
    """Copy sets, in the order of the file, to another one; a bounded piece at a time."""
    apart = np.flatnonzero(begins[1:] != begins[:-1] + sizes[:-1]) + 1
    starts, ends = np.append(0, apart), np.append(apart, len(begins))
    with sets.open("rb") as old, fresh.open("wb") as new:
        for one, two in zip(starts, ends, strict=True):
            old.seek(8 * int(begins[one]))
            left = 8 * int(sizes[one:two].sum())
            while left:
                piece = old.read(min(left, PIECE))
                new.write(piece)
                left -= len(piece)


def _old(file: Path, sweep: Sweep) -> bool:
    return file.stat().st_mtime <= sweep.before


def _as_old(fresh: Path, file: Path) -> None:
    """Give a file the age of the one whose content it holds, so that what was old goes when it may."""
    status = file.stat()
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))


def _count(sweep: Sweep, octets: int) -> None:
    sweep.removed[KIND].files += 1
    sweep.removed[KIND].bytes += octets
