"""Tables whose rows need not be read again, because a table that is read holds them all."""

from __future__ import annotations

import polars as pl

CONTAINED_SCHEMA = {"table": pl.String, "by": pl.String}


def contained_tables(edges: pl.DataFrame, tables: pl.DataFrame) -> pl.DataFrame:
    """Choose the tables that are not read again, and name the table that is read instead.

    Parameters
    ----------
    edges
        child, parent, containment (Float64), exact (Boolean) and, if present,
        multiset_containment, child_version, parent_version. An edge counts if `exact` is true and
        the containment is 1: every row of the child is a row of the parent.
    tables
        table, rule: the tables that the recipe reads and the record rule that matches each. Where
        it also has `version`, an edge counts only if it was computed on these versions. An edge
        between tables of different rules never counts: the rows would become other records.

    Returns
    -------
    DataFrame
        table, by: each table left out and a table that *is* read and holds all its rows; sorted.

    Notes
    -----
    Containment is transitive, so it is enough to read the tables that nothing else holds: of each
    group of mutually contained (equal) tables without a holder outside, the one with the smallest
    name is read; all else resolves, through chains, to the smallest such name that it reaches.
    Where the multiset containment is below 1 the parent may hold fewer copies of a row: as content
    nothing is lost, and the ledger counts the child's own rows. Cost: tables times edges at most.
    """
    rule = dict(zip(tables["table"], tables["rule"], strict=True))
    versions = (
        dict(zip(tables["table"], tables["version"], strict=True))
        if "version" in tables.columns
        else {}
    )
    parents: dict[str, set[str]] = {name: set() for name in rule}
    for edge in edges.iter_rows(named=True):
        child, parent = edge["child"], edge["parent"]
        if child == parent or child not in rule or parent not in rule:
            continue
        if rule[child] != rule[parent] or edge["exact"] is not True or edge["containment"] != 1.0:
            continue
        stale = any(
            versions
            and f"{side}_version" in edge
            and edge[f"{side}_version"] != versions[edge[side]]
            for side in ("child", "parent")
        )
        if not stale:
            parents[child].add(parent)

    above = {name: _reached(name, parents) for name in rule}
    read = {
        name
        for name, holders in above.items()
        # nothing holds it but tables equal to it, and none of those has a smaller name
        if all(name in above[holder] and name < holder for holder in holders)
    }
    left_out = sorted(name for name in rule if name not in read)
    by = [min(above[name] & read) for name in left_out]
    return pl.DataFrame({"table": left_out, "by": by}, schema=CONTAINED_SCHEMA)


def _reached(name: str, parents: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        for parent in parents[waiting.pop()]:
            if parent not in reached:
                reached.add(parent)
                waiting.append(parent)
    return reached - {name}
