"""Records against a slow oracle in plain Python: whatever the batches, the chunks and the order of the rows."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.deduplication.records import POSITION, RecordMaker, RecordRuleError, record_schema
from resources.recipe_file import parse_recipe
from resources.recipe_records import RecordRule

FIELDS = ("title", "body", "tail")
cell = st.one_of(st.none(), st.text(alphabet="aé \n\tß日.,_0", max_size=5))
rows_of_text = st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, cell)), max_size=12)
number = st.one_of(st.none(), st.integers(-(2**53), 2**53))


def rule(**keys: Any) -> RecordRule:
    raw = {"lake": "l", "output": "o", "records": [{"tables": "*", **keys}]}
    return parse_recipe(raw, base=Path("/")).records[0]


def arrow(rows: list[dict[str, Any]], types: dict[str, pa.DataType]) -> pa.Table:
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    return pa.table({**columns, POSITION: pa.array(range(len(rows)), pa.int64())})


def make(
    stated: RecordRule,
    batches: list[pa.Table],
    groups: tuple[str, ...] = (),
    kept: tuple[str, ...] = (),
    table: str = "a/t",
) -> pl.DataFrame:
    names = [n for n in batches[0].schema.names if n != POSITION]
    maker = RecordMaker(table, stated, 0, record_schema(groups, kept), names)
    return pl.DataFrame(pa.concat_tables([maker.make(batch) for batch in batches]))


TEXTS = dict.fromkeys(FIELDS, pa.string())


@given(rows_of_text)
@example([{"title": None, "body": None, "tail": None}])
@example([{"title": "a", "body": "", "tail": None}, {"title": None, "body": None, "tail": ""}])
@settings(max_examples=80)
def test_text_is_the_non_empty_fields_on_lines_of_their_own(rows: list[dict[str, Any]]) -> None:
    made = make(rule(text=list(FIELDS)), [arrow(rows, TEXTS)])
    expected = ["\n".join(row[f] for f in FIELDS if row[f]) for row in rows]
    assert made["text"].to_list() == expected
    assert made["tokens"].to_list() == [len(re.findall(r"\w+|[^\w\s]", t)) for t in expected]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("three plain words", 3),
        ("one, two!", 4),
        ("ሰላም ለዓለም።", 3),
        ("नमस्ते दुनिया", 2),
        ("cafe\u0301 naïve", 2),
        ("a\u00a0b\u2003c", 3),
        ("日本語", 1),
        ("\U0001f600\U0001f601", 2),
        (" \n\t ", 0),
    ],
)
def test_a_word_is_one_token_in_every_script(text: str, tokens: int) -> None:
    made = make(rule(text="title"), [arrow([{"title": text, "body": "", "tail": ""}], TEXTS)])
    assert made["tokens"].to_list() == [tokens]


@given(rows_of_text.filter(bool), st.data())
@settings(max_examples=50)
def test_neither_batches_nor_chunks_change_a_record(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    whole = arrow(rows, TEXTS)
    size = data.draw(st.integers(1, len(rows)))
    parts = [whole.slice(at, size) for at in range(0, len(rows), size)]
    stated = rule(text=["title", "body"], label="tail", keep=["tail"])
    expected = make(stated, [whole], kept=("tail",))
    assert make(stated, parts, kept=("tail",)).equals(expected)
    assert make(stated, [pa.concat_tables(parts)], kept=("tail",)).equals(expected)


@given(rows_of_text.filter(bool), st.integers(0, 1000))
@settings(max_examples=50)
def test_ids_follow_the_row_and_not_its_place(rows: list[dict[str, Any]], seed: int) -> None:
    shuffled = random.Random(seed).sample(rows, len(rows))
    stated = rule(text=list(FIELDS))
    left, right = (make(stated, [arrow(some, TEXTS)]) for some in (rows, shuffled))
    ids = left["record_id"]
    assert ids.n_unique() == len(rows)
    assert sorted(ids) == sorted(right["record_id"])
    by_id = {i: (c, t) for i, c, t in left.select("record_id", "content_id", "text").iter_rows()}
    assert by_id == {
        i: (c, t) for i, c, t in right.select("record_id", "content_id", "text").iter_rows()
    }


def test_ids_that_hold_the_position_would_be_told() -> None:
    """A mutant: the id of a row by its place. Reordering rows then changes which text an id means."""
    rows = [{"title": t, "body": None, "tail": None} for t in ("one", "two")]
    made = make(rule(text="title"), [arrow(rows, TEXTS)])
    again = make(rule(text="title"), [arrow(rows[::-1], TEXTS)])
    by_place = [dict(zip("01", frame["text"], strict=True)) for frame in (made, again)]
    by_id = [dict(frame.select("record_id", "text").iter_rows()) for frame in (made, again)]
    assert by_place[0] != by_place[1]
    assert by_id[0] == by_id[1]


def test_equal_rows_are_records_of_their_own_with_one_content() -> None:
    rows = [{"title": "same", "body": None, "tail": None}] * 3
    made = make(rule(text="title"), [arrow(rows[:2], TEXTS), arrow(rows[2:], TEXTS)])
    assert made["record_id"].n_unique() == 3
    assert made["content_id"].n_unique() == 1


def test_the_table_is_part_of_a_record_and_not_of_its_content() -> None:
    rows = [arrow([{"title": "same", "body": None, "tail": None}], TEXTS)]
    here, there = make(rule(text="title"), rows), make(rule(text="title"), rows, table="b/t")
    assert here["record_id"][0] != there["record_id"][0]
    assert here["content_id"][0] == there["content_id"][0]


def test_a_stated_id_survives_an_edit_of_the_row() -> None:
    types = {"nr": pa.int64(), "body": pa.string()}
    before = arrow([{"nr": 7, "body": "old"}, {"nr": 8, "body": "kept"}], types)
    after = arrow([{"nr": 8, "body": "kept"}, {"nr": 7, "body": "new"}], types)
    stated = rule(text="body", id="nr")
    old, new = (
        {t: i for i, t in make(stated, [rows]).select("record_id", "text").iter_rows()}
        for rows in (before, after)
    )
    assert old["kept"] == new["kept"]
    assert old["old"] == new["new"]


def test_a_stated_id_that_repeats_is_refused_in_any_batch() -> None:
    types = {"nr": pa.int64(), "body": pa.string()}
    parts = [arrow([{"nr": n, "body": "x"}], types) for n in (1, 2, 1)]
    with pytest.raises(RecordRuleError, match=r"records\.0\.id.*'nr' of a/t holds"):
        make(rule(text="body", id="nr"), parts)


def test_rows_without_their_stated_id_are_refused_once_they_are_several() -> None:
    types = {"nr": pa.int64(), "body": pa.string()}
    parts = [arrow([{"nr": n, "body": "x"}], types) for n in (None, 1, None)]
    assert make(rule(text="body", id="nr"), parts[:2])["record_id"].n_unique() == 2
    with pytest.raises(RecordRuleError, match=r"records\.0\.id.*'nr' of a/t is null in more than"):
        make(rule(text="body", id="nr"), parts)


@given(st.lists(st.fixed_dictionaries({"a": number, "b": number, "c": number}), max_size=9))
@settings(max_examples=50)
def test_features_stand_in_the_rules_order_and_keep_their_nulls(rows: list[dict[str, Any]]) -> None:
    kinds = {"a": pa.int64(), "b": pa.float64(), "c": pa.int64()}
    made = make(rule(features=["c", "a", "b"]), [arrow(rows, kinds)])
    assert made["features"].to_list() == [[row["c"], row["a"], row["b"]] for row in rows]
    assert made["text"].null_count() == len(rows)
    assert made["tokens"].to_list() == [3] * len(rows)


def test_features_from_other_integer_widths_and_flags_are_the_same_content() -> None:
    narrow = arrow([{"a": 1, "b": 0}], {"a": pa.int8(), "b": pa.int16()})
    wide = arrow([{"a": 1, "b": 0}], {"a": pa.float64(), "b": pa.int64()})
    flags = arrow([{"a": True, "b": False}], {"a": pa.bool_(), "b": pa.bool_()})
    contents = {
        make(rule(features=["a", "b"]), [rows])["content_id"][0] for rows in (narrow, wide, flags)
    }
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.string(), "one"),
        (pa.list_(pa.int64()), [1]),
        (pa.binary(), b"\xff"),
        (pa.struct([("x", pa.int64())]), {"x": 1}),
    ],
)
def test_a_feature_that_is_no_number_is_told_with_its_column(kind: pa.DataType, value: Any) -> None:
    with pytest.raises(RecordRuleError, match=r"records\.0\.features: column 'a' of a/t"):
        make(rule(features="a"), [arrow([{"a": value}], {"a": kind})])


def test_an_address_is_learned_from_where_the_rule_says_uri() -> None:
    rows = arrow(
        [{"at": "x/1.png", "y": 3}, {"at": None, "y": 4}], {"at": pa.string(), "y": pa.int8()}
    )
    made = make(rule(uri="at", label="y"), [rows])
    assert made["uri"].to_list() == ["x/1.png", None]
    assert made["label"].to_list() == ["3", "4"]
    assert made["text"].null_count() == made["features"].null_count() == 2


def test_text_of_numbers_dates_and_lists_is_their_written_form() -> None:
    rows = arrow(
        [{"n": 3, "l": ["a", "b"], "x": None}],
        {"n": pa.int64(), "l": pa.list_(pa.string()), "x": pa.float64()},
    )
    made = make(rule(text=["n", "l", "x"]), [rows])
    assert made["text"].to_list() == ["3\n['a', 'b']"]


def test_no_rows_make_no_records_of_the_right_types() -> None:
    made = make(rule(text="title"), [arrow([], TEXTS)], groups=("g",))
    assert made.height == 0
    assert made.schema["features"] == pl.List(pl.Float64)
    assert made.schema["position"] == pl.Int64


def test_a_group_that_a_table_lacks_is_null_and_one_from_the_path_needs_a_match() -> None:
    rows = arrow([{"title": "x", "body": None, "tail": None}], TEXTS)
    groups = {"lang": {"column": "nowhere"}, "part": {"path": "part=(?P<v>[a-z]+)/"}}
    made = make(rule(text="title", groups=groups), [rows], groups=("lang", "part"))
    assert made.select("lang", "part").row(0) == (None, None)
    found = make(
        rule(text="title", groups=groups), [rows], groups=("lang", "part"), table="x/part=am/t"
    )
    assert found["part"].to_list() == ["am"]
