"""What a search for semantic redundancy finds, and what an earlier one found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

SEEK = -2


@dataclass(frozen=True, slots=True)
class Redundancy:
    """The result of a search.

    Attributes
    ----------
    values
        float64, shape (n,): largest cosine to an earlier record among those compared; -1 for
        records with none; NaN for records without a vector.
    neighbour
        int64, shape (n,): the earlier record's position, the earliest of equally near; -1 if none.
    reasons
        String series: why a value is null.
    cells, probes
        Cells, and how many of them a record was sought in at most.
    cells_sought
        How many it was on average.
    certain_from
        Cosine from which on no nearest record was missed, but perhaps of capped ones; -1 where the search is exact.
    capped
        Share of records for which more cells were within reach than were looked into.
    recall
        Share of sampled records whose value equals the exact one; 1.0 where the search is exact.
    recall_near
        The same among sampled records whose exact value is at least `near`; NaN where none is.
    near
        0.8.
    checked
        Records sampled.
    pairs
        Cosines computed, times.
    """

    values: NDArray[np.float64]
    neighbour: NDArray[np.int64]
    reasons: pl.Series
    cells: int
    probes: int
    cells_sought: float
    certain_from: float
    capped: float
    recall: float
    recall_near: float
    near: float
    checked: int
    pairs: int

    def about(self) -> dict[str, Any]:
        """Return all but values, neighbours and reasons, as JSON values."""
        names = (
            *("cells", "probes", "cells_sought", "certain_from", "capped"),
            *("recall", "recall_near", "near", "checked", "pairs"),
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier search under the same cells found, so that only what changed is searched.

    Attributes
    ----------
    nearest
        int64, shape (n,): position of each record's nearest earlier one; -1 where it has none; `SEEK` where
        it must be sought among all, because the record is new or its nearest is gone.
    fresh
        bool, shape (n,): records that no other was compared with. All of them must be sought.
    """

    nearest: NDArray[np.int64]
    fresh: NDArray[np.bool_]
