"""What the draws of the curves say of a round: the gain of a purchase, and which groups can't catch up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assets.allocation.group_curves import GroupCurves
from assets.allocation.roots import Floats
from assets.allocation.study import Study


def chance_of(study: Study, curves: GroupCurves, g: int) -> float:
    """Return the performance of guessing in group `g`: as stated, else as measured, NaN where unknown."""
    stated = study.groups[g].chance
    return float(curves.chance[g]) if stated is None else stated


class KnownCurves:
    """Draws of the curves of the groups that have one, on the study's level."""

    def __init__(self, study: Study, curves: GroupCurves) -> None:
        self.study = study
        known = [g for g in range(len(study.groups)) if curves.usable[g]]
        self.groups = [study.groups[g] for g in known]
        self.a, self.b, self.p = (
            v[:, known] for v in (curves.draw_a, curves.draw_b, curves.draw_p)
        )
        self.chance = np.nan_to_num([chance_of(study, curves, g) for g in known])
        self.available = np.array([g.available for g in self.groups])

    def counts(self, held: Mapping[str, int]) -> Floats:
        """Return what each group holds, shape (groups,)."""
        return np.array([float(held[g.name]) for g in self.groups])

    def level(self, n: Floats) -> Floats:
        """Return the level at n samples, shape (draws, groups)."""
        f = self.a - self.b * n**-self.p
        kind = self.study.objective.level
        if kind == "excess":
            return f - self.a
        if kind == "skill":
            return np.asarray((f - self.chance) / (1 - self.chance))
        if kind == "attainable":
            return f / (self.a - self.b * self.available**-self.p)
        return f

    def out_of_reach(self, held: Mapping[str, int]) -> list[str]:
        """Name groups that the whole budget would not lift to today's median of the others."""
        if self.study.objective.kind not in ("max_min", "leximin") or len(self.groups) < 2:
            return []
        cost = np.array([g.cost for g in self.groups])
        most = np.minimum(self.available, self.study.budget / cost)
        now = np.median(self.level(self.counts(held)), axis=0)
        best = np.quantile(self.level(np.maximum(most, self.counts(held))), 0.9, axis=0)
        return [
            group.name
            for g, group in enumerate(self.groups)
            if best[g] < np.median(np.delete(now, g))
        ]

    def gains(self, held: Mapping[str, int], bought: Mapping[str, int]) -> Floats:
        """Return the objective's gain by the purchase under every draw, shape (draws,)."""
        before = self.counts(held)
        return self._objective(before + self.counts(bought)) - self._objective(before)

    def _objective(self, n: Floats) -> Floats:
        f, o = self.level(n), self.study.objective
        if o.kind in ("max_min", "leximin"):
            return np.asarray(f.min(axis=1))
        weight = np.array([1.0 if g.weight is None else g.weight for g in self.groups])
        e = o.aversion or 0.0
        safe = np.maximum(f, 1e-9)
        u = f if e == 0 else np.log(safe) if e == 1 else safe ** (1 - e) / (1 - e)
        return np.asarray(u @ weight)
