"""What scorers that compare records with the target have in common: a keyed sample of each side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from assets.scoring.protocol import ScoreBatch, ScoreContext, ScorerState, ScoringError, check_same
from assets.scoring.samples import (
    NO_LABEL,
    Arrays,
    empty_sample,
    in_id_order,
    label_hashes,
    sample_of,
    united,
    usable,
)

_REMEDY = {
    "train": "give the records both",
    "target": "give it records with role target (or --target FILE)",
}


class AgainstTarget(ABC):
    """Mergeable samples of train and target records.

    With ``labelled`` set only labelled records are taken; with ``grouped`` their groups are noted.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    labelled: ClassVar[bool] = False
    grouped: ClassVar[bool] = False

    @abstractmethod
    def limits(self) -> dict[str, int]:
        """Return how many records of each side (``train``, ``target``) are kept at most."""

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Keep the rows of each side with the smallest hashes."""
        state = self._state(
            dict.fromkeys(self.limits(), empty_sample(grouped=self.grouped)), context.seed
        )
        for batch in batches:
            fit = usable(batch)
            if self.labelled:
                fit &= label_hashes(batch) != NO_LABEL
            part = {
                side: sample_of(
                    batch, np.flatnonzero(fit & batch.has_role(side)), grouped=self.grouped
                )
                for side in self.limits()
            }
            state = self.merge(state, self._state(part, context.seed))
            if context.progress is not None:
                context.progress(len(batch))
        return state

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Unite the samples."""
        check_same(left, right)
        seed = left.meta["seed"]
        merged = {
            side: united(
                self._side(left, side),
                self._side(right, side),
                most,
                seed,
                f"sample of {side}",
                self.name,
            )
            for side, most in self.limits().items()
        }
        return self._state(merged, seed)

    def _state(self, sides: dict[str, Arrays], seed: int) -> ScorerState:
        arrays = {f"{s}/{n}": array for s, part in sides.items() for n, array in part.items()}
        return ScorerState(self.name, self.version, {**vars(self), "seed": seed}, arrays)

    def side(self, summary: ScorerState, side: str) -> Arrays:
        """Return the sample of one side, by ids.

        Raises
        ------
        ScoringError
            It is empty; says how to fill it.
        """
        sample = self._side(summary, side)
        if not len(sample["words"]):
            what = "a vector and a label" if self.labelled else "a vector"
            message = f"{self.name} found no {side} record with {what}; {_REMEDY[side]}, or drop {self.name}"
            raise ScoringError(message)
        return in_id_order(sample)

    def _side(self, state: ScorerState, side: str) -> Arrays:
        return {n: state.arrays[f"{side}/{n}"] for n in empty_sample(grouped=self.grouped)}
