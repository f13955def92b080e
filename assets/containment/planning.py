"""What a run's retention plan knows beside the edges: the stated costs, and how the recipe reads each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import polars as pl

from assets.containment.cost_table import CostTable, parse_cost_table
from assets.containment.retention_costs import INPUTS, RetentionInputError
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.rules import matching_rule, reading

UNTOUCHED_ROLES = ("evaluation", "target")


def stated_costs(recipe: Recipe) -> CostTable:
    """Read the cost table that a recipe names; without one nothing is stated and all prices are examples.

    Raises
    ------
    RecipeError
        If the file can't be read or used; names file, line, column and remedy.
    """
    if recipe.containment.costs is None:
        return CostTable("", ())
    path = Path(recipe.containment.costs)
    try:
        return parse_cost_table(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        message = f"containment.costs: there is no file {path}; write one, or take the key out"
        raise RecipeError(message) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"containment.costs: {path} can't be read: {error}; give a CSV file in UTF-8"
        raise RecipeError(message) from error
    except RetentionInputError as error:
        lines = str(error).splitlines()
        raise RecipeError("\n".join(f"containment.costs: {line}" for line in lines)) from error


def planned_tables(
    recipe: Recipe,
    sizes: Mapping[str, int],
    columns: Mapping[str, Sequence[str]],
    costs: CostTable,
    needed: AbstractSet[str] = frozenset(),
) -> pl.DataFrame:
    """Put together what `plan_retention` is to know of each table.

    Parameters
    ----------
    recipe : Recipe
        Whose record rules read the tables.
    sizes : mapping of str to int
        Bytes by table.
    columns : mapping of str to sequence of str
        Columns by table.
    costs : CostTable
        What is stated.
    needed : set of str
        Tables that retired ones are rebuilt from.

    Returns
    -------
    pl.DataFrame
        A row for each table. Evaluation and target tables are pinned: what is measured on must
        stay as it is; so are tables that are needed. A table that becomes training records names
        how it is read, so that it is only rebuilt from one whose rows become the same records.
    """
    rows = []
    for table, size in sorted(sizes.items()):
        rule = matching_rule(recipe.records, table)
        role = "ignore" if rule is None else recipe.records[rule].role
        pinned = None
        if role in UNTOUCHED_ROLES:
            pinned = f"the recipe reads it as {role} data"
        elif table in needed:
            pinned = "a retired table is rebuilt from it"
        elif costs.pinned(table):
            pinned = f"pinned by {Path(costs.origin).name}"
        rows.append(
            {
                "table": table,
                "bytes": size,
                "pinned": pinned,
                "reader": reading(recipe.records, table, columns[table]),
                **costs.stated(table),
            }
        )
    schema = {
        "table": pl.String,
        "bytes": pl.Int64,
        "pinned": pl.String,
        "reader": pl.String,
        **dict.fromkeys(INPUTS, pl.Float64),
    }
    return pl.DataFrame(rows, schema=schema)


def at_versions(edges: pl.DataFrame, versions: Mapping[str, str]) -> pl.DataFrame:
    """Return the edges whose tables are still at the versions that were compared.

    Parameters
    ----------
    edges : pl.DataFrame
        child, parent, child_version, parent_version.
    versions : mapping of str to str
        Version by table.

    Returns
    -------
    pl.DataFrame
        Those of them that count.
    """
    now = pl.DataFrame(
        {"table": list(versions), "version": list(versions.values())},
        schema={"table": pl.String, "version": pl.String},
    )
    kept = edges
    for side in ("child", "parent"):
        known = now.rename({"table": side, "version": f"{side}_version"})
        kept = kept.join(known, on=[side, f"{side}_version"], how="semi", maintain_order="left")
    return kept


def unions_at_versions(unions: pl.DataFrame, versions: Mapping[str, str]) -> pl.DataFrame:
    """Return the unions (child, parents, versions) whose parents are still at their versions."""
    current = [
        all(versions.get(p) == v for p, v in zip(parents, own, strict=True))
        for parents, own in unions.select("parents", "versions").iter_rows()
    ]
    return unions.filter(pl.Series(current, dtype=pl.Boolean))


def prices_told(plan: pl.DataFrame, costs: CostTable) -> str:
    """Say where the prices of a plan come from, and which of them are examples for how many tables."""
    if not costs.rows:
        return "examples, nobody stated them: name a cost table (containment.costs)"
    counts = plan.select(pl.col("examples").explode().alias("input")).drop_nulls()
    if counts.is_empty():
        return f"all stated by {costs.origin}"
    by_input = counts.group_by("input").len().sort("input")
    listed = ", ".join(f"{name} ({count:,} tables)" for name, count in by_input.iter_rows())
    return f"stated by {costs.origin}; examples stand in for {listed}"
