"""Leverage: how much a record alone determines what a linear model says of it.

The ridge leverage of the record's unit vector x among the training records X, ``x^T (X^T X + penalty I)^-1 x``, is 0 to
1 for one of them: near 1 where no other record points that way, so that a fit must follow it. It bounds what leaving
the record out can change (a residual grows by ``1 / (1 - leverage)``), and records drawn by it keep the least-squares
problem (Drineas, Mahoney and Muthukrishnan 2006). High finds the rare; noise and strangers are rare too.

The state is the Gram matrix on the grid of whole numbers: shards add up exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.leverage import gram, inverse_factor, leverage_scores
from assets.kernels.unit_vectors import SCALE, UNIT
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
from assets.scoring.samples import stored_grid, usable


@dataclass(frozen=True)
class Leverage:
    """Share of a linear model's answer for the record that the record itself decides, 0 to 1.

    Parameters
    ----------
    keep
        ``rare`` (high leverage) or ``common`` records are better.
    penalty
        Of the ridge, as a share of the mean squared length along a dimension, above 0.
    """

    keep: Literal["rare", "common"] = "rare"
    penalty: float = 0.01

    name: ClassVar[str] = "leverage"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows x dim²)"
    source: ClassVar[str] = (
        "Alaoui and Mahoney 2015, arXiv 1411.0306, definition 1; Drineas et al. 2006"
    )

    def __post_init__(self) -> None:
        if self.keep not in {"rare", "common"} or not self.penalty > 0:
            message = (
                f"leverage cannot use keep={self.keep!r}, penalty={self.penalty}; "
                "keep rare or common, and use a penalty above 0"
            )
            raise ScoringError(message)

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Return what `keep` means."""
        return "high" if self.keep == "rare" else "low"

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Add up the Gram matrix of the train records."""
        state = self._state(np.zeros((0, 0)), 0)
        for batch in batches:
            rows = np.flatnonzero(usable(batch) & batch.has_role("train"))
            if batch.embedding is not None and len(rows):
                part = self._state(gram(stored_grid(batch.embedding[rows])), len(rows))
                state = self.merge(state, part)
            if context.progress is not None:
                context.progress(len(batch))
        return state

    def _state(self, matrix: NDArray[np.float64], rows: int) -> ScorerState:
        arrays = {"gram": matrix, "rows": np.array(rows)}
        return ScorerState(self.name, self.version, dict(vars(self)), arrays)

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Add two Gram matrices.

        Raises
        ------
        ScoringError
            Their vectors have two lengths.
        """
        check_same(left, right)
        sides = [left.arrays["gram"], right.arrays["gram"]]
        held = [matrix for matrix in sides if len(matrix)] or sides[:1]
        if len({len(matrix) for matrix in held}) > 1:
            message = "leverage got vectors of two lengths; was the embedder changed? Spaces can't be mixed"
            raise ScoringError(message)
        rows = int(left.arrays["rows"] + right.arrays["rows"])
        return self._state(np.sum(held, axis=0), rows)

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Invert the Gram matrix.

        Raises
        ------
        ScoringError
            No train record has a vector.
        """
        matrix, rows = summary.arrays["gram"] / UNIT, int(summary.arrays["rows"])
        if not rows:
            message = "leverage found no train record with a vector; give the records one, or drop leverage"
            raise ScoringError(message)
        factor = inverse_factor(matrix, self.penalty * float(np.trace(matrix)) / len(matrix))
        meta = {**summary.meta, "train": rows}
        return ScorerState(self.name, self.version, meta, {"factor": factor})

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without a vector get none."""
        n = len(batch)
        values = np.full(n, np.nan)
        rows = np.flatnonzero(usable(batch))
        if batch.embedding is not None and len(rows):
            unit = stored_grid(batch.embedding[rows]).astype(np.float64) / SCALE
            values[rows] = leverage_scores(unit, state.arrays["factor"])
        reasons = reasons_from(n, [(np.isnan(values), "no embedding")])
        return ScoreColumn(self.name, self.version, values, reasons, self.direction(state))
