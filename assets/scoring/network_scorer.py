"""What scores by a small network have in common: its training on a keyed sample, and the rows that it can judge."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.scoring.linear_head import LabelledSample
from assets.scoring.network_training import Checkpoint, Optimiser, Training, train
from assets.scoring.protocol import (
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScoreContext,
    ScorerState,
    ScoringError,
    reasons_from,
)
from assets.scoring.samples import NO_LABEL, Arrays, label_hashes, usable
from assets.scoring.small_network import Network, with_bias
from assets.scoring.target_sample import AgainstTarget

CHUNK_ROWS = 512
UNKNOWN = "the label is not among those that the network has learned"
SEED_MATTERS = {"seed": "the network starts from random weights keyed by the seed"}


class NetworkScorer(AgainstTarget):
    """Networks trained on the labelled train records, and a number read off them for each record."""

    hidden: int
    epochs: int
    rate: float
    runs: int
    sample_rows: int

    labelled: ClassVar[bool] = True
    optimiser: ClassVar[Optimiser] = "sgd"
    exempt: ClassVar[dict[str, str]] = SEED_MATTERS

    def check(self) -> None:
        """Refuse settings that no network can be trained with.

        Raises
        ------
        ScoringError
            Names the settings.
        """
        fine = min(self.hidden, self.epochs, self.runs) >= 1 and self.sample_rows >= 2
        if not (fine and 0 < self.rate < np.inf):
            message = (
                f"{self.name} cannot use hidden={self.hidden}, epochs={self.epochs}, runs={self.runs}, "
                f"rate={self.rate}, sample_rows={self.sample_rows}; use 1 unit, epoch and run, 2 rows or more, "
                "and a rate above 0"
            )
            raise ScoringError(message)

    def limits(self) -> dict[str, int]:
        """Return how many records are kept; a scorer by the target says so itself."""
        return {"train": self.sample_rows}

    @abstractmethod
    def learned(
        self, runs: Sequence[Sequence[Checkpoint]], summary: ScorerState, train_side: Known
    ) -> dict[str, NDArray[Any]]:
        """Return what is to be stored of the trained networks, beside the classes."""

    @abstractmethod
    def measure(
        self, rows: NDArray[np.float64], own: NDArray[np.int64], state: ScorerState
    ) -> NDArray[np.float64]:
        """Score rows (n, d + 1) whose labels are at positions `own` (n,)."""

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Train the networks.

        Raises
        ------
        ScoringError
            No labelled record on a side, labels of one class, or no target label among the train labels.
        """
        side = self.side(summary, "train")
        classes = np.unique(side["labels"])
        if len(classes) < 2:
            message = (
                f"{self.name}: the labels are of one class and a classifier needs two or more; "
                f"name another column of labels, or leave {self.name} out"
            )
            raise ScoringError(message)
        sample = LabelledSample(side["vectors"].astype(np.float32), side["labels"])
        how = (self.hidden, self.epochs, self.rate, self.optimiser, context.seed)
        runs = [train(sample, Training(*how, run)) for run in range(self.runs)]
        known = Known(self.name, classes, side)
        arrays = {"classes": classes, **self.learned(runs, summary, known)}
        meta = {**summary.meta, "train": len(side["words"])}
        return ScorerState(self.name, 1, meta, arrays)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; null without a vector or a label, or where the network does not know the label."""
        n = len(batch)
        values = np.full(n, np.nan)
        without, labels = ~usable(batch), label_hashes(batch)
        classes = state.arrays["classes"]
        place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        rows = np.flatnonzero(~without & (labels != NO_LABEL) & (classes[place] == labels))
        for start in range(0, len(rows), CHUNK_ROWS):
            some = rows[start : start + CHUNK_ROWS]
            assert batch.embedding is not None
            values[some] = self.measure(with_bias(batch.embedding[some]), place[some], state)
        why = [
            (without, "no embedding"),
            (labels == NO_LABEL, "no label"),
            (np.isnan(values), UNKNOWN),
        ]
        reasons = reasons_from(n, why)
        return ScoreColumn(self.name, self.version, values, reasons, self.direction(state))

    @abstractmethod
    def direction(self, state: ScorerState | None = None) -> Direction:
        """Tell whether high or low is better."""


class TargetNetworkScorer(NetworkScorer):
    """One that compares records with the labelled target."""

    target_rows: int

    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL | Needs.TARGET
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


class Known:
    """The train side of a fit: its classes, and samples as rows with label positions."""

    def __init__(self, scorer: str, classes: NDArray[np.uint64], side: Arrays) -> None:
        self.scorer = scorer
        self.classes = classes
        self.side = side

    def judged(self, side: Arrays) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[Any]]:
        """Return rows (n, d + 1), label positions and places in the sample, of those with a known label.

        Raises
        ------
        ScoringError
            There are none.
        """
        places = np.flatnonzero(np.isin(side["labels"], self.classes))
        if not len(places):
            message = (
                f"{self.scorer}: no label of the target occurs among the train records; "
                "do both sides name the same column of labels?"
            )
            raise ScoringError(message)
        own = np.searchsorted(self.classes, side["labels"][places])
        return with_bias(side["vectors"][places]), own, places


def stacked(networks: Sequence[Network], name: str = "") -> dict[str, NDArray[np.float64]]:
    """Return networks as two arrays with one more axis in front."""
    return {
        f"{name}first": np.stack([n.first for n in networks]),
        f"{name}second": np.stack([n.second for n in networks]),
    }


def unstacked(state: ScorerState, name: str = "") -> list[Network]:
    """Return the networks that `stacked` stored."""
    pairs = zip(state.arrays[f"{name}first"], state.arrays[f"{name}second"], strict=True)
    return [Network(first, second) for first, second in pairs]
