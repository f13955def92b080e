"""From contents to records: exact duplicates, and the table of records with a twin.

Records of equal content are exact duplicates. One of them stands for the content, chosen by the
recipe's order columns and then the record id, which is a hash of table and row: never by position.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from assets.deduplication.clusters import CLUSTER_SCHEMA

DUPLICATE_SCHEMA = pl.Schema(
    {
        "record_id": pl.String,
        "cluster": pl.String,
        "kind": pl.String,
        "keeper": pl.String,
        "similarity": pl.Float64,
        "label_conflict": pl.Boolean,
    }
)


def content_survivors(records: pl.DataFrame, order: Sequence[str] = ()) -> pl.DataFrame:
    """Choose the record that stands for each content.

    Parameters
    ----------
    records
        record_id, content_id and the columns of `order`.
    order
        Columns, most important first, ascending, nulls last; ties go to the smaller record id.

    Returns
    -------
    DataFrame
        content_id, survivor (a record id), copies (Int64) and the survivor's order columns;
        sorted by content_id.
    """
    by = [*order, "record_id"]
    copies = records.group_by("content_id").agg(copies=pl.len().cast(pl.Int64))
    return (
        records.filter(pl.col("content_id").is_not_null())
        .sort(by, nulls_last=True)
        .unique("content_id", keep="first", maintain_order=True)
        .select("content_id", *order, survivor="record_id")
        .join(copies, on="content_id")
        .select("content_id", "survivor", "copies", *order)
        .sort("content_id")
    )


def content_rank(survivors: pl.DataFrame, order: Sequence[str] = ()) -> pl.DataFrame:
    """Return the survivor order of contents (`key`, order columns) that `star_clusters` takes."""
    return survivors.select(pl.col("content_id").alias("key"), *order)


def duplicate_records(
    records: pl.DataFrame,
    clusters: pl.DataFrame | None = None,
    order: Sequence[str] = (),
    *,
    label: str | None = "label",
) -> pl.DataFrame:
    """List every record that has a twin, exact or near, with the record that is kept instead.

    Parameters
    ----------
    records
        record_id, content_id, the order columns and, unless `label` is None, the label. Only the
        records that may be kept or dropped: leave evaluation and target rows out.
    clusters
        key (content id), cluster, keeper, similarity from `star_clusters` or `component_clusters`
        on `content_rank(content_survivors(records, order), order)`; None: exact only.
    order
        As given to `content_survivors`.
    label
        The column with the label, or None.

    Returns
    -------
    DataFrame
        record_id, cluster (the smallest content id of the component), kind, keeper, similarity,
        label_conflict; sorted by record id. A kept record names itself as keeper with similarity
        1; its kind is "exact" if its content has copies and else "near". A dropped record is
        "exact" if its keeper has its content. `label_conflict` is true where the records that
        share a keeper carry two labels or more (nulls are no label).
    """
    survivors = content_survivors(records, order)
    if clusters is None:
        clusters = pl.DataFrame(schema=CLUSTER_SCHEMA)
    contents = (
        survivors.join(clusters, left_on="content_id", right_on="key", how="left")
        .filter((pl.col("copies") > 1) | pl.col("cluster").is_not_null())
        .with_columns(
            cluster=pl.coalesce("cluster", "content_id"),
            kept_content=pl.coalesce("keeper", "content_id"),
            similarity=pl.when(pl.col("keeper").is_null()).then(1.0).otherwise("similarity"),
        )
    )
    kept = survivors.select(kept_content="content_id", kept_record="survivor")
    contents = contents.join(kept, on="kept_content", how="left").select(
        "content_id", "cluster", "kept_content", "kept_record", "similarity", "copies"
    )
    columns = ["record_id", "content_id", *([label] if label is not None else [])]
    found = records.select(columns).join(contents, on="content_id")
    found = found.with_columns(
        kind=pl.when((pl.col("kept_content") == pl.col("content_id")) & (pl.col("copies") > 1))
        .then(pl.lit("exact"))
        .otherwise(pl.lit("near")),
        keeper=pl.col("kept_record"),
    )
    if label is None:
        found = found.with_columns(label_conflict=pl.lit(value=False))
    else:
        found = found.with_columns(
            label_conflict=pl.col(label).drop_nulls().n_unique().over("keeper") > 1
        )
    return found.select(list(DUPLICATE_SCHEMA)).cast(DUPLICATE_SCHEMA).sort("record_id")
