"""Synthetic minority samples as a pool of their own, never mixed with records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats

POOL = "synthetic"


@dataclass(frozen=True)
class SyntheticPool:
    """Vectors made for one group, shape (n, d), with labels; `pool` says what they are."""

    group: str
    vectors: Floats
    labels: np.ndarray
    pool: str = POOL

    def stated(self, *, worth: float, cost: float) -> dict[str, object]:
        """Return the pool as PROBLEM.json states it; its worth is below that of a record.

        Raises
        ------
        AllocationError
            `worth` is not within (0, 1): measure it as an exchange rate on a pilot.
        """
        if not 0 < worth < 1:
            msg = (
                f"group {self.group!r}, pool {POOL}: worth {worth} of a record; synthetic samples "
                "are worth more than 0 and less than 1, as a pilot measures"
            )
            raise AllocationError(msg)
        return {"name": POOL, "worth": worth, "cost": cost, "available": len(self.vectors)}


def smote(
    group: str,
    vectors: Floats,
    labels: np.ndarray,
    *,
    count: int,
    neighbours: int = 5,
    seed: int = 0,
) -> SyntheticPool:
    """Make `count` samples between neighbours of the same label (SMOTE, Chawla et al. 2002).

    Parameters
    ----------
    group
        Its name, for messages and the pool.
    vectors, labels
        Embeddings (n, d) and labels (n,) of the group's records.
    count
        Samples to make, spread over the labels as the records are.
    neighbours
        Neighbours to interpolate with; a label needs more records than that.
    seed
        Seed of the library's draws.

    Raises
    ------
    AllocationError
        imbalanced-learn is not installed, or a label has too few records.
    """
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError as error:
        msg = (
            "synthetic samples need imbalanced-learn: install the extra `fairness` "
            "(pip install 'sluice[fairness]')"
        )
        raise AllocationError(msg) from error
    values, have = np.unique(labels, return_counts=True)
    if values.size < 2 or have.min() <= neighbours:
        msg = (
            f"group {group!r}: label {values[have.argmin()]} has {have.min()} records of "
            f"{values.size} labels; {neighbours + 1} of each of two labels or more are needed"
        )
        raise AllocationError(msg)
    more = np.floor(count * have / have.sum()).astype(int)
    more[np.argsort(-(count * have / have.sum() - more), kind="stable")[: count - more.sum()]] += 1
    wanted = {v: int(h + m) for v, h, m in zip(values, have, more, strict=True)}
    made = SMOTE(sampling_strategy=wanted, k_neighbors=neighbours, random_state=seed)
    x, y = made.fit_resample(vectors, labels)
    return SyntheticPool(group, np.asarray(x)[len(vectors) :], np.asarray(y)[len(vectors) :])
