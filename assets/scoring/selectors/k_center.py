"""k-centre: always the record that is farthest from all that are kept.

The farthest-first traversal of Gonzalez (1985): the largest distance of any record to its nearest
kept one is at most twice the least that is possible, in the distance between unit vectors
(monotone in the cosine). The first record is that with the smallest keyed hash. Copies of a kept
record come last. It seeks coverage, so outliers come early.

Cost: one product of the vectors with one of them a pick, O(picks x rows x dim); memory: the vectors
as float32. Cosines are exact whole numbers (`unit_vectors`), so the order of rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from assets.kernels.unit_vectors import UNIT, to_grid
from assets.scoring.selectors.protocol import Candidates, Picks, SelectorNeeds, tie_order


@dataclass(frozen=True)
class KCenter:
    """Farthest first: every record lies near one that is kept."""

    name: ClassVar[str] = "k_center"
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.EMBEDDING
    cost: ClassVar[str] = "O(picks x rows x dim)"
    source: ClassVar[str] = "Gonzalez 1985; Sener and Savarese 2018, arXiv 1708.00489"

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield one row at a time; the gain is its cosine distance to those before, NaN at first."""
        assert candidates.embedding is not None
        order = tie_order(candidates.ids, seed, "k-centre ties")
        grid = to_grid(candidates.embedding[order])
        nearest = np.full(len(grid), -np.inf)
        gain = np.nan
        for _ in range(min(most, len(grid))):
            at = int(np.argmin(nearest))
            if np.isfinite(nearest[at]):
                gain = 1.0 - nearest[at] / UNIT
            yield order[at : at + 1], np.array([gain])
            np.maximum(nearest, grid @ grid[at], out=nearest)
            nearest[at] = np.inf
