"""TRAK: what a record adds to the target's margin, in a network taken as linear in its weights around the end.

There the effect of a record has a closed form in projected gradients (Park et al. 2023). High is helpful. The direction
that the target asks for is taken back to the weights, so no gradient of a record that is scored is materialised or
projected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.projection import Projection
from assets.scoring.network_scorer import CHUNK_ROWS, Known, TargetNetworkScorer, stacked, unstacked
from assets.scoring.network_training import Checkpoint
from assets.scoring.protocol import ScorerState, ScoringError
from assets.scoring.samples import Arrays
from assets.scoring.small_network import shaped


@dataclass(frozen=True)
class Trak(TargetNetworkScorer):
    """Rise of the target's margin by having the record, in a network that is linear around its end.

    Parameters
    ----------
    projection
        Numbers that gradients are projected to by CountSketch.
    penalty
        Of the projected gradients' Gram matrix, in units of its mean diagonal, above 0. The paper has none and many
        more records than numbers; with fewer records a small penalty makes the effects of noise as large as any.
    epochs, hidden, rate
        Passes over the sample, units of the hidden layer, learning rate of plain descent.
    runs
        Networks from different starts over which both factors of the score are averaged.
    sample_rows, target_rows
        Labelled records of either side, at most: those with the smallest hashes.
    """

    projection: int = 512
    penalty: float = 1.0
    epochs: int = 6
    runs: int = 3
    hidden: int = 32
    rate: float = 0.2
    sample_rows: int = 20_000
    target_rows: int = 5_000

    name: ClassVar[str] = "trak"
    version: ClassVar[int] = 1
    cost: ClassVar[str] = (
        "O(rows x runs x hidden x (dim + classes)), runs trainings and Gram matrices of a sample"
    )
    source: ClassVar[str] = "Park et al. 2023, arXiv 2303.14186, equation 13 and algorithm 1"

    def __post_init__(self) -> None:
        self.check()
        if self.projection < 1 or not self.penalty > 0:
            message = (
                f"trak cannot use projection={self.projection}, penalty={self.penalty}; "
                "use 1 number or more, and a penalty above 0"
            )
            raise ScoringError(message)

    def learned(
        self, runs: Sequence[Sequence[Checkpoint]], summary: ScorerState, train_side: Known
    ) -> dict[str, NDArray[Any]]:
        """Keep each network's end, and the direction in its weights that the target asks for."""
        aims = []
        for run, points in enumerate(runs):
            network = points[-1].network
            weights = network.first.size + network.second.size
            sketch = Projection(weights, self.projection, run, "trak")
            total = np.zeros((self.projection, self.projection))
            for part in self._features(points[-1], sketch, train_side, train_side.side):
                total += part.T @ part
            goals = list(
                self._features(points[-1], sketch, train_side, self.side(summary, "target"))
            )
            goal = np.concatenate(goals).mean(axis=0)
            diagonal = np.trace(total) / self.projection
            solved = np.linalg.solve(
                total + self.penalty * diagonal * np.eye(self.projection), goal
            )
            aims.append(shaped(sketch.transposed(solved), network))
        return {**stacked([points[-1].network for points in runs]), **stacked(aims, "aim/")}

    def _features(
        self, point: Checkpoint, sketch: Projection, known: Known, side: Arrays
    ) -> Iterator[NDArray[np.float64]]:
        rows, own, _ = known.judged(side)
        for start in range(0, len(rows), CHUNK_ROWS):
            seen = point.network.look(rows[start : start + CHUNK_ROWS])
            slopes = margin_slopes(seen.p, own[start : start + CHUNK_ROWS])
            yield sketch.apply(seen.gradients(slopes))

    def measure(
        self, rows: NDArray[np.float64], own: NDArray[np.int64], state: ScorerState
    ) -> NDArray[np.float64]:
        """Return the mean over networks of the linear effect times the mean of ``1 - p(y)``."""
        effect, doubt = np.zeros(len(rows)), np.zeros(len(rows))
        for network, aim in zip(unstacked(state), unstacked(state, "aim/"), strict=True):
            seen = network.look(rows)
            effect += seen.along(margin_slopes(seen.p, own), aim)
            doubt += 1.0 - seen.p[np.arange(len(own)), own]
        return effect / self.runs * doubt / self.runs


def margin_slopes(p: NDArray[np.float64], own: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the gradient in the logits of ``log(p(y) / (1 - p(y)))``: 1 for y, ``-p / (1 - p(y))`` for others."""
    rest = p.copy()
    rest[np.arange(len(own)), own] = 0.0
    total = rest.sum(axis=1, keepdims=True)
    slopes = -rest / np.where(total > 0, total, 1.0)
    slopes[np.arange(len(own)), own] = 1.0
    return slopes
