"""Parquet files and Delta tables are written again as they were, and what differs is seen."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from assets.containment.delta_rebuild import delta_manner, write_delta
from assets.containment.parquet_rebuild import (
    UnwritableError,
    cast_rows,
    parquet_manner,
    write_parquet,
)
from assets.containment.rebuild import read_all
from assets.containment.rebuild_difference import delta_difference, parquet_difference, same_cells
from assets.ingestion.discover import discover

NAN = np.array([0x7FF8000000000001], np.uint64).view(np.float64)[0]
ROWS = pa.table(
    {
        "i": pa.array([1, 2, None, 4] * 50, pa.int16()),
        "f": [0.0, -0.0, None, float("nan")] * 50,
        "s": pa.array(["a", None, "", "b"] * 50).dictionary_encode(),
        "t": pa.array([dt.datetime(2020, 1, 1)] * 200, pa.timestamp("ms", "Africa/Lagos")),
        "d": pa.array([Decimal("1.50")] * 200, pa.decimal128(9, 2)),
        "n": pa.array([{"x": 1, "y": [1.5, None]}, None, {"x": None, "y": []}, {"x": 2}] * 50),
    }
).replace_schema_metadata({"who": "me"})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"row_group_size": 70, "compression": "zstd"},
        {"store_schema": False, "use_dictionary": ["i"], "compression": {"i": "gzip"}},
        {"version": "1.0", "compression": "none"},
    ],
)
def test_a_file_of_the_same_writer_comes_back_to_the_byte(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    rows = ROWS if settings.get("version") != "1.0" else ROWS.drop_columns(["t"])
    pq.write_table(rows, tmp_path / "a.parquet", **settings)
    write_parquet(tmp_path / "b.parquet", rows, parquet_manner(tmp_path / "a.parquet"))
    assert parquet_difference(tmp_path / "a.parquet", tmp_path / "b.parquet") is None
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_file_of_another_writer_comes_back_as_a_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [[1], [], None]})
    frame.write_parquet(tmp_path / "a.parquet", compression="lz4", row_group_size=2)
    rows = pq.read_table(tmp_path / "a.parquet")
    write_parquet(tmp_path / "b.parquet", rows, parquet_manner(tmp_path / "a.parquet"))
    assert parquet_difference(tmp_path / "a.parquet", tmp_path / "b.parquet") is None
    assert pl.read_parquet(tmp_path / "b.parquet").equals(frame)


def as_spark(path: Path, rows: pa.Table, **settings: Any) -> None:
    """Write as Spark and Hive do: no Arrow schema, but metadata of their own."""
    with pq.ParquetWriter(path, rows.schema, store_schema=False, **settings) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({"org.apache.spark.version": "3.5.1", b"raw": b"\xff\x00"})


MOMENT = dt.datetime(2021, 3, 4, 5, 6, 7, 891_011)
OTHERS = pa.table(
    {
        "k": [1, 2, 3],
        "u": pa.array([1, None, 2**32 - 1], pa.uint32()),
        "short": pa.array([Decimal("1.50"), None, Decimal("-9.99")], pa.decimal128(9, 2)),
        "long": pa.array([Decimal("1.50"), None, Decimal("-9.99")], pa.decimal128(30, 2)),
        "l": pa.array([[1.5, None], None, [-0.0]], pa.list_(pa.float64())),
        "s": pa.array([{"x": [{"y": "a"}]}, None, {"x": None}]),
        "m": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "t": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", "UTC")),
    }
)
NANOSECONDS = pa.table({"t": pa.array([MOMENT, None], pa.timestamp("ns", "Africa/Lagos"))})
FAR = pa.table({"t": pa.array([253_402_225_200_000_000, None, 1], pa.timestamp("us"))})


def by_delta(path: Path, rows: pa.Table) -> None:
    write_deltalake(path.parent / "table", rows)
    (file,) = (path.parent / "table").glob("*.parquet")
    file.rename(path)


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        (as_spark, OTHERS),
        (lambda p, r: as_spark(p, r, store_decimal_as_integer=True), OTHERS),
        (lambda p, r: as_spark(p, r, use_compliant_nested_type=False), OTHERS),
        (lambda p, r: as_spark(p, r, use_deprecated_int96_timestamps=True), FAR),
        (lambda p, r: pq.write_table(r, p, version="2.4"), NANOSECONDS),
        (lambda p, r: pl.DataFrame(r).write_parquet(p), NANOSECONDS),
        (lambda p, r: pl.DataFrame(r.drop_columns(["m"])).write_parquet(p), OTHERS),
        (by_delta, OTHERS.drop_columns(["u"])),
        (lambda p, r: pq.write_table(r, p), pa.table({"k": [1, 2], "nothing": pa.nulls(2)})),
        (lambda p, r: pq.write_table(r, p), OTHERS.slice(0, 0)),
    ],
)
def test_what_other_engines_write_is_the_same_to_a_reader(
    write: Any, rows: pa.Table, tmp_path: Path
) -> None:
    (tmp_path / "lake").mkdir()
    old, new = tmp_path / "lake/a.parquet", tmp_path / "b.parquet"
    write(old, rows)
    (source,) = [s for s in discover(tmp_path / "lake").sources if s.table == "a.parquet"]
    write_parquet(new, read_all(source), parquet_manner(old))
    assert parquet_difference(old, new) is None
    first, second = (pq.read_table(p, coerce_int96_timestamp_unit="us") for p in (old, new))
    assert first.schema.metadata == second.schema.metadata
    for name in first.column_names:
        assert first.column(name).to_pylist() == second.column(name).to_pylist()


def test_dictionaries_of_a_stored_schema_are_read_and_written_as_such(tmp_path: Path) -> None:
    rows = pa.table({"k": [1, 2, 3], "d": pa.array(["a", None, "a"]).dictionary_encode()})
    pq.write_table(rows, tmp_path / "a.parquet")
    (source,) = discover(tmp_path).sources
    found = read_all(source)
    assert found.schema.field("d").type == pa.string()
    write_parquet(tmp_path / "b.parquet", found, parquet_manner(tmp_path / "a.parquet"))
    assert pq.read_table(tmp_path / "b.parquet").equals(rows)


def test_int96_times_stay_int96(tmp_path: Path) -> None:
    times = pa.table({"t": pa.array([1_600_000_000_000_000, None], pa.timestamp("us"))})
    pq.write_table(times, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    write_parquet(tmp_path / "b.parquet", times, parquet_manner(tmp_path / "a.parquet"))
    assert parquet_difference(tmp_path / "a.parquet", tmp_path / "b.parquet") is None


def _field(table: pa.Table, kind: pa.DataType | None = None, **changes: Any) -> pa.Table:
    field = table.schema.field("i")
    field = field.with_type(kind or field.type)
    if "nullable" in changes:
        field = field.with_nullable(changes["nullable"])
        table = table.set_column(0, "i", pa.array([1, 2, 3, 4] * 50, field.type))
    if "metadata" in changes:
        field = field.with_metadata(changes["metadata"])
    return pa.table(
        [table.column(0).cast(field.type), *table.columns[1:]], table.schema.set(0, field)
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.replace_schema_metadata({"who": "you"}), "the Arrow schema or its metadata"),
        (lambda t: t.set_column(0, "i", t.column("i").cast("int32")), "the Arrow schema"),
        (lambda t: t.set_column(1, "f", pa.array([0.0] * 200)), "column 'f'"),
        (lambda t: t.slice(0, 199), "column 'i' in row group 0"),
        (lambda t: _field(t, nullable=False), "the Arrow schema"),
        (lambda t: _field(t, metadata={"PARQUET:field_id": "5"}), "the Arrow schema"),
        (lambda t: _field(t, kind=pa.uint16()), "the Arrow schema"),
        (lambda t: t.rename_columns(["j", *t.column_names[1:]]), "the Arrow schema"),
    ],
)
def test_differences_are_named(change: Any, expected: str, tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "a.parquet")
    pq.write_table(change(ROWS), tmp_path / "b.parquet")
    found = parquet_difference(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert found is not None
    assert expected in found


def test_other_metadata_row_groups_and_hidden_types_are_differences(tmp_path: Path) -> None:
    old, new = tmp_path / "a.parquet", tmp_path / "b.parquet"
    as_spark(old, OTHERS)
    pq.write_table(OTHERS, new, store_schema=False)
    assert parquet_difference(old, new) == "the Arrow schema or its metadata"
    pq.write_table(OTHERS, old, row_group_size=2)
    pq.write_table(OTHERS, new, row_group_size=1)
    assert "row group" in str(parquet_difference(old, new))
    pq.write_table(OTHERS.slice(0, 2), new, row_group_size=2)
    assert parquet_difference(old, new) == "the number of rows, or row groups"
    # an Arrow schema hides from Arrow's readers that others see a plain number
    hidden = pa.table({"x": pa.array([1, None], pa.duration("us"))})
    pq.write_table(hidden, old)
    kept = pq.read_metadata(old).metadata
    times = pa.table({"x": pa.array([1, None], pa.time64("us"))})
    with pq.ParquetWriter(new, times.schema, store_schema=False) as writer:
        writer.write_table(times)
        writer.add_key_value_metadata(kept)
    assert parquet_difference(old, new) is not None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ([0.0], [-0.0], False),
        ([float("nan")], [float("nan")], True),
        ([float("nan")], [NAN], False),
        ([None, 1.0], [1.0, None], False),
        ([[0.0, None], []], [[0.0, None], []], True),
        ([[0.0], []], [[-0.0], []], False),
        ([[1.0], []], [[], [1.0]], False),
        ([{"x": 0.0}], [{"x": -0.0}], False),
        ([{"x": None}], [None], False),
        ([None, None], [None, None], True),
    ],
)
def test_cells_are_compared_to_the_bit(first: list[Any], second: list[Any], same: bool) -> None:
    kind = max((pa.array(first).type, pa.array(second).type), key=lambda t: not pa.types.is_null(t))
    assert same_cells(pa.array(first, kind), pa.array(second, kind)) is same


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UnwritableError, match="'a' is int64 in the parent and can't be made int8"):
        cast_rows(pa.table({"a": [300]}), pa.schema([("a", pa.int8())]))


def test_a_partitioned_delta_table_keeps_rows_order_and_settings(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "p": ["b", "a", None, "a"] * 5,
            "n": list(range(20)),
            "day": pa.array([i % 3 for i in range(20)], pa.int32()).cast(pa.date32()),
        }
    )
    write_deltalake(
        tmp_path / "lake/a",
        rows,
        partition_by=["p", "day"],
        name="named",
        description="told",
        configuration={"delta.logRetentionDuration": "interval 60 days"},
    )
    DeltaTable(tmp_path / "lake/a").delete("n = 7")
    (old,) = discover(tmp_path / "lake").sources
    before = read_all(old)
    write_delta(tmp_path / "lake/b", before, delta_manner(old))
    new = next(s for s in discover(tmp_path / "lake").sources if s.table == "b")
    assert delta_difference(old, new, (before, read_all(new))) is None
    assert DeltaTable(tmp_path / "lake/b").metadata().name == "named"
    write_delta(
        tmp_path / "lake/c", before.slice(0, 19).take([1, 0, *range(2, 19)]), delta_manner(old)
    )
    other = next(s for s in discover(tmp_path / "lake").sources if s.table == "c")
    assert delta_difference(old, other, (before, read_all(other))) == "column 'n'"
