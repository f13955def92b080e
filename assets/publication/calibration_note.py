"""One sentence on a release's calibration: kept or fitted anew, and why."""

from __future__ import annotations

import polars as pl


def calibration_note(scoring: pl.DataFrame, cuts: pl.DataFrame, limit: float) -> str:
    """Say what became of the calibration in a release.

    Parameters
    ----------
    scoring
        `scoring/calibration`.
    cuts
        `filtering/calibration`.
    limit
        The recipe's `recalibrate_at`.
    """
    name = cuts["calibration"][0][:8]
    if scoring["renewed"].any():
        return f"{name}, fitted in this run, because {scoring['reason'][0]}"
    far = scoring.filter(pl.col("drift").is_not_null()).sort("drift", "scorer").tail(1)
    drift = "nothing to drift"
    if far.height:
        drift = f"largest drift {far['drift'][0]:.3f} ({far['scorer'][0]})"
    if cuts["renewed"][0]:
        return f"{name}, scores kept ({drift}); pools cut anew, because {cuts['reason'][0]}"
    moved = f"{100 * cuts['moved'][0]:.1f} % of the records would change their pool"
    return f"{name}, kept: {drift}, {moved}; renewed above {limit:g}"
