"""GOT-D: how a record moves the data toward the target's distribution or away from it, whatever the labels.

The gradient of the entropic optimal-transport cost between the records and the target in the mass of one record,
calibrated to leave the total mass alone: with f the dual potential of N records, ``f_i - mean over j other than i of
f_j`` (Kang et al. 2024; the calibration is that of Just et al. 2023). High takes the data away from the target, so
low is better; errors, strangers and noise come out high.

The potential of any record, seen in the fit or not, is a soft minimum over the target's potentials g,
``f(x) = -eps log sum_j b_j exp((g_j - c(x, y_j)) / eps)``: so the score looks at one record at a time and the state is
the target's vectors and g. The cost is ``1 - cosine``. `lava` is the same with labels in the cost.
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
from assets.scoring.samples import Arrays, stored_grid, usable
from assets.scoring.states import WARNINGS
from assets.scoring.target_sample import AgainstTarget

TOLERANCE = 1e-6
TELL_ERROR = 1e-4  # of a mass; where groups are far from each other, potentials may then be 0.01 from their ends
BLOCK_CELLS = 1 << 21


@dataclass(frozen=True)
class GotD(AgainstTarget):
    """Calibrated gradient of the transport cost to the target in a record's mass.

    Parameters
    ----------
    eps
        Regularisation, in units of ``1 - cosine``, above 0.
    sample_rows, target_rows
        Records of either side that the potentials are fitted on, at most: those with the smallest hashes.
    rounds
        Of Sinkhorn at the last temperature, at most; where they don't suffice it is warned of.
    """

    eps: float = 0.05
    sample_rows: int = 4_000
    target_rows: int = 2_000
    rounds: int = 500

    name: ClassVar[str] = "got_d"
    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.TARGET
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows x targets x dim), and Sinkhorn on a sample of both"
    source: ClassVar[str] = "Kang et al. 2024, arXiv 2405.02774, section 3"

    def __post_init__(self) -> None:
        least = self.sample_rows >= 2 and self.target_rows >= 1 and self.rounds >= 1
        if not 0 < self.eps < np.inf or not least:
            message = (
                f"{self.name} cannot use eps={self.eps}, sample_rows={self.sample_rows}, "
                f"target_rows={self.target_rows}, rounds={self.rounds}; use eps above 0, 2 train records and "
                "1 target record and 1 round or more"
            )
            raise ScoringError(message)

    def limits(self) -> dict[str, int]:
        """Return how many records of each side are kept."""
        return {"train": self.sample_rows, "target": self.target_rows}

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Low is near the target."""
        return "low"

    def label_costs(self, train: Arrays, target: Arrays) -> dict[str, NDArray[Any]]:
        """Return what labels cost: nothing here."""
        return {}

    def label_warnings(self, arrays: dict[str, NDArray[Any]]) -> list[str]:
        """Return what a person should know of the labels' costs: nothing here."""
        return []

    def own_costs(
        self, batch: ScoreBatch, arrays: dict[str, NDArray[Any]]
    ) -> tuple[NDArray[np.int64] | None, list[tuple[NDArray[np.bool_], str]]]:
        """Return each row's place in the table of label costs, and why some have none; nothing here."""
        return None, []

    def train_costs(
        self, train: Arrays, arrays: dict[str, NDArray[Any]]
    ) -> NDArray[np.float64] | None:
        """Return costs of the sample beside the cosine's: nothing here."""
        return None

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Solve the transport between the samples."""
        train, target = self.side(summary, "train"), self.side(summary, "target")
        rows, columns = stored_grid(train["vectors"]), stored_grid(target["vectors"])
        n, m = len(rows), len(columns)
        arrays = self.label_costs(train, target)
        more = self.train_costs(train, arrays)

        def costs(some: slice) -> NDArray[np.float64]:
            cosine = _costs(rows[some], columns)
            return cosine if more is None else cosine + more[some]

        even = np.full(n, 1.0 / n), np.full(m, 1.0 / m)
        solved = sinkhorn(costs, *even, self.eps, tolerance=TOLERANCE, most=self.rounds)
        meta = {
            **summary.meta,
            "train": n,
            "targets": m,
            "mean_potential": float(solved.f.mean()),
            "transport_cost": solved.value,
            "error": solved.error,
            "rounds_made": solved.iterations,
        }
        told = [*self.label_warnings(arrays)]
        if solved.error > TELL_ERROR:
            told.append(
                f"the transport has not converged in {self.rounds} rounds: a record's mass is missed by "
                f"{solved.error:.2g} of it (wanted: {TELL_ERROR:g}). The scores are near, not exact; raise "
                f"{self.name}.eps (now {self.eps:g}) or {self.name}.rounds"
            )
        if told:
            meta[WARNINGS] = told
        arrays |= {"targets": target["vectors"], "potential": solved.g}
        return ScorerState(self.name, self.version, meta, arrays)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without a vector, or whose label is not known where labels count, get none."""
        n = len(batch)
        values = np.full(n, np.nan)
        place, why = self.own_costs(batch, state.arrays)
        lacking = ~usable(batch)
        for mask, _ in why:
            lacking = lacking | mask
        rows = np.flatnonzero(~lacking)
        columns = stored_grid(state.arrays["targets"])
        g = state.arrays["potential"]
        log_mass = np.full(len(g), -np.log(len(g)))
        if batch.embedding is not None and len(rows):
            grid = stored_grid(batch.embedding[rows])
            step = max(1, BLOCK_CELLS // len(columns))
            for start in range(0, len(rows), step):
                some = rows[start : start + step]
                costs = _costs(grid[start : start + step], columns)
                if place is not None:
                    costs = costs + state.arrays["label_costs"][place[some]]
                values[some] = soft_minimum(costs, g, log_mass, self.eps)
        many = state.meta["train"]
        values = (values - state.meta["mean_potential"]) * many / max(many - 1, 1)
        reasons = reasons_from(n, [(~usable(batch), "no embedding"), *why])
        return ScoreColumn(self.name, self.version, values, reasons, "low")


def _costs(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(1.0 - (rows @ columns.T).astype(np.float64) / UNIT)
