"""Staged tables: invisible until committed, atomic, and with statistics that never hide a row."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources import delta
from resources.errors import StoreError


def stage(uri: Path, frame: pl.DataFrame) -> delta.StagedTable:
    staged = delta.StagedTable(uri, delta.frame_schema(frame))
    staged.write(frame)
    staged.close()
    return staged


def test_nothing_shows_before_the_commit_and_each_version_stays(tmp_path: Path) -> None:
    first, second = pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [3.5], "b": ["new column"]})
    staged = stage(tmp_path, first)
    assert delta.open_table(tmp_path) is None
    assert staged.scan().collect().equals(first)
    assert staged.commit({"run": "one"}) == 0
    assert stage(tmp_path, second).commit({"run": "two"}) == 1
    assert delta.scan(tmp_path, 0).collect().equals(first)
    assert delta.scan(tmp_path, 1).collect().equals(second)
    assert [(v, m["run"]) for v, m in delta.commits(tmp_path)] == [(1, "two"), (0, "one")]


def test_appends_add_and_empty_tables_are_tables(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1]})
    assert stage(tmp_path, frame.clear()).commit({}) == 0
    assert stage(tmp_path, frame).commit({}, mode="append") == 1
    assert stage(tmp_path, frame).commit({}, mode="append") == 2
    assert delta.scan(tmp_path, 2).collect().height == 2
    assert delta.scan(tmp_path, 0).collect().height == 0


def test_discarded_files_are_gone(tmp_path: Path) -> None:
    stage(tmp_path, pl.DataFrame({"a": [1]})).discard()
    assert not list(tmp_path.glob("*.parquet"))


def test_two_writers_from_one_snapshot_cannot_both_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"a": [1]})
    stage(tmp_path, frame.clear()).commit({})
    snapshot = delta.open_table(tmp_path)
    stage(tmp_path, frame).commit({"run": "quick"})
    monkeypatch.setattr(delta, "open_table", lambda uri, version=None: snapshot)
    slow = stage(tmp_path, frame)
    with pytest.raises(StoreError, match="another writer"):
        slow.commit({"run": "slow"})
    monkeypatch.undo()
    assert [m.get("run") for _, m in delta.commits(tmp_path)] == ["quick", None]
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_types_that_delta_lacks_are_stored_as_types_that_hold_them() -> None:
    schema = pa.schema(
        [
            ("u", pa.uint32()),
            ("d", pa.dictionary(pa.int8(), pa.string())),
            ("l", pa.large_list(pa.large_string())),
            ("t", pa.timestamp("ns")),
            ("n", pa.null()),
        ]
    )
    stored = [str(f.type) for f in delta.storable_schema(schema)]
    assert stored == [
        "int64",
        "string",
        "list<element: string>",
        "timestamp[us]",
        "string",
    ] or stored == [
        "int64",
        "string",
        "list<item: string>",
        "timestamp[us]",
        "string",
    ]


names = st.sampled_from(["a b", "x.y", "sum(%)", "ü", "c,d;{}="])
columns: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "int": (pl.Int64(), st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1)),
    "float": (pl.Float64(), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -2.0])),
    "text": (pl.String(), st.text("azé\U0001f600", max_size=4) | st.just("z" * 70)),
    "date": (pl.Date(), st.dates(dt.date(1600, 1, 1), dt.date(2400, 1, 1))),
    "bool": (pl.Boolean(), st.booleans()),
}


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_predicate_finds_what_a_full_scan_finds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(columns)))
    name = data.draw(names)
    dtype, values = columns[kind]
    uri = tmp_path_factory.mktemp("t")
    cells = st.lists(st.none() | values, max_size=5)
    for number in range(3):
        part = pl.DataFrame({name: pl.Series(data.draw(cells), dtype=dtype)})
        stage(uri, part).commit({}, mode="append" if number else "overwrite")
    table = delta.open_table(uri)
    assert table is not None
    lazy = delta.scan(uri, table.version())
    whole = lazy.collect()
    probe = pl.lit(data.draw(values), dtype=dtype)
    for predicate in (
        pl.col(name) == probe,
        pl.col(name) > probe,
        pl.col(name) <= probe,
        pl.col(name).is_null(),
        pl.col(name).is_not_null(),
    ):
        assert lazy.filter(predicate).collect().height == whole.filter(predicate).height
