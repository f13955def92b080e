"""Find which tables of a lake are contained in which: schemas, then metadata, then every row's hash.

Each table is read at most once, whatever the number of its pairs, and not at all when its row
hashes are cached or metadata has refuted all its pairs. Pair work is nearly free once the hashes are there.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from assets.containment.described import Described
from assets.containment.edges import (
    CHUNK_ROW_BYTES,
    EDGE_SCHEMA,
    Names,
    PairCounter,
    edges_of,
    without_trivial,
)
from assets.containment.hash_store import Columns, HashStore, Progress, WorkDone
from assets.containment.kept_counts import NO_COUNTS, KeptCounts
from assets.containment.min_max import disjoint, refute
from assets.containment.schema_graph import schema_edges
from assets.containment.strictest import strictest
from assets.kernels.cell_hash import Equality, Hashes

Pair = tuple[str, str]


@dataclass
class SearchResult:
    """Edges, and what each stage of the search saw.

    Attributes
    ----------
    edges
        Columns of `containment/edges` but the versions; sorted by child and parent.
    stages
        One row a stage: candidates in and out, tables and rows hashed, bytes read from disk, seconds.
    hashes
        Gives the row hashes of a table on some columns.
    families
        For each set of columns the tables that were hashed on it.
    failed
        Why tables could not be read, by table.
    coincidences
        Edges left out because the child's rows carry too little information (`generic`).
    """

    edges: pl.DataFrame
    stages: pl.DataFrame
    hashes: Callable[[str, Sequence[str]], Hashes]
    families: dict[Names, list[str]]
    failed: dict[str, str] = field(default_factory=dict)
    coincidences: int = 0


def find_edges(
    tables: Mapping[str, Described],
    store: HashStore,
    *,
    by_value: HashStore | None = None,
    min_containment: float = 0.5,
    min_rows: int = 1,
    workers: int = 1,
    count_bytes: int = CHUNK_ROW_BYTES << 24,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Search a lake.

    Parameters
    ----------
    tables
        Every readable table.
    store
        Reads and hashes them; its equality decides which cells are equal.
    by_value
        For the equality `text`: hashes by `value`, to name the strictest equality of an edge where
        types alone do not tell. Without it such edges are named `text`.
    min_containment
        Edges below are left out.
    min_rows
        Children with fewer distinct rows are left out.
    workers
        Threads that count pairs.
    count_bytes
        Memory for counting, beside the hashes that the store holds.
    cache
        A folder in which the counts of pairs are kept: those of tables that did not change are not counted again.
    progress
        Receives (message, done, total).

    Returns
    -------
    SearchResult
        All edges are exact: every row of child and parent was hashed (64 bits; a row is falsely
        found with probability at most parent rows / 2^64).
    """
    equality = store.equality
    full = {name: t for name, t in tables.items() if t.rows != 0 and t.keys}
    clock = _Clock()
    possible = schema_edges({name: t.keys for name, t in full.items()})
    clock.stage("schema", len(full) * (len(full) - 1), len(possible))
    bounded = {name: _without_nan(table) for name, table in full.items()}
    candidates = [
        (child, parent)
        for child, parent in possible
        if not _hopeless(full[child], full[parent], bounded[child], equality, min_containment)
    ]
    clock.stage("metadata", len(possible), len(candidates))
    kept_counts = KeptCounts(cache, store) if cache else None
    known = {
        columns: kept_counts.load(columns, pairs) if kept_counts else NO_COUNTS
        for columns, pairs in _by_columns(full, candidates).items()
    }
    counted_before = {
        pair for own in known.values() for pair in own.select("child", "parent").rows()
    }
    new = [pair for pair in candidates if pair not in counted_before]
    done = store.fill(_wanted(_by_columns(full, new)), progress)
    by_columns = _by_columns(
        full, [pair for pair in candidates if not store.failed.keys() & set(pair)]
    )
    counter = PairCounter(store, workers, count_bytes)
    counted = {}
    for columns, pairs in by_columns.items():
        fresh = [pair for pair in pairs if pair not in counted_before]
        whole = known[columns]
        if fresh:
            whole = pl.concat([whole, counter.count(columns, fresh).select(NO_COUNTS.columns)])
            if kept_counts:
                kept_counts.save(columns, whole)
        counted[columns] = whole.filter(pl.col("containment") >= min_containment)
    found = sum(frame.height for frame in counted.values())
    kept = {c: without_trivial(f, c, store.read, min_rows) for c, f in counted.items()}
    left = sum(frame.height for frame in kept.values())
    clock.stage("content", len(candidates), left, done)
    edges = [
        edges_of(frame, columns, full, store) for columns, frame in kept.items() if frame.height
    ]
    told = pl.concat(edges) if edges else pl.DataFrame(schema=EDGE_SCHEMA)
    if by_value is not None:
        open_edges = told.filter(pl.col("equality") == "open").height
        told, read = _by_value(told, by_value, PairCounter(by_value, workers, count_bytes), full)
        clock.stage("equality", open_edges, open_edges, read)
    return SearchResult(
        told.with_columns(pl.col("equality").replace("open", "text")).sort("child", "parent"),
        pl.DataFrame(clock.stages),
        store.get,
        {
            columns: sorted({n for pair in pairs for n in pair})
            for columns, pairs in by_columns.items()
        },
        dict(store.failed),
        found - left,
    )


def _hopeless(
    child: Described,
    parent: Described,
    bounded: Sequence[str],
    equality: Equality,
    min_containment: float,
) -> bool:
    """Tell whether metadata proves that a pair can't reach the wanted containment."""
    if min_containment >= 1.0:
        return refute(child.statistics, parent.statistics, equality=equality) is not None
    # below 1 a value out of the parent's range proves nothing; disjoint ranges prove that no row is shared
    if equality == "text":
        return False
    return disjoint(child.statistics, parent.statistics, bounded) is not None


_WITH_NAN = ("double", "float", "halffloat")
"""Types whose bounds leave NaN out, and NaN equals NaN."""


def _without_nan(table: Described) -> list[str]:
    """Name the columns whose ranges tell that two tables share no row: bounded, and without NULL."""
    known = table.statistics.columns
    return [
        name
        for name in table.keys
        if name in known and known[name].nulls == 0 and table.facts[name].type not in _WITH_NAN
    ]


def _by_columns(tables: Mapping[str, Described], pairs: Iterable[Pair]) -> dict[Names, list[Pair]]:
    groups: dict[Names, list[Pair]] = defaultdict(list)
    columns = {name: tuple(sorted(table.keys)) for name, table in tables.items()}
    for child, parent in pairs:
        groups[columns[child]].append((child, parent))
    return dict(sorted(groups.items()))


def _wanted(groups: Mapping[Names, Sequence[Pair]]) -> dict[str, list[Columns]]:
    wanted: dict[str, dict[Columns, None]] = defaultdict(dict)
    for columns, pairs in groups.items():
        for name in {name for pair in pairs for name in pair}:
            wanted[name][columns] = None
    return {name: list(sets) for name, sets in wanted.items()}


def _by_value(
    edges: pl.DataFrame, store: HashStore, counter: PairCounter, tables: Mapping[str, Described]
) -> tuple[pl.DataFrame, WorkDone]:
    """Name `value`, or `typed` where all types are the same, what holds as far by value as by text."""
    groups = _by_columns(
        tables, edges.filter(pl.col("equality") == "open").select("child", "parent").rows()
    )
    done = store.fill(_wanted(groups))
    named = []
    for columns, pairs in groups.items():
        readable = [pair for pair in pairs if not store.failed.keys() & set(pair)]
        names = [strictest(tables[c].facts, tables[p].facts, columns, "value") for c, p in readable]
        named.append(
            counter.count(columns, readable).select(
                "child",
                "parent",
                pl.col("containment").alias("by_value"),
                pl.col("multiset_containment").alias("multiset_by_value"),
                pl.Series("name", names, dtype=pl.String),
            )
        )
    if not named:
        return edges, done
    held = (pl.col("by_value") >= pl.col("containment")) & (
        pl.col("multiset_by_value") >= pl.col("multiset_containment")
    )
    better = pl.when((pl.col("equality") == "open") & held).then("name").otherwise("equality")
    joined = edges.join(pl.concat(named), on=["child", "parent"], how="left")
    return joined.with_columns(better.alias("equality")).select(*EDGE_SCHEMA), done


class _Clock:
    def __init__(self) -> None:
        self.stages: list[dict[str, object]] = []
        self.since = time.perf_counter()

    def stage(
        self, name: str, candidates_in: int, candidates_out: int, read: WorkDone | None = None
    ) -> None:
        now = time.perf_counter()
        read = read or WorkDone()
        self.stages.append(
            {
                "stage": name,
                "candidates_in": candidates_in,
                "candidates_out": candidates_out,
                "tables": read.tables,
                "rows": read.rows,
                "bytes_read": read.bytes,
                "seconds": round(now - self.since, 3),
            }
        )
        self.since = now
