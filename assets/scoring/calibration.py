"""A calibration: the fitted states that scores are made with, kept from run to run until the data have drifted.

A state is kept while what it was made with is the same (`made_with`); where one scorer's settings change, that scorer
is fitted anew and the others stand.

A score is a function of a record and the calibration alone. So a run that keeps the calibration of the last release
scores only new records, and gives each the score that a whole run under that calibration would give it.

Drift of a score is the Kolmogorov-Smirnov distance between its distribution over the training records now and
when the calibration was fitted, or the change in the share of records that have no such score, if that is larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from assets.kernels.quantiles import QuantileState
from assets.scoring.combine import Borda
from assets.scoring.protocol import ScorerState

RANKS = "borda"
NO_RANKS = ScorerState(RANKS, Borda.version, {"directions": {}})
SCHEMA = {
    "calibration": pl.String,
    "scorer": pl.String,
    "version": pl.Int64,
    "digest": pl.String,
    "state": pl.Binary,
    "made_with": pl.String,
    "target": pl.String,
    "reason": pl.String,
    "renewed": pl.Boolean,
    "drift": pl.Float64,
}


@dataclass(frozen=True)
class Calibration:
    """Fitted states, and why they were fitted.

    Attributes
    ----------
    states
        State by scorer, and the ranks that combine them under `RANKS`.
    target
        Identity of the contents that play the target's role.
    reason
        Why those that this run fitted were.
    made
        What each scorer's state was made with, see `made_with`.
    kept
        States that another run fitted; the others are of this run.
    drift
        Drift of each score since it was fitted, 0 to 1; empty where it was fitted just now.
    """

    states: Mapping[str, ScorerState]
    target: str
    reason: str
    made: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    drift: Mapping[str, float] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Name of the states together, 32 hex digits."""
        hasher = xxhash.xxh3_128(self.target.encode())
        for name, state in sorted(self.states.items()):
            hasher.update(f"{name}={state.digest()}{self.made.get(name, '')};".encode())
        return hasher.hexdigest()

    @property
    def renewed(self) -> bool:
        """Whether this run fitted any of it."""
        return not self.kept.issuperset(self.states)

    @property
    def ranks(self) -> ScorerState:
        """The ranks that combine scores."""
        return self.states[RANKS]

    @property
    def combined(self) -> set[str]:
        """Scores that the quality is made of; empty where no scorer can run."""
        return set(self.ranks.meta["directions"])

    def to_frame(self) -> pl.DataFrame:
        """Return one row a state."""
        names = sorted(self.states)
        return pl.DataFrame(
            {
                "calibration": [self.identity] * len(names),
                "scorer": names,
                "version": [self.states[n].version for n in names],
                "digest": [self.states[n].digest() for n in names],
                "state": [self.states[n].to_bytes() for n in names],
                "made_with": [self.made.get(n) for n in names],
                "target": [self.target] * len(names),
                "reason": [self.reason] * len(names),
                "renewed": [n not in self.kept for n in names],
                "drift": [self.drift.get(n) for n in names],
            },
            schema=SCHEMA,
        )

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Calibration:
        """Read what `to_frame` returned, as a calibration that another run fitted."""
        states = {
            name: ScorerState.from_bytes(data)
            for name, data in frame.select("scorer", "state").iter_rows()
        }
        made = {}
        if "made_with" in frame.columns:
            made = dict(frame.select("scorer", "made_with").drop_nulls().iter_rows())
        return cls(states, frame["target"][0], frame["reason"][0], made, frozenset(states))


def drift_since(
    calibration: Calibration, columns: Mapping[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Measure the drift of each combined score.

    Parameters
    ----------
    calibration
        With the distributions that it was fitted to.
    columns
        Scores of the training records now, float64 of shape (n,), NaN where a score does not apply.

    Returns
    -------
    dict
        Score to drift, 0 to 1.
    """
    if not calibration.combined:
        return {}
    ranks = calibration.ranks
    now = Borda().quantiles(Borda().fit_ranks([columns], ranks.meta["directions"]))
    then = Borda().quantiles(ranks)
    return {name: max(now[name].distance(s), _gap(now[name], s)) for name, s in then.items()}


def _gap(now: QuantileState, then: QuantileState) -> float:
    shares = [s.missing / max(s.missing + s.total, 1) for s in (now, then)]
    return abs(shares[0] - shares[1])


def worst(drift: Mapping[str, float]) -> tuple[str, float]:
    """Return the score that drifted most, and how far."""
    name = max(sorted(drift), key=lambda n: drift[n], default="")
    return name, drift.get(name, 0.0)


def contents_identity(content_ids: pl.Series) -> str:
    """Name a set of contents, whatever their order."""
    digest: Any = xxhash.xxh3_128()
    for content in content_ids.unique().sort():
        digest.update(content.encode())
    return str(digest.hexdigest())
