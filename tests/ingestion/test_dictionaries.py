"""Strings that a file stores as a small dictionary can be read as one, with the same values."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from assets.ingestion.discover import discover
from assets.ingestion.read import read

ROWS = 40_000
TABLE = pa.table(
    {
        "town": pa.array([None if i % 50 == 0 else f"a long name {i % 7}" for i in range(ROWS)]),
        "code": pa.array([f"unique {i}" for i in range(ROWS)]),
        "number": pa.array(range(ROWS)),
        "nested": pa.array([{"town": f"t{i % 3}"} for i in range(ROWS)]),
    }
)


@pytest.mark.parametrize("kind", ["parquet", "delta"])
@pytest.mark.parametrize("large", [False, True])
def test_values_are_the_same(tmp_path, kind, large):
    table = TABLE
    if large:  # another physical type than the stream's
        table = table.set_column(0, "town", table["town"].cast(pa.large_string()))
    if kind == "parquet":
        pq.write_table(table, tmp_path / "t.parquet", row_group_size=20_000)
    else:
        write_deltalake(tmp_path / "t", table)
    (source,) = discover(tmp_path).sources
    plain = list(read(source, batch_rows=7000))
    encoded = list(read(source, batch_rows=7000, dictionaries=True))
    kinds = {field.name: field.type for field in encoded[0].schema}
    assert kinds["code"] == pa.string()
    if not large:
        assert kinds["town"] == pa.dictionary(pa.int32(), pa.string())
    decoded = [pa.Table.from_batches([batch]).cast(plain[0].schema) for batch in encoded]
    assert pl.DataFrame(pa.concat_tables(decoded)).equals(
        pl.DataFrame(pa.Table.from_batches(plain))
    )


def test_small_row_groups_are_read_together(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=100)
    (source,) = discover(tmp_path).sources
    sizes = [batch.num_rows for batch in read(source, batch_rows=ROWS, dictionaries=True)]
    assert sizes == [ROWS]
