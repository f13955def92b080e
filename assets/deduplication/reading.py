"""Which tables a recipe reads into records, and which it need not read because another one holds their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import polars as pl

from assets.deduplication.contained import contained_tables
from resources.recipe import Recipe, RecordRule
from resources.rules import group_value_from_path, matching_rule


def read_by_rule(recipe: Recipe, tables: Sequence[str]) -> dict[str, int]:
    """Return the rule of every table that becomes records, in order of table names."""
    found = {}
    for table in sorted(tables):
        index = matching_rule(recipe.records, table)
        if index is not None and recipe.records[index].role != "ignore":
            found[table] = index
    return found


def held_by_others(
    recipe: Recipe,
    rules: Mapping[str, int],
    columns: Mapping[str, Sequence[str]],
    edges: pl.DataFrame,
    versions: Mapping[str, str],
) -> dict[str, str]:
    """Return the tables that are not read again, each with the table that is read and holds all its rows.

    Parameters
    ----------
    recipe
        Whose rules they are.
    rules
        Rule by table.
    columns
        Columns by table.
    edges
        `containment/edges`.
    versions
        Pinned version by table.

    Notes
    -----
    A row must become the same record in both tables but for its id. So an edge counts only between
    tables of one rule, compared under the same column names, that
    agree on which of the rule's columns they have, and on every group value that comes from the path.
    """
    alike = [
        _same_records(recipe.records[rules[child]], child, parent, columns)
        if rules.get(child) is not None and rules.get(child) == rules.get(parent)
        else False
        for child, parent in edges.select("child", "parent").iter_rows()
    ]
    alike = [same and kept for same, kept in zip(alike, _keeps_names(edges), strict=True)]
    counted = edges.filter(pl.Series(alike, dtype=pl.Boolean)) if edges.height else edges
    tables = pl.DataFrame(
        {
            "table": list(rules),
            "rule": list(rules.values()),
            "version": [versions[t] for t in rules],
        },
        schema={"table": pl.String, "rule": pl.Int64, "version": pl.String},
    )
    found = contained_tables(counted, tables)
    return dict(zip(found["table"], found["by"], strict=True))


def _keeps_names(edges: pl.DataFrame) -> list[bool]:
    """Tell which edges compare every column with the one of the same name."""
    if "column_map" not in edges.columns:
        return [True] * edges.height
    maps = [json.loads(text) for text in edges["column_map"]]
    return [all(mine == theirs for mine, theirs in own.items()) for own in maps]


def _same_records(
    rule: RecordRule, child: str, parent: str, columns: Mapping[str, Sequence[str]]
) -> bool:
    used = {
        *rule.text,
        *rule.features,
        *rule.keep,
        *(c for c in (rule.uri, rule.label) if c is not None),
    }
    used |= {source.column for source in rule.groups.values() if source.column is not None}
    if used & set(columns[child]) != used & set(columns[parent]):
        return False
    return all(
        group_value_from_path(source.path, child) == group_value_from_path(source.path, parent)
        for source in rule.groups.values()
        if source.path is not None
    )
