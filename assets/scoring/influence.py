"""Influence: by how much the target's loss would rise if a record were left out, to first order.

A multinomial logistic head on the records' unit vectors, with an L2 penalty, is fitted on a sample of labelled train
records; at its optimum the effect of leaving record i out on the mean loss of the target is

``+ g_t^T H^-1 g_i / N``,

g_i being the gradient of the record's loss, g_t that of the target's mean loss and H the Hessian of the objective's
mean (Koh and Liang 2017). High is helpful, below 0 harmful. ``hessian=False`` leaves H out, which is one checkpoint of
TracIn (Pruthi et al. 2020) on the last layer. The gradient of a linear head is ``(p - onehot(y)) x [h, 1]``, so the
score of a record is one product with ``V = H^-1 g_t``, solved for once by conjugate gradients.

It is local: the effect of leaving one out, not of leaving many out, on this head, by these vectors.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.unit_vectors import SCALE
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
from assets.scoring.samples import NO_LABEL, label_hashes, stored_grid, usable
from assets.scoring.target_sample import AgainstTarget

_BITS = 26


@dataclass(frozen=True)
class Influence(AgainstTarget):
    """Rise of the target's loss if the record were left out, times the number of records.

    Parameters
    ----------
    hessian
        Whether curvature counts; without it the score is a dot product of gradients (TracIn).
    strength
        Inverse weight of the L2 penalty, above 0.
    sample_rows, target_rows
        Labelled records of either side that are fitted on, at most: those with the smallest hashes.
    """

    hessian: bool = True
    strength: float = 10.0
    sample_rows: int = 20_000
    target_rows: int = 5_000

    name: ClassVar[str] = "influence"
    version: ClassVar[int] = 1
    labelled: ClassVar[bool] = True
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL | Needs.TARGET
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows x classes x dim), one logistic regression and a linear solve"
    source: ClassVar[str] = (
        "Koh and Liang 2017, arXiv 1703.04730; Pruthi et al. 2020, arXiv 2002.08484"
    )

    def __post_init__(self) -> None:
        if not self.strength > 0 or self.sample_rows < 2 or self.target_rows < 1:
            message = (
                f"influence cannot use strength={self.strength}, sample_rows={self.sample_rows}, "
                f"target_rows={self.target_rows}; use strength above 0, 2 train records and 1 target record or more"
            )
            raise ScoringError(message)

    def limits(self) -> dict[str, int]:
        """Return how many records of each side are kept."""
        return {"train": self.sample_rows, "target": self.target_rows}

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is helpful."""
        return "high"

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Fit the head and solve for the target's direction.

        Raises
        ------
        ScoringError
            No labelled record on one side, labels of one class, or no target label among the train labels.
        """
        train, target = self.side(summary, "train"), self.side(summary, "target")
        classes, codes = np.unique(train["labels"], return_inverse=True)
        if len(classes) < 2:
            message = (
                "influence: the labels are of one class and a classifier needs two or more; "
                "name another column of labels, or leave influence out"
            )
            raise ScoringError(message)
        aims = np.isin(target["labels"], classes)
        if not aims.any():
            message = (
                "influence: no label of the target occurs among the train records; "
                "do both sides name the same column of labels?"
            )
            raise ScoringError(message)
        rows, weights = _fit(train["vectors"], codes, self.strength)
        goals = _with_bias(target["vectors"][aims])
        own = np.searchsorted(classes, target["labels"][aims])
        slope = _errors(goals @ weights.T, own).T @ goals / len(goals)
        aim = slope
        if self.hessian:
            aim = _solve(rows, weights, slope, 1.0 / (self.strength * len(rows)))
        unit = np.abs(weights).max() / 2**_BITS or 1.0
        aim_unit = np.abs(aim).max() / 2**_BITS or 1.0
        arrays: dict[str, NDArray[Any]] = {
            "classes": classes,
            "weights": np.rint(weights / unit),
            "aim": np.rint(aim / aim_unit),
            "units": np.array([unit, aim_unit]),
        }
        meta = {**summary.meta, "train": len(rows), "targets": len(goals)}
        return ScorerState(self.name, self.version, meta, arrays)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; null without a vector or a label, or where the head does not know the label."""
        n = len(batch)
        values = np.full(n, np.nan)
        without, labels = ~usable(batch), label_hashes(batch)
        classes = state.arrays["classes"]
        place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        rows = np.flatnonzero(~without & (labels != NO_LABEL) & (classes[place] == labels))
        if batch.embedding is not None and len(rows):
            unit, aim_unit = state.arrays["units"]
            # whole numbers below 2**53: exact whatever the order of summation
            grid = _whole(batch.embedding[rows])
            logits = (grid @ state.arrays["weights"].T) * (unit / SCALE)
            along = (grid @ state.arrays["aim"].T) * (aim_unit / SCALE)
            values[rows] = (_errors(logits, place[rows]) * along).sum(axis=1)
        unknown = "the label is not among those that the head has learned"
        why = [
            (without, "no embedding"),
            (labels == NO_LABEL, "no label"),
            (np.isnan(values), unknown),
        ]
        return ScoreColumn(self.name, self.version, values, reasons_from(n, why), "high")


def _whole(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Return grid units of stored vectors with a last column of `SCALE`, the bias."""
    grid = stored_grid(vectors).astype(np.float64)
    return np.column_stack([grid, np.full(len(grid), SCALE)])


def _with_bias(vectors: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(_whole(vectors) / SCALE)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _errors(logits: NDArray[np.float64], own: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    p = _softmax(logits)
    p[np.arange(len(own)), own] -= 1.0
    return p


def _fit(
    vectors: NDArray[Any], codes: NDArray[np.integer[Any]], strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit the head with a penalised bias, so that the Hessian has full rank; returns rows and weights (c, d + 1)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    rows = _with_bias(vectors)
    head = LogisticRegression(C=strength, fit_intercept=False, max_iter=1_000, tol=1e-8)
    with threadpool_limits(1), warnings.catch_warnings():  # an unconverged head ranks as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        head.fit(rows, codes)
    weights = head.coef_
    if len(weights) == 1:  # fitted as one vector w; as two, -w/2 and w/2, the odds are the same
        weights = np.vstack([-weights / 2, weights / 2])
    return rows, np.asarray(weights)


def _solve(
    rows: NDArray[np.float64],
    weights: NDArray[np.float64],
    slope: NDArray[np.float64],
    penalty: float,
) -> NDArray[np.float64]:
    """Return H^-1 slope by conjugate gradients, H the Hessian of the mean loss plus `penalty` on the diagonal."""
    from scipy.sparse.linalg import LinearOperator, cg
    from threadpoolctl import threadpool_limits

    p = _softmax(rows @ weights.T)
    if len(weights) == 2:  # |w|^2 of the one vector that was fitted is twice that of -w/2 and w/2
        penalty *= 2.0

    def times(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = rows @ flat.reshape(weights.shape).T
        moved = p * (moved - (p * moved).sum(axis=1, keepdims=True))
        return np.asarray((moved.T @ rows / len(rows)).ravel() + penalty * flat)

    operator = LinearOperator((weights.size, weights.size), matvec=times, dtype=np.float64)
    with threadpool_limits(1):
        found, _ = cg(operator, slope.ravel(), rtol=1e-8, maxiter=500)
    return np.asarray(found.reshape(weights.shape))
