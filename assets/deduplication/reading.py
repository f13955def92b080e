"""Which tables a recipe reads into records, and which it need not read because another one holds their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import polars as pl

from assets.deduplication.contained import contained_tables
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.rules import matching_rule, reading


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
    ways = {name: reading(recipe.records, name, columns[name]) for name in rules if name in columns}
    alike = [
        ways.get(child) is not None and ways.get(child) == ways.get(parent)
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
