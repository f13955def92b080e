"""Rules: the first that matches a table is its own, whatever the tables are called and however they lie."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.draft.model import IGNORED, Body
from orchestration.draft.rules import draft_rules
from resources.recipe_records import RecordRule
from resources.rules import matching_rule

TEXT = Body("train", text=("text",))
BODY = Body("train", text=("body",))
JUDGE = Body("evaluation", text=("text",))
NUMBERS = Body("train", features=("a", "b"))


def patterns(bodies: Mapping[str, Body]) -> list[tuple[list[str], Body]]:
    return [(rule.patterns, rule.body) for rule in draft_rules(bodies)]


def given_by(bodies: Mapping[str, Body]) -> dict[str, Body]:
    """Return what the drafted rules say of each table, by the recipe's own matching."""
    rules = draft_rules(bodies)
    plain = [RecordRule(tables=tuple(rule.patterns), role="ignore") for rule in rules]
    found = {}
    for table in bodies:
        index = matching_rule(plain, table)
        found[table] = IGNORED if index is None else rules[index].body
        if index is not None:
            assert table in rules[index].tables
    return found


names = st.sampled_from(
    ["a.csv", "b.csv", "test.csv", "a[1].csv", "*", "x?.json", "é ä.csv", "[!a]"]
)
folders = st.lists(st.sampled_from(["w", "w[x]", "v*", "a"]), max_size=3)
tables = st.builds(lambda f, n: "/".join([*f, n]), folders, names)


@settings(max_examples=400)
@given(
    st.dictionaries(
        tables, st.sampled_from([TEXT, BODY, JUDGE, NUMBERS, IGNORED]), min_size=1, max_size=14
    )
)
def test_every_table_gets_its_own_body(bodies: dict[str, Body]) -> None:
    assert given_by(bodies) == bodies


def test_a_folder_of_one_kind_is_one_pattern_and_the_exceptions_come_first() -> None:
    bodies = {f"w/{name}.csv": TEXT for name in "abcdef"} | {"w/test.csv": JUDGE, "v/x.csv": BODY}
    assert patterns(bodies) == [
        (["v/*"], BODY),
        (["w/test.csv"], JUDGE),
        (["w/*"], TEXT),
    ]


def test_the_same_file_in_many_folders_is_said_once() -> None:
    bodies = {}
    for code in ("am", "ha", "sw"):
        bodies |= {f"m/{code}/train.tsv": TEXT, f"m/{code}/test.tsv": JUDGE}
    assert patterns(bodies) == [(["m/*/test.tsv"], JUDGE), (["m/*"], TEXT)]


def test_many_files_of_a_kind_are_named_by_what_they_share() -> None:
    bodies = {f"w/eval_{i}.csv": JUDGE for i in range(9)} | {
        f"w/doc_{i}.csv": TEXT for i in range(9)
    }
    assert patterns(bodies) == [(["w/eval_*"], JUDGE), (["w/*"], TEXT)]


def test_features_never_stand_for_a_folder_that_only_holds_folders() -> None:
    bodies = {"t/x/a.csv": NUMBERS, "t/x/b.csv": NUMBERS, "t/y/c.csv": IGNORED}
    assert patterns(bodies) == [(["t/x/*"], NUMBERS)]


def test_what_is_ignored_needs_no_rule_unless_a_pattern_would_take_it() -> None:
    bodies = {"w/a.csv": TEXT, "w/b.csv": TEXT, "w/c.csv": IGNORED, "v/d.csv": IGNORED}
    assert patterns(bodies) == [(["w/c.csv"], IGNORED), (["w/*"], TEXT)]


def test_rules_of_one_body_are_joined_only_where_no_table_changes_hands() -> None:
    bodies = {"a/x.csv": TEXT, "b/x.csv": JUDGE, "c/x.csv": TEXT}
    assert patterns(bodies) == [(["a/*", "c/*"], TEXT), (["b/*"], JUDGE)]
