"""One allocation problem in arrays: what every rule and every objective is applied to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from assets.allocation.curves import Curves, Welfare
from assets.allocation.errors import AllocationError, InfeasibleFloors
from assets.allocation.fill import Fill
from assets.allocation.floor_paths import FloorPath
from assets.allocation.repetition import Cells
from assets.allocation.roots import Floats
from assets.allocation.solve import Division, maximise_sum
from assets.allocation.solve_level import least_spend, maximise_level

SUMS = ("weighted_sum", "isoelastic")


@dataclass(frozen=True)
class Stated:
    """Groups with their paths, curves and floors, and the objective.

    `curves` are raw, `level` the same on the chosen level (objectives are computed on it); `kind`
    is weighted_sum,
    isoelastic, max_min, leximin or min_cost. `bought` are groups whose floor is already paid: what
    it gives is in `held`, what it costs is out of `budget`.
    """

    names: Sequence[str]
    weight: Floats
    curves: Curves
    level: Curves
    cells: Cells
    fill: Fill
    held: Floats
    floor_spend: Floats
    budget: float | None
    kind: str
    aversion: float = 0.0
    target: float | None = None
    bought: Mapping[int, FloorPath] = field(default_factory=dict)

    def welfare(self) -> Welfare:
        """Return the isoelastic welfare on the chosen level."""
        return Welfare(self.level, self.weight, self.aversion if self.kind == "isoelastic" else 0.0)

    def divide(self) -> Division:
        """Return the exact optimum of the stated objective."""
        if self.kind == "min_cost":
            if self.target is None:
                msg = "objective, field target: min_cost needs one"
                raise AllocationError(msg)
            return least_spend(
                self.fill, self.level, self.held, self.floor_spend, self.target, self.names
            )
        budget = self.budget
        if budget is None:
            msg = f"field budget: {self.kind} needs one"
            raise AllocationError(msg)
        self.check_floors()
        if self.kind in SUMS:
            return maximise_sum(self.fill, self.welfare(), self.held, self.floor_spend, budget)
        return maximise_level(
            self.fill,
            self.level,
            self.held,
            self.floor_spend,
            budget,
            leximin=self.kind == "leximin",
        )

    def check_floors(self) -> None:
        """Raise InfeasibleFloors where the floors cost more than the budget."""
        budget = self.budget
        if budget is None:
            return
        total = float(self.floor_spend.sum())
        if total > budget * (1 + 1e-12):
            order = np.argsort(-self.floor_spend, kind="stable")
            listed = ", ".join(
                f"{self.names[g]!r} ({self.floor_spend[g]:.6g})"
                for g in order[:10]
                if self.floor_spend[g] > 0
            )
            msg = (
                f"field floor: the floors of groups {listed} cost {total:.6g} together, more than "
                "the budget "
                f"{budget:.6g}; the least budget that would do is {total:.6g}, or lower these "
                "floors"
            )
            raise InfeasibleFloors(msg)

    def samples(self, effective: Floats) -> Floats:
        """Return the draws of every cell at new effective samples per group, shape (cells,)."""
        x = self.fill.samples(effective)
        for g, path in self.bought.items():
            x[path.cells] = path.samples_at(float(effective[g]))
        return x

    def objective(self, effective: Floats) -> tuple[float, float]:
        """Return (value of the objective, lowest level) at new effective samples per group."""
        at = self.level.value(self.held + effective)
        worst = float(at.min())
        return (self.welfare().total(self.held + effective) if self.kind in SUMS else worst), worst


def floor_spend(fill: Fill, floors: Floats, names: Sequence[str]) -> Floats:
    """Return what each group's floor (in new samples) costs along its best fill.

    Raises
    ------
    InfeasibleFloors
        Where a floor is larger than what the group has, with the largest floor that would do.
    """
    over = np.flatnonzero(floors > fill.top_samples * (1 + 1e-12))
    if over.size:
        g = over[0]
        msg = (
            f"group {names[g]!r}, field floor: {floors[g]:.6g} samples, but its records and passes "
            "give at most "
            f"{fill.top_samples[g]:.6g}; lower the floor or allow more passes"
        )
        raise InfeasibleFloors(msg)
    return np.where(floors > 0, fill.spend_of_samples(floors), 0.0)


def finite_welfare(stated: Stated, division: Division) -> None:
    """Raise AllocationError where the aversion is so large that no welfare is a finite number."""
    if stated.kind == "isoelastic" and not np.isfinite(division.residual):
        msg = (
            f"objective, field aversion: at {stated.aversion:g} the welfare of these levels is not "
            "a finite number; use less, or max_min, which it approaches"
        )
        raise AllocationError(msg)
