"""Say which tables could be dropped because another that stays holds all their rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SAVINGS_SCHEMA = {
    "table": pl.String,
    "kept": pl.String,
    "kind": pl.String,
    "group": pl.Int64,
    "multiset_containment": pl.Float64,
    "equality": pl.String,
    "rows": pl.Int64,
    "kept_rows": pl.Int64,
    "bytes": pl.Int64,
}


def droppable_tables(edges: pl.DataFrame, sizes: Mapping[str, int]) -> pl.DataFrame:
    """Find as many tables as can be dropped while one that is kept holds every row of each.

    Parameters
    ----------
    edges : pl.DataFrame
        Containment edges; those that are exact and have containment 1 count.
    sizes : mapping of str to int
        Bytes by table.

    Returns
    -------
    pl.DataFrame
        A row for each table that could go, sorted by group and name: table, kept (the one that
        holds it), kind (``duplicate``: each holds the other; ``contained``), group (numbers the
        kept tables), multiset_containment (below 1: rows that the table repeats more often than
        the kept one are not held as often), equality, rows, kept_rows, bytes.

    Notes
    -----
    Tables that hold each other are one class; of each class that no other class holds one table is
    kept, the one with the most rows, then the fewest bytes, then the first by name. Containment is
    transitive, so every other table is held by a kept one. Cost: linear in edges.
    """
    whole = edges.filter(pl.col("exact") & (pl.col("containment") == 1))
    if whole.is_empty():
        return pl.DataFrame(schema=SAVINGS_SCHEMA)
    names = sorted(set(whole["child"]) | set(whole["parent"]))
    number = {name: i for i, name in enumerate(names)}
    child = np.array([number[name] for name in whole["child"]])
    parent = np.array([number[name] for name in whole["parent"]])
    graph = coo_array((np.ones(child.size), (child, parent)), shape=(len(names), len(names)))
    _, of = connected_components(graph, directed=True, connection="strong")
    held_elsewhere = set(of[child[of[child] != of[parent]]].tolist())
    rows = dict(zip(whole["child"], whole["child_rows"], strict=True))
    rows.update(zip(whole["parent"], whole["parent_rows"], strict=True))
    kept: dict[int, str] = {}
    for name in sorted(names, key=lambda n: (-rows[n], sizes.get(n, 0), n)):
        if of[number[name]] not in held_elsewhere:
            kept.setdefault(int(of[number[name]]), name)
    keepers = {name: group for group, name in enumerate(sorted(kept.values()))}
    found: dict[str, dict[str, object]] = {}
    by_size = whole.sort(
        "multiset_containment", "parent_rows", "parent", descending=[True, False, False]
    )
    for edge in by_size.iter_rows(named=True):
        table, keeper = edge["child"], edge["parent"]
        if keeper in keepers and table not in keepers and table not in found:
            same = of[number[table]] == of[number[keeper]]
            found[table] = {
                "table": table,
                "kept": keeper,
                "kind": "duplicate" if same else "contained",
                "group": keepers[keeper],
                "multiset_containment": edge["multiset_containment"],
                "equality": edge["equality"],
                "rows": edge["child_rows"],
                "kept_rows": edge["parent_rows"],
                "bytes": sizes.get(table, 0),
            }
    return pl.DataFrame(list(found.values()), schema=SAVINGS_SCHEMA).sort("group", "table")
