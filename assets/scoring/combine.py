"""Several score columns become one quality in [0, 1]: Borda, reciprocal rank fusion and TOPSIS, all on ranks.

Each column's values are replaced by their normalised average rank (ties share one), turned so that high is better;
ranks come from mergeable quantile states, so a row is combined by looking at that row alone. Any strictly increasing
transform of a column leaves the result unchanged, which a mean of raw scores does not.

A score that does not apply neither helps nor hurts in expectation: the row is judged by its other scores. A mean of
fewer ranks spreads wider, though, so rows with few scores are found at both ends more often.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.quantiles import DEFAULT_LIMIT, QuantileState
from assets.scoring.protocol import Direction, ScorerState, ScoringError


@dataclass(frozen=True)
class RankCombiner(ABC):
    """What combiners of ranks have in common.

    Parameters
    ----------
    limit
        Distinct values of a column up to which ranks are exact; see `QuantileState`.
    """

    limit: int = DEFAULT_LIMIT

    name: ClassVar[str]
    version: ClassVar[int] = 1
    source: ClassVar[str]

    @abstractmethod
    def blend(self, ranks: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn ranks into qualities.

        Parameters
        ----------
        ranks
            Normalised, 1 is best, NaN where a score is missing: float64, shape (scorers, n).
        totals
            How many values each scorer's ranks were fitted on, shape (scorers,).

        Returns
        -------
        numpy.ndarray
            float64 in [0, 1], shape (n,); NaN where every score is missing.
        """

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

    def take(self, state: ScorerState, names: Iterable[str]) -> ScorerState:
        """Return the ranks of some columns, whichever of the combiners summarised them."""
        directions, found = state.meta["directions"], self.quantiles(state)
        wanted = sorted(names)
        return self._pack({n: found[n] for n in wanted}, {n: directions[n] for n in wanted})

    def join(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Put the ranks of different columns of the same rows beside each other."""
        both = {**left.meta["directions"], **right.meta["directions"]}
        return self._pack({**self.quantiles(left), **self.quantiles(right)}, both)

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
        ranks = []
        for name in sorted(states):  # sums in one order, whatever the mapping's
            each = states[name].rank(_column(columns, name))
            ranks.append(1.0 - each if directions[name] == "low" else each)
        totals = np.array([states[name].total for name in sorted(states)], dtype=np.float64)
        return self.blend(np.array(ranks), totals)

    def quantiles(self, state: ScorerState) -> dict[str, QuantileState]:
        """Return the distribution of each column that was summarised."""
        parts = ("about", "keys", "counts")
        return {
            name: QuantileState.from_arrays({p: state.arrays[f"{name}/{p}"] for p in parts})
            for name in state.meta["directions"]
        }

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


def _mean(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the scorers that voted, in their order; NaN where none did."""
    total, count = np.zeros(votes.shape[1]), np.zeros(votes.shape[1])
    for vote in votes:
        present = ~np.isnan(vote)
        total += np.where(present, vote, 0.0)
        count += present
    result = np.full(len(total), np.nan)
    np.divide(total, count, out=result, where=count > 0)
    return result


@dataclass(frozen=True)
class Borda(RankCombiner):
    """The mean of normalised average ranks, one vote a scorer."""

    name: ClassVar[str] = "borda"
    source: ClassVar[str] = "de Borda 1781"

    def blend(self, ranks: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean rank."""
        return _mean(ranks)


@dataclass(frozen=True)
class ReciprocalRank(RankCombiner):
    """Reciprocal rank fusion: the mean of ``1 / (k + place)``, scaled so that first in every score is 1.

    It rewards being near the top of some score more than being fair in all of them.

    Parameters
    ----------
    k
        Places that count almost alike, above 0.
    """

    k: float = 60.0

    name: ClassVar[str] = "reciprocal_rank"
    source: ClassVar[str] = "Cormack, Clarke and Büttcher 2009"

    def blend(self, ranks: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean reciprocal place."""
        # an average rank r of n values is the place (1 - r) n + 1/2
        places = np.maximum((1.0 - ranks) * totals[:, None] + 0.5, 1.0)
        return _mean((self.k + 1.0) / (self.k + places))


@dataclass(frozen=True)
class Topsis(RankCombiner):
    """TOPSIS on ranks: nearness to the best of every score against nearness to the worst.

    ``d- / (d- + d+)``, d+ and d- being the Euclidean distances to the best and the worst rank of every score that
    applies. The original works on scaled scores; on ranks the scale of a score has no say at all.
    """

    name: ClassVar[str] = "topsis"
    source: ClassVar[str] = "Hwang and Yoon 1981"

    def blend(self, ranks: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the relative nearness to the ideal."""
        best, worst = np.sqrt(_mean((1.0 - ranks) ** 2)), np.sqrt(_mean(ranks**2))
        return np.asarray(worst / (best + worst))


COMBINERS: dict[str, type[RankCombiner]] = {
    kind.name: kind for kind in (Borda, ReciprocalRank, Topsis)
}
