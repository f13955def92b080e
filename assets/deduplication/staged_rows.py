"""Rows of staged Parquet files, a few megabytes at a time, in the order of the files.

A lazy frame decodes a row group for each core, some hundreds of megabytes of text at once, whatever is asked of it.
Here one batch is decoded at a time, of as many rows as fill it by the row group's average; a longer record makes a
larger batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assets.kernels.freed_memory import GiveBack

BATCH_BYTES = 4 << 20
MOST_ROWS = 20_000


def staged_batches(
    files: Sequence[Path], columns: Sequence[str], *, batch_bytes: int = BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """Read some columns of Parquet files.

    Parameters
    ----------
    files
        Read one after another.
    columns
        Their names.
    batch_bytes
        About how much a batch holds, by the average of its row group.

    Yields
    ------
    RecordBatch
        At most `MOST_ROWS` rows, and at least one.
    """
    freed = GiveBack(16 * batch_bytes)
    for file in files:
        with pq.ParquetFile(file) as opened:
            for group in range(opened.num_row_groups):
                rows = _rows_a_batch(opened.metadata.row_group(group), columns, batch_bytes)
                for batch in opened.iter_batches(
                    rows, row_groups=[group], columns=list(columns), use_threads=False
                ):
                    if batch.num_rows:
                        yield batch
                        freed.add(batch.nbytes)


def _rows_a_batch(group: pq.RowGroupMetaData, columns: Sequence[str], batch_bytes: int) -> int:
    wanted = set(columns)
    chunks = (group.column(place) for place in range(group.num_columns))
    size: int = sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.path_in_schema.split(".")[0] in wanted
    )
    rows: int = batch_bytes * group.num_rows // max(1, size)
    return max(1, min(MOST_ROWS, rows))
