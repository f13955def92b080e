"""What a person wants to see of scores: distributions, agreement, and the records to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids, hash64, uniform
from assets.scoring.protocol import Direction, ScoringError


def histogram(values: NDArray[np.float64], bins: int = 40) -> dict[str, Any]:
    """Summarise a column: counts over equal bins between the 0.5 % and 99.5 % quantiles.

    Parameters
    ----------
    values
        float64, shape (n,); NaN is counted as missing.
    bins
        Number of bins; values beyond the range fall into the outer bins.

    Returns
    -------
    dict
        edges, counts, missing, mean, and the quantiles 0, 0.05, 0.25, 0.5, 0.75, 0.95, 1; JSON
        values only.
    """
    present = np.sort(np.asarray(values, dtype=np.float64))
    present = present[np.isfinite(present)]
    missing = len(values) - len(present)
    if not len(present):
        return {"edges": [], "counts": [], "missing": missing, "mean": None, "quantiles": {}}
    low, high = np.quantile(present, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts, _ = np.histogram(np.clip(present, low, high), edges)
    shares = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    found = np.quantile(present, shares)
    quantiles = {str(q): float(v) for q, v in zip(shares, found, strict=True)}
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "missing": missing,
        "mean": float(present.mean()),
        "quantiles": quantiles,
    }


def keyed_sample(ids: Ids, rows: int, seed: int = 0) -> NDArray[np.int64]:
    """Return positions of at most `rows` records, those with the smallest hash of their id."""
    order = np.argsort(hash64(ids, seed, "statistics sample"), kind="stable")
    return order[:rows]


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank values from 1, ties averaged; NaN stays NaN."""
    ranks = pl.Series(values, dtype=pl.Float64).fill_nan(None).rank("average")
    return np.asarray(ranks.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def correlations(columns: Mapping[str, NDArray[np.float64]]) -> pl.DataFrame:
    """Correlate every pair of columns by Spearman's rho, over the rows that have both.

    Returns
    -------
    polars.DataFrame
        left, right, spearman (null under 3 common rows or for a constant column), rows.
    """
    names = sorted(columns)
    found: list[dict[str, Any]] = []
    for i, left in enumerate(names):
        for right in names[i + 1 :]:
            a, b = np.asarray(columns[left]), np.asarray(columns[right])
            both = ~np.isnan(a) & ~np.isnan(b)
            rho = None
            if both.sum() >= 3:
                x, y = average_ranks(a[both]), average_ranks(b[both])
                x, y = x - x.mean(), y - y.mean()
                scale = float(np.sqrt((x @ x) * (y @ y)))
                rho = float(x @ y) / scale if scale > 0 else None
            found.append({"left": left, "right": right, "spearman": rho, "rows": int(both.sum())})
    schema = {"left": pl.String, "right": pl.String, "spearman": pl.Float64, "rows": pl.Int64}
    return pl.DataFrame(found, schema=schema)


def agreement(
    columns: Mapping[str, NDArray[np.float64]],
    directions: Mapping[str, Direction],
    ids: Ids,
    share: float = 0.5,
    seed: int = 0,
) -> pl.DataFrame:
    """Tell how much each pair of scorers, and each scorer and chance, would keep in common.

    Parameters
    ----------
    columns
        Scorer to float64 of shape (n,).
    directions
        Which end is kept.
    ids
        n ids: they break ties and make the random selection.
    share
        Share that is kept of the rows that have both scores.
    seed
        Key of the random selection.

    Returns
    -------
    polars.DataFrame
        left, right (``random`` is chance), overlap: the share of the left's selection that the
        right's holds too; `share` is what chance gives. Null without common rows.
    """
    if not 0 < share <= 1:
        message = f"share is {share}; it must lie in (0, 1]"
        raise ScoringError(message)
    tie = hash64(ids, seed, "agreement tie")
    keyed = {
        name: np.asarray(values) * (1.0 if directions[name] == "high" else -1.0)
        for name, values in columns.items()
    }
    keyed["random"] = uniform(ids, seed, "agreement with random")
    names = sorted(keyed)
    found: list[dict[str, Any]] = []
    for i, left in enumerate(names):
        for right in names[i + 1 :]:
            both = np.flatnonzero(~np.isnan(keyed[left]) & ~np.isnan(keyed[right]))
            keep = int(np.ceil(share * len(both)))
            overlap = None
            if keep:
                sets = [
                    set(both[np.lexsort((tie[both], -keyed[n][both]))[:keep]].tolist())
                    for n in (left, right)
                ]
                overlap = len(sets[0] & sets[1]) / keep
            found.append({"left": left, "right": right, "overlap": overlap, "rows": len(both)})
    schema = {"left": pl.String, "right": pl.String, "overlap": pl.Float64, "rows": pl.Int64}
    return pl.DataFrame(found, schema=schema)


def extremes(values: NDArray[np.float64], ids: Ids, count: int = 5) -> dict[str, list[str]]:
    """Return ids of the highest, median and lowest records, for people to read.

    Ties are broken by a hash of the id. Keys: ``highest``, ``median``, ``lowest``.
    """
    series = ids if isinstance(ids, pl.Series) else pl.Series("id", ids, dtype=pl.String)
    present = np.flatnonzero(~np.isnan(values))
    tie = hash64(series, 0, "extremes tie")[present]
    order = present[np.lexsort((tie, -np.asarray(values)[present]))]
    middle = max((len(order) - count) // 2, 0)
    picks = {
        "highest": order[:count],
        "median": order[middle : middle + count],
        "lowest": order[::-1][:count],
    }
    return {name: series.gather(rows).to_list() for name, rows in picks.items()}
