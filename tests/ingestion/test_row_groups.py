"""A row group of any size is read piece by piece: what is held doesn't grow with it."""

from __future__ import annotations

import gc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from assets.ingestion import parquet_files
from assets.ingestion.discover import discover
from assets.ingestion.model import MIB, Source
from assets.ingestion.read import read

ROWS = 1_000_000
COLUMNS = [f"n{i}" for i in range(8)]


@pytest.fixture(scope="module")
def numbers() -> pa.Table:
    draw = np.random.default_rng(5)
    return pa.table({name: draw.integers(0, 2**62, ROWS) for name in COLUMNS})


def lake_of(folder, table: pa.Table, *, delta: bool, codec: str) -> Source:
    """Write a table with all its rows, 61 MiB, in one row group."""
    if delta:
        write_deltalake(folder / "t", table.slice(0, 0))
        write_deltalake(folder / "t", table, mode="append")
    else:
        pq.write_table(
            table,
            folder / "t.parquet",
            compression=codec,
            use_dictionary=False,
            row_group_size=ROWS,
        )
    (source,) = discover(folder).sources
    return source


def most_held(source: Source) -> int:
    """Read a source and return the most bytes that Arrow held meanwhile."""
    gc.collect()
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in read(source, batch_rows=8192):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == ROWS
    return most


@pytest.mark.parametrize(
    ("delta", "codec"), [(False, "none"), (False, "snappy"), (False, "zstd"), (True, "")]
)
def test_what_is_held_is_a_few_pages(tmp_path, numbers, delta, codec):
    source = lake_of(tmp_path, numbers, delta=delta, codec=codec)
    assert most_held(source) < 24 * MIB


def test_without_a_buffer_the_whole_row_group_is_held(tmp_path, numbers, monkeypatch):
    """The test above can tell: this is what it would see."""
    source = lake_of(tmp_path, numbers, delta=False, codec="none")
    monkeypatch.setattr(parquet_files, "_BUFFER_BYTES", 0)
    assert most_held(source) > 60 * MIB
