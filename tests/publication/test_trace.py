"""A record's way, on tables of a few rows: each fork of it, and what it says when there is no such row."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from assets.publication.trace import TraceError, trace

A, B, C = (letter * 32 for letter in "abc")


def frame(columns: str, *rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=columns.split(), orient="row")


TABLES = {
    "ingestion/tables": frame(
        "table uri format version rows status error",
        ("t.csv", "/l/t.csv", "csv", "v1", 3, "ok", None),
        ("odd#name.csv", "/l/odd#name.csv", "csv", "v1", 1, "ok", None),
        ("copy.csv", "/l/copy.csv", "csv", "v2", 2, "ok", None),
        ("bad.parquet", "/l/bad.parquet", "parquet", "v3", None, "quarantined", "no Parquet"),
        ("other.csv", "/l/other.csv", "csv", "v4", 5, "ok", None),
    ),
    "ingestion/quarantine": frame(
        "table position reason", ("t.csv", 2, "too many cells"), ("bad.parquet", None, "no Parquet")
    ),
    "containment/edges": frame("child parent containment", ("copy.csv", "t.csv", 1.0)),
    "deduplication/records": frame(
        "record_id content_id table position role text label",
        (A, "ca", "t.csv", 0, "train", "one", None),
        (B, "cb", "t.csv", 1, "train", "won", None),
        (C, "cc", "odd#name.csv", 0, "train", "two", None),
    ),
    "deduplication/duplicates": frame(
        "record_id cluster kind keeper similarity label_conflict",
        (A, "ca", "near", A, 1.0, False),
        (B, "ca", "near", A, 0.9, False),
    ),
    "scoring/scores": frame(
        "record_id quality since gone", (A, 0.5, 0, False), (A, 0.7, 1, False), (C, 0.2, 0, False)
    ),
    "filtering/pools": frame("record_id group pool", (A, "en", 0), (C, None, 1)),
    "allocation/plan": frame("group pool samples", ("en", 0, 2), (None, 1, 0)),
    "publication/ledger": frame(
        "record_id table fate stage reason by rows",
        (A, "t.csv", "published", "publication", "chosen", None, 1),
        (B, "t.csv", "duplicate", "deduplication", "near", A, 1),
        (C, "odd#name.csv", "filtered", "filtering", "pool 1", None, 1),
        (None, "copy.csv", "contained", "deduplication", "held", "t.csv", 2),
        (None, "t.csv", "quarantined", "ingestion", "too many cells", None, 1),
        (None, "bad.parquet", "quarantined", "ingestion", "no Parquet", None, 0),
    ),
    "publication/training_set": frame("record_id passes weight source_version", (A, 2, 1.0, "v1")),
}


def way(target: str, **contents: str) -> dict[str, Any]:
    def content_of(table: str, position: int) -> str | None:
        return contents.get(f"{table.split('.')[0]}_{position}")

    return trace(lambda name: TABLES[name].lazy(), target, content_of)


def test_a_published_record_tells_its_whole_way() -> None:
    found = way(A)
    assert list(found) == [
        "asked",
        "source",
        "record",
        "duplicates",
        "scores",
        "pool",
        "allocation",
        "fate",
        "published",
    ]
    assert found["published"] == {"passes": 2, "weight": 1.0, "source_version": "v1"}
    assert found["allocation"]["samples"] == 2
    assert "label" not in found["record"]  # what is null is not told
    assert way("t.csv#0") == {**found, "asked": "t.csv#0"}


def test_a_dropped_record_tells_as_far_as_it_came() -> None:
    found = way(B)
    assert found["fate"] == {
        "fate": "duplicate",
        "stage": "deduplication",
        "reason": "near",
        "by": A,
    }
    assert found["duplicates"]["keeper"] == A
    assert not {"scores", "pool", "allocation", "published"} & found.keys()


def test_a_name_with_the_mark_in_it_is_still_found() -> None:
    assert way("odd#name.csv#0")["record"]["record_id"] == C


def test_a_row_of_a_contained_table_leads_to_the_one_that_holds_it() -> None:
    found = way("copy.csv#1", copy_1="cb")
    assert found["fate"]["fate"] == "contained"
    assert found["contained"]["containment"] == 1.0
    assert found["held_by"]["asked"] == "t.csv#1"
    assert found["held_by"]["fate"]["fate"] == "duplicate"
    # where the file has changed since, the row can't be read, and its fate still can
    assert "held_by" not in way("copy.csv#1")


def test_what_was_set_aside_says_why() -> None:
    assert way("t.csv#2")["quarantine"] == {"position": 2, "reason": "too many cells"}
    assert way("bad.parquet#0")["fate"]["reason"] == "no Parquet"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("d" * 32, "no record"),
        ("t.csv", "no record"),
        ("t.csv#x", "no record"),
        ("#1", "no record"),
        ("u.csv#0", "no table 'u.csv'"),
        ("t.csv#3", "has 3 rows and no record at position 3"),
        ("copy.csv#2", "has 2 rows and no record at position 2"),
        ("other.csv#0", "read by no rule"),
    ],
)
def test_what_there_is_not_is_an_error_that_says_so(target: str, told: str) -> None:
    with pytest.raises(TraceError, match=told):
        way(target)


def test_a_record_without_a_group_finds_its_cell_of_the_plan() -> None:
    assert way(C)["allocation"] == {"group": None, "pool": 1, "samples": 0}
