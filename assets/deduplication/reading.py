"""Which tables a recipe reads into records, and which it need not read because another one holds their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from assets.deduplication.contained import contained_tables
from resources.errors import RecipeError
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
    tables of one rule that
    agree on which of the rule's columns they have, and on every group value that comes from the path.
    """
    alike = [
        _same_records(recipe.records[rules[child]], child, parent, columns)
        if rules.get(child) is not None and rules.get(child) == rules.get(parent)
        else False
        for child, parent in edges.select("child", "parent").iter_rows()
    ]
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


def retired_rows(
    recipe: Recipe, tables: pl.DataFrame, rules: Mapping[str, int], held: Mapping[str, str]
) -> list[tuple[str, str | None, int]]:
    """Account for the retired tables that the recipe would read, by the tables that hold their rows.

    Parameters
    ----------
    recipe
        Whose rules they are.
    tables
        `ingestion/tables`.
    rules, held
        Of the tables that are there, as `read_by_rule` and `held_by_others` return them.

    Returns
    -------
    list of (str, str, int)
        table, parent that is read, rows.

    Raises
    ------
    RecipeError
        If a parent is not read by the same rule: the rows would be lost to this recipe.
    """
    found: list[tuple[str, str | None, int]] = []
    gone = {
        row["table"]: row
        for row in tables.filter(pl.col("status") == "retired").iter_rows(named=True)
    }
    for table, rule in read_by_rule(recipe, list(gone)).items():
        for parent in gone[table]["parents"]:
            if rules.get(parent) != rule:
                message = (
                    f"records.{rule}: {table} is retired, and {parent}, which holds its rows, is not read by the same "
                    f"rule; run `sluice restore {table}`, or give both one rule"
                )
                raise RecipeError(message)
        first = gone[table]["parents"][0]
        found.append((table, held.get(first, first), gone[table]["rows"]))
    return found


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
