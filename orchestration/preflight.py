"""Hold the recipe's names against the lake before any work: tables, columns, labels, groups, scorers.

Reads listings, headers and footers; of JSON the first lines. A group that is named in floors,
costs or weights and whose values come from a column is looked up in that column only.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assets.containment.planning import stated_costs
from assets.ingestion.discover import discover
from assets.ingestion.listing import read_options
from assets.ingestion.model import POSITION_COLUMN, Discovery, Source, SourceError
from assets.ingestion.read import read
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.recipe_records import RecordRule
from resources.rules import group_value_from_path, matching_rule

HEADER_FORMATS = ("csv", "tsv", "parquet", "delta", "text")
MOST_PEEKED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Preview:
    """What a run would read.

    Attributes
    ----------
    found
        The lake's listing.
    rules
        Rule by table, for the tables that a rule matches.
    columns
        Columns by table, where they could be told without reading data.
    """

    found: Discovery
    rules: Mapping[str, int]
    columns: Mapping[str, Sequence[str]]


def check_recipe_against_lake(recipe: Recipe) -> Preview:
    """Raise `RecipeError` with every fault that can be told before work starts, or return what would be read."""
    try:
        found = discover(Path(recipe.lake))
    except SourceError as error:
        message = f"lake: {error}"
        raise RecipeError(message) from error
    _check_scorers(recipe)
    rules = {
        source.table: index
        for source in found.sources
        if (index := matching_rule(recipe.records, source.table)) is not None
    }
    faults = _unmatched(recipe, found, rules)
    faults += [
        f"containment.costs: {fault}"
        for fault in stated_costs(recipe).unmatched([source.table for source in found.sources])
    ]
    columns: dict[str, list[str]] = {}
    for source in found.sources:
        index = rules.get(source.table)
        if index is not None and recipe.records[index].role != "ignore":
            names = _columns(recipe, source)
            if names is not None:
                columns[source.table] = names
    faults += _missing_columns(recipe, rules, columns)
    if not faults:
        faults += _empty_groups(recipe, found, rules)
    if faults:
        raise RecipeError("\n".join(faults))
    return Preview(found, rules, columns)


def _check_scorers(recipe: Recipe) -> None:
    from assets.deduplication.normalise import parse_normalisation
    from assets.deduplication.shingles import parse_shingle
    from assets.deduplication.survivor_order import known_columns
    from assets.scoring.recipe_models import model_identities
    from assets.scoring.registry import NEEDS_MODEL, from_recipe

    try:
        scorers = from_recipe(recipe.scoring.scorers)
        parse_shingle(recipe.deduplication.shingle)
        parse_normalisation(recipe.deduplication.normalise)
        known_columns(recipe.deduplication.order, [*recipe.kept_columns, *recipe.group_names])
    except ValueError as error:
        raise RecipeError(str(error)) from error
    model_identities(recipe)
    for name in NEEDS_MODEL.keys() & scorers.keys():
        setting = NEEDS_MODEL[name]
        if getattr(recipe.scoring, setting.removeprefix("scoring.")) is None:
            message = f"scoring.scorers names {name!r}, which needs {setting}; state it, or take the scorer out"
            raise RecipeError(message)


def _unmatched(recipe: Recipe, found: Discovery, rules: Mapping[str, int]) -> list[str]:
    faults = []
    names = [source.table for source in found.sources]
    if not names:
        return [f"lake: {recipe.lake} holds no table that can be read; check the path"]
    used = set(rules.values()) | {matching_rule(recipe.records, r.table) for r in found.retired}
    for index, rule in enumerate(recipe.records):
        if index in used:
            continue
        covered = [n for n in names if matching_rule([rule], n) is not None]
        if covered:
            faults.append(
                f"records.{index}.tables: every table that {list(rule.tables)} matches ({covered[0]}, ...) "
                "is taken by an "
                "earlier rule; move this rule up or take it out"
            )
            continue
        folders = sorted({n.split("/", 1)[0] for n in names})
        near = difflib.get_close_matches(rule.tables[0], [*names, *folders], n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"the lake has {', '.join(folders[:8])}"
        faults.append(
            f"records.{index}.tables: {list(rule.tables)} matches no table of {recipe.lake}; {hint}"
        )
    return faults


def _columns(recipe: Recipe, source: Source) -> list[str] | None:
    """Return a table's columns, or None where only reading it would tell."""
    large = sum(file.bytes for file in source.files) > MOST_PEEKED_BYTES
    if source.format not in HEADER_FORMATS and large:
        return None
    try:
        stream = read(source, read_options(recipe, source.table), batch_rows=64)
    except (SourceError, ValueError, OSError):
        return None  # ingestion will set it aside and say why
    return [name for name in stream.schema.names if name != POSITION_COLUMN]


def _named(rule: RecordRule) -> list[tuple[str, str, bool]]:
    """Columns that a rule names: (setting, column, whether every table must have it)."""
    wanted: list[tuple[str, str, bool]] = [("text", name, False) for name in rule.text]
    wanted += [("features", name, True) for name in rule.features]
    wanted += [("keep", name, False) for name in rule.keep]
    for setting, name, everywhere in (
        ("uri", rule.uri, True),
        ("id", rule.id, True),
        ("label", rule.label, False),
    ):
        if name is not None:
            wanted.append((setting, name, everywhere))
    wanted += [
        (f"groups.{group}.column", source.column, False)
        for group, source in rule.groups.items()
        if source.column is not None
    ]
    return wanted


def _missing_columns(
    recipe: Recipe, rules: Mapping[str, int], columns: Mapping[str, Sequence[str]]
) -> list[str]:
    faults = []
    for index, rule in enumerate(recipe.records):
        if rule.role == "ignore":
            continue
        tables = [table for table, at in rules.items() if at == index and table in columns]
        for setting, name, everywhere in _named(rule):
            lacking = [table for table in tables if name not in columns[table]]
            if not lacking or (not everywhere and len(lacking) < len(tables)):
                continue
            known = sorted({c for table in lacking for c in columns[table]})
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[:12])}"
            faults.append(
                f"records.{index}.{setting}: table {lacking[0]} has no column {name!r}; {hint}"
            )
        if rule.text:
            bare = [t for t in tables if not set(rule.text) & set(columns[t])]
            if bare and not any(f.startswith(f"records.{index}.text") for f in faults):
                faults.append(
                    f"records.{index}.text: table {bare[0]} has none of {list(rule.text)}; "
                    "give it a rule of its own, or "
                    "one with role: ignore"
                )
    return faults


def _empty_groups(recipe: Recipe, found: Discovery, rules: Mapping[str, int]) -> list[str]:
    """Check that every group named in the allocation has rows."""
    policy = recipe.allocation
    if policy is None:
        return []
    weights = policy.weights if isinstance(policy.weights, dict) else {}
    named = {
        **dict.fromkeys(weights, "weights"),
        **dict.fromkeys(policy.costs, "costs"),
        **dict.fromkeys(policy.floors, "floors"),
    }
    missing = dict(named)
    seen: set[str] = set()
    for source in found.sources:
        index = rules.get(source.table)
        if index is None or recipe.records[index].role != "train" or not missing:
            continue
        group = recipe.records[index].groups.get(policy.by)
        if group is None:
            continue
        if group.column is None:
            value = group.value or group_value_from_path(group.path or "", source.table)
            seen |= {value} if value else set()
        else:
            seen |= _values(recipe, source, group.column, set(missing))
        missing = {g: setting for g, setting in missing.items() if g not in seen}
    return [
        f"allocation.{setting}: group {group!r} has no row: no training table has "
        f"{policy.by} = {group!r}; take it out or "
        f"correct it (seen: {', '.join(sorted(seen)[:12]) or 'none'})"
        for group, setting in sorted(missing.items())
    ]


def _values(recipe: Recipe, source: Source, column: str, wanted: set[str]) -> set[str]:
    found: set[str] = set()
    try:
        for batch in read(source, read_options(recipe, source.table)):
            if column in batch.schema.names:
                found |= {
                    str(v) for v in batch.column(column).unique().to_pylist() if v is not None
                }
            if wanted <= found:
                break
    except (SourceError, ValueError, OSError):
        return found
    return found
