"""Which contents are held out: whole clusters of twins, by a hash, and for good.

A component is held out if the hash of (seed, its smallest content id), as a number in [0, 1), is
below the share. So the held-out set of a smaller share lies within that of a larger one, and rows
that come or go elsewhere change nothing. A component that contains a content which was held out
before stays held out whole, so nothing once held out is ever trained on, nor are its twins.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import polars as pl
import xxhash

from assets.deduplication.errors import SimilarityError


def held_out(
    components: pl.DataFrame,
    content_ids: pl.Series,
    share: float,
    seed: int,
    previously_held: Collection[str] = frozenset(),
) -> pl.DataFrame:
    """Decide for each content whether it is held out.

    Parameters
    ----------
    components
        key, cluster from `clusters.components`: contents with twins. Contents that it lacks are
        components of their own; keys outside `content_ids` link contents all the same.
    content_ids
        The contents to decide on; repeated ones are decided once.
    share
        Expected share of components, 0 to 1.
    seed
        Of the hash.
    previously_held
        Content ids that were held out by earlier releases.

    Returns
    -------
    DataFrame
        content_id, held_out (Boolean), sorted by content_id. Cost: one hash a component.

    Raises
    ------
    SimilarityError
        `share` lies outside 0 to 1.
    """
    if not 0.0 <= share <= 1.0:
        message = f"holdout share {share} must lie between 0 and 1"
        raise SimilarityError(message)
    table = (
        pl.DataFrame({"content_id": content_ids.cast(pl.String).drop_nulls().unique()})
        .join(components.rename({"key": "content_id"}), on="content_id", how="left")
        .with_columns(pl.coalesce("cluster", "content_id").alias("cluster"))
    )
    before = pl.Series("key", list(previously_held), dtype=pl.String)
    linked = components.filter(pl.col("key").is_in(before.implode()))["cluster"]
    fixed = pl.concat([before, linked.rename("key")]).unique()
    clusters = table["cluster"].unique().sort()
    draws = pl.DataFrame(
        {"cluster": clusters, "draw": [hold_draw(name, seed) for name in clusters]},
        schema={"cluster": pl.String, "draw": pl.Float64},
    )
    return (
        table.join(draws, on="cluster")
        .select(
            "content_id",
            held_out=(pl.col("draw") < share) | pl.col("cluster").is_in(fixed.implode()),
        )
        .sort("content_id")
    )


def hold_draw(cluster: str, seed: int) -> float:
    """Return the number in [0, 1) that decides on a component: 53 bits of a seeded hash."""
    bits = xxhash.xxh3_128_intdigest(f"holdout\0{seed}\0{cluster}".encode()) >> 75
    return float(np.ldexp(float(bits), -53))
