"""What the pools hold, and how many of their samples a budget buys."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from resources.recipe import Recipe


@dataclass(frozen=True)
class PoolSizes:
    """Hold trainable records by pool, the size of a mean record in the budgets' unit, and what the cap allows.

    ``reachable``: samples after which every pool is at the recipe's cap on passes.
    """

    records: dict[str, int]
    unit_size: float
    reachable: float

    def spent(self, amount: float) -> float:
        """Return samples for a budget in the recipe's unit; what lies beyond the cap is left."""
        return min(amount / self.unit_size, self.reachable)


def measure_pools(pools: pl.DataFrame, recipe: Recipe) -> PoolSizes:
    """Count ``filtering/pools`` (columns pool, held_out, tokens) without the records held out."""
    kept = pools.filter(~pl.col("held_out"))
    records = {
        str(pool): count for pool, count in kept.group_by("pool").len().sort("pool").iter_rows()
    }
    mean_tokens = float(kept.select(pl.col("tokens").mean()).item() or 1.0)
    return PoolSizes(
        records,
        1.0 if recipe.unit == "records" else mean_tokens,
        float(recipe.filtering.max_passes * sum(records.values())),
    )
