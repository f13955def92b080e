"""Count the pairs of a family, leave out coincidences, and describe what is left as edges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
import pyarrow as pa

from assets.containment.content import CHUNK_ROW_BYTES, contained_rows
from assets.containment.described import ColumnFacts, Described
from assets.containment.generic import (
    EVIDENCE,
    EVIDENCE_ROWS,
    evidence_bits,
    needs_evidence,
    shortened,
    trivial_reason,
)
from assets.containment.hash_store import Columns, HashStore
from assets.containment.ranges import InPieces
from assets.containment.strictest import strictest
from assets.ingestion.arrow_types import plain_schema
from assets.kernels.cell_hash import Equality, Hashes

Names = tuple[str, ...]

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
    "witness": pl.Int64,
    "parent_containment": pl.Float64,
    "jaccard": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


@dataclass(frozen=True)
class PairCounter:
    """Counts pairs on the hashes of a store, with so many threads and bytes beside the hashes."""

    store: HashStore
    workers: int
    bytes: int

    def count(
        self,
        columns: Names,
        pairs: Sequence[tuple[str, str]],
        parents: Mapping[str, tuple[str, Columns]] | None = None,
        distinct: Mapping[str, int] | None = None,
    ) -> pl.DataFrame:
        """Count the rows that pairs share on the child's columns; see `contained_rows`.

        Parameters
        ----------
        columns
            The child's columns.
        pairs
            (child, parent).
        parents
            For names in `pairs` that are no table: the table meant, and its columns under the child's
            names.
        distinct
            Known distinct rows on these columns, by table.
        """
        hashes = self.hashes(columns, pairs, parents)
        rows = self.bytes // CHUNK_ROW_BYTES
        return contained_rows(
            hashes, pairs, chunk_rows=rows, workers=self.workers, distinct=distinct
        )

    def hashes(
        self,
        columns: Names,
        pairs: Sequence[tuple[str, str]],
        parents: Mapping[str, tuple[str, Columns]] | None = None,
    ) -> dict[str, Hashes | InPieces]:
        """Return the row hashes of all tables in some pairs, as `count` takes them."""
        names = sorted({name for pair in pairs for name in pair})
        meant = parents or {}
        return {n: self.store.stored(*meant.get(n, (n, columns))) for n in names}


def edges_of_families(
    counted: Mapping[Names, pl.DataFrame], tables: Mapping[str, Described], store: HashStore
) -> pl.DataFrame:
    """Describe the pairs of many families, by their columns, as `edges_of` does of one whose witnesses are found."""
    parts = []
    for columns, frame in counted.items():
        identity = json.dumps({name: name for name in columns}, ensure_ascii=False)
        same = _Verdicts(tables, columns, store.equality)
        names = [same.of(*pair) for pair in zip(frame["child"], frame["parent"], strict=True)]
        told = {"equality": names, "column_map": [identity] * frame.height}
        more = [pl.Series(name, own, dtype=pl.String) for name, own in told.items()]
        parts.append(frame.drop("witness").hstack(more))
    if not parts:
        return pl.DataFrame(schema=EDGE_SCHEMA)
    return _with_shares(pl.concat(parts, how="diagonal").rename({"witness_row": "witness"}))


def _with_shares(told: pl.DataFrame) -> pl.DataFrame:
    whole = pl.col("child_distinct") + pl.col("parent_distinct") - pl.col("common")
    given = {
        "exact": pl.lit(value=True),
        "low": pl.col("containment"),
        "high": pl.col("containment"),
    }
    return told.with_columns(
        **{name: value for name, value in given.items() if name not in told.columns},
        parent_containment=pl.col("common") / pl.col("parent_distinct"),
        jaccard=pl.col("common") / whole,
    ).select(*[pl.col(n).cast(t) for n, t in EDGE_SCHEMA.items()])


def edges_of(
    counted: pl.DataFrame,
    columns: Names,
    tables: Mapping[str, Described],
    store: HashStore,
    maps: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
) -> pl.DataFrame:
    """Describe counted pairs as edges.

    Parameters
    ----------
    counted
        Of `PairCounter.count`, or estimates that have `exact`, `low` and `high`.
    columns
        The child's columns.
    tables, store
        What was compared, and its hashes.
    maps
        Parent column by child column, by (child, parent); by default every column keeps its name.

    Returns
    -------
    pl.DataFrame
        `EDGE_SCHEMA`; `equality` may be "open", see `strictest`. `parent_containment` is the share of
        the parent's distinct rows, on the child's columns, that the child holds; `low` and `high`
        enclose `containment`, and equal it where `exact`.
    """
    identity = json.dumps({name: name for name in columns}, ensure_ascii=False)
    same = _Verdicts(tables, columns, store.equality)
    names, written = [], []
    for child, parent in counted.select("child", "parent").rows():
        renamed = (maps or {}).get((child, parent))
        if renamed is None:
            names.append(same.of(child, parent))
            written.append(identity)
        else:
            theirs = {name: tables[parent].facts[renamed[name]] for name in columns}
            names.append(strictest(tables[child].facts, theirs, columns, store.equality))
            written.append(json.dumps({n: renamed[n] for n in columns}, ensure_ascii=False))
    return _with_shares(
        counted.drop("witness").hstack(
            [
                pl.Series("equality", names, dtype=pl.String),
                pl.Series("column_map", written, dtype=pl.String),
                witness_rows(counted, columns, store).rename("witness"),
            ]
        )
    )


class _Verdicts:
    """What `strictest` says of pairs whose columns keep their names, once for tables of equal facts."""

    def __init__(self, tables: Mapping[str, Described], columns: Names, equality: Equality) -> None:
        self.tables = tables
        self.columns = columns
        self.equality = equality
        self.facts: dict[str, dict[str, ColumnFacts]] = {}
        self.kinds: dict[tuple[ColumnFacts, ...], int] = {}
        self.kind: dict[str, int] = {}
        self.known: dict[tuple[int, int], str] = {}

    def _look(self, table: str) -> int:
        if table not in self.kind:
            own = self.tables[table].facts
            self.facts[table] = {column: own[column] for column in self.columns}
            kind = tuple(self.facts[table].values())
            self.kind[table] = self.kinds.setdefault(kind, len(self.kinds))
        return self.kind[table]

    def of(self, child: str, parent: str) -> str:
        pair = self._look(child), self._look(parent)
        if pair not in self.known:
            ours, theirs = self.facts[child], self.facts[parent]
            self.known[pair] = strictest(ours, theirs, self.columns, self.equality)
        return self.known[pair]


def proven_edges(pairs: Iterable[tuple[str, str]], tables: Mapping[str, Described]) -> pl.DataFrame:
    """Describe pairs of which files or a log prove that the parent has every row of the child.

    Parameters
    ----------
    pairs
        (child, parent), whose columns have the same names and types.
    tables
        With known rows.

    Returns
    -------
    pl.DataFrame
        `EDGE_SCHEMA`, containment 1; what only rows tell is null.
    """
    rows = [
        {
            "child": child,
            "parent": parent,
            "containment": 1.0,
            "multiset_containment": 1.0,
            "exact": True,
            "equality": "typed",
            "column_map": json.dumps(
                {name: name for name in sorted(tables[child].keys)}, ensure_ascii=False
            ),
            "child_rows": tables[child].rows,
            "parent_rows": tables[parent].rows,
            "low": 1.0,
            "high": 1.0,
        }
        for child, parent in pairs
    ]
    return pl.DataFrame(rows, schema=EDGE_SCHEMA)


def witness_rows(counted: pl.DataFrame, columns: Names, store: HashStore) -> pl.Series:
    """Find the row of each child that refutes full containment; null where nothing does.

    Rows that `counted` has already as `witness_row` are taken from there.
    """
    if "witness_row" not in counted.columns:
        counted = counted.with_columns(witness_row=pl.lit(None, pl.Int64))
    missing = counted["witness"].is_not_null() & counted["witness_row"].is_null()
    if not missing.any():
        return counted["witness_row"]
    wanted = counted.filter(missing)
    rows: dict[tuple[str, int], int] = {}
    for (child,), own in wanted.group_by("child"):
        found = store.first_rows(str(child), columns, own["witness"])
        rows |= {(str(child), value): row for value, row in found.items()}
    keys = counted.select("child", "witness", "witness_row").rows()
    return pl.Series(
        [row if row is not None else rows.get((c, w)) for c, w, row in keys], dtype=pl.Int64
    )


def without_trivial(
    counted: pl.DataFrame, columns: Names, store: HashStore, min_rows: int
) -> pl.DataFrame:
    """Leave out edges that a coincidence of a few plain values explains.

    A small child is opened once a version for a look at its values.
    """
    told = set(zip(counted["child"], counted["child_distinct"], strict=True))
    children = sorted(told, key=lambda own: own[0])
    kept = []
    for child, distinct in children:
        bits = None
        if needs_evidence(distinct, len(columns)) and distinct >= min_rows:
            bits = store.number(child, columns, EVIDENCE, partial(_bits, store, child, columns))
        if trivial_reason(distinct, len(columns), bits, min_rows=min_rows) is None:
            kept.append(child)
    if len(kept) == len(children):
        return counted
    return counted.filter(pl.col("child").is_in(kept))


def _bits(store: HashStore, table: str, columns: Names) -> float:
    first = _head(store.read(table, columns))
    return evidence_bits(first, columns) if first is not None else 0.0


def _head(batches: Iterable[pa.Table]) -> pa.Table | None:
    """Return the first rows of a table with texts cut short, as many whatever the size of its batches."""
    parts: list[pa.Table] = []
    rows = 0
    for batch in batches:
        parts.append(shortened(batch.cast(plain_schema(batch.schema))))  # without dictionaries
        rows += batch.num_rows
        if rows >= EVIDENCE_ROWS:
            break
    if not parts:
        return None
    # a text that is not UTF-8 makes bytes of its own part only
    return pa.concat_tables(parts, promote_options="permissive").slice(0, EVIDENCE_ROWS)
