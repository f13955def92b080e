"""Cover tables that no single table holds, family by family, on the hashes of a search."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from assets.containment.described import Described
from assets.containment.search import SearchResult
from assets.containment.unions import UNION_SCHEMA, union_covers


def find_unions(found: SearchResult, tables: Mapping[str, Described]) -> pl.DataFrame:
    """Find, for each table that no other holds wholly, two or three that hold it together.

    Parameters
    ----------
    found
        The result of `find_edges`.
    tables
        What was searched.

    Returns
    -------
    pl.DataFrame
        As `union_covers`, sorted by child. Children with one column are left out.

    Notes
    -----
    Every cover is exact. Cost: see `union_covers`, for each set of columns that is a child's own.
    """
    exact = found.edges.filter(pl.col("containment") == 1).select("child", "parent").rows()
    covers = [pl.DataFrame(schema=UNION_SCHEMA)]
    for columns, names in found.families.items():
        children = [n for n in names if tuple(sorted(tables[n].keys)) == columns]
        if len(names) > 2 and len(columns) > 1:
            hashes = {n: found.hashes(n, columns) for n in names}
            covers.append(union_covers(hashes, exact, children=children))
    return pl.concat(covers).sort("child")
