"""Name the equality of edges found by text whose types do not tell it: their rows are compared by value."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from assets.containment.described import Described
from assets.containment.edges import EDGE_SCHEMA, PairCounter
from assets.containment.families import by_columns, wanted_of
from assets.containment.hash_store import HashStore, WorkDone
from assets.containment.strictest import strictest


def name_by_value(
    edges: pl.DataFrame, store: HashStore, counter: PairCounter, tables: Mapping[str, Described]
) -> tuple[pl.DataFrame, WorkDone]:
    """Name `value`, or `typed` where all types are the same, what holds as far by value as by text.

    Parameters
    ----------
    edges
        `EDGE_SCHEMA`; only those whose equality is "open" are looked at.
    store, counter
        Hashes by value.
    tables
        What was compared.
    """
    groups = by_columns(
        tables, edges.filter(pl.col("equality") == "open").select("child", "parent").rows()
    )
    done = store.fill(wanted_of(groups))
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
