"""What a search for near duplicates found, in linear space."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from assets.deduplication.errors import PairBudgetError


@dataclass(frozen=True)
class NearPairs:
    """Near duplicates without the quadratic part.

    Attributes
    ----------
    pairs
        left, right, similarity: verified pairs of distinct sets, each set standing for all texts
        that have it; left < right.
    twins
        key, representative: every text whose set of shingles another text has too, with the
        smallest key of its group (itself included). Similarity within a group is 1.
    candidates
        How many pairs were verified.
    large_buckets
        How many buckets were too large to be enumerated in full: where it is not 0, pairs within
        very large families may be left out (never the pairs with the survivors of a bucket).
    expected_miss
        The expected share of pairs *at* the threshold that no band joins.
    """

    pairs: pl.DataFrame
    twins: pl.DataFrame
    candidates: int
    large_buckets: int
    expected_miss: float

    def expanded(self, *, limit: int = 50_000_000) -> pl.DataFrame:
        """Return every pair of texts: left, right, similarity, left < right, sorted.

        Raises
        ------
        PairBudgetError
            There are more than `limit` pairs (n copies of one text make n (n - 1) / 2); use
            `pairs` and `twins`, which the functions on clusters take as they are.
        """
        group = self.twins.group_by("representative").agg("key")
        size = dict(zip(group["representative"], group["key"].list.len(), strict=True))
        count = sum(m * (m - 1) // 2 for m in size.values()) + sum(
            size.get(a, 1) * size.get(b, 1)
            for a, b in zip(self.pairs["left"], self.pairs["right"], strict=True)
        )
        if count > limit:
            message = (
                f"{count} pairs are more than the limit of {limit}; use pairs and twins, or raise "
                "the limit"
            )
            raise PairBudgetError(message)
        within = (
            self.twins.join(self.twins, on="representative", suffix="_other")
            .filter(pl.col("key") < pl.col("key_other"))
            .select(left="key", right="key_other", similarity=pl.lit(1.0))
        )
        between = self.pairs
        for side in ("left", "right"):
            between = (
                between.join(self.twins, left_on=side, right_on="representative", how="left")
                .with_columns(pl.coalesce("key", side).alias(side))
                .drop("key")
            )
        between = between.select(
            left=pl.min_horizontal("left", "right"),
            right=pl.max_horizontal("left", "right"),
            similarity="similarity",
        )
        return pl.concat([within, between]).sort("left", "right")
