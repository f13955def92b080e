"""Search for tables contained in others under other column names: maps from sketches, proof from rows."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import polars as pl

from assets.containment.column_maps import ColumnMap, TableSketch, candidate_maps, sketch_table
from assets.containment.described import Described
from assets.containment.edges import EDGE_SCHEMA, Names, PairCounter, edges_of, without_trivial
from assets.containment.hash_store import Columns, HashStore, Progress, WorkDone

Maps = Mapping[tuple[str, str], Sequence[ColumnMap]]


def renamed_edges(
    tables: Mapping[str, Described],
    counter: PairCounter,
    *,
    min_containment: float,
    min_rows: int = 1,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, dict[str, object]]:
    """Find edges whose columns have other names in the parent.

    Parameters
    ----------
    tables
        Every readable table.
    counter
        Reads, hashes and counts.
    min_containment, min_rows
        As in `find_edges`.
    progress
        Receives (message, done, total).

    Returns
    -------
    tuple
        Edges as in `find_edges`, each with the map of the greatest containment, all exact on it; and a
        row of its stages. A pair in which the parent has all of the child's columns by name is none of
        these. Equality `open` was resolved to `text`.

    Notes
    -----
    A pair is missed if the sketches do not show it (`candidate_maps`). Cost: one pass over every table
    for the sketches, and one for each parent of a candidate.
    """
    told = progress or (lambda message, done, total: None)
    start = time.perf_counter()
    store = counter.store
    full = {name: t for name, t in tables.items() if t.rows != 0 and t.keys}
    sketches, done = _sketches(full, store, told)
    maps = candidate_maps(sketches, min_containment)
    groups = _groups(full, maps)
    wanted: dict[str, list[Columns]] = defaultdict(list)
    for columns, (pairs, parents) in groups.items():
        for child in sorted({child for child, _ in pairs}):
            wanted[child].append(columns)
        for table, renamed in parents.values():
            if renamed not in wanted[table]:
                wanted[table].append(renamed)
    hashed = store.fill(wanted, told)
    edges = [
        _counted(full, counter, columns, pairs, parents, min_containment, min_rows)
        for columns, (pairs, parents) in groups.items()
    ]
    found = pl.concat(edges) if edges else pl.DataFrame(schema=EDGE_SCHEMA)
    stage: dict[str, object] = {
        "stage": "renamed",
        "candidates_in": len(maps),
        "candidates_out": found.height,
        "tables": done.tables + hashed.tables,
        "rows": done.rows + hashed.rows,
        "bytes_read": done.bytes + hashed.bytes,
        "seconds": round(time.perf_counter() - start, 3),
    }
    return found.with_columns(pl.col("equality").replace("open", "text")), stage


def _sketches(
    tables: Mapping[str, Described], store: HashStore, told: Progress
) -> tuple[dict[str, TableSketch], WorkDone]:
    done = WorkDone()
    sketches: dict[str, TableSketch] = {}
    for number, (name, table) in enumerate(sorted(tables.items())):
        told("sketching columns", number, len(tables))
        if name in store.failed:
            continue
        try:
            rows = store.read(name, list(table.keys))
            sketches[name] = sketch_table(rows, table.keys, store.equality)
        except store.tolerate as error:
            store.failed[name] = str(error)
            continue
        done.tables += 1
        done.rows += sketches[name].rows
        done.bytes += store.cost(name)
    return sketches, done


Renamed = tuple[tuple[str, str], ...]
Group = tuple[list[tuple[str, str]], dict[str, tuple[str, Renamed]]]


def _groups(tables: Mapping[str, Described], maps: Maps) -> dict[Names, Group]:
    """Group by the child's columns; a parent under a map gets a name: table, NUL, number of the map."""
    groups: dict[Names, Group] = {}
    named: dict[tuple[str, Renamed], str] = {}
    for (child, parent), found in sorted(maps.items()):
        columns = tuple(sorted(tables[child].keys))
        pairs, parents = groups.setdefault(columns, ([], {}))
        for column_map in found:
            renamed = tuple(sorted((theirs, mine) for mine, theirs in column_map))
            name = named.setdefault((parent, renamed), f"{parent}\0{len(named):08}")
            parents[name] = (parent, renamed)
            pairs.append((child, name))
    return groups


def _counted(
    tables: Mapping[str, Described],
    counter: PairCounter,
    columns: Names,
    pairs: Sequence[tuple[str, str]],
    parents: Mapping[str, tuple[str, Renamed]],
    min_containment: float,
    min_rows: int,
) -> pl.DataFrame:
    failed = counter.store.failed
    readable = [(c, p) for c, p in pairs if c not in failed and parents[p][0] not in failed]
    counted = counter.count(columns, readable, parents).filter(
        pl.col("containment") >= min_containment
    )
    best = counted.sort(
        "containment", "multiset_containment", "parent", descending=[True, True, False]
    ).with_columns(renamed="parent", parent=pl.col("parent").str.split("\0").list.first())
    best = best.unique(["child", "parent"], keep="first", maintain_order=True)
    kept = without_trivial(best, columns, counter.store, min_rows)
    maps = {
        (child, parent): {mine: theirs for theirs, mine in parents[renamed][1]}
        for child, parent, renamed in kept.select("child", "parent", "renamed").rows()
    }
    return edges_of(kept, columns, tables, counter.store, maps)
