"""The YAML text: it says what was meant, whatever the names, and its comments are complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestration.draft.columns import column_facts
from orchestration.draft.model import IGNORED, Body, Guess, TableFacts
from orchestration.draft.rules import draft_rules
from orchestration.draft.write import Draft, write
from orchestration.draft.yaml_text import quoted, shown
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe
from resources.rules import matching_rule

AWKWARD = [
    'it\'s "q" [1]/a*b?.csv',
    "ünï ሀለ/- x: y#.csv",
    "new\nline\x85.csv",
    "trail./d..csv",
    "no",
    "\udcff/a",
]


def draft(guesses: dict[str, Guess], **changes: Any) -> Draft:
    bodies = {table: guess.body for table, guess in guesses.items()}
    facts = {t: TableFacts(t, "csv", 10, (column_facts("a", "text", ["x"]),), 1) for t in guesses}
    plain = {"lake": "lake", "output": "out", "rules": draft_rules(bodies)}
    return Draft(**{**plain, "guesses": guesses, "facts": facts, **changes})


def recipe_of(text: str) -> Recipe:
    return parse_recipe(yaml.safe_load(text), base=Path("/data"))


@given(st.text())
def test_any_text_comes_back_from_its_quoted_form(text: str) -> None:
    assert yaml.safe_load(f"k: {quoted(text)}")["k"] == text


@given(st.text())
def test_any_text_can_stand_in_a_comment(text: str) -> None:
    assert yaml.safe_load(f"k: 1  # {shown(text)}\n") == {"k": 1}


@pytest.mark.parametrize("word", ["no", "y", "On", "null", "1", "1e3", "~", "", " a", "a: b", "#a"])
def test_what_yaml_would_read_as_something_else_stays_a_text(word: str) -> None:
    assert yaml.safe_load(f"k: {quoted(word)}")["k"] == word


def test_awkward_names_are_matched_by_the_rules_as_written() -> None:
    bodies = [
        Body("train", text=(f"t {name}", "b")) if place % 2 else Body("train", uri=name)
        for place, name in enumerate(AWKWARD)
    ]
    guesses = {
        table: Guess(body, ("because",)) for table, body in zip(AWKWARD, bodies, strict=True)
    }
    recipe = recipe_of(write(draft(guesses), "recipe.yaml"))
    for table, body in zip(AWKWARD, bodies, strict=True):
        index = matching_rule(recipe.records, table)
        assert index is not None
        assert (recipe.records[index].text, recipe.records[index].uri) == (body.text, body.uri)


def test_every_part_of_a_body_is_said() -> None:
    body = Body(
        "evaluation",
        features=tuple(f"feature number {i}" for i in range(60)),
        label="y",
        groups=(("language", "path", "^m/(?P<v>\\w+)/"), ("kind", "column", "k:")),
        read=(("delimiter", "\t"), ("quote", "")),
    )
    text = write(
        draft(
            {"m/a.csv": Guess(body, ("because",)), "t.csv": Guess(Body("train", text=("text",)))}
        ),
        "r.yaml",
    )
    assert max(map(len, text.splitlines())) <= 120
    recipe = recipe_of(text)
    index = matching_rule(recipe.records, "m/a.csv")
    assert index is not None
    rule = recipe.records[index]
    assert (rule.role, rule.features, rule.label) == ("evaluation", body.features, "y")
    assert (rule.groups["language"].path, rule.groups["kind"].column) == ("^m/(?P<v>\\w+)/", "k:")
    assert (rule.read.delimiter, rule.read.quote) == ("\t", "")


def test_reasons_suggestions_and_what_is_left_out_stand_in_comments() -> None:
    guesses = {
        "w/a.csv": Guess(
            Body("train", text=("text",)),
            ("text: `text`, by its name (9 words)",),
            (("id: id", "unique"),),
        ),
        "w/b.csv": Guess(Body("train", text=("text",)), ("text: `text`, by its name (4 words)",)),
        "v/c.csv": Guess(IGNORED, ("no column reads like text",)),
    }
    text = write(draft(guesses, unreadable=[("x.bin", "unknown format .bin")]), "recipe.yaml")
    assert text.count("text: `text`, by its name") == 1
    assert "# id: id" not in text  # w/b.csv may not have it
    assert "no column reads like text: v/c.csv" in text
    assert "x.bin: unknown format .bin" in text
    only = write(draft({"w/a.csv": guesses["w/a.csv"]}), "recipe.yaml")
    assert "    # id: id    # unique" in only


def test_policy_is_left_to_people_and_each_commented_block_is_a_key_of_the_recipe() -> None:
    text = write(
        draft(
            {"w/a.csv": Guess(Body("train", text=("text",), groups=(("language", "column", "l"),)))}
        ),
        "r",
    )
    recipe = recipe_of(text)
    assert recipe.allocation is None
    assert not recipe.filtering.budgets
    tail = text[text.index("# filtering:") :]
    # the comments without their mark are the keys, filled in as they ask
    lines = [line[2:] for line in tail.splitlines() if line.startswith("# ") and ":" in line[:16]]
    filled = "\n".join(lines).replace("OBJECTIVE", "max_min").replace("LEVEL", "skill")
    filled = (
        filled.replace("WEIGHTS", "equal")
        .replace("WHO", "a@example.org")
        .replace("WHY", "a reason")
    )
    whole = recipe_of(text[: text.index("# What the training run")] + filled)
    assert whole.allocation is not None
    assert (whole.allocation.by, whole.allocation.objective) == ("language", "max_min")
    assert whole.budget == 100_000
