"""Find which tables of a lake are contained in which: schemas, then metadata, then every row's hash.

Each table is read at most once, whatever the number of its pairs, and not at all when its row
hashes are cached or metadata has refuted all its pairs. Pair work is nearly free once the hashes are there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from assets.containment.bounds import TableStatistics
from assets.containment.content import contained_rows, hash_projections
from assets.containment.generic import evidence_bits, needs_evidence, trivial_reason
from assets.containment.min_max import refute
from assets.containment.schema_graph import schema_edges
from assets.kernels.cell_hash import SCHEME, Equality

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
Read = Callable[[str, Sequence[str]], Iterable[pa.Table]]
Progress = Callable[[str, int, int], None]

EDGE_SCHEMA = {
    "child": pl.String,
    "parent": pl.String,
    "containment": pl.Float64,
    "multiset_containment": pl.Float64,
    "exact": pl.Boolean,
    "equality": pl.String,
    "column_map": pl.String,
    "child_rows": pl.Int64,
    "parent_rows": pl.Int64,
}


@dataclass(frozen=True)
class Described:
    """What the search knows of a table before it reads a row.

    Attributes
    ----------
    version
        Identity of the content; part of the cache key.
    families
        Type family by column.
    types
        Exact type by column, to tell `typed` from `value` equality.
    """

    table: str
    version: str
    rows: int
    families: Mapping[str, str] = field(hash=False)
    types: Mapping[str, str] = field(hash=False)
    statistics: TableStatistics = field(hash=False)


@dataclass
class SearchResult:
    """Edges, and what each stage of the search saw.

    Attributes
    ----------
    edges
        Columns of `containment/edges` but the versions; sorted by child and parent.
    stages
        One row a stage: candidates in and out, rows read, seconds.
    hashes
        Gives the row hashes of a table on some columns, from the cache.
    families
        For each set of columns the tables that were hashed on it.
    """

    edges: pl.DataFrame
    stages: pl.DataFrame
    hashes: Callable[[str, Sequence[str]], Hashes]
    families: dict[tuple[str, ...], list[str]]


def find_edges(
    tables: Mapping[str, Described],
    read: Read,
    cache: Path,
    *,
    equality: Equality = "value",
    min_containment: float = 0.5,
    min_rows: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> SearchResult:
    """Search a lake.

    Parameters
    ----------
    tables
        Every readable table.
    read
        Streams some columns of a table at its pinned version.
    cache
        Folder for row hashes by content; any file in it may be removed.
    min_containment
        Edges below are left out.
    equality
        Which cells are equal.
    workers
        Threads that count pairs.
    progress
        Receives (message, done, total).
    min_rows
        Children with fewer distinct rows are left out.

    Returns
    -------
    SearchResult
        All edges are exact: every row of child and parent was hashed (64 bits; a row is falsely
        found with probability at most parent rows / 2^64).
    """
    told = progress or (lambda message, done, total: None)
    full = {name: t for name, t in tables.items() if t.rows > 0 and t.families}
    stages: list[dict[str, object]] = []
    clock = _Clock(stages)
    possible = schema_edges({name: t.families for name, t in full.items()})
    clock.stage("schema", len(full) * (len(full) - 1), len(possible), 0)
    candidates = [
        (child, parent)
        for child, parent in possible
        if not _hopeless(full[child], full[parent], equality, min_containment)
    ]
    clock.stage("metadata", len(possible), len(candidates), 0)
    store = HashStore(full, read, cache, equality)
    by_columns = _by_columns(full, candidates)
    rows_read = store.fill(_wanted(by_columns), told)
    edges = []
    for columns, pairs in by_columns.items():
        names = sorted({name for pair in pairs for name in pair})
        counted = contained_rows({n: store.get(n, columns) for n in names}, pairs, workers=workers)
        edges.append(_edges_of(counted, columns, full, equality))
    found = (
        pl.concat(edges)
        if edges
        else pl.DataFrame(schema={**EDGE_SCHEMA, "child_distinct": pl.Int64})
    )
    kept = _without_trivial(
        found.filter(pl.col("containment") >= min_containment), full, read, min_rows
    )
    clock.stage("content", len(candidates), kept.height, rows_read)
    families = {
        columns: sorted({n for pair in pairs for n in pair})
        for columns, pairs in by_columns.items()
    }
    return SearchResult(
        kept.select(*EDGE_SCHEMA).sort("child", "parent"),
        pl.DataFrame(stages),
        store.get,
        families,
    )


def _hopeless(
    child: Described, parent: Described, equality: Equality, min_containment: float
) -> bool:
    """Tell whether metadata proves that a pair can't reach the wanted containment."""
    if min_containment >= 1.0:
        return refute(child.statistics, parent.statistics, equality=equality) is not None
    # below 1 a value out of the parent's range proves nothing; disjoint ranges prove that no row is shared
    return equality != "text" and any(_disjoint(child, parent, name) for name in child.families)


def _disjoint(child: Described, parent: Described, name: str) -> bool:
    ours = child.statistics.columns.get(name)
    theirs = parent.statistics.columns.get(name)
    if ours is None or theirs is None or ours.family != theirs.family or ours.nulls != 0:
        return False
    if child.types[name] in ("double", "float", "halffloat"):
        return False  # bounds leave NaN out, and NaN equals NaN
    above = ours.lo_min is not None and theirs.hi_max is not None and ours.lo_min > theirs.hi_max
    below = ours.hi_max is not None and theirs.lo_min is not None and ours.hi_max < theirs.lo_min
    return above or below


class HashStore:
    """Row hashes by table and columns, cached by content so that no table version is hashed twice."""

    def __init__(
        self, tables: Mapping[str, Described], read: Read, cache: Path, equality: Equality
    ) -> None:
        self.tables = tables
        self.read = read
        self.folder = cache / "row_hashes"
        self.equality = equality

    def _file(self, table: str, columns: Sequence[str]) -> Path:
        known = self.tables[table]
        types = [[name, known.types[name]] for name in sorted(columns)]
        key = json.dumps([SCHEME, self.equality, table, known.version, types], ensure_ascii=False)
        name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.npy"

    def fill(self, wanted: Mapping[str, Sequence[tuple[str, ...]]], told: Progress) -> int:
        """Hash what is not cached yet; return the rows that were read."""
        read = 0
        for number, (table, sets) in enumerate(sorted(wanted.items())):
            missing = [columns for columns in sets if not self._file(table, columns).exists()]
            told(f"hashing rows ({read:,} rows read)", number, len(wanted))
            if not missing:
                continue
            needed = sorted({name for columns in missing for name in columns})
            for columns, hashes in zip(
                missing,
                hash_projections(self.read(table, needed), missing, self.equality),
                strict=True,
            ):
                _save(self._file(table, columns), hashes)
            read += self.tables[table].rows
        return read

    def get(self, table: str, columns: Sequence[str]) -> Hashes:
        """Return the hashes of a table's rows on some columns, mapped from disk."""
        file = self._file(table, columns)
        if not file.exists():
            self.fill({table: [tuple(columns)]}, lambda message, done, total: None)
        hashes: Hashes = np.load(file, mmap_mode="r")
        return hashes


def _save(file: Path, hashes: Hashes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{time.time_ns()}.new")
    with fresh.open("wb") as handle:
        np.save(handle, hashes)
    fresh.replace(file)


def _by_columns(
    tables: Mapping[str, Described], candidates: Iterable[tuple[str, str]]
) -> dict[tuple[str, ...], list[tuple[str, str]]]:
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for child, parent in candidates:
        groups[tuple(sorted(tables[child].families))].append((child, parent))
    return dict(sorted(groups.items()))


def _wanted(
    groups: Mapping[tuple[str, ...], Sequence[tuple[str, str]]],
) -> dict[str, list[tuple[str, ...]]]:
    wanted: dict[str, dict[tuple[str, ...], None]] = defaultdict(dict)
    for columns, pairs in groups.items():
        for pair in pairs:
            for name in pair:
                wanted[name][columns] = None
    return {name: list(sets) for name, sets in wanted.items()}


def _edges_of(
    counted: pl.DataFrame,
    columns: Sequence[str],
    tables: Mapping[str, Described],
    equality: Equality,
) -> pl.DataFrame:
    def strictest(child: str, parent: str) -> str:
        same = all(tables[child].types[c] == tables[parent].types[c] for c in columns)
        return "typed" if same and equality == "value" else equality

    identity = json.dumps({name: name for name in columns}, ensure_ascii=False)
    kinds = [strictest(c, p) for c, p in zip(counted["child"], counted["parent"], strict=True)]
    return counted.with_columns(
        containment=pl.col("common") / pl.col("child_distinct"),
        multiset_containment=pl.col("common_multiset") / pl.col("child_rows"),
        exact=pl.lit(value=True),
        equality=pl.Series(kinds, dtype=pl.String),
        column_map=pl.lit(identity),
        parent_rows=pl.col("parent").replace_strict(
            {n: t.rows for n, t in tables.items()}, return_dtype=pl.Int64
        ),
    ).select(
        *[pl.col(n).cast(t) for n, t in EDGE_SCHEMA.items()],
        pl.col("child_distinct").cast(pl.Int64),
    )


def _without_trivial(
    edges: pl.DataFrame, tables: Mapping[str, Described], read: Read, min_rows: int
) -> pl.DataFrame:
    """Leave out edges that a coincidence of a few plain values explains."""
    keep: dict[str, bool] = {}
    for child, distinct in (
        edges.select("child", "child_distinct").unique().sort("child").iter_rows()
    ):
        columns = list(tables[child].families)
        bits = None
        if needs_evidence(distinct, len(columns)):
            first = next(_head(read(child, columns)), None)
            bits = evidence_bits(first, columns) if first is not None else 0.0
        keep[child] = trivial_reason(distinct, len(columns), bits, min_rows=min_rows) is None
    return edges.filter(pl.col("child").is_in([child for child, kept in keep.items() if kept]))


def _head(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    yield from batches


class _Clock:
    def __init__(self, stages: list[dict[str, object]]) -> None:
        self.stages = stages
        self.since = time.perf_counter()

    def stage(self, name: str, candidates_in: int, candidates_out: int, rows_read: int) -> None:
        now = time.perf_counter()
        self.stages.append(
            {
                "stage": name,
                "candidates_in": candidates_in,
                "candidates_out": candidates_out,
                "rows_read": rows_read,
                "seconds": round(now - self.since, 3),
            }
        )
        self.since = now
