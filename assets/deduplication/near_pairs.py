"""What a search for near duplicates found, in linear space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.errors import PairBudgetError
from assets.deduplication.keys import CHUNK, format_keys
from assets.deduplication.order import sorted_rows

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
PAIR_SCHEMA = pl.Schema({"left": pl.String, "right": pl.String, "similarity": pl.Float64})


def pair_frame(
    high: U64, low: U64, left: I64, right: I64, similarity: npt.NDArray[np.float64]
) -> pl.DataFrame:
    """Name pairs of places by their keys: left < right, sorted.

    Parameters
    ----------
    high, low
        (n,) halves of the keys of all places.
    left, right, similarity
        (m,) places and similarities.

    Notes
    -----
    Pairs are sorted as numbers, and each name is held once however many pairs have it.
    """
    nodes = np.unique(np.concatenate([left, right]))
    nodes = nodes[sorted_rows(high[nodes], low[nodes])]
    rank = np.empty(len(high), np.uint64)
    rank[nodes] = np.arange(len(nodes), dtype=np.uint64)
    one, two = rank[left], rank[right]
    packed = (np.minimum(one, two) << np.uint64(32)) | np.maximum(one, two)
    del one, two
    order = np.argsort(packed)
    packed = packed[order]
    names = pl.Series(format_keys(high[nodes], low[nodes]), dtype=pl.String)
    return pl.DataFrame(
        {
            "left": names.gather((packed >> np.uint64(32)).astype(np.uint32)),
            "right": names.gather(packed.astype(np.uint32)),
            "similarity": similarity[order],
        },
        schema=PAIR_SCHEMA,
    )


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

    def keys(self) -> pl.Series:
        """Return every key that has a pair or a twin, sorted; memory beside them is a few names a chunk."""
        parts = [pl.Series("key", [], dtype=pl.String)]
        for column in (self.pairs["left"], self.pairs["right"], self.twins["key"]):
            firsts = range(0, len(column), CHUNK)
            parts += [column[first : first + CHUNK].unique().alias("key") for first in firsts]
        return pl.concat(parts).unique().sort()

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
