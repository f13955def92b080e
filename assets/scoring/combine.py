"""Borda: several score columns become one quality in [0, 1], by average ranks.

Each column's values are replaced by their normalised average rank (ties share one), turned so that
high is better, and a row's quality is the mean of the ranks that it has. Ranks come from mergeable
quantile states, so a row is combined by looking at that row alone.

A score that does not apply neither helps nor hurts in expectation: the row is judged by its other
scores. A mean of fewer ranks spreads wider, though, so rows with few scores are found at both ends
more often. Any strictly increasing transform of a column leaves the result unchanged, which a mean
of raw scores does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.quantiles import DEFAULT_LIMIT, QuantileState
from assets.scoring.protocol import Direction, ScorerState, ScoringError


@dataclass(frozen=True)
class Borda:
    """The mean of normalised average ranks (de Borda 1781), one vote a scorer.

    Parameters
    ----------
    limit
        Distinct values of a column up to which ranks are exact; see `QuantileState`.
    """

    limit: int = DEFAULT_LIMIT

    name: ClassVar[str] = "borda"
    version: ClassVar[int] = 1

    def fit_ranks(
        self,
        batches: Iterable[Mapping[str, NDArray[np.float64]]],
        directions: Mapping[str, Direction],
    ) -> ScorerState:
        """Summarise score columns.

        Parameters
        ----------
        batches
            Mappings from scorer to float64 of shape (n,), NaN where it does not apply.
        directions
            Scorer to ``high`` or ``low``; names the columns that take part.

        Returns
        -------
        ScorerState
            Mergeable by `merge`, equal for any order of rows.
        """
        if not directions:
            message = "nothing to combine; name at least one scorer in scoring.scorers"
            raise ScoringError(message)
        unknown = {n: d for n, d in directions.items() if d not in {"high", "low"}}
        if unknown:
            message = f"directions {unknown} are neither high nor low"
            raise ScoringError(message)
        states = {name: QuantileState(self.limit) for name in directions}
        for batch in batches:
            for name in states:
                states[name] = states[name].update(_column(batch, name))
        return self._pack(states, dict(directions))

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Add two summaries of the same columns."""
        if left.meta["directions"] != right.meta["directions"]:
            message = "cannot merge ranks of different scorers or directions"
            raise ScoringError(message)
        mine, others = self.quantiles(left), self.quantiles(right)
        merged = {name: mine[name].merge(others[name]) for name in mine}
        return self._pack(merged, left.meta["directions"])

    def apply(
        self, columns: Mapping[str, NDArray[np.float64]], state: ScorerState
    ) -> NDArray[np.float64]:
        """Combine rows one by one.

        Parameters
        ----------
        columns
            The columns that were summarised, float64 of shape (n,).
        state
            From `fit_ranks` or `merge`.

        Returns
        -------
        numpy.ndarray
            float64 in [0, 1], higher is better; NaN where every score is missing.
        """
        states = self.quantiles(state)
        directions = state.meta["directions"]
        total: NDArray[np.float64] | None = None
        votes: NDArray[np.float64] | None = None
        for name in sorted(states):  # sums in one order, whatever the mapping's
            ranks = states[name].rank(_column(columns, name))
            if directions[name] == "low":
                ranks = 1.0 - ranks
            present = ~np.isnan(ranks)
            ranks = np.where(present, ranks, 0.0)
            total = ranks if total is None else total + ranks
            votes = present.astype(np.float64) if votes is None else votes + present
        assert total is not None
        assert votes is not None
        quality = np.full(len(total), np.nan)
        np.divide(total, votes, out=quality, where=votes > 0)
        return quality

    def quantiles(self, state: ScorerState) -> dict[str, QuantileState]:
        """Return the distribution of each column that was summarised."""
        parts = ("about", "keys", "counts")
        return {
            name: QuantileState.from_arrays({p: state.arrays[f"{name}/{p}"] for p in parts})
            for name in state.meta["directions"]
        }

    def rank_errors(self, state: ScorerState) -> dict[str, float]:
        """Return the largest error of each column's normalised rank; 0 while exact."""
        return {name: s.rank_error for name, s in self.quantiles(state).items()}

    def _pack(
        self, states: Mapping[str, QuantileState], directions: dict[str, Direction]
    ) -> ScorerState:
        arrays: dict[str, NDArray[Any]] = {}
        for name, state in states.items():
            for part, array in state.to_arrays().items():
                arrays[f"{name}/{part}"] = array
        return ScorerState(self.name, self.version, {"directions": directions}, arrays)


def _column(columns: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    if name not in columns:
        message = f"score column {name!r} is missing; the columns are {sorted(columns)}"
        raise ScoringError(message)
    return np.asarray(columns[name], dtype=np.float64)
