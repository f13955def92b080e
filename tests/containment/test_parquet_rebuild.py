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

from assets.containment.parquet_rebuild import (
    UnwritableError,
    cast_rows,
    delta_difference,
    delta_manner,
    parquet_difference,
    parquet_manner,
    same_cells,
    write_delta,
    write_parquet,
)
from assets.containment.rebuild import read_all
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


def test_int96_times_stay_int96(tmp_path: Path) -> None:
    times = pa.table({"t": pa.array([1_600_000_000_000_000, None], pa.timestamp("us"))})
    pq.write_table(times, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    write_parquet(tmp_path / "b.parquet", times, parquet_manner(tmp_path / "a.parquet"))
    assert parquet_difference(tmp_path / "a.parquet", tmp_path / "b.parquet") is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.replace_schema_metadata({"who": "you"}), "the Arrow schema or its metadata"),
        (lambda t: t.set_column(0, "i", t.column("i").cast("int32")), "the Arrow schema"),
        (lambda t: t.set_column(1, "f", pa.array([0.0] * 200)), "column 'f'"),
        (lambda t: t.slice(0, 199), "column 'i' in row group 0"),
    ],
)
def test_differences_are_named(change: Any, expected: str, tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "a.parquet")
    pq.write_table(change(ROWS), tmp_path / "b.parquet")
    found = parquet_difference(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert found is not None
    assert expected in found


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


def test_a_delta_table_with_column_mapping_is_not_written_again(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "lake/a", pa.table({"x": [1]}))
    (old,) = discover(tmp_path / "lake").sources
    manner = delta_manner(old)
    manner["configuration"] = {"delta.columnMapping.mode": "name"}
    with pytest.raises(UnwritableError, match="column mapping"):
        write_delta(tmp_path / "b", pa.table({"x": [1]}), manner)
    assert not (tmp_path / "b").exists()
