"""The random score: baseline number nought, which many methods fail to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assets.kernels.keyed_random import uniform
from assets.scoring.protocol import (
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScorerState,
    Stateless,
    reasons_from,
)


@dataclass(frozen=True)
class RandomScore(Stateless):
    """A uniform draw keyed by id and seed; selections by it are nested."""

    name: ClassVar[str] = "random"
    exempt: ClassVar[dict[str, str]] = {
        "shortcut": "the draw is keyed by the id and by nothing else",
        "direction": "a draw prefers no record to another",
        "seed": "another seed is another draw, as it must be",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.NONE
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows)"
    source: ClassVar[str] = "baseline"

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is better, by convention."""
        return "high"

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Draw for each row."""
        values = uniform(batch.ids, int(state.meta["seed"]), "random score")
        reasons = reasons_from(len(batch), [])
        return ScoreColumn(self.name, self.version, values, reasons, "high")
