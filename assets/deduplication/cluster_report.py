"""The largest clusters of twins: how many records, how far they reach, and which two to look at side by side."""

from __future__ import annotations

import polars as pl

from assets.deduplication.clusters import component_report

MOST = 20
CLUSTER_REPORT_SCHEMA = pl.Schema(
    {
        "cluster": pl.String,
        "records": pl.Int64,
        "kept": pl.Int64,
        "bytes_saved": pl.Int64,
        "pairs": pl.Int64,
        "weakest": pl.Float64,
        "diameter": pl.Int64,
        "record_id": pl.String,
        "twin_id": pl.String,
        "similarity": pl.Float64,
    }
)


def largest_clusters(
    duplicates: pl.DataFrame,
    contents: pl.DataFrame,
    pairs: pl.DataFrame,
    twins: pl.DataFrame,
    *,
    most: int = MOST,
) -> pl.DataFrame:
    """Describe the largest clusters.

    Parameters
    ----------
    duplicates
        `deduplication/duplicates`.
    contents
        record_id, content_id, length (bytes) of at least the records of `duplicates`.
    pairs, twins
        Verified near duplicates of contents, as `NearDuplicates.collapsed` returns them.
    most
        How many clusters.

    Returns
    -------
    DataFrame
        cluster, records, kept, bytes_saved (of the records that are not kept), pairs (verified, of distinct sets),
        weakest (the smallest similarity of a pair), diameter (steps between the two contents farthest apart, as
        `component_report` has it; 0: all are copies), and two records: one that is kept and the least similar one
        dropped for it, with their similarity (null: never compared). Largest first, then by cluster.
    """
    members = duplicates.join(contents, on="record_id", how="left")
    away = pl.col("record_id") != pl.col("keeper")
    sizes = (
        members.group_by("cluster")
        .agg(
            records=pl.len().cast(pl.Int64),
            kept=(~away).sum().cast(pl.Int64),
            bytes_saved=pl.col("length").filter(away).sum().cast(pl.Int64),
        )
        .sort(["records", "cluster"], descending=[True, False])
        .head(most)
    )
    inside = members.join(sizes, on="cluster", how="semi")
    keys = inside["content_id"].unique()
    edges = pairs.filter(
        pl.col("left").is_in(keys.implode()), pl.col("right").is_in(keys.implode())
    )
    near = component_report(
        edges, twins.filter(pl.col("key").is_in(keys.implode())), largest=max(1, most)
    )
    shown = (
        inside.filter(away)
        .sort("similarity", "record_id", nulls_last=False)
        .unique("cluster", keep="first", maintain_order=True)
        .select("cluster", "similarity", record_id="keeper", twin_id="record_id")
    )
    return (
        sizes.join(
            near.select("cluster", "weakest", "diameter", pairs="edges"), on="cluster", how="left"
        )
        .join(shown, on="cluster", how="left")
        .with_columns(
            pl.col("pairs").fill_null(0),
            pl.col("diameter").fill_null(0),
            pl.col("weakest").fill_null(1.0),
        )
        .select(list(CLUSTER_REPORT_SCHEMA))
        .cast(CLUSTER_REPORT_SCHEMA)
        .sort(["records", "cluster"], descending=[True, False])
    )
