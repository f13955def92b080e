"""Records that spans were cut out of: what is left, what goes then and why, and who was there first."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from assets.deduplication.cut_records import (
    LEFT_SCHEMA,
    cut_records,
    going_on,
    late_fates,
    what_is_left,
)
from assets.deduplication.stage_cuts import since_when
from assets.kernels.identity import content_ids

CUTS = {"record_id": pl.String, "start": pl.Int64, "end": pl.Int64}


def records(**texts: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "record_id": [*texts],
            "content_id": content_ids(
                "text", pl.Series([*texts.values()]).to_arrow().cast("string")
            ),
            "label": ["x"] * len(texts),
            "text": [*texts.values()],
            "tokens": [len(text.split()) for text in texts.values()],
        }
    )


def test_a_cut_record_is_what_is_left_and_others_are_as_they_were(tmp_path: Path) -> None:
    read = records(a="one two, three four", b="five", c="six seven")
    read.write_parquet(tmp_path / "records.parquet")
    cuts = pl.DataFrame([("a", 4, 14), ("a", 0, 7), ("c", 0, 9)], schema=CUTS, orient="row")
    cut = pl.concat(list(cut_records([tmp_path / "records.parquet"], read.columns, cuts)))
    told = {row["record_id"]: row for row in cut.to_dicts()}
    assert {i: (row["text"], row["tokens"]) for i, row in told.items()} == {
        "a": (" four", 1),
        "c": ("", 0),
    }
    assert told["a"]["content_id"] == records(z=" four")["content_id"][0]
    assert dict(what_is_left(cut).select("record_id", "nothing").iter_rows()) == {
        "a": False,
        "c": True,
    }
    scans = {"deduplication/records": read.lazy(), "deduplication/cut_records": cut.lazy()}
    now = dict(going_on(scans.__getitem__).select("record_id", "text").collect().iter_rows())
    assert now == {"a": " four", "b": "five", "c": ""}
    scans["deduplication/cut_records"] = cut.head(0).lazy()
    assert going_on(scans.__getitem__).collect().equals(read)


@pytest.mark.parametrize("left", ["", " \n", "., -", "👍"])
def test_without_a_word_nothing_is_left(left: str) -> None:
    assert what_is_left(records(a=left))["nothing"].to_list() == [True]


def late(left, standing, cuts=()):
    found = late_fates(
        pl.DataFrame(left, schema=LEFT_SCHEMA, orient="row"),
        pl.DataFrame(
            list(cuts),
            schema={"record_id": pl.String, "keeper": pl.String, "tokens": pl.Int64},
            orient="row",
        ),
        pl.DataFrame(
            standing,
            schema={
                "record_id": pl.String,
                "content_id": pl.String,
                "role": pl.String,
                "label": pl.String,
                "held": pl.Boolean,
            },
            orient="row",
        ),
    )
    return {row["record_id"]: (row["fate"], row["by"]) for row in found.to_dicts()}


def test_what_is_left_with_nothing_goes_for_the_keeper_of_its_longest_span() -> None:
    standing = [(i, i * 2, "train", None, False) for i in "abc"]
    cuts = [("a", "b", 9), ("a", "c", 12)]
    assert late([("a", "zz", True)], standing, cuts) == {"a": ("filtered", "c")}


def test_what_is_left_with_the_content_of_another_goes_for_it() -> None:
    standing = [
        ("a", "aa", "train", "x", False),
        ("b", "bb", "train", "x", False),
        ("c", "left", "train", "x", False),
        ("d", "dd", "train", "y", False),
        ("e", "ee", "train", "x", False),
    ]
    left = [("a", "left", False), ("b", "left", False), ("d", "left", False), ("e", "more", False)]
    # the whole record stays; another label is another record
    assert late(left, standing) == {"a": ("duplicate", "c"), "b": ("duplicate", "c")}
    # of two that were cut, the first by id stays
    assert late(left, [s for s in standing if s[0] != "c"]) == {"b": ("duplicate", "a")}
    # or the one that keeps a span for others
    cuts = [("e", "b", 7)]
    assert late(left, [s for s in standing if s[0] != "c"], cuts) == {"a": ("duplicate", "b")}


def test_what_is_left_with_the_content_of_a_protected_record_goes_even_if_it_keeps_a_span() -> None:
    standing = [
        ("a", "aa", "train", None, False),
        ("b", "bb", "train", None, False),
        ("h", "held", "train", None, True),
        ("t", "test", "evaluation", None, False),
        ("z", "zz", "train", None, False),
    ]
    left = [("a", "test", False), ("b", "held", False)]
    found = late(left, standing, [("z", "a", 3), ("z", "b", 3)])
    assert found == {"a": ("contaminated", "t"), "b": ("duplicate", "h")}


def test_what_came_to_be_kept_first_is_first() -> None:
    fates = pl.DataFrame(
        {"record_id": ["a", "b", "c", "d"], "fate": [None, None, "duplicate", None]},
        schema_overrides={"fate": pl.String},
    ).with_columns(since=pl.lit(None, pl.Int32))
    schema = {"record_id": pl.String, "fate": pl.String, "since": pl.Int32}
    none = pl.DataFrame(schema=schema)
    assert since_when(fates, none)["since"].to_list() == [0, 0, None, 0]
    rows = [("a", None, 3), ("c", None, 4), ("d", "held_out", None)]
    before = pl.DataFrame(rows, schema=schema, orient="row")
    # a record that was held out or dropped before is as new as one that was not there
    assert since_when(fates, before)["since"].to_list() == [3, 5, None, 5]
    old = before.with_columns(since=pl.lit(None, pl.Int32))
    assert since_when(fates, old)["since"].to_list() == [0, 1, None, 1]
