"""LAVA: what a record adds to the distance between the training data and the target.

The gradient of the entropic optimal-transport cost between the records and the target in the mass of one record,
calibrated to leave the total mass alone (Just et al. 2023): with f the dual potential of N records,
``f_i - mean over j other than i of f_j``. High means that more of this record takes the data away from the target,
so low is better; errors, strangers and noise come out high.

The potential of any record, seen in the fit or not, is a soft minimum over the target's potentials g,
``f(x) = -eps log sum_j b_j exp((g_j - c(x, y_j)) / eps)``: so the score looks at one record at a time and the state is
the target's vectors and g. Of the target's own distribution GOT-D takes the same gradient (Kang et al. 2024).
The cost is ``1 - cosine``; labels are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.sinkhorn import sinkhorn, soft_minimum
from assets.kernels.unit_vectors import UNIT
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
from assets.scoring.samples import stored_grid, usable
from assets.scoring.target_sample import AgainstTarget

BLOCK_CELLS = 1 << 21


@dataclass(frozen=True)
class Lava(AgainstTarget):
    """Calibrated gradient of the transport cost to the target in a record's mass.

    Parameters
    ----------
    eps
        Regularisation, in units of ``1 - cosine``, above 0.
    sample_rows, target_rows
        Records of either side that the potentials are fitted on, at most: those with the smallest hashes.
    """

    eps: float = 0.05
    sample_rows: int = 4_000
    target_rows: int = 2_000

    name: ClassVar[str] = "lava"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.TARGET
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows x targets x dim), and Sinkhorn on a sample of both"
    source: ClassVar[str] = "Just et al. 2023, arXiv 2305.00054; Kang et al. 2024, arXiv 2405.02774"

    def __post_init__(self) -> None:
        if not self.eps > 0 or self.sample_rows < 2 or self.target_rows < 1:
            message = (
                f"lava cannot use eps={self.eps}, sample_rows={self.sample_rows}, target_rows={self.target_rows}; "
                "use eps above 0, 2 train records and 1 target record or more"
            )
            raise ScoringError(message)

    def limits(self) -> dict[str, int]:
        """Return how many records of each side are kept."""
        return {"train": self.sample_rows, "target": self.target_rows}

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Low is near the target."""
        return "low"

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Solve the transport between the samples."""
        train, target = self.side(summary, "train"), self.side(summary, "target")
        rows = stored_grid(train["vectors"])
        columns = stored_grid(target["vectors"])
        n, m = len(rows), len(columns)
        solved = sinkhorn(
            lambda some: _costs(rows[some], columns),
            np.full(n, 1.0 / n),
            np.full(m, 1.0 / m),
            self.eps,
        )
        meta = {
            **summary.meta,
            "train": n,
            "targets": m,
            "mean_potential": float(solved.f.mean()),
            "transport_cost": solved.value,
            "error": solved.error,
        }
        arrays: dict[str, NDArray[Any]] = {"targets": target["vectors"], "potential": solved.g}
        return ScorerState(self.name, self.version, meta, arrays)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without a vector get none."""
        n = len(batch)
        values = np.full(n, np.nan)
        rows = np.flatnonzero(usable(batch))
        columns = stored_grid(state.arrays["targets"])
        g = state.arrays["potential"]
        log_mass = np.full(len(g), -np.log(len(g)))
        if batch.embedding is not None and len(rows):
            grid = stored_grid(batch.embedding[rows])
            step = max(1, BLOCK_CELLS // len(columns))
            for start in range(0, len(rows), step):
                costs = _costs(grid[start : start + step], columns)
                values[rows[start : start + step]] = soft_minimum(costs, g, log_mass, self.eps)
        many = state.meta["train"]
        values = (values - state.meta["mean_potential"]) * many / max(many - 1, 1)
        reasons = reasons_from(n, [(np.isnan(values), "no embedding")])
        return ScoreColumn(self.name, self.version, values, reasons, "low")


def _costs(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(1.0 - (rows @ columns.T).astype(np.float64) / UNIT)
