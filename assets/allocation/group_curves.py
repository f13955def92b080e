"""Fit a learning curve f_g(n) = a - b n^-p for every group from evaluations, with uncertainty.

Weighted least squares, p profiled on a grid with a normal prior (mean .35, sd .15) that is renewed
from all groups
(shrinkage), a and b solved exactly for each p. Draws come from refitting to metrics and priors that
are perturbed by
run, with random numbers keyed by group, run and seed, so that they do not depend on the order of
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.allocation.curve_fit import Evaluations, draw_fits, profile, shared_prior
from assets.allocation.curves import Curves
from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats

PRIOR_MEAN, PRIOR_SD = 0.35, 0.15
LEAST_SIZES = 4
_NUMBERS = ("a", "b", "p", "rmse", "a_lo80", "a_hi80", "p_lo80", "p_hi80", "chance")
_COLUMNS = ("group", "samples_seen", "unique", "metric_value", "direction", "se", "seed", "run_id")


class CurveError(AllocationError):
    """Evaluations cannot be read as learning curves; the message names row and column."""


@dataclass(frozen=True)
class GroupCurves:
    """Fitted curves of G groups.

    `a`, `b`, `p` shape (G,), NaN where there is no curve; `draw_a`, `draw_b`, `draw_p` shape
    (draws, G); `chance` the
    performance of guessing per group (NaN where unknown); `frame` one row a group with the fit, its
    intervals,
    `status` (ok, few_sizes, no_rows, no_gain) and `remedy`.
    """

    groups: list[str]
    a: Floats
    b: Floats
    p: Floats
    draw_a: Floats
    draw_b: Floats
    draw_p: Floats
    chance: Floats
    frame: pl.DataFrame

    @property
    def usable(self) -> np.ndarray:
        """Return which groups have a curve, shape (G,)."""
        return np.isfinite(self.a)

    def central(self, index: np.ndarray) -> Curves:
        """Return the best curves of groups `index`."""
        return Curves.power(self.a[index], self.b[index], self.p[index])

    def draw(self, number: int, index: np.ndarray) -> Curves:
        """Return draw `number` of the curves of groups `index`."""
        return Curves.power(
            self.draw_a[number, index], self.draw_b[number, index], self.draw_p[number, index]
        )

    def draws_by_group(self) -> dict[str, dict[str, list[float]]]:
        """Return by group that has a curve the a, b and p of every draw, to 9 digits."""
        drawn = {"a": self.draw_a, "b": self.draw_b, "p": self.draw_p}
        return {
            name: {
                k: [float(f"{v:.9g}") for v in values[:, g].tolist()] for k, values in drawn.items()
            }
            for g, name in enumerate(self.groups)
            if self.usable[g]
        }


def fit_group_curves(
    evaluations: pl.DataFrame,
    groups: Sequence[str] | None = None,
    *,
    draws: int = 200,
    seed: int = 0,
    prior_mean: float = PRIOR_MEAN,
    prior_sd: float = PRIOR_SD,
    least_sizes: int = LEAST_SIZES,
    ceiling: float = 1.0,
) -> GroupCurves:
    """Fit one curve a group to performance (1 - metric where lower is better).

    Parameters
    ----------
    evaluations
        Rows with group, samples_seen, unique, metric_value (on 0..1), direction (`lower` or
        `higher`), se (null where
        unknown), seed, run_id, and optionally chance_level (in the metric's own direction). Rows
        without a value, and
        runs that repeat records (samples_seen above unique), are left out and counted.
    groups
        All groups to report; those without rows get status `no_rows`. Default: those in the rows.
    draws
        Number of perturbed refits.
    seed
        Seed of the draws.
    prior_mean, prior_sd
        Normal prior of p before it is renewed from the groups.
    least_sizes
        Fewest distinct sizes for a curve; with fewer the group gets none and is flagged.
    ceiling
        Largest a.

    Raises
    ------
    CurveError
        A column is missing, or a value is not usable, with the row.

    Notes
    -----
    Cost O(draws * grid * rows) multiplications for each group.
    """
    rows = _checked(evaluations)
    names = sorted(set(rows["group"].to_list())) if groups is None else list(groups)
    data = {name: _one_group(rows.filter(pl.col("group") == name)) for name in names}
    first = {
        n: profile(d, prior_mean, prior_sd, ceiling)
        for n, d in data.items()
        if d.sizes >= least_sizes
    }
    mean, sd = shared_prior(first, prior_mean, prior_sd)
    size = len(names)
    out = {k: np.full(size, np.nan) for k in ("a", "b", "p", "rmse")}
    drawn = np.full((3, draws, size), np.nan)
    status = []
    for g, name in enumerate(names):
        d = data[name]
        if d.sizes < least_sizes:
            status.append("no_rows" if d.n.size == 0 else "few_sizes")
            continue
        fit = profile(d, mean, sd, ceiling)
        out["a"][g], out["b"][g], out["p"][g], out["rmse"][g] = fit.a, fit.b, fit.p, fit.rmse
        status.append("ok" if fit.b > 1e-9 else "no_gain")
        drawn[:, :, g] = draw_fits(d, fit, (mean, sd, prior_sd), ceiling, draws, f"{seed}|{name}")
    chance = np.array([data[n].chance for n in names])
    frame = _frame(names, data, out, drawn, status, least_sizes)
    return GroupCurves(
        names, out["a"], out["b"], out["p"], drawn[0], drawn[1], drawn[2], chance, frame
    )


def _checked(frame: pl.DataFrame) -> pl.DataFrame:
    for column in _COLUMNS:
        if column not in frame.columns:
            msg = f"evaluations: column {column!r} is missing; it has {frame.columns}"
            raise CurveError(msg)
    odd = frame.filter(~pl.col("direction").is_in(["lower", "higher"]))
    if odd.height:
        msg = (
            f"evaluations: direction {odd['direction'][0]!r} of group {odd['group'][0]!r}; use "
            "lower or higher"
        )
        raise CurveError(msg)
    value = pl.col("metric_value")
    bad = frame.filter(
        value.is_not_null()
        & value.is_nan().not_()
        & ((value < -1e-9) | (pl.col("samples_seen") <= 0))
    )
    if bad.height:
        msg = (
            f"evaluations: run {bad['run_id'][0]!r} of group {bad['group'][0]!r} has metric "
            f"{bad['metric_value'][0]} "
            f"at {bad['samples_seen'][0]} samples; metrics must be on 0..1 and samples positive"
        )
        raise CurveError(msg)
    if "chance_level" not in frame.columns:
        frame = frame.with_columns(chance_level=pl.lit(None, pl.Float64))
    return frame.with_columns(
        usable=value.is_not_null()
        & value.is_finite()
        & (pl.col("samples_seen") <= pl.col("unique") * 1.001)
    )


def _one_group(rows: pl.DataFrame) -> Evaluations:
    used = rows.filter(pl.col("usable")).sort("samples_seen", "run_id", "metric_value")
    lower = (used["direction"] == "lower").to_numpy()
    value = used["metric_value"].to_numpy().astype(float)
    chance = used["chance_level"].cast(pl.Float64).to_numpy()
    at_chance = np.where(lower, 1.0 - chance, chance)
    known = at_chance[np.isfinite(at_chance)]
    n = used["samples_seen"].to_numpy().astype(float)
    return Evaluations(
        n,
        np.where(lower, 1.0 - value, value),
        used["se"].cast(pl.Float64).fill_null(0.0).to_numpy(),
        [str(r) for r in used["run_id"].to_list()],
        len(np.unique(n)),
        float(known.mean()) if known.size else float("nan"),
        rows.height - used.height,
    )


def _frame(
    names: list[str],
    data: dict[str, Evaluations],
    out: dict[str, Floats],
    drawn: Floats,
    status: list[str],
    least: int,
) -> pl.DataFrame:
    def quantile(row: int, q: float) -> list[float | None]:
        return [None if np.isnan(v) else float(v) for v in np.quantile(drawn[row], q, axis=0)]

    remedies = {
        "ok": "",
        "no_gain": "no gain with size was seen: add larger sizes, or check the metric",
        "few_sizes": f"train on at least {least} nested fresh sizes with 3 seeds each",
        "no_rows": f"unallocatable without a pilot: at least {least} nested fresh sizes, from 50 "
        "records up, 3 seeds each",
    }
    return pl.DataFrame(
        {
            "group": names,
            **{
                k: [None if np.isnan(v) else float(v) for v in out[k]]
                for k in ("a", "b", "p", "rmse")
            },
            "a_lo80": quantile(0, 0.1),
            "a_hi80": quantile(0, 0.9),
            "p_lo80": quantile(2, 0.1),
            "p_hi80": quantile(2, 0.9),
            "sizes": [data[n].sizes for n in names],
            "runs": [len(set(data[n].run)) for n in names],
            "rows_used": [data[n].n.size for n in names],
            "rows_left_out": [data[n].left_out for n in names],
            "chance": [None if np.isnan(data[n].chance) else data[n].chance for n in names],
            "status": status,
            "remedy": [remedies[s] for s in status],
        },
        schema_overrides=dict.fromkeys(_NUMBERS, pl.Float64),
    )
