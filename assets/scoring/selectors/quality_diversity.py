"""Quality and diversity: facility location with a bonus for a record's score.

Greedy maximisation of ``(1 - alpha) F(S) + alpha * sum over kept j of q_j``, F being that of facility location: the
trade-off of QDIT (Bukharin and Zhao 2023). q is the score's average rank in [0, 1], so that its units don't matter: a
record that is represented perfectly and a kept record of the best quality count the same. The sum is monotone and
submodular, so greedy reaches at least 1 - 1/e of the best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from assets.kernels.unit_vectors import to_grid
from assets.scoring.protocol import Direction
from assets.scoring.selectors.facility_location import lazy_greedy
from assets.scoring.selectors.protocol import (
    Candidates,
    Picks,
    SelectionError,
    SelectorNeeds,
    tie_order,
)


@dataclass(frozen=True)
class QualityDiversity:
    """Records that represent all records and score well.

    Parameters
    ----------
    alpha
        0 is facility location alone, 1 the best scores alone.
    direction
        ``high`` or ``low``: which scores are better.
    """

    alpha: float = 0.5
    direction: Direction = "high"

    name: ClassVar[str] = "quality_diversity"
    exempt: ClassVar[dict[str, str]] = {
        "direction": "alpha weighs quality against what a record adds, so the best may come later",
        "copy": "a copy still has its quality, which alpha weighs against what it adds",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.EMBEDDING | SelectorNeeds.VALUE
    cost: ClassVar[str] = "O(rows² x dim)"
    source: ClassVar[str] = "Bukharin and Zhao 2023, arXiv 2311.14736 (QDIT)"

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            message = f"alpha is {self.alpha}; it must be from 0 (diversity) to 1 (quality)"
            raise SelectionError(message)
        if self.direction not in {"high", "low"}:
            message = f"--direction is {self.direction!r}; high or low scores are better"
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield one row at a time; the gain is by how much it raises the objective."""
        assert candidates.embedding is not None
        assert candidates.value is not None
        order = tie_order(candidates.ids, seed, "quality and diversity ties")
        n = len(order)
        keys = candidates.value[order] * (1 if self.direction == "high" else -1)
        quality = (rankdata(keys) - 0.5) / n
        weight = 1.0 - self.alpha
        if not weight:
            best = np.argsort(-quality, kind="stable")[:most]
            yield order[best], quality[best]
            return
        bonus: NDArray[np.float64] = self.alpha * quality / weight
        for at, gain in lazy_greedy(to_grid(candidates.embedding[order]), most, bonus):
            yield order[at : at + 1], np.array([gain * weight])
