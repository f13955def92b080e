"""Replace one partition of a Delta table in one atomic entry, and nothing else of it.

A partition is the rows that have one value in a column of integers. Its rows lie in files of the table's folder like
any others, so that the table may be compacted: a file that also holds other partitions (their bounds in the log tell)
is rewritten without this one's rows. Cost: the rows of the files touched, which
are a partition's own where nothing was compacted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from resources import delta
from resources.staged_table import StagedTable


def commit_partition(
    staged: StagedTable,
    column: str,
    value: int,
    metadata: dict[str, Any],
    *,
    alone: bool = False,
) -> int:
    """Make the staged rows the content of one partition.

    Parameters
    ----------
    staged
        Rows of the partition, all with `value` in `column`; closed.
    column, value
        Which partition.
    metadata
        What the commit says of itself; `alone` is added to it.
    alone
        Whether no other partition stays: the table begins anew.

    Returns
    -------
    int
        The Delta version.

    Raises
    ------
    StoreError
        When another writer committed meanwhile, or the store refused; nothing has changed then.
    """
    table = delta.open_table(staged.uri)
    if table is None or alone:
        return staged.commit({**metadata, "alone": True}, mode="overwrite")
    version = table.version()
    touched = _touched(pl.DataFrame(table.get_add_actions(flatten=True)), column, value)
    if touched:
        rest = (
            pl.scan_parquet([staged.uri / name for name in touched])
            .filter(pl.col(column) != value)
            .collect()
        )
        staged.write(rest)
        staged.close()
    return staged.commit_instead_of(version, touched, {**metadata, "alone": False}, upkeep=False)


def _touched(files: pl.DataFrame, column: str, value: int) -> list[str]:
    """Return the files that may hold rows of a partition; one without bounds may."""
    low, high = f"min.{column}", f"max.{column}"
    if files.is_empty():
        return []
    if low in files.columns and high in files.columns:
        outside = (pl.col(low) > value) | (pl.col(high) < value)
        files = files.filter(~outside.fill_null(value=False))
    return sorted(str(name) for name in files["path"])


def partition_commit(uri: Path, value: int) -> dict[str, Any] | None:
    """Return what the commit says that wrote a partition as it stands, or None where the partition is not there."""
    for _, metadata in delta.commits(uri):
        if metadata.get("partition") == value:
            return metadata
        if metadata.get("alone"):
            return None
    return None
