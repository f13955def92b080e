"""The plan as a table: its cells, the proportional cut, and the columns of `allocation/plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.plan_inputs import Inputs
from assets.allocation.repetition import Cells, slope_of_passes
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS, Stated
from assets.allocation.tally import sum_by


class CellsError(AllocationError):
    """The table of groups and pools cannot be used; the message names column or row."""


def cells_frame(cells: pl.DataFrame, unit: str) -> pl.DataFrame:
    """Return cells sorted by group and pool: group, pool, available, cost (units per draw)."""
    need = ["group", "pool", "available"] + (["tokens"] if unit == "tokens" else [])
    missing = [c for c in need if c not in cells.columns]
    if missing:
        msg = f"cells: columns {missing} are missing; it has {cells.columns}"
        raise CellsError(msg)
    out = cells.select(
        pl.col("group").cast(pl.String),
        pl.col("pool"),
        pl.col("available").cast(pl.Int64),
        cost=pl.col("tokens").cast(pl.Float64) if unit == "tokens" else pl.lit(1.0),
    ).sort("group", "pool", nulls_last=True)
    if out.height == 0 or int(out["available"].sum()) == 0:
        msg = "cells: no records are available in any group; check what the earlier stages dropped"
        raise CellsError(msg)
    bad = out.filter((pl.col("available") < 0) | (pl.col("cost") <= 0) | pl.col("cost").is_nan())
    if bad.height:
        msg = (
            f"cells: group {bad['group'][0]!r}, pool {bad['pool'][0]}: negative records or no "
            "tokens in a record"
        )
        raise CellsError(msg)
    twice = out.group_by("group", "pool", maintain_order=True).len().filter(pl.col("len") > 1)
    if twice.height:
        msg = (
            f"cells: group {twice['group'][0]!r}, pool {twice['pool'][0]} appears twice; sum the "
            "rows first"
        )
        raise CellsError(msg)
    return out


def proportional_cut(
    table: pl.DataFrame, passes: Mapping[int, float], budget: float | None
) -> np.ndarray:
    """Return samples per cell: `passes` of every record, cut by one factor to fit the budget.

    Whole numbers by largest remainder (ties by group and pool), never beyond the budget or the
    passes.
    """
    available = table["available"].to_numpy().astype(float)
    cost = table["cost"].to_numpy()
    full = available * np.array([passes.get(q, 1.0) for q in table["pool"].to_list()])
    total = float((full * cost).sum())
    factor = 1.0 if budget is None or total <= budget else budget / total
    exact = full * factor
    whole = np.floor(exact + 1e-9)
    left = (total if budget is None else min(budget, total)) - float((whole * cost).sum())
    for i in np.argsort(-(exact - whole), kind="stable"):
        if exact[i] - whole[i] > 1e-9 and cost[i] <= left + 1e-9:
            whole[i] += 1
            left -= cost[i]
    cap = np.ceil(full - 1e-9) if budget is not None else np.floor(full + 1e-9)
    return np.asarray(np.minimum(whole, cap).astype(np.int64))


def plan_frame(
    table: pl.DataFrame,
    samples: np.ndarray,
    lo: Floats,
    hi: Floats,
    values: Floats | None,
    bounds: Sequence[str],
    reasons: Sequence[str],
) -> pl.DataFrame:
    """Return the columns of `allocation/plan`; sampling_prob sums to 1 where anything is drawn."""
    available = table["available"].to_numpy()
    samples = samples.astype(np.int64)
    records = np.minimum(samples, available)
    total = max(int(samples.sum()), 1)
    return pl.DataFrame(
        {
            "group": table["group"],
            "pool": table["pool"],
            "available": table["available"],
            "samples": samples,
            "records": records,
            "passes": np.divide(samples, records, out=np.zeros(samples.size), where=records > 0),
            "sampling_prob": samples / total,
            "marginal_value": pl.Series(
                np.full(samples.size, np.nan) if values is None else values
            ).fill_nan(None),
            "samples_lo80": np.asarray(lo, float),
            "samples_hi80": np.asarray(hi, float),
            "records_lo80": np.minimum(lo, available),
            "records_hi80": np.minimum(hi, available),
            "bound": list(bounds),
            "reason": list(reasons),
        }
    )


def cell_values(inputs: Inputs, stated: Stated, known: np.ndarray, samples: np.ndarray) -> Floats:
    """Return what one more unit of spend on each cell adds: to the sum, or to its group's level.

    NaN for groups without a curve. At a cap it is the value that one more record like the last
    would have, which says where to collect.
    """
    cells = inputs.cells
    size = len(inputs.names)
    effective = sum_by(inputs.group, cells.worth_of(samples.astype(float)), size)[known]
    if stated.kind in SUMS:
        gain = stated.welfare().marginal(effective)
    else:
        gain = stated.level.slope(effective)
    by_group = np.full(size, np.nan)
    by_group[known] = gain
    out = np.full(inputs.group.size, np.nan)
    for i, g in enumerate(inputs.group.tolist()):
        if cells.unique[i] > 0:
            r = float(samples[i] / cells.unique[i])
            once = cells.max_passes[i] <= 1
            slope = 1.0 if once else slope_of_passes(cells.kind, r, float(cells.parameter[i]))
            out[i] = by_group[g] * cells.worth[i] * slope / cells.cost[i]
    return out


def bounds_of(
    cells: Cells, samples: np.ndarray, effective: Floats, floor_effective: Floats
) -> list[str]:
    """Return per cell which bound binds: available, floor, zero or none."""
    out = []
    for i, g in enumerate(cells.group.tolist()):
        if samples[i] > 0 and samples[i] + 1 > cells.unique[i] * cells.max_passes[i]:
            out.append("available")
        elif floor_effective[g] > 0 and effective[g] <= floor_effective[g] * (1 + 1e-9):
            out.append("floor")
        else:
            out.append("none" if samples[i] > 0 else "zero")
    return out
