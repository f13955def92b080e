"""Which tables are read into records, and which need not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from assets.deduplication.reading import held_by_others, read_by_rule
from assets.deduplication.records import RecordMaker, RecordRuleError, record_schema
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe


def recipe(*rules: dict[str, Any]) -> Recipe:
    return parse_recipe({"lake": "l", "output": "o", "records": list(rules)}, base=Path("/"))


def edges(*pairs: tuple[str, str], containment: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame(
        [(c, p, containment, True, "1", "1") for c, p in pairs],
        schema={
            "child": pl.String,
            "parent": pl.String,
            "containment": pl.Float64,
            "exact": pl.Boolean,
            "child_version": pl.String,
            "parent_version": pl.String,
        },
        orient="row",
    )


def held(
    r: Recipe,
    columns: dict[str, list[str]],
    found: pl.DataFrame,
    versions: dict[str, str] | None = None,
) -> dict[str, str]:
    rules = read_by_rule(r, list(columns))
    return held_by_others(r, rules, columns, found, versions or dict.fromkeys(columns, "1"))


def test_the_first_rule_wins_and_ignored_tables_are_not_read() -> None:
    r = recipe(
        {"tables": "a/*", "role": "ignore"},
        {"tables": "*.csv", "text": "t"},
        {"tables": "*", "text": "t"},
    )
    assert read_by_rule(r, ["b/y.tsv", "a/x.csv", "b/x.csv"]) == {"b/x.csv": 1, "b/y.tsv": 2}


def test_a_table_whose_rows_another_holds_is_not_read_again() -> None:
    r = recipe({"tables": "*", "text": "t"})
    columns = {"a": ["t"], "b": ["t", "u"], "c": ["t"]}
    assert held(r, columns, edges(("a", "b"), ("c", "a"), ("c", "b"))) == {"a": "b", "c": "b"}


def test_of_equal_tables_exactly_one_is_read() -> None:
    r = recipe({"tables": "*", "text": "t"})
    columns = {n: ["t"] for n in "abc"}
    pairs = [(x, y) for x in "abc" for y in "abc" if x != y]
    assert held(r, columns, edges(*pairs)) == {"b": "a", "c": "a"}


def test_only_edges_under_which_rows_become_the_same_records_count() -> None:
    columns = {"a": ["t"], "b": ["t", "label"]}
    assert (
        held(recipe({"tables": "*", "text": "t", "label": "label"}), columns, edges(("a", "b")))
        == {}
    )
    two = recipe({"tables": "a", "text": "t"}, {"tables": "b", "text": "t"})
    assert held(two, columns, edges(("a", "b"))) == {}
    path = {"g": {"path": "(?P<v>.)$"}}
    assert (
        held(recipe({"tables": "*", "text": "t", "groups": path}), columns, edges(("a", "b"))) == {}
    )
    plain = recipe({"tables": "*", "text": "t"})
    assert held(plain, columns, edges(("a", "b"), containment=0.999)) == {}
    assert held(plain, columns, edges(("a", "b")), {"a": "2", "b": "1"}) == {}
    # rows compared under other names are not the records that the rule reads
    for names, expected in (('{"t": "label"}', {}), ('{"t": "t"}', {"a": "b"})):
        mapped = edges(("a", "b")).with_columns(column_map=pl.lit(names))
        assert held(plain, columns, mapped) == expected


def _made(
    rule: dict[str, Any],
    rows: pa.Table,
    groups: list[str] | None = None,
    kept: tuple[str, ...] = (),
) -> Any:
    r = recipe({"tables": "*", **rule}).records[0]
    names = [n for n in rows.schema.names if n != "sluice_position"]
    maker = RecordMaker("x/tab", r, 0, record_schema(groups or [], kept), names)
    return pl.DataFrame(maker.make(rows))


ROWS = pa.table(
    {
        "title": ["A", "", None],
        "body": ["b", "c", None],
        "n": [1, 2, 3],
        "x": [0.5, None, 2.0],
        "lang": ["en", None, "sw"],
        "sluice_position": pa.array([0, 2, 5], pa.int64()),
    }
)


def test_text_fields_are_joined_by_a_newline_and_empty_ones_take_no_line() -> None:
    made = _made({"text": ["title", "body"]}, ROWS)
    assert made["text"].to_list() == ["A\nb", "c", ""]
    assert made["position"].to_list() == [0, 2, 5]
    assert made["tokens"].to_list() == [2, 1, 0]


def test_features_labels_groups_and_kept_columns() -> None:
    rule = {
        "features": ["x", "n"],
        "label": "body",
        "groups": {
            "lang": {"column": "lang"},
            "src": {"path": "^(?P<v>.)/"},
            "all": {"value": "v"},
        },
        "keep": ["title"],
    }
    made = _made(rule, ROWS, ["all", "lang", "src"], ("title",))
    assert made["features"].to_list() == [[0.5, 1.0], [None, 2.0], [2.0, 3.0]]
    assert made["label"].to_list() == ["b", "c", None]
    assert made["lang"].to_list() == ["en", None, "sw"]
    assert made["src"].to_list() == ["x"] * 3
    assert made["all"].to_list() == ["v"] * 3
    assert made["title"].to_list() == ["A", "", None]
    assert made["text"].null_count() == 3


def test_label_and_group_do_not_change_what_is_learned() -> None:
    plain = _made({"text": "body"}, ROWS)
    told = _made(
        {"text": "body", "label": "n", "groups": {"lang": {"column": "lang"}}}, ROWS, ["lang"]
    )
    assert plain["content_id"].equals(told["content_id"])


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"text": "nope"}, "has no column 'nope'"),
        ({"features": ["title"]}, "is no number"),
        ({"text": "body", "id": "lang2"}, "has no column 'lang2'"),
    ],
)
def test_a_rule_that_does_not_fit_is_told_with_rule_table_and_column(
    rule: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecordRuleError, match=told) as caught:
        _made(rule, ROWS)
    assert "records.0" in str(caught.value)
    assert "x/tab" in str(caught.value)


def test_an_id_that_repeats_is_refused() -> None:
    rows = ROWS.set_column(2, "n", pa.array([1, 1, 2]))
    with pytest.raises(RecordRuleError, match="holds 1 more than once"):
        _made({"text": "body", "id": "n"}, rows)
