"""`sluice init`: look at a lake and write a recipe for it that runs as it stands."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import yaml

from assets.ingestion.discover import discover
from assets.ingestion.model import Discovery, Source, SourceError
from orchestration.commands.watch import Watch
from orchestration.draft.guess import MIXED, guess_lake
from orchestration.draft.look import look, not_numbers
from orchestration.draft.model import Guess, TableFacts
from orchestration.draft.rules import draft_rules
from orchestration.draft.write import Draft, write
from orchestration.draft.yaml_text import shown
from resources.errors import RecipeError
from resources.recipe_file import load_recipe, parse_recipe
from resources.rules import matching_rule


def init(lake: Path, *, out: Path | None, force: bool, as_json: bool) -> None:
    """Write a recipe for a lake and tell what was guessed.

    Raises
    ------
    RecipeError
        If there is no such lake, no table in it that could be training data, or a recipe in the place already.
    """
    lake = lake.resolve()
    target = _target(lake, out)
    if target.exists() and not force:
        message = f"{target}: exists; --force replaces it, --out FILE writes elsewhere"
        raise RecipeError(message)
    found = _found(lake)
    watch = Watch(quiet=as_json)
    facts = look(found.sources, lambda done, of: watch("init", "looking at tables", done, of))
    facts = [_own(lake, one) for one in facts]
    sources = {source.table: source for source in found.sources}
    guesses = _guesses(facts, sources)
    rules = draft_rules({table: guess.body for table, guess in guesses.items()})
    if not any(rule.body.role == "train" for rule in rules):
        raise _nothing_to_read(lake, guesses)
    draft = Draft(
        _relative(lake, target.parent),
        _relative(_output(lake, target, force=force), target.parent),
        rules,
        guesses,
        {one.table: one for one in facts},
        [(u.table, u.reason) for u in found.unreadable],
    )
    text = write(draft, target.name)
    _assert_as_meant(text, target, guesses)
    _save(target, text)
    if as_json:
        click.echo(json.dumps(_told(draft, target)))
    else:
        _tell(draft, target)


def _target(lake: Path, out: Path | None) -> Path:
    """Return where the recipe goes: as asked, else here, else beside a lake that this folder lies in."""
    if out is not None:
        return out.resolve()
    here = Path.cwd().resolve()
    return (lake.parent if here.is_relative_to(lake) else here) / "recipe.yaml"


def _found(lake: Path) -> Discovery:
    try:
        found = discover(lake)
    except SourceError as error:
        message = f"lake: {error}"
        raise RecipeError(message) from error
    if found.sources:
        return found
    message = f"{lake} holds no table: Parquet, Delta, CSV, TSV, JSON, JSONL or plain text, also .gz and .zst"
    if found.unreadable:
        first = "; ".join(f"{u.table}: {u.reason}" for u in found.unreadable[:3])
        message += f". {len(found.unreadable)} files can't be read as tables ({first})"
    raise RecipeError(message + ". Check the path, or put tables there.")


def _own(lake: Path, facts: TableFacts) -> TableFacts:
    """Mark tables that a run of Sluice wrote: an output that lies within the lake is no source."""
    parents = Path(facts.table).parents
    if any((lake / parent / "_sluice").is_dir() for parent in parents):
        return TableFacts(facts.table, facts.format, facts.bytes, fault="a run of Sluice wrote it")
    return facts


def _guesses(facts: Sequence[TableFacts], sources: Mapping[str, Source]) -> dict[str, Guess]:
    def others(table: str, settings: Mapping[str, str], columns: Sequence[str]) -> set[str]:
        return not_numbers(sources[table], dict(settings), columns)

    return guess_lake(facts, others)


def _nothing_to_read(lake: Path, guesses: Mapping[str, Guess]) -> RecipeError:
    first = "; ".join(f"{table}: {guess.why[0]}" for table, guess in list(guesses.items())[:3])
    message = (
        f"{lake}: none of the {len(guesses):,} tables looks like training data ({first}). If one is, write a "
        "recipe that names its column: lake, output, and a rule with tables and text (see examples/minimal.yaml)"
    )
    return RecipeError(message)


def _output(lake: Path, target: Path, *, force: bool) -> Path:
    """Return where runs will write: as the recipe that is replaced said, else a new folder outside of the lake."""
    if force and target.exists():
        try:
            return Path(load_recipe(target).output)
        except RecipeError:
            pass  # it was no recipe, so it says nothing
    parent = lake.parent if target.parent.is_relative_to(lake) else target.parent
    number = 1
    while True:
        place = parent / ("curated" if number == 1 else f"curated-{number}")
        if not place.exists():
            return place
        number += 1


def _relative(place: Path, folder: Path) -> str:
    """Return a path from the recipe's folder where that is short, else the whole."""
    relative = os.path.relpath(place, folder)
    return relative if relative.count("..") <= 2 else str(place)


def _assert_as_meant(text: str, target: Path, guesses: Mapping[str, Guess]) -> None:
    recipe = parse_recipe(yaml.safe_load(text), base=target.parent, origin=str(target))
    for table, guess in guesses.items():
        index = matching_rule(recipe.records, table)
        role = "ignore" if index is None else recipe.records[index].role
        if role != guess.body.role:
            message = f"the rules give {table} the role {role} instead of {guess.body.role}"
            raise AssertionError(message)


def _save(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(target)


def _told(draft: Draft, target: Path) -> dict[str, Any]:
    return {
        "recipe": str(target),
        "lake": draft.lake,
        "output": draft.output,
        "rules": [
            {"patterns": rule.patterns, "tables": rule.tables, **asdict(rule.body)}
            for rule in draft.rules
        ],
        "tables": [
            {
                "table": table,
                "role": guess.body.role,
                "why": guess.why,
                "suggestions": [f"{line}  # {why}" for line, why in guess.suggestions],
            }
            for table, guess in draft.guesses.items()
        ],
        "unreadable": [{"table": name, "reason": reason} for name, reason in draft.unreadable],
    }


def _tell(draft: Draft, target: Path) -> None:
    taken = 0
    for rule in draft.rules:
        body = rule.body
        learned = f"uri: {body.uri}" if body.uri else ", ".join(body.text or body.features[:4])
        more = f", ... ({len(body.features)})" if len(body.features) > 4 else ""
        patterns = ", ".join(rule.patterns[:3]) + (", ..." if len(rule.patterns) > 3 else "")
        click.echo(
            shown(f"{body.role:<10} {len(rule.tables):>5} tables  {patterns}  [{learned}{more}]")
        )
        taken += len(rule.tables)
    rest = len(draft.guesses) - taken
    click.echo(f"{rest} tables under no rule, {len(draft.unreadable)} that can't be read")
    for table, guess in draft.guesses.items():
        for why in guess.why:
            if why.startswith(MIXED):
                click.echo(shown(f"{table}: {why}"))
    place = _relative(target, Path.cwd())
    click.echo(f"Wrote {place}. Each guess is explained there; look at them, then:")
    click.echo(f"  sluice run {place} --dry-run\n  sluice run {place}")
