"""List the plans that are compared: which pools are drawn, in proportion to their sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.filtering.decay import Array

MOST_FOR_SUBSETS = 12


class PlanError(ValueError):
    """A budget or cap that no plan can satisfy, with the remedy."""


@dataclass(frozen=True)
class Candidates:
    """Hold plans as a boolean matrix (plans, pools), with sizes, caps on passes and sampling shares.

    ``shares``: (plans, pools), each row sums to one; None: in proportion to the sizes of the drawn
    pools.
    """

    members: npt.NDArray[np.bool_]
    unique: Array
    caps: Array
    shares: Array | None = None

    @property
    def total(self) -> Array:
        """Return unique samples per plan, shape (plans,)."""
        return np.asarray(self.members @ self.unique)

    @property
    def weights(self) -> Array:
        """Return sampling shares, shape (plans, pools)."""
        if self.shares is not None:
            return self.shares
        return np.asarray(self.members * self.unique / self.total[:, None])

    def spend(self, budget: float) -> Array:
        """Return samples that each plan uses of ``budget``: the first pool at its cap ends it."""
        if self.shares is None:
            cap = np.min(np.where(self.members, self.caps[None, :], np.inf), axis=1)
            return np.asarray(np.minimum(budget, cap * self.total))
        with np.errstate(divide="ignore"):
            most = np.where(self.shares > 0, self.caps * self.unique / self.shares, np.inf)
        return np.asarray(np.minimum(budget, most.min(axis=1)))

    def passes(self, budget: float) -> Array:
        """Return passes over each pool, shape (plans, pools)."""
        return np.asarray(self.spend(budget)[:, None] * self.weights / self.unique)

    def repeats(self, budget: float) -> Array:
        """Return how often a record that is drawn is shown in the mean, shape (plans,)."""
        spent = self.spend(budget)
        drawn = np.minimum(spent[:, None] * self.weights, self.unique).sum(axis=1)
        return np.asarray(spent / drawn)

    def take(self, rows: npt.ArrayLike) -> Candidates:
        """Return some of the plans."""
        at = np.asarray(rows)
        shares = None if self.shares is None else self.shares[at]
        return Candidates(self.members[at], self.unique, self.caps, shares)

    def with_shares(self, shares: Array) -> Candidates:
        """Return these plans followed by plans of the given shares, shape (further plans, pools)."""
        if not len(shares):
            return self
        return Candidates(
            np.vstack([self.members, shares > 0]),
            self.unique,
            self.caps,
            np.vstack([self.weights, shares]),
        )

    def find(self, member: npt.NDArray[np.bool_]) -> int | None:
        """Return the position of a plan, None where it is absent."""
        hits = np.flatnonzero((self.members == member[None, :]).all(axis=1))
        return int(hits[0]) if hits.size else None


def list_candidates(
    unique: Array, order: npt.NDArray[np.int64], caps: Array, *, nested_only: bool = False
) -> Candidates:
    """Return nested top-k plans first, then all other subsets of up to 12 pools.

    Parameters
    ----------
    unique
        Pool sizes.
    order
        Pools from best to worst.
    caps
        Most passes a pool, inf for none.
    nested_only
        Leave out all but nested top-k. With more than 12 pools: nested, single and drop-one plans.
    """
    pools = len(unique)
    rows: list[npt.NDArray[np.bool_]] = []
    for k in range(1, pools + 1):
        row = np.zeros(pools, dtype=bool)
        row[order[:k]] = True
        rows.append(row)
    if not nested_only and pools <= MOST_FOR_SUBSETS:
        code = np.arange(1, 2**pools)
        # pool order[0] is the highest bit, so plans with good pools come first among equals
        bits = (code[:, None] >> np.arange(pools - 1, -1, -1)[None, :]) & 1
        subsets = np.zeros((len(code), pools), dtype=bool)
        subsets[:, order] = bits[::-1].astype(bool)
        nested = {row.tobytes() for row in rows}
        rows += [row for row in subsets if row.tobytes() not in nested]
    elif not nested_only:
        eye = np.eye(pools, dtype=bool)
        rows += list(eye[order][1:]) + [~row for row in eye[order]][:-1]
    return Candidates(np.array(rows), np.asarray(unique, float), np.asarray(caps, float))
