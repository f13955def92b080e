"""Which records of a cell the plan shows, and how often: by a hash of id and seed, or by quality."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from assets.kernels.keyed_random import uniform

SELECTED = {"record_id": pl.String, "passes": pl.Int64}


def select_records(
    candidates: pl.DataFrame,
    plan: pl.DataFrame,
    *,
    seed: int,
    within: Literal["hash", "best"] = "hash",
) -> pl.DataFrame:
    """Choose the records of every cell of a plan.

    Parameters
    ----------
    candidates
        One row a record that may be published: `record_id`, `group`, `pool`, `quality`.
    plan
        One row a cell: `group`, `pool`, `samples` (showings, repeats included) and `records` (unique ones).
    seed
        Of the recipe.
    within
        `hash` draws by a hash of id and seed; `best` takes the highest quality first, ties by the same hash.

    Returns
    -------
    polars.DataFrame
        `record_id` and `passes` (>= 1) of the records that are shown; passes of a cell sum to its samples.

    Notes
    -----
    A larger budget contains a smaller one: the order inside a cell doesn't depend on the plan.
    Passes differ by at most one
    inside a cell, which is optimal there when repeats are worth less and less, so integers cost nothing.
    """
    drawn = candidates.with_columns(
        pl.Series("_draw", uniform(candidates["record_id"], seed, "publication"), dtype=pl.Float64)
    )
    order = ["_draw", "record_id"]
    descending = [False, False]
    if within == "best":
        order, descending = ["quality", *order], [True, False, False]
    ranked = (
        drawn.sort(order, descending=descending, nulls_last=True)
        .with_columns(_rank=pl.int_range(pl.len()).over("group", "pool"))
        .join(
            plan.select("group", "pool", "samples", "records"),
            on=["group", "pool"],
            how="inner",
            nulls_equal=True,
        )
        .filter(pl.col("_rank") < pl.col("records"), pl.col("records") > 0)
    )
    base = pl.col("samples") // pl.col("records")
    extra = pl.col("samples") % pl.col("records")
    return (
        ranked.with_columns(passes=base + (pl.col("_rank") < extra).cast(pl.Int64))
        .filter(pl.col("passes") > 0)
        .select("record_id", pl.col("passes").cast(pl.Int64))
        .sort("record_id")
    )


def spread(samples: int, records: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return how often each of `records` ranks is shown so that the showings sum to `samples`."""
    if records <= 0:
        return np.zeros(0, dtype=np.int64)
    passes = np.full(records, samples // records, dtype=np.int64)
    passes[: samples % records] += 1
    return passes
