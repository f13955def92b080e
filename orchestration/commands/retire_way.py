"""By which tables of the last release a table may be retired, and why not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from assets.containment.prove_rebuild import Way
from assets.deduplication.reading import held_by_others, read_by_rule
from assets.ingestion.access import RegisteredTable, registered_tables
from assets.ingestion.discover import discover
from assets.ingestion.listing import read_options
from assets.ingestion.model import Discovery, Source
from assets.ingestion.register import content_version
from assets.ingestion.source_changes import fingerprint
from assets.kernels.cell_hash import Equality
from resources import delta
from resources.errors import CheckError, RecipeError
from resources.outputs import known_outputs
from resources.recipe import Recipe
from resources.releases import last_release


@dataclass(frozen=True)
class Roots:
    """A recipe and the two roots it writes to."""

    recipe: Recipe
    output: Path
    state: Path

    @property
    def lake(self) -> Path:
        """The lake's folder."""
        return Path(self.recipe.lake)

    def place(self, table: str) -> Path:
        """Return where a table of the lake is."""
        place = (self.lake / table).resolve()
        if table == "." or not place.is_relative_to(self.lake.resolve()):
            message = f"{table!r} names no table in {self.lake}; give its path in the lake, as ingestion/tables does"
            raise RecipeError(message)
        return self.lake / table


def find_way(roots: Roots, table: str, asked: tuple[str, ...]) -> Way:
    """Find a way to rebuild a table that the last release has proven, on sources unchanged since.

    Of several the best: one parent before a union, parents that the plan keeps, landed ones, then the
    smallest.

    Raises
    ------
    RecipeError
        If there is none; the message says why.
    CheckError
        If a source has changed since the release.
    """
    release = last_release(roots.output)
    if release is None:
        message = f"{roots.output} has no release yet; `sluice run` finds what is contained in what"
        raise RecipeError(message)
    number = release["release"]

    def read(name: str) -> pl.DataFrame:
        return delta.scan(roots.state / name, int(release["versions"][name])).collect()

    known = registered_tables(read("ingestion/tables"), read("ingestion/columns"), roots.state)
    found = discover(roots.lake)
    _assert_retirable(found, table, known.keys() | {r.table for r in found.retired}, number)
    sources = {source.table: source for source in found.sources}
    ways = [*_edges(read("containment/edges"), table), *_unions(read("containment/unions"), table)]
    if asked:
        ways = [way for way in ways if sorted(way[1]) == sorted(asked)]
    usable = []
    reasons = []
    keep = set(read("containment/retention").filter(decision="keep")["table"])
    for equality, parents in ways:
        names = sorted(parents)
        why = _unusable(roots, table, names, sources.keys() & known.keys())
        why = why or _outdated(parents, {name: known[name].version for name in [table, *names]})
        if why is None:
            landed = [known[name].data_version is not None for name in names]
            size = sum(known[name].bytes for name in names)
            rank = (len(names), not set(names) <= keep, not all(landed), size, names)
            usable.append((rank, equality, parents))
        else:
            reasons.append(why)
    if not usable:
        raise RecipeError(_no_way(read("containment/edges"), table, asked, reasons))
    _, equality, parents = min(usable, key=lambda way: way[0])
    for name in [table, *parents]:
        _assert_unchanged(known[name], sources[name], number)
    chosen = [(known[n], sources[n], parents[n]["map"]) for n in sorted(parents)]
    return Way(known[table], sources[table], read_options(roots.recipe, table), chosen, equality)


def _assert_retirable(found: Discovery, table: str, known: set[str], release: int) -> None:
    for entry in found.retired:
        if entry.table == table:
            message = (
                f"{table} was {entry.reason}; `sluice retire {table} --delete` removes its bytes once the grace period "
                "is over"
            )
            raise RecipeError(message)
    for unreadable in found.unreadable:
        if unreadable.table == table:
            message = f"{table} can't be read as a table: {unreadable.reason}"
            raise RecipeError(message)
    if table not in known or table not in {source.table for source in found.sources}:
        message = (
            f"{table} is no readable table of release {release}; give its path in the lake as ingestion/tables "
            "names it, or run again"
        )
        raise RecipeError(message)


Parents = dict[str, dict[str, Any]]
"""By parent: `map` (parent column by child column) and `versions` (of child, if stated, and parent)."""


def _edges(edges: pl.DataFrame, table: str) -> list[tuple[Equality, Parents]]:
    whole = edges.filter(child=table, containment=1.0, exact=True)
    return [
        (
            row["equality"],
            {
                row["parent"]: {
                    "map": json.loads(row["column_map"]),
                    "versions": {table: row["child_version"], row["parent"]: row["parent_version"]},
                }
            },
        )
        for row in whole.iter_rows(named=True)
        if row["equality"] in ("typed", "value")
    ]


def _unions(unions: pl.DataFrame, table: str) -> list[tuple[Equality, Parents]]:
    found: list[tuple[Equality, Parents]] = []
    for row in unions.filter(child=table, containment=1.0).iter_rows(named=True):
        parents: Parents = {
            parent: {"map": None, "versions": {parent: version}}
            for parent, version in zip(row["parents"], row["versions"], strict=True)
        }
        found.append(("value", parents))
    return found


def _outdated(parents: Parents, versions: dict[str, str]) -> str | None:
    for own in parents.values():
        for name, version in own["versions"].items():
            if versions[name] != version:
                return f"{name} was compared at another version; run again"
    return None


def _unusable(roots: Roots, table: str, parents: list[str], there: set[str]) -> str | None:
    """Say why parents can't be used although they hold the table's rows."""
    for parent in parents:
        if parent not in there:
            return f"{parent} is retired, gone, or was not read"
    return _changes_records(roots, table, parents)


def _no_way(edges: pl.DataFrame, table: str, asked: tuple[str, ...], reasons: list[str]) -> str:
    if reasons:
        return f"{table} can't be retired: {'; '.join(dict.fromkeys(reasons))}"
    wanted = f"{' and '.join(asked)} (as --parent asks)" if asked else "any table"
    best = edges.filter(child=table).sort("containment", descending=True).head(1).to_dicts()
    told = "no edge of it was found"
    if best:
        row = best[0]
        told = (
            f"the best edge is {row['parent']} with {row['containment']:.6f} by {row['equality']}"
        )
        if row["witness"] is not None:
            told += f", which lacks row {row['witness']:,}"
    return f"{table} can't be retired: not all of its rows are known to be in {wanted}; {told}"


def _assert_unchanged(known: RegisteredTable, source: Source, release: int) -> None:
    if fingerprint(source) != known.fingerprint or content_version(source) != known.version:
        message = (
            f"{source.table} has changed since release {release} read it; run again, then retire"
        )
        raise CheckError(message)


def _changes_records(roots: Roots, table: str, parents: list[str]) -> str | None:
    """Say which recipe reads the table in a way in which its parents don't stand for it."""
    recipes = [roots.recipe]
    for known in known_outputs(roots.state):
        for place in known.places:
            release = last_release(place)
            if release is not None:
                recipes.append(Recipe.model_validate_json(release["recipe"]))
    for recipe in recipes:
        for parent in parents:
            if not _stands_for(roots, recipe, table, parent):
                return (
                    f"the recipe of {recipe.output} reads {table} by a rule by which {parent} does not give the same "
                    "records, so its records would be lost; give both one rule, or ignore the table"
                )
    return None


def _stands_for(roots: Roots, recipe: Recipe, table: str, parent: str) -> bool:
    rules = read_by_rule(recipe, [table, parent])
    if table not in rules:
        return True
    release = last_release(roots.output)
    assert release is not None
    listed = delta.scan(
        roots.state / "ingestion/columns", int(release["versions"]["ingestion/columns"])
    ).filter(pl.col("table").is_in([table, parent]))
    columns: dict[str, list[str]] = {table: [], parent: []}
    for name, column in listed.select("table", "column").collect().iter_rows():
        columns[name].append(column)
    edge = pl.DataFrame(
        {"child": [table], "parent": [parent], "containment": [1.0], "exact": [True]}
    )
    held = held_by_others(recipe, rules, columns, edge, dict.fromkeys(rules, ""))
    return held.get(table) == parent
