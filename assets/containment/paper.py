"""R2D2 as its authors outline it, for comparison: centre clustering, table ranges, sampled rows.

Not the default: it asks only for full containment, and with t sampled rows it keeps a pair of
containment g with probability g^t, 0.35 for g = 0.9 and t = 10. Equality is null-safe here too, so
that no true edge is lost. Only the paper's abstract was at hand; how it draws rows is a reconstruction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import polars as pl

from assets.containment.described import Described
from assets.containment.edges import EDGE_SCHEMA, edges_of
from assets.containment.families import Names, Pair, by_columns
from assets.containment.hash_store import HashStore, Progress, WorkDone
from assets.containment.min_max import range_reason
from assets.containment.paper_content import (
    ChildSample,
    PaperSettings,
    lacking_children,
    sample_child,
)
from assets.containment.sampling import SAMPLED_SCHEMA, interval
from assets.containment.schema_graph import schema_edges
from assets.containment.search import SearchResult
from assets.containment.stage_clock import StageClock
from assets.kernels.cell_hash import Equality

_T = TypeVar("_T")


def paper_edges(
    tables: Mapping[str, Described],
    store: HashStore,
    settings: PaperSettings,
    *,
    min_rows: int = 1,
    progress: Progress | None = None,
) -> SearchResult:
    """Search a lake in the paper's way.

    Parameters
    ----------
    tables
        Every readable table.
    store
        Reads them and names the equality; nothing is hashed into it.
    settings
        s, t and the seed.
    min_rows
        Children with fewer rows are left out.
    progress
        Receives (message, done, total).

    Returns
    -------
    SearchResult
        Edges that were not refuted, not exact: containment 1 with the interval that t rows without
        a miss give at 95 %. In `stages`, `rows` of the content stage are those that predicates fetched.

    Notes
    -----
    Cost: two passes over each child, one over each parent. No edge of full containment is lost.
    """
    told = progress or (lambda message, done, total: None)
    full = {name: t for name, t in tables.items() if t.rows != 0 and t.keys}
    clock = StageClock()
    possible = schema_edges({name: t.keys for name, t in full.items()}, "paper")
    clock.stage("schema", len(full) * (len(full) - 1), len(possible))
    fitting = [pair for pair in possible if not _out_of_range(full, pair, store.equality)]
    clock.stage("metadata", len(possible), len(fitting))
    work = _Pruning(full, store, settings, min_rows)
    kept = work.kept(fitting, told)
    clock.stage("content", len(fitting), len(kept), work.done)
    edges = []
    for columns, pairs in by_columns(full, kept).items():
        low, high = interval(settings.rows, settings.rows, 0.95)
        rows = [
            {
                "child": child,
                "parent": parent,
                "child_rows": work.rows[child],
                "parent_rows": work.rows[parent],
                "containment": 1.0,
                "exact": False,
                "low": low,
                "high": high,
            }
            for child, parent in pairs
        ]
        edges.append(edges_of(pl.DataFrame(rows, schema=SAMPLED_SCHEMA), columns, full, store))
    found = pl.concat(edges) if edges else pl.DataFrame(schema=EDGE_SCHEMA)
    return SearchResult(
        found.with_columns(pl.col("equality").replace("open", "text")).sort("child", "parent"),
        clock.frame(),
        store.get,
        {},
        dict(store.failed),
    )


def _out_of_range(tables: Mapping[str, Described], pair: Pair, equality: Equality) -> bool:
    child, parent = (tables[name].statistics.columns for name in pair)
    return any(range_reason(child[n], parent[n], equality) for n in child.keys() & parent.keys())


class _Pruning:
    """Reads children to draw rows of them, then parents to look for these."""

    def __init__(
        self,
        tables: Mapping[str, Described],
        store: HashStore,
        settings: PaperSettings,
        min_rows: int,
    ) -> None:
        self.tables = tables
        self.store = store
        self.settings = settings
        self.min_rows = min_rows
        self.rows: dict[str, int] = {}
        self.done = WorkDone()

    def kept(self, pairs: Sequence[Pair], told: Progress) -> list[Pair]:
        children: dict[str, dict[str, ChildSample]] = defaultdict(dict)
        samples: dict[str, ChildSample] = {}
        names = sorted({child for child, _ in pairs})
        for number, child in enumerate(names):
            told("drawing rows", number, len(names))
            drawn = self._reading(child, self._drawn)
            if drawn is not None:
                samples[child] = drawn
        for child, parent in pairs:
            if child in samples:
                children[parent][child] = samples[child]
        kept: list[Pair] = []
        for number, (parent, own) in enumerate(sorted(children.items())):
            told("looking for rows", number, len(children))
            lacking = self._reading(parent, partial(self._lacking, samples=own))
            if lacking is not None:
                kept += [(child, parent) for child in own if child not in lacking]
        return [pair for pair in kept if pair[0] not in self.store.failed]

    def _reading(self, table: str, work: Callable[[str], _T]) -> _T | None:
        try:
            return work(table)
        except self.store.tolerate as error:
            self.store.failed[table] = str(error)
            return None

    def _columns(self, table: str) -> Names:
        return tuple(sorted(self.tables[table].keys))

    def _drawn(self, table: str) -> ChildSample | None:
        columns = self._columns(table)
        rows = sum(batch.num_rows for batch in self.store.read(table, columns))
        self.rows[table] = rows
        if rows < max(self.min_rows, 1):
            return None
        batches = self.store.read(table, columns)
        drawn = sample_child(batches, rows, columns, self.store.equality, self.settings)
        self.done.bytes += self.store.cost(table)
        return drawn

    def _lacking(self, table: str, samples: Mapping[str, ChildSample]) -> set[str]:
        families: dict[Names, dict[str, ChildSample]] = defaultdict(dict)
        for child, sample in samples.items():
            families[self._columns(child)][child] = sample
        needed = sorted({name for columns in families for name in columns})
        batches = self.store.read(table, needed)
        lacking, rows, fetched = lacking_children(
            batches, families, self.store.equality, self.settings
        )
        self.rows[table] = rows
        self.done.tables += 1
        self.done.rows += fetched
        self.done.bytes += self.store.cost(table)
        return lacking
