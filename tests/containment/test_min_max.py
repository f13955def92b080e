"""Pruning by metadata never loses a true edge, on files that real writers wrote both ways."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import deltalake
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment.bounds import (
    ColumnBounds,
    FileStatistics,
    TableStatistics,
    merge,
    string_bounds,
)
from assets.containment.delta_bounds import from_delta
from assets.containment.min_max import disjoint, refute
from assets.containment.parquet_bounds import table_from_parquet

D = decimal.Decimal
MICRO = dt.timedelta(microseconds=1)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 999_999)

HOSTILE = {
    "long text": pa.array(["z" * 100 + "a", "a" * 100 + "z", "m", "zz"]),
    "long shared prefix": pa.array(["p" * 64 + c for c in "abcd"]),
    "text of wide characters": pa.array(["\U0010ffff" * 70, "é" * 33, "\U0001f600" * 40, "a"]),
    "composed and decomposed": pa.array(["é" * 40, "e\u0301" * 40, "x", "y"]),
    "microseconds": pa.array([NOON - MICRO, NOON, NOON + MICRO, NOON + 2 * MICRO]),
    "microseconds with a zone": pa.array(
        [NOON + i * MICRO for i in range(4)], pa.timestamp("us", "Africa/Addis_Ababa")
    ),
    "before the epoch": pa.array([dt.datetime(1883, 1, 1, 0, 0, 0, i + 1) for i in range(4)]),
    "nan": pa.array([math.nan, 1.0, -1.0, 5.0]),
    "all nan": pa.array([math.nan] * 4),
    "zeros": pa.array([-0.0, 0.0, -0.0, 0.0]),
    "infinite": pa.array([math.inf, -math.inf, 0.0, 1.0]),
    "float32": pa.array([0.1, 0.2, -0.3, 1e-30], pa.float32()),
    "decimals": pa.array([D("0.1"), D("0.10"), D("-3.07"), D("9.99")], pa.decimal128(5, 2)),
    "long decimals": pa.array(
        [D("12345678901234567890.123456789"), D("-1.000000001"), D("0"), D("7")],
        pa.decimal128(38, 9),
    ),
    "large integers": pa.array([2**63 - 1, -(2**63), 2**53 + 1, 0]),
    "nulls": pa.array([None, 1, 2, None]),
    "all null": pa.array([None] * 4, pa.int64()),
    "null text": pa.array([None, "", "a", "b"]),
    "booleans": pa.array([True, False, True, None]),
    "dates": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None, dt.date(2024, 2, 29)]),
    "binary": pa.array([b"\xff" * 70, b"\x00", b"", b"\xff\xfe"]),
    "struct": pa.array([{"a": 1, "b": "x" * 70}, {"a": None, "b": "y"}, None, {"a": 3, "b": None}]),
    "list": pa.array([[1], [], None, [2, 3]]),
}


def by_parquet(tmp_path, table, *, files=1):
    footers = []
    size = -(-table.num_rows // files) or 1
    for i in range(files):
        path = tmp_path / f"{i}.parquet"
        pq.write_table(table.slice(i * size, size), path, row_group_size=2)
        footers.append((path.name, pq.read_metadata(path)))
    return table_from_parquet(footers)


def by_delta(tmp_path, table, *, files=1, partition_by=None):
    size = -(-table.num_rows // files) or 1
    for i in range(files):
        deltalake.write_deltalake(
            tmp_path / "delta",
            table.slice(i * size, size),
            mode="append",
            partition_by=partition_by,
        )
    return from_delta(adds_of(tmp_path / "delta"))


def adds_of(path):
    return pl.DataFrame(deltalake.DeltaTable(path).get_add_actions(flatten=True))


def by_delta_parquet(tmp_path, table, *, files=1):
    """The footers of the files that the Delta writer wrote, which cuts where pyarrow does not."""
    by_delta(tmp_path, table, files=files)
    paths = sorted((tmp_path / "delta").glob("*.parquet"))
    return table_from_parquet((path.name, pq.read_metadata(path)) for path in paths)


WRITERS = {"parquet": by_parquet, "delta": by_delta, "delta footers": by_delta_parquet}


@pytest.mark.parametrize("case", HOSTILE)
def test_no_true_edge_is_refuted_whoever_wrote_which_side(tmp_path, case):
    table = pa.table({"c": HOSTILE[case], "n": [1, 2, 3, 4]})
    parts = [table, *(table.slice(i, 1) for i in range(4)), table.slice(1, 2), table.slice(0, 0)]
    children, parents = [], []
    for name, write in WRITERS.items():
        for files in (1, 2):
            place = tmp_path / f"{name}{files}"
            place.mkdir()
            parents.append((name, write(place, table, files=files)))
        for i, part in enumerate(parts):
            place = tmp_path / f"{name}-{i}"
            place.mkdir()
            children.append((name, i, write(place, part)))
    for writer, i, child in children:
        for other, parent in parents:
            for equality in ("typed", "value", "text"):
                for multiset in (False, True):
                    reason = refute(child, parent, equality=equality, multiset=multiset)
                    assert reason is None, (writer, i, other, equality, reason)


def test_trusting_published_bounds_is_caught(tmp_path):
    """The textbook rule on the same files loses true edges, so the test above has teeth."""
    lost = set()
    for case in ("long text", "microseconds"):
        table = pa.table({"c": HOSTILE[case]})
        (tmp_path / case).mkdir()
        by_delta(tmp_path / case, table)
        log = adds_of(tmp_path / case / "delta")
        path = next((tmp_path / case / "delta").glob("*.parquet"))
        pq.write_table(table, tmp_path / f"{case}.parquet")
        for source in (path, tmp_path / f"{case}.parquet"):
            group = pq.read_metadata(source).row_group(0).column(0).statistics
            for low, high, outer in (
                (log["min.c"][0], log["max.c"][0], (group.min, group.max)),
                (group.min, group.max, (log["min.c"][0], log["max.c"][0])),
            ):
                if low < outer[0] or high > outer[1]:
                    lost.add(case)
    assert lost == {"long text", "microseconds"}


def test_statistics_stop_at_32_columns_and_nothing_is_refuted(tmp_path):
    wide = pa.table({f"c{i:02}": [i, i + 1] for i in range(40)})
    child = by_parquet(tmp_path, wide.slice(0, 1))
    parent = by_delta(tmp_path, wide)
    assert "c39" in child.columns
    assert parent.columns.get("c39", ColumnBounds("")).lo_min is None
    assert refute(child, parent) is None
    assert refute(parent, child) is not None


NUMBERS = st.lists(st.none() | st.integers(-50, 50) | st.floats(-50, 50), max_size=8)


def statistics(values, *, files=1):
    parts = []
    for i in range(files):
        own = values[i::files]
        there = [v for v in own if v is not None and not (isinstance(v, float) and math.isnan(v))]
        bounds = ColumnBounds.exact(
            "number", min(there, default=None), max(there, default=None), own.count(None)
        )
        parts.append(FileStatistics(len(own), {"c": bounds}, str(i)))
    return merge(parts)


@settings(max_examples=300)
@given(values=NUMBERS, data=st.data(), files=st.integers(1, 4))
def test_tables_that_share_a_row_are_never_called_disjoint(values, data, files):
    other = data.draw(NUMBERS)
    child, parent = statistics(values, files=files), statistics(other)
    if set(values) & set(other):
        assert disjoint(child, parent, ["c"]) is None


@pytest.mark.parametrize(
    ("child", "parent", "column"),
    [
        ([1, 2], [3, 4.5], "c"),
        ([5, 9], [-1, 4, None], "c"),
        ([1, 2, None], [3, 4], None),  # both may hold NULL
        ([1, 3], [3, 4], None),
        ([1, 2], [], None),
    ],
)
def test_disjoint_ranges_are_named(child, parent, column):
    assert disjoint(statistics(child), statistics(parent), ["c"]) == column
    assert disjoint(statistics(child), statistics(parent), []) is None


@settings(max_examples=300)
@given(values=NUMBERS, data=st.data(), files=st.integers(1, 4))
def test_subsets_are_never_refuted(values, data, files):
    subset = [v for v in values if data.draw(st.booleans())]
    parent = statistics(values, files=files)
    assert refute(statistics(subset, files=data.draw(st.integers(1, 3))), parent) is None
    assert refute(statistics(subset * 3), parent) is None  # more rows, the same set


@pytest.mark.parametrize(
    ("child", "parent", "reason"),
    [
        ([0, 5], [1, 9], "minimum"),
        ([5, 10], [1, 9], "maximum"),
        ([5, None], [1, 9], "NULL"),
        ([1], [], "no rows"),
    ],
)
def test_what_is_refuted_and_why(child, parent, reason):
    assert reason in refute(statistics(child), statistics(parent))


def test_file_points_refute_what_the_table_range_does_not():
    child, parent = statistics([5]), statistics([1, 9, 2, 8], files=2)  # [1, 2] and [8, 9]
    assert parent.columns["c"].lo_min == 1
    assert "no parent file" in refute(child, parent)
    assert refute(statistics([2]), parent) is None


def test_partition_values_are_exact_points(tmp_path):
    table = pa.table({"day": ["a", "b", "d", "d"], "n": [1, 2, 3, 4]})
    parent = by_delta(tmp_path, table, partition_by=["day"])
    for day, possible in (("a", True), ("c", False), ("d", True), ("e", False)):
        child = pa.table({"day": [day], "n": [2]})
        for name, write in (("parquet", by_parquet), ("delta", by_delta)):
            (tmp_path / name / day).mkdir(parents=True)
            more = {} if name == "parquet" else {"partition_by": ["day"]}
            reason = refute(write(tmp_path / name / day, child, **more), parent)
            assert (reason is None) == possible, (day, name)


def test_deletion_vectors_make_child_bounds_unusable(tmp_path):
    table = pa.table({"c": [1, 2, 3]})
    by_delta(tmp_path, table)
    adds = adds_of(tmp_path / "delta")
    loose = from_delta(adds, loose_files=adds["path"].to_list())
    told = from_delta(adds.with_columns(pl.lit(1).alias("deletion_vector.cardinality")))
    parent = statistics([2])
    for child in (loose, told):
        assert child.rows is None
        assert refute(child, parent) is None  # rows 1 and 3 may be gone
        assert refute(statistics([7]), child) is not None  # outer bounds still hold
        assert refute(statistics([3]), child) is None


def test_names_of_column_mapping(tmp_path):
    by_delta(tmp_path, pa.table({"col-1": [1], "b": [2]}))
    mapped = from_delta(adds_of(tmp_path / "delta"), names={"col-1": "a"})
    assert set(mapped.columns) == {"a"}


def test_empty_text_may_be_null_under_text_equality():
    child = merge([FileStatistics(2, {"c": ColumnBounds.exact("string", "", "b", 0)}, "0")])
    parent = merge([FileStatistics(2, {"c": ColumnBounds.exact("string", "a", "b", 1)}, "0")])
    assert refute(child, parent, equality="value") is not None
    assert refute(child, parent, equality="text") is None
    assert refute(parent, child, equality="text") is None


@settings(max_examples=300)
@given(text=st.text(max_size=6), cut=st.integers(0, 6), bump=st.booleans())
def test_cut_and_bumped_text_is_enclosed(text, cut, bump):
    low = text[:cut]
    high = low
    if bump and len(text) > cut and low and ord(low[-1]) not in (0xD7FF, 0x10FFFF):
        high = low[:-1] + chr(ord(low[-1]) + 1)
    elif len(text) > cut:
        high = low + "\U0010ffff"
    bounds = string_bounds("string", low.encode(), high.encode(), 0)
    true = text.encode()
    assert bounds.lo_min <= true <= bounds.lo_max
    assert bounds.hi_min <= true <= bounds.hi_max


@settings(max_examples=200)
@given(value=st.floats() | st.integers(-(2**63), 2**63))
def test_published_bounds_enclose(value):
    bounds = ColumnBounds.published("number", value, value)
    if bounds.lo_min is not None:
        assert bounds.lo_min <= value <= bounds.lo_max
        assert bounds.hi_min <= value <= bounds.hi_max


def test_unknown_families_and_missing_columns_prove_nothing():
    number = TableStatistics(1, {"c": ColumnBounds.exact("number", 1, 1, 0)})
    text = TableStatistics(1, {"c": ColumnBounds.exact("string", "a", "a", 0)})
    assert refute(number, text) is None
    assert refute(number, TableStatistics(1, {})) is None
    assert refute(number, TableStatistics(None, {})) is None
