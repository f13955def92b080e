"""Sources as ingestion registers them: what is damaged, changes or can't be held is set aside by name, never raised."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.ingestion.discover import discover
from assets.ingestion.model import ReadOptions, Reject, Source
from assets.ingestion.register import Registered, register
from resources.staged_table import StagedTable


def registered(
    folder: Path, source: Source, progress: Any = None
) -> tuple[Registered, list[Reject]]:
    rejects: list[Reject] = []
    found = register(
        source,
        ReadOptions(),
        open_sink=lambda schema: StagedTable(folder / "landed", schema),
        reject=rejects.append,
        progress=progress,
    )
    return found, rejects


def only(folder: Path) -> Source:
    (source,) = discover(folder).sources
    return source


def refused(folder: Path) -> str:
    """Register the one source of a lake that must be set aside whole, and return why."""
    found, rejects = registered(folder, only(folder / "lake"))
    assert found.table["status"] == "quarantined"
    assert (found.table["rows"], found.table["counted"], found.columns) == (0, None, [])
    assert [reject.position for reject in rejects] == [None]
    assert rejects[0].reason == found.table["error"]
    assert found.sink is None
    assert not list(folder.glob("landed/*.parquet")), "what was landed of it is left behind"
    return rejects[0].reason


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    (tmp_path / "lake").mkdir()
    return tmp_path / "lake"


def parquet(lake: Path, table: pa.Table, *, compressed: bool = False) -> Path:
    path = lake / "t.parquet"
    pq.write_table(table, path)
    if compressed:
        path.with_name("t.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return path


ROWS = pa.table({"a": list(range(5000)), "text": [f"text {i}" for i in range(5000)]})


def test_a_damaged_page_sets_its_table_aside_before_any_stage_reads_it(lake: Path) -> None:
    path = parquet(lake, ROWS)
    damaged = bytearray(path.read_bytes())
    damaged[20:400] = b"\xff" * 380
    path.write_bytes(damaged)
    assert "unreadable Parquet" in refused(lake.parent)


def test_a_delta_table_whose_files_are_gone_is_set_aside(lake: Path) -> None:
    pl.DataFrame({"a": [1, 2]}).write_delta(lake / "d")
    for file in (lake / "d").glob("*.parquet"):
        file.unlink()
    assert "No such file" in refused(lake.parent)


def test_a_delta_file_cut_short_is_set_aside(lake: Path) -> None:
    pl.DataFrame({"a": list(range(1000))}).write_delta(lake / "d")
    for file in (lake / "d").glob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-100])
    assert "unreadable Parquet" in refused(lake.parent)


def test_a_delta_log_that_counts_other_rows_than_its_files_hold_is_not_believed(lake: Path) -> None:
    pl.DataFrame({"a": [1, 2, 3]}).write_delta(lake / "d")
    log = lake / "d" / "_delta_log" / f"{0:020d}.json"
    told = log.read_text(encoding="utf-8")
    assert told.count('\\"numRecords\\":3') == 1
    log.write_text(told.replace('\\"numRecords\\":3', '\\"numRecords\\":7'), encoding="utf-8")
    assert refused(lake.parent) == "3 rows can be read, and its metadata says 7"


@pytest.mark.parametrize("compressed", [False, True])
def test_text_that_is_not_utf8_sets_a_parquet_table_aside(lake: Path, compressed: bool) -> None:
    raw = pa.array([b"good", b"\xff\xfe"])
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    parquet(lake, pa.table({"text": text}), compressed=compressed)
    assert "column 'text' holds a value that can't be used (Invalid UTF8" in refused(lake.parent)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("ms"),
        pa.list_(pa.timestamp("ms")),
        pa.struct([("x", pa.list_(pa.timestamp("ms", "UTC")))]),
        pa.map_(pa.string(), pa.timestamp("ms")),
    ],
    ids=str,
)
def test_a_time_that_microseconds_cannot_hold_is_refused_and_never_wraps(
    lake: Path, kind: pa.DataType, compressed: bool
) -> None:
    far: Any = 9 * 10**18
    if pa.types.is_map(kind):
        cell: Any = [("k", far)]
    else:
        cell = {"x": [far]} if pa.types.is_struct(kind) else [far]
    values = pa.array([far if pa.types.is_timestamp(kind) else cell], kind)
    parquet(lake, pa.table({"t": values}), compressed=compressed)
    assert "column 't'" in refused(lake.parent)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("compressed", [False, True])
def test_times_that_fit_are_taken_however_far(lake: Path, unit: str, compressed: bool) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    seconds = [
        -62_135_596_800,
        -1,
        9_000_000_000_000,
    ]  # the year 1; just before 1970; the year 287168
    times = pa.array([s * per_second for s in seconds], pa.timestamp(unit))
    days = pa.array([-719_162, -1, 10**7], pa.int32()).cast(pa.date32())
    parquet(lake, pa.table({"t": times, "d": days}), compressed=compressed)
    found, rejects = registered(lake.parent, only(lake))
    assert rejects == []
    assert (found.table["status"], found.table["rows"]) == ("ok", 3)
    by_name = {column["column"]: column for column in found.columns}
    assert by_name["d"]["min"] is None, "Python has no such dates, so nothing is said of bounds"
    assert not by_name["d"]["bounds_exact"]
    if found.sink is not None:
        stored = found.sink.scan().select(pl.col("t").cast(pl.Int64)).collect()["t"].to_list()
        assert stored == [s * 10**6 for s in seconds]


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_a_file_that_grows_while_it_is_read_waits_for_the_next_run(lake: Path, name: str) -> None:
    path = lake / name
    if name == "t.jsonl":
        path.write_bytes(b'{"a": 1}\n' * 3)
    else:
        pq.write_table(ROWS, path)
    source = only(lake)

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b'{"a": 2}\n')

    found, rejects = registered(lake.parent, source, grow)
    assert found.table["status"] == "changed"
    assert "read again in the next run" in found.table["error"]
    assert rejects == []
    assert found.sink is None
    if name == "t.jsonl":
        again, _ = registered(lake.parent, only(lake))
        assert (again.table["status"], again.table["rows"]) == ("ok", 4)


def test_columns_whose_type_changes_between_files_are_tables_of_their_own(lake: Path) -> None:
    (lake / "t").mkdir()
    pq.write_table(pa.table({"a": [1]}), lake / "t" / "1.parquet")
    pq.write_table(pa.table({"a": ["one"]}), lake / "t" / "2.parquet")
    kinds = {}
    for source in discover(lake).sources:
        found, rejects = registered(lake.parent, source)
        assert (found.table["status"], rejects) == ("ok", [])
        kinds[source.table] = found.columns[0]["type"]
    assert kinds == {"t/1.parquet": "int64", "t/2.parquet": "string"}


def test_two_thousand_columns_of_parquet_and_twice_the_same_name(lake: Path) -> None:
    names = [f"c{i}" for i in range(2000)]
    pq.write_table(pa.table([pa.array([i]) for i in range(2000)], names=names), lake / "w.parquet")
    twice = pa.table([pa.array(["x"]), pa.array(["y"])], names=["a", "a"])
    pq.write_table(twice, lake / "z.parquet")
    wide, two = [registered(lake.parent, source)[0] for source in discover(lake).sources]
    assert (wide.table["status"], len(wide.columns)) == ("ok", 2000)
    assert (two.table["status"], two.table["rows"]) == ("ok", 1)
