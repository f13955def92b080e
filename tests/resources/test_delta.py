"""Staged tables: unseen until committed, gone when discarded, one winner of two, statistics that never lie."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources import delta, staged_table
from resources.delta_types import UnstorableValueError, frame_schema, storable_schema
from resources.errors import StoreError
from resources.staged_table import StagedTable, total_rows

FRAME = pl.DataFrame({"a": [1, 2], "s": ["x", None]})


def staged(uri: Path, *frames: pl.DataFrame) -> StagedTable:
    table = StagedTable(uri, frame_schema(frames[0]))
    for frame in frames:
        table.write(frame)
    table.close()
    return table


def files_of(uri: Path) -> set[Path]:
    return set(uri.rglob("*.parquet"))


def log_of(uri: Path) -> list[dict[str, Any]]:
    newest = max((uri / "_delta_log").glob("*.json"))
    # not splitlines(): a bound may hold another of the characters that Unicode ends lines with
    return [json.loads(line) for line in newest.read_text(encoding="utf-8").strip("\n").split("\n")]


def test_what_is_staged_is_unseen_until_it_is_committed(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    first = staged(uri, FRAME)
    assert delta.open_table(uri) is None
    assert first.scan().collect().equals(FRAME)
    assert first.rows == 2
    assert first.commit({"n": 0}) == 0
    second = staged(uri, FRAME.with_columns(a=pl.lit(7)))
    assert delta.open_table(uri).version() == 0  # type: ignore[union-attr]
    assert pl.read_delta(str(uri)).equals(FRAME)
    assert second.commit({"n": 1}) == 1
    assert delta.scan(uri, 1).collect()["a"].to_list() == [7, 7]
    assert delta.scan(uri, 0).collect().equals(FRAME), "a former version changed"


def test_a_discarded_table_leaves_no_file_and_no_trace(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    staged(uri, FRAME).commit({})
    before = files_of(uri)
    table = StagedTable(uri, frame_schema(FRAME))
    table.write(FRAME)
    table._flush()  # a file is open and half written
    table.discard()
    staged(uri, FRAME).discard()
    assert files_of(uri) == before
    assert delta.open_table(uri).version() == 0  # type: ignore[union-attr]


def test_files_of_a_killed_writer_are_never_read(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    staged(uri, FRAME).commit({})
    staged(uri, FRAME)  # and nobody comes back for it
    assert delta.scan(uri, 0).collect().height == 2
    assert staged(uri, FRAME).commit({}, mode="append") == 1
    assert delta.scan(uri, 1).collect().height == 4


def _refuse(*_: Any, **__: Any) -> None:
    message = "the store said no"
    raise OSError(message)


@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_commit_leaves_the_version_and_removes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    uri = tmp_path / "t"
    if existing:
        staged(uri, FRAME).commit({})
    before = files_of(uri)
    monkeypatch.setattr(staged_table.DeltaTable, "create_write_transaction", _refuse)
    monkeypatch.setattr(staged_table, "create_table_with_add_actions", _refuse)
    with pytest.raises(StoreError, match=r"t: the commit failed: the store said no"):
        staged(uri, FRAME).commit({})
    assert files_of(uri) == before
    table = delta.open_table(uri)
    assert (table.version() if table is not None else None) == (0 if existing else None)


@pytest.mark.parametrize("existing", [True, False])
def test_files_that_the_log_holds_are_kept_though_the_commit_reported_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    """The entry is written, then what follows it (a checkpoint, a lost answer) fails."""
    uri = tmp_path / "t"
    if existing:
        staged(uri, FRAME).commit({})
    changed = FRAME.with_columns(a=pl.lit(7))

    def then_fail(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> None:
            real(*arguments, **named)
            message = "checkpoint: disk full"
            raise DeltaError(message)

        return call

    for owner, name in (
        (staged_table.DeltaTable, "create_write_transaction"),
        (staged_table, "create_table_with_add_actions"),
    ):
        monkeypatch.setattr(owner, name, then_fail(getattr(owner, name)))
    version = staged(uri, changed).commit({"n": 1})
    assert version == (1 if existing else 0)
    assert delta.scan(uri, version).collect().equals(changed)


def test_discarding_after_the_commit_removes_nothing(tmp_path: Path) -> None:
    table = staged(tmp_path / "t", FRAME)
    version = table.commit({})
    table.discard()
    assert delta.scan(tmp_path / "t", version).collect().equals(FRAME)


def test_files_whose_fate_is_unknown_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = staged(tmp_path / "t", FRAME)

    def unreachable(*_: Any) -> None:
        message = "the store is gone"
        raise StoreError(message)

    monkeypatch.setattr(staged_table, "create_table_with_add_actions", _refuse)
    monkeypatch.setattr(table, "_commit", _refuse)
    monkeypatch.setattr(staged_table, "open_table", unreachable)
    with pytest.raises(StoreError, match="the store is gone"):
        table.commit({})
    table.discard()
    assert len(files_of(tmp_path)) == 1


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_of_two_writers_from_one_snapshot_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    uri = tmp_path / "t"
    staged(uri, FRAME).commit({})
    snapshot = delta.open_table(uri)
    one, two = staged(uri, FRAME), staged(uri, FRAME)
    assert one.commit({"by": "one"}, mode=mode) == 1
    before = files_of(uri)
    loser = set(two.files)
    monkeypatch.setattr(staged_table, "open_table", lambda _uri, version=None: snapshot)
    with pytest.raises(StoreError, match="another writer committed at the same time"):
        two.commit({"by": "two"}, mode=mode)
    monkeypatch.undo()
    assert files_of(uri) == before - loser
    assert [m.get("by") for _, m in delta.commits(uri)] == ["one", None]


def test_of_two_who_create_a_table_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = tmp_path / "t"
    one, two = staged(uri, FRAME), staged(uri, FRAME.with_columns(a=pl.lit(9)))
    one.commit({})
    monkeypatch.setattr(staged_table, "open_table", lambda _uri, version=None: None)
    with pytest.raises(StoreError):
        two.commit({})
    monkeypatch.undo()
    assert pl.read_delta(str(uri)).equals(FRAME)
    assert len(files_of(uri)) == 1


def test_commits_carry_their_provenance_newest_first(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    assert list(delta.commits(uri)) == []
    for n in range(3):
        staged(uri, FRAME).commit({"n": n, "reads": {"x": n}})
    DeltaTable(str(uri)).optimize.compact()  # somebody else's commit carries nothing of ours
    told = list(delta.commits(uri))
    assert [(version, m["n"], m["reads"]) for version, m in told] == [
        (2, 2, {"x": 2}),
        (1, 1, {"x": 1}),
        (0, 0, {"x": 0}),
    ]


def test_an_overwrite_may_change_the_columns(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    staged(uri, FRAME).commit({})
    other = pl.DataFrame({"s": [1.5], "b": [True]})
    assert staged(uri, other).commit({}) == 1
    assert delta.scan(uri, 1).collect().equals(other)
    assert delta.scan(uri, 0).collect().equals(FRAME)


def test_an_append_may_bring_columns_and_leave_some_out(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    staged(uri, FRAME).commit({"n": 0}, mode="append")
    more = pl.DataFrame({"s": ["z"], "new one": [[1.5]]})
    version = staged(uri, more).commit({"n": 1}, mode="append")
    rows = delta.scan(uri, version).collect().sort("s", nulls_last=True)
    assert rows.to_dict(as_series=False) == {
        "a": [1, None, 2],
        "s": ["x", "z", None],
        "new one": [None, [1.5], None],
    }
    assert delta.scan(uri, 0).collect().equals(FRAME)
    assert [(v, m["n"]) for v, m in delta.commits(uri)] == [(version, 1), (0, 0)]
    assert [v for v, _ in delta.commits(uri, 1)] == [version]
    staged(uri, FRAME).commit({"n": 2}, mode="append")
    assert delta.scan(uri, version + 1).collect().height == 5


def test_an_append_with_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    staged(uri, FRAME).commit({})
    before = files_of(uri)
    wrong = staged(uri, FRAME.with_columns(a=pl.lit("text"), new=pl.lit(1)))
    with pytest.raises(StoreError, match=r"column 'a' is int64 in the table.* as string"):
        wrong.commit({}, mode="append")
    wrong.discard()
    assert files_of(uri) == before
    assert delta.open_table(uri).version() == 0  # type: ignore[union-attr]


def test_an_append_that_must_follow_adds_no_column_where_it_does_not(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    staged(uri, FRAME).commit({})
    late = staged(uri, FRAME.with_columns(new=pl.lit(1)))
    late.follows = 0
    staged(uri, FRAME).commit({}, mode="append")
    with pytest.raises(StoreError, match="another writer committed"):
        late.commit({}, mode="append")
    assert delta.open_table(uri).version() == 1  # type: ignore[union-attr]


def test_a_version_is_whole_while_its_entry_and_its_files_are_there(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    for n in range(2):
        staged(uri, FRAME).commit({"n": n})
    empty = staged(uri, FRAME.head(0))
    assert empty.commit({}) == 2
    assert [delta.is_whole(uri, v) for v in range(4)] == [True, True, True, False]
    assert not delta.is_whole(tmp_path / "none", 0)
    first = delta.open_table(uri, 0)
    assert first is not None
    (uri / delta.file_names(first)[0]).unlink()
    assert [delta.is_whole(uri, v) for v in range(3)] == [False, True, True]


def test_no_commit_cleans_up_the_log_that_old_releases_are_read_by(tmp_path: Path) -> None:
    """Left to itself the library drops entries older than 30 days at every hundredth commit."""
    uri = tmp_path / "t"
    for n in range(10):
        staged(uri, FRAME.with_columns(a=pl.lit(n))).commit({"n": n})
    DeltaTable(str(uri)).create_checkpoint()
    long_ago = time.time() - 90 * 86_400
    for file in (uri / "_delta_log").iterdir():
        if file.suffix == ".json":
            entry = file.read_text(encoding="utf-8")
            told = re.sub(r'"timestamp":\d+', f'"timestamp":{int(long_ago * 1000)}', entry)
            file.write_text(told, encoding="utf-8")
        os.utime(file, (long_ago, long_ago))
    for n in range(10, 101):
        staged(uri, FRAME.with_columns(a=pl.lit(n))).commit({"n": n})
    assert (uri / "_delta_log" / f"{99:020d}.checkpoint.parquet").exists()
    assert delta.scan(uri, 4).collect()["a"].to_list() == [4, 4]
    assert [m["n"] for _, m in delta.commits(uri)] == list(range(100, -1, -1))
    kept = DeltaTable(str(uri)).metadata().configuration
    assert kept == {"delta.enableExpiredLogCleanup": "false"}, "other writers are asked to keep it"


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    empty = staged(uri, FRAME.head(0))
    assert empty.files == []
    assert empty.scan().collect().schema == FRAME.schema
    assert empty.commit({}) == 0
    assert delta.scan(uri, 0).collect().schema == FRAME.schema
    assert staged(uri, FRAME).commit({}, mode="append") == 1
    assert staged(uri, FRAME.head(0)).commit({}) == 2
    assert delta.scan(uri, 2).collect().height == 0
    assert delta.scan(uri, 1).collect().height == 2


@pytest.mark.parametrize(
    "name",
    ["a b", "a.b", "a,b;{}()=", "é", "a\nb", "", '"q"', "A`b", "a/b", "%20", "a:b", "a\tb", "_"],
)
def test_odd_column_names_go_through(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({name: [1, 2, None], "z": ["u", "v", "w"]})
    version = staged(tmp_path / "t", frame).commit({})
    scanned = delta.scan(tmp_path / "t", version)
    assert scanned.collect().equals(frame)
    assert scanned.filter(pl.col(name) > 1).collect()["z"].to_list() == ["v"]
    assert scanned.filter(pl.col(name).is_null()).collect()["z"].to_list() == ["w"]


def test_columns_are_matched_by_name_and_widened(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.uint8()), ("s", pa.dictionary(pa.int8(), pa.string()))])
    table = StagedTable(tmp_path / "t", schema)
    table.write(pl.DataFrame({"s": ["x"], "a": [255], "more": [None]}))
    table.write(pa.record_batch({"a": pa.array([0], pa.uint8()), "s": pa.array(["y"])}))
    table.close()
    rows = delta.scan(tmp_path / "t", table.commit({})).collect()
    assert rows.to_dict(as_series=False) == {"a": [255, 0], "s": ["x", "y"]}


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (pa.uint64(), 2**63 - 1, 2**63 - 1),
        (pa.float16(), 1.5, 1.5),
        (pa.null(), None, None),
        (pa.binary(2), b"ab", b"ab"),
        (pa.large_list(pa.uint8()), [1, None], [1, None]),
        (pa.struct([("a", pa.uint16())]), {"a": 65535}, {"a": 65535}),
        (pa.time64("us"), 5, 5),
        (pa.time32("s"), 5, 5),
        (pa.duration("ms"), 5, 5),
        (pa.decimal256(30, 2), decimal.Decimal("1.5"), decimal.Decimal("1.50")),
        (pa.decimal256(60, 2), decimal.Decimal("1.5"), "1.50"),
        (pa.date64(), dt.date(1970, 1, 2), dt.date(1970, 1, 2)),
        (pa.timestamp("s"), dt.datetime(1970, 1, 1), dt.datetime(1970, 1, 1)),
    ],
)
def test_types_that_delta_lacks_are_stored_as_ones_that_hold_them(
    tmp_path: Path, kind: pa.DataType, value: Any, read: Any
) -> None:
    table = StagedTable(tmp_path / "t", pa.schema([("c", kind)]))
    table.write(pa.table({"c": pa.array([value], kind)}))
    table.close()
    assert delta.scan(tmp_path / "t", table.commit({})).collect()["c"].to_list() == [read]


@pytest.mark.parametrize(("kind", "value"), [(pa.uint64(), 2**63), (pa.timestamp("ns"), 1001)])
def test_a_value_that_delta_cannot_hold_is_refused_by_column(
    tmp_path: Path, kind: pa.DataType, value: Any
) -> None:
    with pytest.raises(UnstorableValueError, match=r"column 'c' is .*cast it"):
        StagedTable(tmp_path / "t", pa.schema([("c", kind)])).write(
            pa.table({"c": pa.array([value], kind)})
        )
    assert files_of(tmp_path) == set()


def test_types_are_replaced_wherever_they_nest() -> None:
    schema = pa.schema(
        [
            ("u", pa.uint32()),
            ("d", pa.dictionary(pa.int8(), pa.large_string())),
            ("l", pa.large_list(pa.large_string())),
            ("t", pa.timestamp("ns", "UTC")),
            ("n", pa.null()),
        ]
    )
    assert [f.type for f in storable_schema(schema)] == [
        pa.int64(),
        pa.string(),
        pa.list_(pa.string()),
        pa.timestamp("us", "UTC"),
        pa.string(),
    ]


def test_many_files_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_table, "_GROUP_ROWS", 3)
    monkeypatch.setattr(staged_table, "_ROLL_BYTES", 1)
    frame = pl.DataFrame({"a": range(10), "s": [str(i) for i in range(10)]})
    table = staged(tmp_path / "t", *(frame[i : i + 2] for i in range(0, 10, 2)))
    assert len(table.files) > 1
    version = table.commit({})
    assert delta.scan(tmp_path / "t", version).sort("a").collect().equals(frame)


# -- statistics ------------------------------------------------------------------------------------

NUMBERS = st.floats(allow_subnormal=False) | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf])
VALUES: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "n": (pl.Int64(), st.integers(-4, 4) | st.integers(-(2**63), 2**63 - 1)),
    "i": (pl.Int32(), st.integers(-4, 4)),
    "x": (pl.Float64(), NUMBERS),
    "s": (pl.String(), st.text(max_size=3) | st.sampled_from(["a", "b", "é" * 40, "\U0010ffff"])),
    "b": (pl.Boolean(), st.booleans()),
    "d": (pl.Date(), st.dates(dt.date(1600, 1, 1), dt.date(2400, 1, 1))),
    "t": (pl.Datetime("us"), st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2040, 1, 1))),
}


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[pl.DataFrame]]:
    name = draw(st.sampled_from(sorted(VALUES)))
    kind, values = VALUES[name]
    parts = draw(
        st.lists(st.lists(values | st.none(), min_size=1, max_size=4), min_size=2, max_size=4)
    )
    return name, [pl.DataFrame({"c": part}, schema={"c": kind}) for part in parts]


def predicates(value: Any, kind: pl.DataType) -> list[pl.Expr]:
    column, literal = pl.col("c"), pl.lit(value, kind)
    return [
        column > literal,
        column >= literal,
        column < literal,
        column <= literal,
        column == literal,
        column != literal,
        ~(column <= literal),
        column.eq_missing(literal),
        column.is_null(),
        column.is_not_null(),
        column.is_in([value]),
    ]


def test_bounds_beyond_the_basic_plane_hide_no_row(tmp_path: Path) -> None:
    # escaped as a pair of surrogates, a bound comes back from the log as another character
    rows = pl.DataFrame({"c": ["\U00020000"]})
    version = staged(tmp_path, rows).commit({})
    found = delta.scan(tmp_path, version).filter(pl.col("c") > "\U00010000").collect()
    assert found.equals(rows)


@given(files(), st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filtered_scan_equals_a_filter_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[str, list[pl.DataFrame]], data: Any
) -> None:
    name, parts = made
    uri = tmp_path_factory.mktemp("t")
    schema = frame_schema(parts[0])
    tables = []
    for part in parts:  # a file each, so that whole files can be skipped
        tables.append(staged(uri, part))
    whole = StagedTable(uri, schema)
    whole.files = [file for table in tables for file in table.files]
    version = whole.commit({})
    rows = pl.concat(parts)
    value = data.draw(VALUES[name][1] | st.sampled_from(rows["c"].drop_nulls().to_list() or [None]))
    for predicate in predicates(value, rows.schema["c"]):
        skipping = delta.scan(uri, version).filter(predicate).collect()["c"].sort()
        assert skipping.equals(rows.filter(predicate)["c"].sort(), null_equal=True), str(predicate)


def bounds(uri: Path) -> list[dict[str, Any]]:
    return [json.loads(entry["add"]["stats"]) for entry in log_of(uri) if "add" in entry]


def sound(statistics: dict[str, Any], values: list[Any]) -> bool:
    """Tell whether what the log says of a file is true of its values (NaN is above every bound)."""
    known = [v for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))]
    low, high = statistics["minValues"].get("c"), statistics["maxValues"].get("c")
    nulls = statistics["nullCount"].get("c", sum(v is None for v in values))
    return (
        statistics["numRecords"] == len(values)
        and nulls == sum(v is None for v in values)
        and all((low is None or low <= v) and (high is None or v <= high) for v in known)
    )


@given(files())
@settings(max_examples=60)
def test_statistics_are_true(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[str, list[pl.DataFrame]]
) -> None:
    name, parts = made
    uri = tmp_path_factory.mktemp("t")
    staged(uri, parts[0]).commit({})
    (told,) = bounds(uri)
    assert sound(told, parts[0]["c"].to_list())
    if name in ("d", "t"):
        assert told["minValues"] == {}, "bounds of logical types are not plain numbers"


def test_a_bound_cut_short_would_be_caught() -> None:
    told = {
        "numRecords": 2,
        "minValues": {"c": "a"},
        "maxValues": {"c": "é" * 32},
        "nullCount": {"c": 0},
    }
    assert not sound(told, ["a", "é" * 40])
    assert not sound({**told, "maxValues": {"c": 1.0}, "minValues": {"c": 0.5}}, [0.0, 1.0])


def test_statistics_speak_of_every_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_table, "_GROUP_ROWS", 2)
    frame = pl.DataFrame({"c": [5, 6, None, None, 1, 9], "s": ["b", "c", "a", None, "z", "b"]})
    table = staged(tmp_path / "t", frame)
    table.commit({})
    assert pq.read_metadata(table.files[0]).num_row_groups == 3
    assert bounds(tmp_path / "t") == [
        {
            "numRecords": 6,
            "minValues": {"c": 1, "s": "a"},
            "maxValues": {"c": 9, "s": "z"},
            "nullCount": {"c": 2, "s": 1},
        }
    ]


def test_total_rows_are_summed(tmp_path: Path) -> None:
    assert total_rows([staged(tmp_path / "a", FRAME), staged(tmp_path / "b", FRAME)]) == 4


def test_a_version_that_is_gone_is_named(tmp_path: Path) -> None:
    staged(tmp_path / "t", FRAME).commit({})
    with pytest.raises(StoreError, match="version 7"):
        delta.open_table(tmp_path / "t", 7)


@pytest.mark.parametrize(
    "value", ["\x85", "\u2028", "\u2029", "\x0b", "\x1c", "\n", "\r", "\x00", '"\\']
)
def test_bounds_that_hold_line_ends_and_quotes_come_back(tmp_path: Path, value: str) -> None:
    rows = pl.DataFrame({"c": [value, value + "x"]})
    version = staged(tmp_path, rows).commit({"note": value})
    assert bounds(tmp_path)[0]["minValues"] == {"c": value}
    scanned = delta.scan(tmp_path, version)
    assert scanned.filter(pl.col("c") == value).collect().height == 1
    assert scanned.filter(pl.col("c") > value).collect().height == 1
    assert [told["note"] for _, told in delta.commits(tmp_path)] == [value]


def test_a_number_that_is_none_is_above_every_bound(tmp_path: Path) -> None:
    """Polars orders NaN last, and a file's bounds leave it out."""
    parts = [[1.0, math.nan], [2.0, 3.0], [None, math.nan], [math.inf, -math.inf]]
    whole = StagedTable(tmp_path, pa.schema([("c", pa.float64())]))
    for part in parts:
        whole.files += staged(tmp_path, pl.DataFrame({"c": part})).files
    scanned = delta.scan(tmp_path, whole.commit({}))
    rows = pl.DataFrame({"c": [v for part in parts for v in part]})
    for predicate in [*predicates(5.0, pl.Float64()), *predicates(math.nan, pl.Float64())]:
        found = scanned.filter(predicate).collect()["c"].sort()
        assert found.equals(rows.filter(predicate)["c"].sort(), null_equal=True), str(predicate)


def test_columns_past_the_ones_with_bounds_and_nested_ones_are_filtered_too(tmp_path: Path) -> None:
    wide = {f"c{i}": [i, i + 1] for i in range(40)}
    frame = pl.DataFrame(
        {**wide, "l": [[1], None], "r": [{"c0": 5, "x": "a"}, {"c0": None, "x": "b"}]}
    )
    version = staged(tmp_path, frame).commit({})
    assert set(bounds(tmp_path)[0]["minValues"]) == {f"c{i}" for i in range(32)}
    scanned = delta.scan(tmp_path, version)
    for predicate in (
        pl.col("c0") == 1,
        pl.col("c39") > 39,
        pl.col("c35").is_null(),
        pl.col("l").is_null(),
        pl.col("r").struct.field("c0") == 5,
        pl.col("r").struct.field("x") == "b",
        (pl.col("c3") == 3) & (pl.col("c38") == 38),
        (pl.col("c3") == 3) | (pl.col("c38") == 39),
    ):
        assert scanned.filter(predicate).collect().equals(frame.filter(predicate)), str(predicate)


def test_a_struct_field_called_like_a_column_takes_no_bounds_from_it(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [{"b": 100}], "a.b": [1]})
    version = staged(tmp_path, frame).commit({})
    scanned = delta.scan(tmp_path, version)
    assert scanned.filter(pl.col("a.b") == 1).collect().equals(frame)
    assert scanned.filter(pl.col("a").struct.field("b") == 100).collect().equals(frame)


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_of_many_writers_at_once_each_version_is_exactly_one_of_theirs(
    tmp_path: Path, mode: Any
) -> None:
    uri = tmp_path / "t"
    base = pl.DataFrame({"w": [-1]})
    staged(uri, base).commit({})
    writers = [staged(uri, pl.DataFrame({"w": [n]})) for n in range(6)]
    start = threading.Barrier(len(writers))
    won: dict[int, int] = {}
    lost: list[int] = []

    def write(number: int) -> None:
        start.wait()
        try:
            won[number] = writers[number].commit({"w": number}, mode=mode)
        except StoreError:
            lost.append(number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(len(writers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted([*won, *lost]) == list(range(len(writers))), "somebody ended with another error"
    assert won
    assert sorted(won.values()) == list(range(1, len(won) + 1))
    for number, version in won.items():
        rows = set(delta.scan(uri, version).collect()["w"].to_list())
        before = {n for n, v in won.items() if v < version}
        assert rows == ({-1, number} | before if mode == "append" else {number})
    told = {version: m["w"] for version, m in delta.commits(uri) if "w" in m}
    assert told == {version: number for number, version in won.items()}
    assert not any(file.exists() for n in lost for file in writers[n].files)
    assert len(files_of(uri)) == 1 + len(won)


def test_versions_are_pinned_while_others_go_on(tmp_path: Path) -> None:
    frames = [pl.DataFrame({"v": [n] * (n + 1)}) for n in range(4)]
    scans = []
    for n, frame in enumerate(frames):
        version = staged(tmp_path / "t", frame).commit({})
        assert version == n
        scans.append(delta.scan(tmp_path / "t", version))
    for scanned, frame in zip(scans, frames, strict=True):
        assert scanned.collect().equals(frame)
