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


class HoldOut:
    """Decide for contents whether they are held out.

    Parameters
    ----------
    components
        key, cluster from `clusters.components`: contents with twins. Contents that it lacks are
        components of their own.
    share
        Expected share of components, 0 to 1.
    seed
        Of the hash.
    previously_held
        Content ids that were held out by earlier releases.

    Raises
    ------
    SimilarityError
        `share` lies outside 0 to 1.
    """

    def __init__(
        self,
        components: pl.DataFrame,
        share: float,
        seed: int,
        previously_held: Collection[str] = frozenset(),
    ) -> None:
        if not 0.0 <= share <= 1.0:
            message = f"holdout share {share} must lie between 0 and 1"
            raise SimilarityError(message)
        self._clusters = components.select("key", "cluster")
        self._share, self._seed = share, seed
        before = pl.Series("cluster", list(previously_held), dtype=pl.String)
        linked = components.filter(pl.col("key").is_in(before.implode()))["cluster"]
        self._fixed = pl.concat([before, linked]).unique()

    def of(self, content_ids: pl.Series) -> pl.Series:
        """Say for each of some contents whether it is held out; null never is. Cost: one hash a component."""
        clusters = (
            content_ids.to_frame("key")
            .join(self._clusters, on="key", how="left", maintain_order="left")
            .select(pl.coalesce("cluster", "key").alias("cluster"))
        )
        names = clusters["cluster"].drop_nulls().unique()
        drawn = [hold_draw(name, self._seed) < self._share for name in names]
        held = pl.concat([names.filter(pl.Series(drawn, dtype=pl.Boolean)), self._fixed])
        return clusters.select(
            pl.col("cluster").is_in(held.implode()).fill_null(value=False)
        ).to_series()


def hold_draw(cluster: str, seed: int) -> float:
    """Return the number in [0, 1) that decides on a component: 53 bits of a seeded hash."""
    bits = xxhash.xxh3_128_intdigest(f"holdout\0{seed}\0{cluster}".encode()) >> 75
    return float(np.ldexp(float(bits), -53))
