"""Which rule a table falls under, and which group its path says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.recipe_records import RecordRule
from resources.rules import group_value_from_path, matching_rule


def rules(*patterns: str | tuple[str, ...]) -> list[RecordRule]:
    return [RecordRule(tables=pattern, text="text") for pattern in patterns]


@pytest.mark.parametrize(
    ("patterns", "table", "index"),
    [
        (("docs/*", "*"), "docs/a.jsonl", 0),
        (("docs/*", "*"), "docs/deep/a.jsonl", 0),
        (("docs/*", "*"), "other/docs/a.jsonl", 1),
        (("*", "docs/*"), "docs/a.jsonl", 0),
        (("docs/*",), "docs", None),
        (("docs/*",), "Docs/a", None),
        ((("x.csv", "y.csv"),), "y.csv", 0),
        (("a[12].csv",), "a2.csv", 0),
        (("a[12].csv",), "a3.csv", None),
        (("?.csv",), "ü.csv", 0),
        ((), "a", None),
    ],
)
def test_the_first_rule_that_matches_the_whole_path_wins(
    patterns: tuple[str, ...], table: str, index: int | None
) -> None:
    assert matching_rule(rules(*patterns), table) == index


@given(st.lists(st.sampled_from(["a/*", "*b", "a/b", "c*", "*"]), max_size=4))
def test_a_later_rule_never_changes_what_an_earlier_one_takes(patterns: list[str]) -> None:
    found = matching_rule(rules(*patterns), "a/b")
    for more in ("*", "a/b"):
        again = matching_rule(rules(*patterns, more), "a/b")
        assert again == (found if found is not None else len(patterns))


@pytest.mark.parametrize(
    ("pattern", "table", "value"),
    [
        (r"afrisenti/(?P<v>\w+)/", "x/afrisenti/amh/train.tsv", "amh"),
        (r"^(?P<v>[a-z]{2})/", "en/fr/x", "en"),
        (r"(?P<v>\d+)", "none", None),
        (r"a(?P<v>x*)b", "ab", ""),
    ],
)
def test_a_group_is_read_from_the_path(pattern: str, table: str, value: str | None) -> None:
    assert group_value_from_path(pattern, table) == value
