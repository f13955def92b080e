"""Training rows that are twins of rows which must stay unseen.

Rows of the roles evaluation and target are never published and never dropped as duplicates of
training rows; it is the training row that goes, and it says which row it repeats.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

CONTAMINATION_SCHEMA = pl.Schema(
    {
        "record_id": pl.String,
        "against": pl.String,
        "role": pl.String,
        "kind": pl.String,
        "similarity": pl.Float64,
    }
)
PROTECTED = ("evaluation", "target")


def contamination(
    records: pl.DataFrame,
    pairs: pl.DataFrame,
    twins: pl.DataFrame | None = None,
    *,
    protected: Sequence[str] = PROTECTED,
    train: str = "train",
) -> pl.DataFrame:
    """Find the training records that repeat a protected record, exactly or nearly.

    Parameters
    ----------
    records
        record_id, content_id, role.
    pairs
        left, right, similarity: verified pairs of content ids.
    twins
        key, representative: contents that are equal as sets of shingles, if `pairs` speaks of
        representatives.
    protected, train
        The roles.

    Returns
    -------
    DataFrame
        record_id, against (the protected record), role (its role), kind (exact: the same content;
        near), similarity; one row a contaminated training record, sorted. Of several protected
        records the most similar is named, equal content before equal shingles, then the order of
        `protected`, then the smallest id. Cost: joins on the protected rows.
    """
    roles = pl.DataFrame(
        {"role": list(protected), "role_rank": range(len(protected))},
        schema={"role": pl.String, "role_rank": pl.Int64},
    )
    by_group = records.select("record_id", "content_id", "role").filter(
        pl.col("content_id").is_not_null()
    )
    if twins is not None:
        by_group = by_group.join(twins, left_on="content_id", right_on="key", how="left")
        by_group = by_group.with_columns(group=pl.coalesce("representative", "content_id"))
    else:
        by_group = by_group.with_columns(group=pl.col("content_id"))
    guarded = (
        by_group.join(roles, on="role")
        .sort("role_rank", "record_id")
        .unique("content_id", keep="first", maintain_order=True)
        .select("group", "role", "role_rank", against="record_id", other="content_id")
    )
    # one row a content and one a group, so that many copies never multiply
    one_a_group = guarded.sort("role_rank", "against").unique("group", keep="first")
    candidates = by_group.filter(pl.col("role") == train).select("record_id", "content_id", "group")
    exact = candidates.join(guarded.drop("group"), left_on="content_id", right_on="other").select(
        "record_id", "against", "role", "role_rank", kind=pl.lit("exact"), similarity=pl.lit(1.0)
    )
    same_set = candidates.join(one_a_group, on="group").select(
        "record_id", "against", "role", "role_rank", kind=pl.lit("near"), similarity=pl.lit(1.0)
    )
    both_ways = pl.concat(
        [
            pairs.select(group="left", guarded="right", similarity="similarity"),
            pairs.select(group="right", guarded="left", similarity="similarity"),
        ]
    )
    near_groups = both_ways.join(one_a_group, left_on="guarded", right_on="group")
    near_groups = near_groups.sort(
        ["similarity", "role_rank", "against"], descending=[True, False, False]
    ).unique("group", keep="first")
    near = candidates.join(near_groups, on="group").select(
        "record_id", "against", "role", "role_rank", kind=pl.lit("near"), similarity="similarity"
    )
    return (
        pl.concat([exact, same_set, near])
        .sort(
            ["similarity", "kind", "role_rank", "against"], descending=[True, False, False, False]
        )
        .unique("record_id", keep="first", maintain_order=True)
        .select(list(CONTAMINATION_SCHEMA))
        .cast(CONTAMINATION_SCHEMA)
        .sort("record_id")
    )
