"""Compare trained mixtures that were kept out of every fit with what the mixture rule predicts for them.

Laws are fitted to single pools; what a mixture does is a rule on top of them, and a plan of several
pools rests on it. A mixture marked ``purpose = validation`` neither is fitted nor weighs a mixture
assumption, so its miss is an honest measure of the rule. Runs of one mixture at equal size, samples
and shares are averaged. The bounds hold jointly: with m mixtures each has level 1 - 0.1 / m, so a
rule that is right fails about one study in ten, and then by little. Quantiles are Student's t with
the degrees of freedom of the fit, since its noise is estimated too.

A failed rule is charged to every plan of several pools as a relative error of the reducible error,
shared by all of them: the smallest that brings the worst miss to the 90 % bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import norm, t

from assets.filtering.curve_mixtures import MixtureRow
from assets.filtering.ensemble import Ensemble
from assets.filtering.notices import Diagnosis
from assets.filtering.predict import Setting, sample_points

LEVEL = 0.9
#: a mixture's reducible error is never taken to be more uncertain than this factor e^1
LARGEST_ERROR = 1.0


@dataclass(frozen=True)
class Checked:
    """Hold one held-out mixture: predicted error, bounds, measured mean of ``runs`` runs, and the spreads."""

    row: MixtureRow
    predicted: float
    measured: float
    runs: int
    half_width: float
    deviation: float
    reducible: float

    @property
    def inside(self) -> bool:
        """Return whether the measured error lies within the joint bounds."""
        return abs(self.measured - self.predicted) <= self.half_width

    @property
    def excess(self) -> float:
        """Return the relative error of the rule that brings the miss to its own 90 % bound."""
        reach = abs(self.measured - self.predicted) / float(norm.ppf(0.5 + 0.5 * LEVEL))
        lacking = max(reach**2 - self.deviation**2, 0.0) ** 0.5
        return float(min(lacking / self.reducible, LARGEST_ERROR))


@dataclass(frozen=True)
class MixtureCheck:
    """Hold the comparison of all held-out mixtures; ``verdict`` is one word for tables.

    ``held``, ``failed``, ``not validated`` (mixtures weighed the assumptions, none was held out),
    ``unchecked`` (no trained mixture) or ``one pool``.
    """

    verdict: str
    checked: tuple[Checked, ...]

    @property
    def error(self) -> float:
        """Return the relative error that plans of several pools are charged with; 0 where the rule held."""
        if self.verdict != "failed":
            return 0.0
        return max(one.excess for one in self.checked if not one.inside)

    def describe(self, ensemble: Ensemble) -> dict[str, Any]:
        """Return plain values in the metric's own direction."""
        curves = ensemble.curves
        rows = []
        for one in self.checked:
            bounds = np.array(
                [one.predicted - one.half_width, one.predicted, one.predicted + one.half_width]
            )
            low, middle, high = sorted(float(x) for x in curves.to_metric(bounds))
            rows.append(
                {
                    "pools": [curves.pools[m] for m in one.row.members],
                    "weights": list(one.row.shares),
                    "samples_seen": one.row.samples,
                    "passes": one.row.samples / sum(one.row.uniques),
                    "predicted": middle,
                    "lo": low,
                    "hi": high,
                    "measured": float(curves.to_metric(np.array(one.measured))),
                    "runs": one.runs,
                    "inside": one.inside,
                }
            )
        return {
            "verdict": self.verdict,
            "joint_level": LEVEL,
            "relative_error": self.error,
            "mixtures": rows,
        }


def check_mixtures(ensemble: Ensemble, setting: Setting) -> MixtureCheck:
    """Predict every held-out mixture and compare.

    Parameters
    ----------
    ensemble
        Fitted laws; ``ensemble.curves.held_out`` are the mixtures to check.
    setting
        Of predictions.

    Returns
    -------
    MixtureCheck
        Cost: one prediction a mixture.
    """
    curves = ensemble.curves
    if len(curves.pools) < 2:
        return MixtureCheck("one pool", ())
    groups: dict[tuple[object, ...], list[MixtureRow]] = {}
    for row in curves.held_out:
        shares = tuple(round(s, 4) for s in row.shares)
        groups.setdefault((row.members, shares, row.uniques, row.samples), []).append(row)
    if not groups:
        return MixtureCheck("not validated" if curves.mixtures else "unchecked", ())
    setting = replace(setting, mixture_error=0.0)
    free = max(int(member.fitted.problem.free.sum()) for member in ensemble.members)
    degrees = max(len(curves) - free, 3)
    reach = float(t.ppf(1.0 - 0.5 * (1.0 - LEVEL) / len(groups), degrees))
    checked = tuple(_check(ensemble, rows, setting, reach) for rows in groups.values())
    return MixtureCheck("held" if all(one.inside for one in checked) else "failed", checked)


def _check(ensemble: Ensemble, rows: list[MixtureRow], setting: Setting, reach: float) -> Checked:
    row, pools = rows[0], len(ensemble.curves.pools)
    weights, unique = np.zeros((1, pools)), np.ones((1, pools))
    weights[0, list(row.members)] = row.shares
    unique[0, list(row.members)] = row.uniques
    samples = np.array([row.samples])
    predicted = float(ensemble.predict(samples, weights, unique)[0])
    draws = sample_points(ensemble, samples, weights, unique, setting)[:, 0]
    measured = float(np.mean([one.error for one in rows]))
    deviation = float(np.sqrt(np.var(draws) + ensemble.sigma**2 / len(rows)))
    floor = float(np.mean(np.concatenate([p.floor for p in ensemble.draws])))
    return Checked(
        row=row,
        predicted=predicted,
        measured=measured,
        runs=len(rows),
        half_width=reach * deviation,
        deviation=deviation,
        reducible=max(predicted - floor, 1e-12),
    )


def tell(check: MixtureCheck, ensemble: Ensemble, diagnosis: Diagnosis) -> None:
    """Add the warning of a failed rule."""
    if check.verdict != "failed":
        return
    missed = [one for one in check.checked if not one.inside]
    worst = max(missed, key=lambda one: abs(one.measured - one.predicted) / one.half_width)
    told = check.describe(ensemble)["mixtures"][check.checked.index(worst)]
    diagnosis.add(
        "mixture_rule_failed",
        f"the mixture rule missed {len(missed)} of {len(check.checked)} mixtures that were kept out "
        f"of the fit: {'+'.join(told['pools'])} at {told['samples_seen']:.6g} samples was predicted "
        f"{told['predicted']:.4g} (bounds {told['lo']:.4g} to {told['hi']:.4g}) and measured "
        f"{told['measured']:.4g}; plans of several pools get {100 * check.error:.3g} % more "
        "uncertainty of their reducible error",
        "trust plans of one pool only, or train the mixture that the plan proposes and add it to "
        "the curves",
    )
