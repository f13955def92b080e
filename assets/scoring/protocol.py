"""What a scorer, a combiner and a batch are: the small interface that every method keeps.

A scorer is fitted in three pure steps, so that shards can be summarised apart: `summarise` turns
batches into a summary, `merge` adds two summaries (commutative and associative), `finish` turns a
summary into the state of a calibration. `score` then looks at one row at a time. Methods whose
score needs the other rows (semantic redundancy) say ``row_local = False`` and offer `score_all`
instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.scoring.batches import Needs, ScoreBatch, ScoreContext, ScoringError
from assets.scoring.states import ScorerState, check_same

__all__ = [
    "AnyScorer",
    "Combiner",
    "Direction",
    "Needs",
    "ScoreBatch",
    "ScoreColumn",
    "ScoreContext",
    "Scorer",
    "ScorerState",
    "ScoringError",
    "Stateless",
    "WholeScorer",
    "check_same",
    "fit",
    "reasons_from",
]

Direction = Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """The scores of a batch.

    Attributes
    ----------
    name, version
        Of the scorer.
    values
        float64, shape (n,); NaN means that the score does not apply.
    reasons
        String series of n: null where there is a value, else why there is none.
    direction
        Whether high or low is better.
    extras
        Further float64 columns (metrics behind the score).
    """

    name: str
    version: int
    values: NDArray[np.float64]
    reasons: pl.Series
    direction: Direction
    extras: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def reason_counts(self) -> Counter[str]:
        """Count the rows without a score by reason."""
        return Counter(value for value in self.reasons.to_list() if value is not None)

    def to_frame(self) -> pl.DataFrame:
        """Return columns `name` (null where it does not apply) and the extras."""
        columns = {self.name: self.values, **self.extras}
        return pl.DataFrame(columns).with_columns(pl.all().fill_nan(None))


def reasons_from(n: int, where: Iterable[tuple[NDArray[np.bool_], str]]) -> pl.Series:
    """Build a reason column; the first reason whose mask covers a row is taken."""
    codes = np.zeros(n, dtype=np.uint32)
    reasons: list[str | None] = [None]
    for mask, reason in where:
        codes[mask & (codes == 0)] = len(reasons)
        reasons.append(reason)
    return pl.Series("reason", reasons, dtype=pl.String).gather(pl.Series(codes))


@runtime_checkable
class Scorer(Protocol):
    """A method that gives each record one number."""

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[Needs]
    row_local: ClassVar[bool]
    cost: ClassVar[str]
    source: ClassVar[str]

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Summarise rows; order-free."""
        ...

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Add two summaries."""
        ...

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Turn a summary into a state."""
        ...

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows one by one."""
        ...

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Tell whether high or low is better; may depend on the state."""
        ...


@runtime_checkable
class WholeScorer(Protocol):
    """A method that must see all records to give each its number."""

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[Needs]
    row_local: ClassVar[bool]
    cost: ClassVar[str]
    source: ClassVar[str]

    def score_all(
        self,
        batch: ScoreBatch,
        rank: NDArray[np.integer[Any]],
        context: ScoreContext,
        model: Any = None,  # noqa: ANN401 whatever the method calibrates
    ) -> tuple[ScoreColumn, dict[str, Any]]:
        """Score all records; returns the column and JSON values about the computation."""
        ...

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Tell whether high or low is better."""
        ...


AnyScorer: TypeAlias = Scorer | WholeScorer


class Combiner(Protocol):
    """A method that turns several score columns into one, higher better."""

    name: ClassVar[str]
    version: ClassVar[int]

    def fit_ranks(
        self,
        batches: Iterable[Mapping[str, NDArray[np.float64]]],
        directions: Mapping[str, Direction],
    ) -> ScorerState:
        """Summarise score columns into mergeable ranks."""
        ...

    def apply(
        self, columns: Mapping[str, NDArray[np.float64]], state: ScorerState
    ) -> NDArray[np.float64]:
        """Combine rows one by one: float64 in [0, 1], NaN where every score is missing."""
        ...


def fit(scorer: Scorer, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
    """Fit a scorer on one stream of batches."""
    return scorer.finish(scorer.summarise(batches, context), context)


class Stateless:
    """The three steps of a fit for scorers that have nothing to fit."""

    name: ClassVar[str]
    version: ClassVar[int]

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Return the settings; the rows are not looked at."""
        meta = {"seed": context.seed, **vars(self)}
        return ScorerState(self.name, self.version, meta)

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Return one of two equal summaries."""
        check_same(left, right)
        return left

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Return the summary."""
        return summary
