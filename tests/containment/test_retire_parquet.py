"""Parquet tables of every codec, writer and layout are retired and come back row for row."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.containment.rebuild import read_all
from assets.containment.rebuild_difference import parquet_difference
from tests.containment.retire_lake import Lake, open_lake

START = dt.datetime(2024, 5, 6, 7, 8, 9, 10)


def table(rows: int, start: int = 0) -> pa.Table:
    """Rows of every kind of type; some equal but for their place."""
    numbers = [start + i // 2 for i in range(rows)]
    return pa.table(
        {
            "id": pa.array(numbers, pa.int32()),
            "f": pa.array([(0.0, -0.0, float("nan"), None, 1e-300)[i % 5] for i in numbers]),
            "price": pa.array([Decimal(i).scaleb(-2) for i in numbers], pa.decimal128(12, 2)),
            "at": pa.array(
                [None if i % 7 == 0 else START + dt.timedelta(seconds=i) for i in numbers],
                pa.timestamp("us", "Africa/Lagos"),
            ),
            "word": pa.array([f"word {i % 40}" for i in numbers]).dictionary_encode(),
            "tags": pa.array([[f"tag {i}", None] if i % 3 else None for i in numbers]),
            "place": pa.array(
                [{"x": i, "y": {"z": str(i * i)}} if i % 4 else None for i in numbers]
            ),
            "kinds": pa.array([[("k", i)] for i in numbers], pa.map_(pa.string(), pa.int64())),
            "text": pa.array([f"text {i * 7919 % 104_729} of row {i}" for i in numbers]),
        }
    )


def round_trip(lake: Lake, child: str, equality: str = "typed") -> dict[str, Any]:
    """Retire, delete and restore a table; its files must be the same tables."""
    place = lake.root / child
    kept = lake.root.parent / "kept"
    before = read_all(lake.sources[child])
    files = {file.path: file.path.read_bytes() for file in lake.sources[child].files}
    told = lake.retire(child, "whole.parquet", equality=equality)
    lake.delete(child)
    assert not place.exists()
    lake.restore(child)
    kept.mkdir(exist_ok=True)
    for new, content in files.items():
        old = kept / "old.parquet"
        old.write_bytes(content)
        assert parquet_difference(old, new) is None
        if told["source"]["promise"] == "bytes":
            assert new.read_bytes() == content
    again = open_lake(lake.root, lake.state)
    assert read_all(again.sources[child]).to_pylist().__repr__() == before.to_pylist().__repr__()
    return told


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    (tmp_path / "lake").mkdir()
    pq.write_table(table(3000), tmp_path / "lake/whole.parquet", compression="zstd")
    return tmp_path


@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip", "lz4", "brotli", "none"])
def test_every_codec_comes_back_in_it(codec: str, lake: Path) -> None:
    rows = table(3000).slice(500, 2000)
    pq.write_table(rows, lake / "lake/part.parquet", compression=codec, row_group_size=900)
    round_trip(open_lake(lake / "lake", lake / "state"), "part.parquet")
    metadata = pq.read_metadata(lake / "lake/part.parquet")
    expected = "UNCOMPRESSED" if codec == "none" else codec.upper()
    assert {metadata.row_group(0).column(i).compression for i in range(3)} == {expected}
    assert [metadata.row_group(i).num_rows for i in range(3)] == [900, 900, 200]


def test_rows_that_repeat_in_another_order_and_in_pages_of_version_two(lake: Path) -> None:
    whole = table(3000)
    rows = pa.concat_tables([whole.slice(2000, 500), whole.slice(0, 900), whole.slice(0, 900)])
    pq.write_table(rows, lake / "lake/part.parquet", data_page_version="2.0")
    told = round_trip(open_lake(lake / "lake", lake / "state"), "part.parquet")
    assert told["source"]["promise"] == "rows"
    assert told["certificate"]["rows"] == 2300


def test_a_file_of_spark_is_retired_into_one_of_another_writer(lake: Path) -> None:
    rows = table(3000).slice(100, 2500)
    rows = rows.set_column(4, "word", rows.column("word").cast(pa.string()))
    with pq.ParquetWriter(
        lake / "lake/part.parquet", rows.schema, store_schema=False, store_decimal_as_integer=True
    ) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({"org.apache.spark.version": "3.5.1"})
    # an instant without an Arrow schema is in UTC, which is another type
    round_trip(open_lake(lake / "lake", lake / "state"), "part.parquet", equality="value")
    told = pq.read_metadata(lake / "lake/part.parquet").metadata
    assert told[b"org.apache.spark.version"] == b"3.5.1"


def test_a_folder_in_hive_partitions_comes_back_in_them(lake: Path) -> None:
    whole = table(3000)
    folders = {"day=2024-01-01/n=1": 0, "day=2024-01-02/n=2": 1000}
    days = pa.array([f"2024-01-0{1 + i // 1000}" for i in range(3000)])
    numbers = pa.array([1 + i // 1000 for i in range(3000)])
    pq.write_table(
        whole.append_column("day", days).append_column("n", numbers), lake / "lake/whole.parquet"
    )
    for name, start in folders.items():
        (lake / "lake/parts" / name).mkdir(parents=True)
        pq.write_table(whole.slice(start, 800), lake / "lake/parts" / name / "0.parquet")
    opened = open_lake(lake / "lake", lake / "state")
    assert opened.tables["parts"].columns[-2:] == ["day", "n"]
    round_trip(opened, "parts")
