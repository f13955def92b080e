"""LESS: whether Adam's update on a record points where the target's loss falls.

As TracIn, for Adam: the record's gradient is replaced by the update that Adam would make, and directions are compared,
not lengths, because short sequences have long gradients (Xia et al. 2024). High is helpful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.projection import Projection
from assets.kernels.row_products import row_products
from assets.scoring.network_scorer import CHUNK_ROWS, Known, TargetNetworkScorer, stacked, unstacked
from assets.scoring.network_training import BETA_1, BETA_2, EPSILON, Checkpoint, Optimiser
from assets.scoring.protocol import ScorerState, ScoringError
from assets.scoring.small_network import flat


@dataclass(frozen=True)
class Less(TargetNetworkScorer):
    """Cosine between Adam's update on the record and the target's gradient, over checkpoints; -1 to 1.

    Parameters
    ----------
    projection
        Numbers that gradients are projected to by a Rademacher matrix; 0 compares them in full, which these small
        networks allow.
    compat
        ``paper`` corrects Adam's moments for their start, ``reference`` does not, as the authors' code.
    epochs, hidden, rate
        Passes over the sample, each with a checkpoint; units of the hidden layer; learning rate of Adam.
    runs
        Networks from different starts over which the score is averaged.
    sample_rows, target_rows
        Labelled records of either side, at most: those with the smallest hashes.

    Notes
    -----
    The score is the largest over subtasks, which are the target's groups, of the mean cosine to their records.
    """

    projection: int = 0
    compat: Literal["paper", "reference"] = "paper"
    epochs: int = 4
    runs: int = 1
    hidden: int = 32
    rate: float = 0.005
    sample_rows: int = 20_000
    target_rows: int = 5_000

    name: ClassVar[str] = "less"
    version: ClassVar[int] = 1
    optimiser: ClassVar[Optimiser] = "adam"
    grouped: ClassVar[bool] = True
    cost: ClassVar[str] = (
        "O(rows x epochs x weights x (subtasks + projection)), and runs trainings on a sample"
    )
    source: ClassVar[str] = "Xia et al. 2024, arXiv 2402.04333, section 3"

    def __post_init__(self) -> None:
        self.check()
        if self.projection < 0 or self.compat not in {"paper", "reference"}:
            message = (
                f"less cannot use projection={self.projection}, compat={self.compat!r}; "
                "use 0 or more numbers, and paper or reference"
            )
            raise ScoringError(message)

    def learned(
        self, runs: Sequence[Sequence[Checkpoint]], summary: ScorerState, train_side: Known
    ) -> dict[str, NDArray[Any]]:
        """Keep every checkpoint with Adam's moments, and the mean direction of each subtask's gradients."""
        side = self.side(summary, "target")
        rows, own, places = train_side.judged(side)
        tasks, task = np.unique(side["groups"][places], return_inverse=True)
        points = [point for run in runs for point in run]
        aims = np.stack([self._aims(point, rows, own, task, len(tasks)) for point in points])
        rates = np.array([point.rate for point in points])
        return {
            "rates": rates / rates.sum(),
            "steps": np.array([point.steps for point in points]),
            "aims": aims,
            **stacked([p.network for p in points]),
            **stacked([p.moments[0] for p in points], "mean/"),
            **stacked([p.moments[1] for p in points], "square/"),
        }

    def _aims(
        self,
        point: Checkpoint,
        rows: NDArray[np.float64],
        own: NDArray[np.int64],
        task: NDArray[np.integer[Any]],
        tasks: int,
    ) -> NDArray[np.float64]:
        total: NDArray[np.float64] | None = None
        for start in range(0, len(rows), CHUNK_ROWS):
            some = slice(start, start + CHUNK_ROWS)
            seen = point.network.look(rows[some])
            directions = _directions(self._projected(seen.gradients(seen.errors(own[some]))))
            if total is None:
                total = np.zeros((tasks, directions.shape[1]))
            np.add.at(total, task[some], directions)
        assert total is not None  # there is a target record
        return total / np.bincount(task, minlength=tasks)[:, None]

    def _projected(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.projection:
            return vectors
        made = Projection(vectors.shape[1], self.projection, 0, "less", "rademacher")
        return made.apply(vectors)

    def measure(
        self, rows: NDArray[np.float64], own: NDArray[np.int64], state: ScorerState
    ) -> NDArray[np.float64]:
        """Return the largest over subtasks of the mean cosine."""
        found = np.zeros((len(rows), state.arrays["aims"].shape[1]))
        points = zip(
            state.arrays["rates"],
            state.arrays["steps"].tolist(),
            state.arrays["aims"],
            unstacked(state),
            unstacked(state, "mean/"),
            unstacked(state, "square/"),
            strict=True,
        )
        for rate, steps, aims, network, mean, square in points:
            seen = network.look(rows)
            slope = seen.gradients(seen.errors(own))
            update = adam_update(slope, flat(mean), flat(square), self._corrected(steps))
            found += rate * row_products(_directions(self._projected(update)), aims.T)
        return np.asarray(found.max(axis=1))

    def _corrected(self, steps: int) -> int | None:
        return steps + 1 if self.compat == "paper" else None


def adam_update(
    slopes: NDArray[np.float64],
    mean: NDArray[np.float64],
    square: NDArray[np.float64],
    step: int | None,
) -> NDArray[np.float64]:
    """Return the update that Adam would make on each record alone, up to the rate: ``m / sqrt(v + eps)``.

    Parameters
    ----------
    slopes
        Gradients, shape (n, w).
    mean, square
        Adam's running means before, shape (w,).
    step
        The number of this update, to correct the means for their start; None leaves them.
    """
    m = BETA_1 * mean + (1 - BETA_1) * slopes
    v = BETA_2 * square + (1 - BETA_2) * slopes * slopes
    if step is not None:
        m, v = m / (1 - BETA_1**step), v / (1 - BETA_2**step)
    return np.asarray(m / np.sqrt(v + EPSILON))


def _directions(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
