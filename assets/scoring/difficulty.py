"""How hard a labelled record is for a classifier: EL2N, loss, margin and entropy.

All four are read off the class probabilities p of a cross-fitted linear head on the records' vectors
(`linear_head`), y being the record's label. Hard records teach most where labels are clean; where they
are not, the hardest are mislabelled: look at them, or say ``keep="easy"``.

EL2N was proposed with networks early in training, averaged over runs (Paul, Ganguli and Dziugaite
2021); a linear head is convex, so there is one run, and folds instead of epochs keep it from judging
what it has learned by heart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.row_sums import row_sums
from assets.scoring.linear_head import Heads, LabelledSample, fit_heads
from assets.scoring.protocol import (
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScoreContext,
    ScorerState,
    ScoringError,
    check_same,
    reasons_from,
)
from assets.scoring.samples import (
    NO_LABEL,
    Arrays,
    class_places,
    empty_sample,
    label_hashes,
    sample_of,
    united,
    usable,
    usable_vectors,
)


@dataclass(frozen=True)
class Difficulty(ABC):
    """What the four scores have in common.

    Parameters
    ----------
    keep
        ``hard`` or ``easy`` records are better.
    folds
        Heads that are fitted, 2 or more.
    strength
        Inverse weight of the L2 penalty, above 0.
    sample_rows
        Labelled train rows that the heads are fitted on, at most: those with the smallest hashes.
    """

    keep: Literal["hard", "easy"] = "hard"
    folds: int = 5
    strength: float = 10.0
    sample_rows: int = 20_000

    name: ClassVar[str]
    hard: ClassVar[Direction]
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows x classes x dim), and folds logistic regressions of a sample"
    source: ClassVar[str]

    def __post_init__(self) -> None:
        if self.keep not in {"hard", "easy"} or self.folds < 2 or self.sample_rows < 2:
            message = (
                f"{self.name} cannot use keep={self.keep!r}, folds={self.folds}, "
                f"sample_rows={self.sample_rows}; use keep hard or easy, 2 folds and rows or more"
            )
            raise ScoringError(message)
        if not self.strength > 0:
            message = f"{self.name} cannot use strength={self.strength}; it must be above 0"
            raise ScoringError(message)

    @abstractmethod
    def measure(self, p: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score rows with probabilities p (n, c; a class not known is 0) and label positions (n,)."""

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Return what `keep` means for this score."""
        other: Direction = "low" if self.hard == "high" else "high"
        return self.hard if self.keep == "hard" else other

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Keep the labelled train rows with the smallest hashes."""
        state = self._state(empty_sample(), context.seed)
        for batch in batches:
            labelled = usable(batch) & (label_hashes(batch) != NO_LABEL)
            part = sample_of(batch, np.flatnonzero(labelled & batch.has_role("train")))
            state = self.merge(state, self._state(part, context.seed))
            if context.progress is not None:
                context.progress(len(batch))
        return state

    def _state(self, sample: Arrays, seed: int) -> ScorerState:
        return ScorerState(self.name, self.version, {**vars(self), "seed": seed}, sample)

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Unite the samples."""
        check_same(left, right)
        seed = left.meta["seed"]
        purpose = "linear head sample"
        merged = united(left.arrays, right.arrays, self.sample_rows, seed, purpose, self.name)
        return self._state(merged, seed)

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Fit the heads.

        Raises
        ------
        ScoringError
            No train row has a vector and a label, or the labels are of one class.
        """
        arrays = summary.arrays
        if not len(arrays["words"]):
            message = (
                f"{self.name} found no train row with a vector and a label; give the records both "
                f"(label in records, --label), or drop {self.name}"
            )
            raise ScoringError(message)
        sample = LabelledSample(arrays["vectors"].astype(np.float32), arrays["labels"])
        try:
            heads = fit_heads(sample, self.folds, self.strength)
        except ScoringError as error:
            message = f"{self.name}: {error}"
            raise ScoringError(message) from error
        fitted: dict[str, NDArray[Any]] = {
            "classes": heads.classes,
            "weights": heads.weights,
            "units": heads.units,
        }
        meta = {**summary.meta, "rows": len(arrays["words"])}
        return ScorerState(self.name, self.version, meta, fitted)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; null without a vector or a label, or where the label is not known to the head."""
        n, direction = len(batch), self.direction(state)
        if batch.embedding is None or batch.label is None:
            lacks = "no embedding" if batch.embedding is None else "no label"
            reasons = reasons_from(n, [(np.ones(n, dtype=bool), lacks)])
            return ScoreColumn(self.name, self.version, np.full(n, np.nan), reasons, direction)
        classes = state.arrays["classes"]
        heads = Heads(classes, state.arrays["weights"], state.arrays["units"])
        values = np.full(n, np.nan)
        labels = label_hashes(batch)
        unlabelled = labels == NO_LABEL
        own = class_places(classes, labels)
        rows = np.flatnonzero(~unlabelled & (classes[own] == labels))
        # as stored, so that a score from stored vectors is the same
        wanted = batch.embedding if len(rows) == n else batch.embedding[rows]
        p = heads.probabilities_as_stored(wanted)
        judged = ~np.isnan(p[np.arange(len(rows)), own[rows]])
        if not judged.all():
            rows, p = rows[judged], p[judged]
        p[np.isnan(p)] = 0.0
        values[rows] = self.measure(p, own[rows])
        silent, without = np.flatnonzero(np.isnan(values)), np.zeros(n, dtype=bool)
        without[silent] = ~usable_vectors(batch.embedding[silent])
        unknown = "the label is not among those that the head has learned from other records"
        why = [(without, "no embedding"), (unlabelled, "no label"), (np.isnan(values), unknown)]
        return ScoreColumn(self.name, self.version, values, reasons_from(n, why), direction)


@dataclass(frozen=True)
class El2n(Difficulty):
    """Length of the error vector, norm(p - onehot(y)), 0 to sqrt(2)."""

    name: ClassVar[str] = "el2n"
    hard: ClassVar[Direction] = "high"
    source: ClassVar[str] = "Paul et al. 2021, arXiv 2107.07075, section 3"

    def measure(self, p: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return norm(p - onehot(y))."""
        error = p.copy()
        error[np.arange(len(own)), own] -= 1.0
        return np.asarray(np.sqrt(row_sums(error * error)))


@dataclass(frozen=True)
class Loss(Difficulty):
    """Cross-entropy of the label, -log p(y), in nats."""

    name: ClassVar[str] = "loss"
    hard: ClassVar[Direction] = "high"
    source: ClassVar[str] = "cross-entropy, out of sample"

    def measure(self, p: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return -log p(y), at most that of the smallest double."""
        tiny = np.finfo(np.float64).tiny
        return np.asarray(-np.log(np.maximum(p[np.arange(len(own)), own], tiny)))


@dataclass(frozen=True)
class Margin(Difficulty):
    """How far the label leads, p(y) less the largest other probability, -1 to 1."""

    name: ClassVar[str] = "margin"
    hard: ClassVar[Direction] = "low"
    source: ClassVar[str] = "margin of boosting, Schapire et al. 1998, on probabilities"

    def measure(self, p: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return p(y) - max over other classes."""
        rest = p.copy()
        rest[np.arange(len(own)), own] = -np.inf
        return np.asarray(p[np.arange(len(own)), own] - rest.max(axis=1, initial=-np.inf))


@dataclass(frozen=True)
class Entropy(Difficulty):
    """Uncertainty of the head, whatever the label: -sum p log p, in nats."""

    name: ClassVar[str] = "entropy"
    hard: ClassVar[Direction] = "high"
    source: ClassVar[str] = "Shannon 1948; uncertainty sampling, Lewis and Gale 1994"

    def measure(self, p: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the entropy of p."""
        safe = np.where(p > 0, p, 1.0)
        return np.asarray(-(p * np.log(safe)).sum(axis=1))
