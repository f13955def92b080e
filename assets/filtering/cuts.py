"""The pool cuts of a run: kept from the base release, or made anew where too many records would change their pool."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl

from assets.filtering.pools import PoolState, cut_points, moved
from resources.stage_spec import digest

SCHEMA = {
    "calibration": pl.String,
    "scoring": pl.String,
    "cuts": pl.String,
    "reason": pl.String,
    "renewed": pl.Boolean,
    "moved": pl.Float64,
}


@dataclass(frozen=True)
class PoolCuts:
    """Cuts in use.

    Attributes
    ----------
    state
        The cuts.
    scoring
        Identity of the scoring calibration whose quality they cut.
    reason
        Why they were made.
    renewed
        Whether this run made them.
    moved
        Share of the training records that would change their pool if they were made anew.
    """

    state: PoolState
    scoring: str
    reason: str
    renewed: bool
    moved: float

    @property
    def identity(self) -> str:
        """Name of the cuts and of what they cut, 32 hex digits."""
        return digest([self.scoring, self.state.to_json()])

    def to_frame(self) -> pl.DataFrame:
        """Return the one row of `filtering/calibration`."""
        cuts = json.dumps(self.state.to_json(), sort_keys=True)
        row = (self.identity, self.scoring, cuts, self.reason, self.renewed, self.moved)
        return pl.DataFrame([row], schema=SCHEMA, orient="row")


def cuts_for(
    train: pl.DataFrame,
    *,
    scoring: str,
    by_group: bool,
    pools: int,
    seed: int,
    kept: pl.DataFrame | None,
    reason: str,
    most_moved: float,
) -> PoolCuts:
    """Keep the cuts of the base release, or make them anew.

    Parameters
    ----------
    train
        `record_id`, `quality`, `group` of the training records.
    scoring
        Identity of the scoring calibration.
    by_group, pools, seed
        See `cut_points`.
    kept
        `filtering/calibration` of the base release where its settings are this run's, else None.
    reason
        Why there is none to keep.
    most_moved
        Share of the records that may be in another pool than new cuts would put them in.
    """
    group = train["group"] if by_group else None
    columns = (train["quality"], group, train["record_id"])
    anew = cut_points(*columns, pools=pools, seed=seed)
    if kept is None:
        return PoolCuts(anew, scoring, reason, renewed=True, moved=0.0)
    if kept["scoring"][0] != scoring:
        return PoolCuts(anew, scoring, "the scores were calibrated anew", renewed=True, moved=0.0)
    state = PoolState.from_json(json.loads(kept["cuts"][0]))
    share = moved(state, anew, *columns)
    if share > most_moved:
        told = f"{share:.3f} of the records would change their pool, more than {most_moved:g}"
        return PoolCuts(anew, scoring, told, renewed=True, moved=0.0)
    return PoolCuts(state, scoring, kept["reason"][0], renewed=False, moved=share)
