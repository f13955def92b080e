"""Turn a plan into what trainers read: sampler weights, probabilities, a CSV, a blend list."""

from __future__ import annotations

from typing import Any

import polars as pl

from assets.allocation.errors import AllocationError


class ExportError(AllocationError):
    """Rows and plan do not fit together; the message names the cell."""


def sampler_weights(plan: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return one weight a row for a weighted sampler.

    Parameters
    ----------
    plan
        `allocation/plan`.
    rows
        Published rows with record_id, group, pool.

    Returns
    -------
    DataFrame
        record_id, weight (Float64), in the order of `rows`; the weights of a cell sum to its
        sampling_prob.
    """
    counts = rows.group_by("group", "pool").len("rows_in_cell")
    keyed = (
        rows.select("record_id", "group", "pool")
        .join(counts, on=["group", "pool"], how="left", nulls_equal=True, maintain_order="left")
        .join(
            plan.select("group", "pool", "sampling_prob"),
            on=["group", "pool"],
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
    )
    lost = keyed.filter(pl.col("sampling_prob").is_null())
    if lost.height:
        msg = (
            f"plan: no row for group {lost['group'][0]!r}, pool {lost['pool'][0]}, which holds "
            "published rows"
        )
        raise ExportError(msg)
    return keyed.select("record_id", weight=pl.col("sampling_prob") / pl.col("rows_in_cell"))


def interleave(plan: pl.DataFrame, *, by: str = "group") -> dict[str, Any]:
    """Return names and probabilities for interleaving one data set a group (or pool)."""
    totals = plan.group_by(by).agg(pl.col("samples").sum()).filter(pl.col("samples") > 0).sort(by)
    whole = float(totals["samples"].sum())
    return {
        "names": totals[by].to_list(),
        "probabilities": [s / whole for s in totals["samples"].to_list()],
        "stopping_strategy": "all_exhausted",
    }


def blend_list(plan: pl.DataFrame, *, prefix: str = "") -> list[str]:
    """Return alternating weights and paths `<prefix><group>/pool=<pool>` (without pools the group's)."""
    out: list[str] = []
    for group, pool, prob in (
        plan.filter(pl.col("samples") > 0).select("group", "pool", "sampling_prob").iter_rows()
    ):
        path = f"{prefix}{group}" if pool is None else f"{prefix}{group}/pool={pool}"
        out += [f"{prob:.10g}", path]
    return out


def as_csv(plan: pl.DataFrame) -> str:
    """Return the plan as CSV text with a header."""
    return plan.write_csv()
