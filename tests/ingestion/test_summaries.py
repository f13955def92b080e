"""Bounds enclose what they speak of, from rows and from metadata; the known traps of both."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.ingestion.discover import discover
from assets.ingestion.metadata_bounds import from_delta_log, from_parquet_footers
from assets.ingestion.summaries import TableSummary, canonical, text_above

MICRO = dt.datetime(2020, 1, 1, 0, 0, 1, 999_999)


def of(table):
    summary = TableSummary(table.schema)
    summary.update(table)
    return summary.result()


def test_from_rows():
    table = pa.table(
        {
            "f": [float("nan"), -0.0, None],
            "n": pa.array([float("nan")] * 3),
            "i": pa.array([10, 9, None], pa.int32()),
            "s": ["b", "a" * 300, None],
            "b": [True, None, True],
            "t": pa.array([MICRO, None, dt.datetime(2500, 1, 1)], pa.timestamp("us")),
            "d": pa.array([dt.date(1600, 1, 1), None, None]),
            "l": [[1], None, []],
            "u": pa.array([1, 2, 3], pa.timestamp("ns", tz="Europe/Berlin")),
        }
    )
    got = of(table)
    assert (got["f"].nulls, got["f"].min, got["f"].max) == (1, "0.0", "0.0")
    assert (got["n"].nulls, got["n"].min, got["n"].bounds_exact) == (0, None, True)
    assert (got["i"].min, got["i"].max, got["i"].type) == ("9", "10", "int32")
    assert (got["s"].min, got["s"].max, got["s"].bounds_exact) == ("a" * 256, "b", False)
    assert (got["b"].min, got["b"].max) == ("true", "true")
    assert got["t"].min == "2020-01-01T00:00:01.999999"
    assert got["t"].max == "2500-01-01T00:00:00.000000"
    assert (got["d"].min, got["d"].nulls) == ("1600-01-01", 2)
    assert (got["l"].nulls, got["l"].min, got["l"].bounds_exact) == (1, None, False)
    assert got["u"].max == "1970-01-01T00:00:00.000000003+00:00"


FLOATS = st.none() | st.floats()


@settings(max_examples=80)
@given(st.lists(st.tuples(FLOATS, st.none() | st.text(max_size=3)), max_size=10), st.integers(0, 9))
def test_merging_equals_the_whole(rows, cut):
    schema = pa.schema([("f", pa.float64()), ("s", pa.string())])
    records = [{"f": f, "s": s} for f, s in rows]
    whole = pa.Table.from_pylist(records, schema=schema)
    left, right = TableSummary(schema), TableSummary(schema)
    left.update(whole.slice(0, cut))
    right.update(whole.slice(cut))
    right.merge(left)
    assert right.result() == of(whole)
    values = [f for f, _ in rows if f is not None and not math.isnan(f)]
    assert of(whole)["f"].max == canonical(max(values) + 0.0 if values else None)


@given(st.text(max_size=4), st.text(max_size=4))
def test_text_above_is_above_all_that_start_so(prefix, rest):
    above = text_above(prefix)
    assert above is None or above > prefix + rest


def test_delta_log_traps(tmp_path):
    """True extremes lie within; a parser that trusts the log would prune true edges."""
    frame = pl.DataFrame(
        {
            "s": ["a" * 100, "z" * 200],
            "short": ["a", "b"],
            "t": [MICRO, MICRO],
            "f": [float("nan"), 1.0],
            "i": [1, 2],
            "l": [[1], None],
            "none": pl.Series([None, None], dtype=pl.Int64),
        }
    )
    frame.write_delta(tmp_path / "d")
    (source,) = discover(tmp_path).sources
    rows, got = from_delta_log(source)
    assert rows == 2
    assert not got["s"].bounds_exact
    assert got["s"].min <= "a" * 100
    assert got["s"].max >= "z" * 200
    assert (got["short"].min, got["short"].max, got["short"].bounds_exact) == ("a", "b", True)
    assert got["t"].max >= canonical(MICRO)
    assert not got["t"].bounds_exact
    assert not got["f"].bounds_exact
    assert (got["i"].min, got["i"].max, got["i"].bounds_exact) == ("1", "2", True)
    assert (got["l"].min, got["l"].bounds_exact) == (None, False)
    assert (got["none"].nulls, got["none"].min) == (2, None)


def test_columns_beyond_the_32nd_have_unknown_bounds(tmp_path):
    pl.DataFrame({f"c{i}": [i] for i in range(40)}).write_delta(tmp_path / "d")
    _, got = from_delta_log(discover(tmp_path).sources[0])
    assert got["c31"].bounds_exact
    assert got["c39"].min is None
    assert not got["c39"].bounds_exact


@pytest.mark.parametrize("writer", ["pyarrow", "polars"])
def test_footers_enclose_the_rows(tmp_path, writer):
    table = pa.table(
        {
            "s": ["a" * 100, "z" * 200, "ü" * 40],
            "t": pa.array([MICRO, None, MICRO], pa.timestamp("us")),
            "f": [float("nan"), -0.0, 1.0],
            "i": [1, 2, None],
            "n": [{"x": 1}, None, {"x": 2}],
        }
    )
    path = tmp_path / "p" / "k=7" / "t.parquet"
    path.parent.mkdir(parents=True)
    if writer == "pyarrow":
        pq.write_table(table, path, row_group_size=2)
    else:
        pl.from_arrow(table).write_parquet(path)
    (source,) = discover(tmp_path).sources
    rows, got = from_parquet_footers(source)
    exact = of(table)
    assert rows == 3
    for name in ("t", "i"):
        assert got[name] == exact[name] or not got[name].bounds_exact
        assert got[name].nulls == exact[name].nulls
    assert got["s"].min is None or got["s"].min <= "a" * 100
    assert got["s"].max is None or got["s"].max >= "ü" * 40
    assert not got["s"].bounds_exact
    assert got["n"].min is None
    assert (got["k"].min, got["k"].nulls, got["k"].bounds_exact) == ("7", 0, True)


def test_files_without_statistics_are_unknown(tmp_path):
    pq.write_table(pa.table({"i": [1, 2]}), tmp_path / "t.parquet", write_statistics=False)
    _, got = from_parquet_footers(discover(tmp_path).sources[0])
    assert (got["i"].min, got["i"].nulls, got["i"].bounds_exact) == (None, None, False)
