"""Read evaluations of runs on several pools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.filtering.curve_checks import CurveError
from assets.filtering.decay import Array


@dataclass(frozen=True)
class MixtureRow:
    """One evaluation of a run on several pools."""

    members: tuple[int, ...]
    shares: tuple[float, ...]
    uniques: tuple[float, ...]
    samples: float
    error: float
    run: str


def mixture_members(name: str, pools: set[str]) -> tuple[str, ...] | None:
    """Return the pools that a name like ``a+b`` joins, None where it is no mixture of ``pools``."""
    parts = tuple(part.strip() for part in name.split("+"))
    return parts if len(parts) > 1 and all(part in pools for part in parts) else None


def parse_shares(text: str | None, count: int, fallback: Array, where: str) -> Array:
    """Return shares that sum to one from ``0.5+0.5``; without text from ``fallback`` sizes."""
    if text is None or not str(text).strip():
        return np.asarray(fallback / fallback.sum())
    try:
        shares = np.array([float(part) for part in str(text).split("+")])
    except ValueError as error:
        message = f"{where}: weights {text!r} are not numbers joined by '+'"
        raise CurveError(message) from error
    if (
        len(shares) != count
        or (shares < 0).any()
        or not np.isfinite(shares).all()
        or shares.sum() <= 0
    ):
        message = (
            f"{where}: weights {text!r} do not give one non-negative share to each of {count} pools"
        )
        raise CurveError(message)
    return np.asarray(shares / shares.sum())


def read_mixtures(
    rows: pl.DataFrame,
    mixed: dict[str, tuple[str, ...]],
    number: dict[str, int],
    sizes: Array,
    ceiling: float,
) -> tuple[MixtureRow, ...]:
    """Return the evaluations of mixtures; ``rows`` has every default filled in."""
    out = []
    for row in rows.sort("pool", "samples_seen", "run_id", "metric_value").iter_rows(named=True):
        members = np.array([number[name] for name in mixed[row["pool"]]])
        total = row["pool_unique"]
        shares = parse_shares(
            row["weights"], len(members), sizes[members], f"curves, row {row['_row']}"
        )
        whole = abs(total - sizes[members].sum()) <= 1e-6 * total
        # a part of each pool was drawn unless the unique count says that the pools were used whole
        uniques = sizes[members] if whole else np.maximum(shares * total, 1e-12)
        value = row["metric_value"]
        out.append(
            MixtureRow(
                tuple(int(m) for m in members),
                tuple(float(s) for s in shares),
                tuple(float(u) for u in uniques),
                float(row["samples_seen"]),
                float(ceiling - value if ceiling else value),
                str(row["run_id"]),
            )
        )
    return tuple(out)
