"""Find which tables of a lake are contained in which: schemas, then metadata, then every row's hash.

Each table is read at most once, whatever the number of its pairs, and not at all when its row
hashes are cached or metadata has refuted all its pairs. Pair work is nearly free once the hashes are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from assets.containment.by_value import name_by_value
from assets.containment.content import CHUNK_ROW_BYTES
from assets.containment.content_stage import ContentStage
from assets.containment.described import Described
from assets.containment.edges import (
    PairCounter,
    edges_of_families,
    proven_edges,
    without_trivial,
)
from assets.containment.families import Names, Pair, by_columns
from assets.containment.hash_store import HashStore, Progress
from assets.containment.min_max import disjoint, refute
from assets.containment.pair_ledger import PairLedger
from assets.containment.sampling import Sampling
from assets.containment.schema_graph import schema_edges
from assets.containment.shared_files import FileProofs
from assets.containment.stage_clock import StageClock
from assets.kernels.cell_hash import Equality, Hashes


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
    proofs: FileProofs | None = None,
    ledger: PairLedger | None = None,
    sampling: Sampling | None = None,
    min_containment: float = 0.5,
    min_rows: int = 1,
    workers: int = 1,
    count_bytes: int = CHUNK_ROW_BYTES << 24,
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
    proofs
        What shared data files and Delta logs prove; such edges are not looked at further. Not used
        with `min_rows`, which asks for distinct rows that only reading tells.
    ledger
        What an earlier search counted; unchanged pairs are taken over from it.
    sampling
        Estimate from a sample of each child. An estimate whose interval holds `min_containment` is
        replaced by a count.
    min_containment
        Edges below are left out.
    min_rows
        Children with fewer distinct rows are left out.
    workers
        Threads that count pairs.
    count_bytes
        Memory for counting, beside the hashes that the store holds.
    progress
        Receives (message, done, total).

    Returns
    -------
    SearchResult
        Edges with `exact` stand on every row of child and parent (64 bits; a row is falsely found
        with probability at most parent rows / 2^64), or on files or logs that prove them.
    """
    full = {name: t for name, t in tables.items() if t.rows != 0 and t.keys}
    clock = StageClock()
    possible = schema_edges({name: t.keys for name, t in full.items()})
    clock.stage("schema", len(full) * (len(full) - 1), len(possible))
    bounded = {name: _without_nan(table) for name, table in full.items()}
    fitting = [
        (child, parent)
        for child, parent in possible
        if not _hopeless(full[child], full[parent], bounded[child], store.equality, min_containment)
    ]
    clock.stage("metadata", len(possible), len(fitting))
    proven = _proven(full, fitting, proofs) if proofs and min_rows == 1 else []
    candidates = sorted(set(fitting) - set(proven)) if proven else fitting
    if proofs:
        clock.stage("files", len(fitting), len(candidates))
    counter = PairCounter(store, workers, count_bytes)
    content = ContentStage(full, counter, ledger, sampling, min_containment, clock, progress)
    counted = content.counted(candidates)
    found = sum(frame.height for frame in counted.values())
    kept = {c: without_trivial(f, c, store, min_rows) for c, f in counted.items()}
    left = sum(frame.height for frame in kept.values())
    kept = content.located(kept)
    clock.stage("content", content.asked, left, content.done)
    told = pl.concat([edges_of_families(kept, full, store), proven_edges(proven, full)])
    if by_value is not None:
        open_edges = told.filter(pl.col("equality") == "open").height
        values = PairCounter(by_value, workers, count_bytes)
        told, read = name_by_value(told, by_value, values, full)
        clock.stage("equality", open_edges, open_edges, read)
    return SearchResult(
        told.with_columns(pl.col("equality").replace("open", "text")).sort("child", "parent"),
        clock.frame(),
        store.get,
        _families(full, fitting, store.failed),
        dict(store.failed),
        found - left,
    )


def _families(
    tables: Mapping[str, Described], pairs: Iterable[Pair], failed: Mapping[str, str]
) -> dict[Names, list[str]]:
    readable = [pair for pair in pairs if not failed.keys() & set(pair)]
    return {
        columns: sorted({name for pair in own for name in pair})
        for columns, own in by_columns(tables, readable).items()
    }


def _proven(
    tables: Mapping[str, Described], pairs: Iterable[Pair], proofs: FileProofs
) -> list[Pair]:
    """Return the pairs that files or logs prove, of tables whose rows are known."""
    return [
        (child, parent)
        for child, parent in pairs
        if proofs.how(child, parent)
        and tables[child].rows is not None
        and tables[parent].rows is not None
    ]


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
