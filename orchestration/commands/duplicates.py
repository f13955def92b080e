"""`sluice duplicates`: clusters of near duplicates in any files with a text column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
import polars as pl


def duplicates(
    files: Sequence[Path],
    *,
    text: str,
    id_column: str | None,
    similarity: float,
    shingle: str,
    mode: str,
    exhaustive: bool,
    out: Path | None,
    pairs: Path | None,
    as_json: bool,
) -> None:
    """Cluster the records of some files, and write clusters and verified pairs as Parquet."""
    from assets.deduplication.files import duplicates_of_files, file_source

    sources = [source for file in files for source in file_source(file)]
    found = duplicates_of_files(
        sources,
        text,
        similarity,
        shingle,
        id_column=id_column,
        mode=mode,
        exhaustive=exhaustive,
    )
    if out is not None:
        found.clusters.write_parquet(out)
    if pairs is not None:
        found.pairs().write_parquet(pairs)
    dropped = found.clusters.filter(pl.col("id") != pl.col("keeper")).height
    told = {
        "records": found.records,
        "set_aside": found.rejected,
        "clusters": found.clusters["cluster"].n_unique(),
        "dropped": dropped,
        "pairs_verified": found.near.candidates,
        "expected_miss_at_threshold": found.near.expected_miss,
        "largest": found.report.to_dicts(),
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(
        f"{told['records']:,} records, {told['clusters']:,} clusters, {dropped:,} records that another stands for; "
        f"{found.rejected:,} set aside"
    )
    for row in found.report.head(10).iter_rows(named=True):
        told_of = f"weakest pair {row['weakest']:.3f}, diameter {row['diameter']}"
        click.echo(f"  {row['size']:>8,} records, {told_of}  {row['cluster']}")
