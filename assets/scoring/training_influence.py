"""Influence through training: TracIn, LESS and TRAK on a small network.

All three ask how far a step on a record moves the target's loss, and compare gradients to tell:

* TracIn sums the inner products of both gradients over checkpoints, each times its learning rate: to first order, the
  fall of the target's loss by the steps that plain descent made on the record;
* LESS does the same for Adam: the record's gradient is replaced by the update that Adam would make, and directions are
  compared, not lengths, because short sequences have long gradients;
* TRAK takes the network as linear in its weights around the end, where the effect of a record has a closed form.

High is helpful in all three. Gradients are closed forms (`small_network`); TracIn and TRAK never materialise one of a
record that they score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.projection import Projection
from assets.kernels.row_products import row_products
from assets.scoring.network_scorer import CHUNK_ROWS, Known, NetworkScorer, stacked, unstacked
from assets.scoring.protocol import Direction, Needs, ScorerState, ScoringError
from assets.scoring.samples import Arrays
from assets.scoring.small_network import (
    BETA_1,
    BETA_2,
    EPSILON,
    Checkpoint,
    Optimiser,
    flat,
    shaped,
)

BY_TARGET = Needs.EMBEDDING | Needs.LABEL | Needs.TARGET


class _ByTarget(NetworkScorer):
    target_rows: int

    needs: ClassVar[Needs] = BY_TARGET
    row_local: ClassVar[bool] = True

    def limits(self) -> dict[str, int]:
        """Return how many records of each side are kept."""
        return {"train": self.sample_rows, "target": self.target_rows}

    def check(self) -> None:
        """Refuse settings that no network can be trained with; see `NetworkScorer`."""
        super().check()
        if self.target_rows < 1:
            message = f"{self.name} cannot use target_rows={self.target_rows}; use 1 or more"
            raise ScoringError(message)

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is helpful."""
        return "high"


@dataclass(frozen=True)
class TracIn(_ByTarget):
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


@dataclass(frozen=True)
class Less(_ByTarget):
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


@dataclass(frozen=True)
class Trak(_ByTarget):
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
