"""Hashes from pages against those of what Arrow reads, for every type, writer and layout; damage; wrong ways."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import os
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from assets.containment import page_cells
from assets.containment.content import hash_projections_of
from assets.containment.folder import search_folder
from assets.containment.page_cells import FileCells
from assets.ingestion import parquet_chunks
from assets.ingestion.arrow_types import plain_schema
from assets.ingestion.model import SourceError
from assets.ingestion.parquet_files import footer_of
from assets.kernels.cell_hash import row_hashes
from assets.kernels.parquet_pages import list_pages

PLAIN = {
    "int": pa.int64(),
    "narrow": pa.int32(),
    "day": pa.date32(),
    "at": pa.timestamp("us", "UTC"),
    "moment": pa.timestamp("us"),
    "score": pa.float32(),
    "rate": pa.float64(),
    "flag": pa.bool_(),
    "word": pa.string(),
    "long": pa.large_string(),
    "raw": pa.binary(),
    "nothing": pa.int64(),
}
VALUES = {
    "int": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3),
    "narrow": st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3),
    "day": st.dates(),
    "at": st.datetimes(timezones=st.just(dt.UTC)),
    "moment": st.datetimes(),
    "score": st.floats(width=32) | st.sampled_from([0.0, -0.0, 1.0]),
    "rate": st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan, 2.0**62]),
    "flag": st.booleans(),
    "word": st.text(max_size=40) | st.sampled_from(["", "a", "b"]),
    "long": st.sampled_from(["x" * 70, "y"]),
    "raw": st.binary(max_size=9),
    "nothing": st.none(),
}
LAYOUT = st.fixed_dictionaries(
    {
        "compression": st.sampled_from(["none", "snappy", "zstd", "gzip"]),
        "use_dictionary": st.booleans(),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "data_page_size": st.sampled_from([1, 64, 1 << 20]),
        "row_group_size": st.sampled_from([7, 50, 1 << 20]),
        "dictionary_pagesize_limit": st.sampled_from([64, 1 << 20]),
    }
)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    names = draw(st.lists(st.sampled_from(sorted(PLAIN)), min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(0, 40))
    times = draw(st.sampled_from([1, 3, 40]))
    columns = {}
    for name in names:
        cell = (
            VALUES[name] if draw(st.booleans()) and name != "nothing" else st.none() | VALUES[name]
        )
        own = draw(st.lists(cell, min_size=rows, max_size=rows))
        columns[name] = pa.array(own * times, PLAIN[name])
    return pa.table(columns)


def from_pages(
    path: Path, columns=None, equality="value", schema=None, most_rows=1 << 20
) -> np.ndarray:
    schema = footer_of(path).plain if schema is None else schema
    columns = schema.names if columns is None else columns
    file = FileCells(path, schema, 5)
    assert file.fits(())
    found = [
        hash_projections_of(rows, [columns], equality)[0]
        for rows in file.groups(columns, most_rows)
    ]
    return np.concatenate([np.empty(0, np.uint64), *found])


def as_read(path: Path, columns=None, equality="value") -> np.ndarray:
    """Hash what Arrow reads: the definition."""
    table = pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read()
    table = table.cast(plain_schema(table.schema))
    return row_hashes(table, table.column_names if columns is None else columns, equality)


@pytest.fixture
def only_pages(monkeypatch):
    def refuse(self, group, columns):
        message = f"{columns} went through Arrow"
        raise AssertionError(message)

    monkeypatch.setattr(FileCells, "read", refuse)


@settings(max_examples=150)
@given(tables(), LAYOUT, st.sampled_from(["value", "typed", "text"]))
def test_as_arrow_reads_it(tmp_path_factory, table, layout, equality):
    path = tmp_path_factory.mktemp("pages") / "t.parquet"
    pq.write_table(table, path, **layout)
    assert from_pages(path, None, equality).tolist() == as_read(path, None, equality).tolist()
    some = table.column_names[:2]
    assert from_pages(path, some, equality).tolist() == as_read(path, some, equality).tolist()


@settings(max_examples=40)
@given(tables(), st.sampled_from(["uncompressed", "snappy", "zstd", "lz4"]))
def test_as_arrow_reads_what_polars_wrote(tmp_path_factory, table, compression):
    path = tmp_path_factory.mktemp("polars") / "t.parquet"
    pl.DataFrame(table).write_parquet(path, compression=compression, row_group_size=64)
    assert from_pages(path).tolist() == as_read(path).tolist()


OTHERS = {
    "decimal": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal(2)], pa.decimal128(9, 2)),
    "byte": pa.array([-1, None, 127], pa.int8()),
    "unsigned": pa.array([2**64 - 1, None, 1], pa.uint64()),
    "unsigned 4": pa.array([2**32 - 1, None, 1], pa.uint32()),
    "half": pa.array([np.float16(1.5), None, np.float16(2)], pa.float16()),
    "milliseconds": pa.array([1, None, -1], pa.timestamp("ms")),
    "nanoseconds": pa.array([1001, None, -1], pa.timestamp("ns")),
    "time": pa.array([1, None, 2], pa.time64("us")),
    "day of ms": pa.array([86_400_000, None, 0], pa.date64()),
    "duration": pa.array([1, None, 2], pa.duration("us")),
    "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "list": pa.array([[1, None], None, []], pa.list_(pa.int64())),
    "struct": pa.array([{"a": 1}, None, {"a": None}]),
    "categories": pa.array(["a", None, "b"]).dictionary_encode(),
    "numbers": pa.array([5, None, 6]).dictionary_encode(),
    "view": pa.array(["a", None, "long enough to be apart"], pa.string_view()),
    "null": pa.nulls(3),
}


@pytest.mark.parametrize("equality", ["value", "typed", "text"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_types_beside_plain_ones(tmp_path, name, equality):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({name: OTHERS[name], "n": [1, 2, 3]}), path)
    assert from_pages(path, None, equality).tolist() == as_read(path, None, equality).tolist()


@pytest.mark.parametrize(
    "own", [{"use_deprecated_int96_timestamps": True}, {"coerce_timestamps": "us"}]
)
def test_instants_of_old_writers(tmp_path, own):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"at": pa.array([1000, None], pa.timestamp("ns"))}), path, **own)
    assert from_pages(path).tolist() == as_read(path).tolist()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_common_files_do_not_go_through_arrow(tmp_path, only_pages, version):
    path = tmp_path / "t.parquet"
    rows = 30_000
    table = pa.table(
        {
            "int": pa.array(range(rows)),
            "word": pa.array([f"w{i % 7}" if i % 5 else None for i in range(rows)]),
            "code": pa.array([f"{i * 7919:012x}" for i in range(rows)]),
            "rate": pa.array([None if i % 3 else i / 4 for i in range(rows)]),
            "nothing": pa.nulls(rows, pa.int64()),
        }
    )
    for codec in ("none", "snappy", "zstd"):
        pq.write_table(
            table, path, compression=codec, data_page_version=version, row_group_size=9999
        )
        assert from_pages(path).tolist() == as_read(path).tolist()
    pl.DataFrame(table).write_parquet(path)
    assert from_pages(path).tolist() == as_read(path).tolist()


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_a_number_that_needs_its_text_late_in_a_chunk(tmp_path, use_dictionary):
    path = tmp_path / "t.parquet"
    numbers = [i / 2 for i in range(500)]
    numbers[444] = 2.0**70
    table = pa.table({"x": numbers, "n": list(range(500))})
    layout = {
        "data_page_size": 64,
        "dictionary_pagesize_limit": 256,
        "use_dictionary": use_dictionary,
    }
    pq.write_table(table, path, write_batch_size=10, **layout)
    assert from_pages(path).tolist() == as_read(path).tolist()


def test_a_large_row_group_is_read_in_batches(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"word": pa.array(["a", "b"] * 50).dictionary_encode(), "n": range(100)})
    pq.write_table(table, path, row_group_size=60)
    expected = as_read(path).tolist()
    assert from_pages(path, most_rows=50).tolist() == expected
    rows = FileCells(path, footer_of(path).plain, 5).groups(["n"], 50)
    assert [own.num_rows for own in rows] == [5] * 12 + [40]


@settings(max_examples=200)
@given(st.data())
def test_damage_is_never_another_answer_than_arrows(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "t.parquet"
    words = ["a", "bb", None, "c" * 30] * 30
    table = pa.table({"w": words, "n": list(range(120)), "k": [1, None, 1, 2] * 30})
    layout = data.draw(LAYOUT)
    pq.write_table(table, path, write_statistics=False, **layout)
    content = bytearray(path.read_bytes())
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(4, end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        expected = as_read(path).tolist()
    except (pa.ArrowException, OSError):
        expected = None
    try:
        found = from_pages(path).tolist()
    except SourceError:
        found = None
    if expected is not None and found is not None:
        assert found == expected


@given(st.binary(max_size=200), st.integers(0, 50))
def test_any_bytes_as_pages(content, rows):
    found = list_pages(np.frombuffer(content, np.uint8), rows)
    assert all(0 <= page[1] <= len(content) for page in found.tolist())


def test_a_file_of_other_columns_does_not_fit(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), path)
    schema = footer_of(path).plain
    assert FileCells(path, schema, 5).fits(())
    assert FileCells(path, schema.append(pa.field("p", pa.int64())), 5).fits(("p",))
    for other in (
        schema.remove(0),
        schema.append(pa.field("p", pa.int64())),
        schema.set(0, pa.field("a", pa.int32())),
    ):
        assert not FileCells(path, other, 5).fits(())


def test_a_search_finds_the_same_edges_and_notices_a_change(tmp_path, monkeypatch):
    lake = tmp_path / "lake"
    numbers = [i * 7919 + 0.25 for i in range(200)]
    for day in (1, 2):
        (lake / "parts" / f"day={day}").mkdir(parents=True)
        pq.write_table(pa.table({"n": numbers}), lake / "parts" / f"day={day}" / "0.parquet")
    pq.write_table(pa.table({"n": [*numbers, None]}), lake / "more.parquet")
    pq.write_table(pa.table({"n": numbers[50:]}), lake / "less.parquet")
    pq.write_table(pa.table({"n": numbers[9:], "day": [2] * 191}), lake / "dated.parquet")
    by_pages = search_folder(lake, min_containment=0.1).edges
    assert {("dated.parquet", "parts"), ("less.parquet", "parts"), ("more.parquet", "parts")} < set(
        by_pages.select("child", "parent").rows()
    )
    assert by_pages.filter(parent="parts")["containment"].to_list() == [1.0, 1.0, 200 / 201]
    monkeypatch.setattr(FileCells, "fits", lambda self, without: False)
    assert search_folder(lake, min_containment=0.1).edges.equals(by_pages)
    monkeypatch.undo()
    groups = FileCells.groups

    def touch(self, columns, most_rows):
        yield from groups(self, columns, most_rows)
        os.utime(self.path, ns=(1, 1))

    monkeypatch.setattr(FileCells, "groups", touch)
    changed = search_folder(lake, min_containment=0.1).unreadable
    assert "changed while it was read" in changed["more.parquet"]


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (page_cells, "null_tag", lambda equality: "zero"),
        (page_cells, "seed_of", lambda tag, base: np.uint64(7)),
        (page_cells.GroupCells, "_add_pages", lambda self, *most: 3),
        (parquet_chunks, "_INDEXED", (2,)),
        (parquet_chunks, "_CODECS", {"SNAPPY": None}),
    ],
    ids=[
        "null is zero",
        "one seed for all columns",
        "rows left out",
        "indices as values",
        "no codec",
    ],
)
def test_wrong_ways_are_caught(tmp_path, monkeypatch, only_pages, module, name, wrong):
    path = tmp_path / "t.parquet"
    table = pa.table({"w": ["a", None, "b"] * 9, "n": range(27), "x": [0.5, 1.0, None] * 9})
    pq.write_table(table, path)
    expected = as_read(path).tolist()
    assert from_pages(path).tolist() == expected
    monkeypatch.setattr(module, name, wrong)
    try:
        found = from_pages(path).tolist()
    except AssertionError:  # nothing but the slow way was left
        found = None
    assert found != expected
