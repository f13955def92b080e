"""RDS: how near a record comes to its nearest record of the target.

The largest cosine between the record's vector and those of the target's records, as representation-based data
selection ranks by (Ivison et al. 2025). The paper's vectors are position-weighted means of a language model's last
hidden states; here they are whatever embedder the recipe names, so the score is as good as those. To select, the
selector `round_robin` lets each target record take its own nearest in turn: ranking by this score alone lets one
crowded corner of the target take everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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

BLOCK_CELLS = 1 << 22


@dataclass(frozen=True)
class Rds(AgainstTarget):
    """Largest cosine to a record of the target, -1 to 1.

    Parameters
    ----------
    target_rows
        Target records that are compared with, at most: those with the smallest hashes.
    """

    target_rows: int = 20_000

    name: ClassVar[str] = "rds"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.TARGET
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows x targets x dim)"
    source: ClassVar[str] = "Ivison et al. 2025, arXiv 2503.01807 (RDS+)"

    def __post_init__(self) -> None:
        if self.target_rows < 1:
            message = f"rds cannot use target_rows={self.target_rows}; use 1 or more"
            raise ScoringError(message)

    def limits(self) -> dict[str, int]:
        """Return how many records are kept; nothing is learned from the train records."""
        return {"target": self.target_rows}

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is near."""
        return "high"

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Keep the target's vectors."""
        target = self.side(summary, "target")
        meta = {**summary.meta, "targets": len(target["words"])}
        return ScorerState(self.name, self.version, meta, {"targets": target["vectors"]})

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without a vector get none."""
        n = len(batch)
        values = np.full(n, np.nan)
        rows = np.flatnonzero(usable(batch))
        targets = stored_grid(state.arrays["targets"])
        if batch.embedding is not None and len(rows):
            grid = stored_grid(batch.embedding[rows])
            step = max(1, BLOCK_CELLS // len(targets))
            for start in range(0, len(rows), step):
                near = (grid[start : start + step] @ targets.T).max(axis=1)
                values[rows[start : start + step]] = near / UNIT
        reasons = reasons_from(n, [(np.isnan(values), "no embedding")])
        return ScoreColumn(self.name, self.version, values, reasons, "high")
