"""Streaming top-k of keyed rows, mergeable and free of order.

A buffer of at most 2k rows with a threshold prefilter: O(n) time, O(k) memory. The alternative, a
full sort, needs all rows at once. Equal keys are ordered by a hash of the id, then by the id, never
by position, so the same k rows are kept for any order, batch size or number of shards, and the rows
kept for k are among those kept for k + 1.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids, hash64, uniform_from_hash


class TopKError(ValueError):
    """A top-k that cannot be computed from what was given."""


def _series(keys: NDArray[np.float64], ids: Ids) -> pl.Series:
    series = ids if isinstance(ids, pl.Series) else pl.Series("id", ids, dtype=pl.String)
    if keys.shape != (len(series),):
        message = f"{len(series)} ids with keys of shape {keys.shape}; give one key a row"
        raise TopKError(message)
    return series.cast(pl.String)


class TopK:
    """Keep the k rows with the largest keys.

    Parameters
    ----------
    k
        Rows to keep, at least 0.
    seed
        Decides which of equal keys comes first.

    Notes
    -----
    Rows whose key is NaN are never kept; `missing` counts them. ``+inf`` and ``-inf`` are ordinary
    keys.
    """

    def __init__(self, k: int, seed: int = 0) -> None:
        if k < 0:
            message = f"k is {k}; a top-k keeps 0 rows or more"
            raise TopKError(message)
        self.k = k
        self.seed = seed
        self.seen = 0
        self.missing = 0
        self._parts: list[pl.DataFrame] = []
        self._held = 0
        self._threshold = -np.inf

    def update(self, keys: NDArray[np.float64], ids: Ids) -> TopK:
        """Take in a batch: `keys` float64 of shape (n,), `ids` n strings. Returns itself."""
        values = np.asarray(keys, dtype=np.float64)
        series = _series(values, ids)
        self.seen += len(values)
        absent = np.isnan(values)
        self.missing += int(absent.sum())
        # equal to the threshold must pass: ties are decided by hash
        wanted = ~absent & (values >= self._threshold)
        if self.k and wanted.any():
            rows = np.flatnonzero(wanted)
            kept = series.gather(rows)
            tie = hash64(kept, self.seed, "top-k tie")
            self._push(pl.DataFrame({"id": kept, "key": values[rows], "tie": tie}))
        return self

    def merge(self, other: TopK) -> TopK:
        """Return the top-k of both; neither operand changes."""
        if (self.k, self.seed) != (other.k, other.seed):
            mine = f"top-{self.k} of seed {self.seed}"
            message = f"cannot merge a {mine} with a top-{other.k} of seed {other.seed}"
            raise TopKError(message)
        both = TopK(self.k, self.seed)
        for part in [*self._parts, *other._parts]:
            both._push(part)
        both.seen = self.seen + other.seen
        both.missing = self.missing + other.missing
        return both

    def result(self) -> pl.DataFrame:
        """Return the kept rows, best first: columns id (String) and key (Float64)."""
        self._shrink()
        if not self._parts:
            return pl.DataFrame(schema={"id": pl.String, "key": pl.Float64})
        return self._parts[0].select("id", "key")

    def _push(self, part: pl.DataFrame) -> None:
        self._parts.append(part)
        self._held += part.height
        if self._held >= 2 * max(self.k, 512):
            self._shrink()

    def _shrink(self) -> None:
        if not self._parts:
            return
        kept = (
            pl.concat(self._parts)
            .sort(["key", "tie", "id"], descending=[True, False, False])
            .head(self.k)
        )
        self._parts, self._held = [kept], kept.height
        if kept.height == self.k and self.k:
            self._threshold = float(kept["key"][-1])


def top_k(keys: NDArray[np.float64], ids: Ids, k: int, seed: int = 0) -> pl.DataFrame:
    """Return the k rows with the largest keys, best first (columns id, key); NaN is never taken."""
    return TopK(k, seed).update(keys, ids).result()


def gumbel_keys(
    log_weights: NDArray[np.float64],
    ids: Ids,
    seed: int,
    purpose: str = "gumbel top-k",
    temperature: float = 1.0,
) -> NDArray[np.float64]:
    """Perturb log weights so that their top-k is a weighted sample without replacement.

    Parameters
    ----------
    log_weights
        float64, shape (n,); NaN stays NaN.
    ids
        n strings; the noise belongs to the id.
    seed, purpose
        Key of the noise.
    temperature
        Above 0; the sample follows ``exp(log_weights / temperature)``.

    Returns
    -------
    numpy.ndarray
        float64, shape (n,).

    Notes
    -----
    The top-k of ``s / T + Gumbel`` draws k rows without replacement with probabilities in
    proportion to ``exp(s / T)`` (Vieira 2014; Kool, van Hoof and Welling 2019, section 2.2).
    """
    if not temperature > 0:
        message = f"temperature is {temperature}; it must be above 0"
        raise TopKError(message)
    noise = -np.log(-np.log(uniform_from_hash(hash64(ids, seed, purpose))))
    return np.asarray(log_weights, dtype=np.float64) / temperature + noise


def gumbel_top_k(
    log_weights: NDArray[np.float64],
    ids: Ids,
    k: int,
    seed: int,
    purpose: str = "gumbel top-k",
    temperature: float = 1.0,
) -> pl.DataFrame:
    """Sample k rows without replacement with weights ``exp(log_weights / temperature)``.

    See `gumbel_keys` for the parameters. Returns columns id and key, first draw first.
    """
    return top_k(gumbel_keys(log_weights, ids, seed, purpose, temperature), ids, k, seed)
