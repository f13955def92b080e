"""TracIn: the fall of the target's loss by the steps that training made on a record.

The sum over checkpoints of learning rate times inner product of the record's gradient and the target's, on a small
network trained by plain descent (Pruthi et al. 2020). High is helpful. The inner product with one direction is a
closed form: no gradient of a record that is scored is materialised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.scoring.network_scorer import Known, TargetNetworkScorer, stacked, unstacked
from assets.scoring.network_training import Checkpoint
from assets.scoring.protocol import ScorerState


@dataclass(frozen=True)
class TracIn(TargetNetworkScorer):
    """Fall of the target's loss by the steps that training made on the record, to first order.

    Parameters
    ----------
    epochs
        Passes over the sample, each with a checkpoint.
    runs
        Networks from different starts over which the score is averaged.
    hidden, rate
        Units of the hidden layer; learning rate of plain descent.
    sample_rows, target_rows
        Labelled records of either side, at most: those with the smallest hashes.
    """

    epochs: int = 6
    runs: int = 1
    hidden: int = 32
    rate: float = 0.2
    sample_rows: int = 20_000
    target_rows: int = 5_000

    name: ClassVar[str] = "tracin"
    version: ClassVar[int] = 1
    cost: ClassVar[str] = (
        "O(rows x epochs x hidden x (dim + classes)), and runs trainings on a sample"
    )
    source: ClassVar[str] = "Pruthi et al. 2020, arXiv 2002.08484, equation 3 (TracInCP)"

    def __post_init__(self) -> None:
        self.check()

    def learned(
        self, runs: Sequence[Sequence[Checkpoint]], summary: ScorerState, train_side: Known
    ) -> dict[str, NDArray[Any]]:
        """Keep every checkpoint and the target's mean gradient there."""
        rows, own, _ = train_side.judged(self.side(summary, "target"))
        points = [point for run in runs for point in run]
        aims = []
        for point in points:
            seen = point.network.look(rows)
            aims.append(seen.mean_gradient(seen.errors(own)))
        rates = np.array([point.rate for point in points]) / self.runs
        networks = stacked([p.network for p in points])
        return {"rates": rates, **networks, **stacked(aims, "aim/")}

    def measure(
        self, rows: NDArray[np.float64], own: NDArray[np.int64], state: ScorerState
    ) -> NDArray[np.float64]:
        """Return the sum over checkpoints of rate times inner product."""
        total = np.zeros(len(rows))
        points = zip(state.arrays["rates"], unstacked(state), unstacked(state, "aim/"), strict=True)
        for rate, network, aim in points:
            seen = network.look(rows)
            total += rate * seen.along(seen.errors(own), aim)
        return total
