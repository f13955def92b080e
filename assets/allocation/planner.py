"""Plan a stated policy: solve it for the groups that have a curve, keep to the rules elsewhere, and round.

`plan` checks the settings and calls this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.baselines import rule_spend
from assets.allocation.curves import Curves
from assets.allocation.errors import InfeasibleFloors
from assets.allocation.fill import Fill
from assets.allocation.integer import whole_samples
from assets.allocation.over_draws import Draws, over_draws
from assets.allocation.plan_inputs import Inputs
from assets.allocation.plan_table import bounds_of, cell_values, plan_frame
from assets.allocation.plan_uncertainty import compare_with_rules, sample_intervals
from assets.allocation.roots import Floats
from assets.allocation.stated import Stated, floor_spend


@dataclass(frozen=True)
class Plan:
    """A plan with its account.

    `frame` has one row a group and pool (see `plan`), `summary` numbers and flags, `warnings`
    dictionaries with code, message and remedy.
    """

    frame: pl.DataFrame
    summary: dict[str, Any]
    warnings: list[dict[str, str]]


class Planner:
    """One plan in the making; `run` makes it."""

    def __init__(
        self, table: pl.DataFrame, inputs: Inputs, fallback: str | None, draws: Draws | None
    ) -> None:
        self.table, self.inputs, self.fallback, self.draws = table, inputs, fallback, draws
        self.fill = Fill(inputs.cells, len(inputs.names), inputs.budget)
        self.floors = np.zeros(len(inputs.names))
        if inputs.floors.any():
            self.floors = floor_spend(self.fill, inputs.floors, inputs.names)
        self.warnings: list[dict[str, str]] = []

    def run(self) -> Plan:
        """Return the plan.

        Raises
        ------
        InfeasibleFloors
            The floors cost more than the budget.
        """
        inputs = self.inputs
        self._check_floors()
        spend = self._without_curve()
        known = np.flatnonzero(inputs.has_curve)
        if not known.size:
            return self._finish(spend, None, {}, known, [])
        left = None
        if inputs.budget is not None:
            left = max(inputs.budget - float(spend[~inputs.has_curve].sum()), 0.0)
        stated = inputs.stated(known, left, self.floors)
        drawn = inputs.drawn(stated, known)
        if self.draws is not None:
            stated = over_draws(stated, drawn, self.draws)
        division = stated.divide()
        spend[known] = division.spend
        rules = compare_with_rules(stated, division.effective, inputs.sizes[known], drawn)
        flagged = [r for r, found in rules.items() if found["verdict"] == "not distinguishable"]
        summary: dict[str, Any] = {
            "policy": inputs.objective.model_dump(exclude_none=True),
            "shadow_price": division.price,
            "kkt_residual": division.residual,
            "gap": division.gap,
            "draws": len(drawn),
            "planned_on": self.draws or "best curves",
            "rules": rules,
            "not_distinguishable": bool(flagged),
        }
        if flagged and inputs.budget is not None:
            used = "the optimum is kept, as no fallback is named"
            if self.fallback:
                used = f"the rule {self.fallback} is used"
                spend = rule_spend(
                    self.fallback, self.fill, inputs.sizes, self.floors, inputs.budget
                )
            self._warn(
                "not_distinguishable",
                f"the curves cannot tell the optimum from {' and '.join(flagged)} at 80 %: {used}",
                "train more sizes or seeds, or accept the simple rule",
            )
        return self._finish(spend, stated, summary, known, drawn)

    def _check_floors(self) -> None:
        budget, total = self.inputs.budget, float(self.floors.sum())
        if budget is None or total <= budget * (1 + 1e-12):
            return
        order = [g for g in np.argsort(-self.floors, kind="stable") if self.floors[g] > 0]
        listed = ", ".join(f"{self.inputs.names[g]!r} ({self.floors[g]:.6g})" for g in order[:10])
        msg = (
            f"setting floors: those of groups {listed} cost {total:.6g} together, more than the budget "
            f"{budget:.6g}; the least budget that would do is {total:.6g}, or lower these floors"
        )
        raise InfeasibleFloors(msg)

    def _without_curve(self) -> Floats:
        """Return the spend of groups without a curve (by the named rule) and everyone's floors."""
        inputs = self.inputs
        missing = np.flatnonzero(~inputs.has_curve)
        out = self.floors.copy()
        if not missing.size:
            return out
        names = [inputs.names[g] for g in missing]
        if self.fallback is None or inputs.budget is None:
            self._warn(
                "unallocatable",
                f"groups {names} have no curve and get nothing beyond their floors",
                "run a pilot (4 nested sizes from 50 records, 3 seeds), or name a fallback rule",
            )
        elif inputs.budget >= self.floors.sum():
            self._warn(
                "no_curve",
                f"groups {names} have no curve: the rule {self.fallback} decides their share",
                "run a pilot (4 nested sizes from 50 records, 3 seeds)",
            )
            by_rule = rule_spend(self.fallback, self.fill, inputs.sizes, self.floors, inputs.budget)
            out[missing] = by_rule[missing]
        return out

    def _warn(self, code: str, message: str, remedy: str) -> None:
        self.warnings.append({"code": code, "message": message, "remedy": remedy})

    def _finish(
        self,
        spend: Floats,
        stated: Stated | None,
        summary: dict[str, Any],
        known: np.ndarray,
        drawn: list[Stated],
    ) -> Plan:
        inputs = self.inputs
        effective = self.fill.effective(spend)
        samples = whole_samples(
            self._for_rounding(stated, known, effective),
            self.fill.samples(effective),
            inputs.floors,
        )
        rule_used = bool(summary.get("not_distinguishable")) and self.fallback is not None
        lo, hi = samples.astype(float), samples.astype(float)
        found = sample_intervals(drawn)
        if found is not None:
            rows = np.flatnonzero(inputs.has_curve[inputs.group])
            lo[rows], hi[rows] = found
            if not rule_used:
                lo, hi = np.minimum(lo, samples), np.maximum(hi, samples)
        values = None if stated is None else cell_values(inputs, stated, known, samples)
        bounds = bounds_of(inputs.cells, samples, effective, self.fill.effective(self.floors))
        reasons = [self._reason(int(g), summary) for g in inputs.group]
        summary = summary | {
            "spend": float((samples * inputs.cells.cost).sum()),
            "budget": inputs.budget,
        }
        frame = plan_frame(self.table, samples, lo, hi, values, bounds, reasons)
        return Plan(frame, summary, self.warnings)

    def _for_rounding(self, stated: Stated | None, known: np.ndarray, effective: Floats) -> Stated:
        """Return the whole problem for rounding.

        Groups without a curve carry no worth there and are capped at what they were given, so the
        samples that rounding frees go to groups whose gain is known.
        """
        inputs, size = self.inputs, len(self.inputs.names)
        level = Curves.power(np.ones(size), np.full(size, 1e-9), np.full(size, 0.5), 1.0)
        if stated is not None:
            columns = {
                n: getattr(level, n).copy() for n in ("a", "b", "p", "offset", "scale", "shift")
            }
            columns["form"] = level.form.copy()
            for name, column in columns.items():
                column[known] = getattr(stated.level, name)
            tables = {int(known[g]): t for g, t in stated.level.tables.items()}
            level = replace(level, **columns, tables=tables)
        cells = inputs.cells
        given = np.ceil(self.fill.samples(effective) - 1e-9)
        with np.errstate(divide="ignore", invalid="ignore"):
            most = np.where(cells.unique > 0, given / cells.unique, 0.0)
        unknown = ~inputs.has_curve[inputs.group]
        capped = replace(
            cells,
            max_passes=np.where(unknown, np.minimum(most, cells.max_passes), cells.max_passes),
        )
        return Stated(
            names=inputs.names,
            weight=np.where(inputs.has_curve, inputs.weight, 0.0),
            curves=level,
            level=level,
            cells=capped,
            fill=self.fill,
            held=np.zeros(size),
            floor_spend=self.floors,
            budget=inputs.budget,
            kind=inputs.objective.kind if stated is None else stated.kind,
            aversion=0.0 if stated is None else stated.aversion,
            target=-np.inf if stated is None else stated.target,
        )

    def _reason(self, g: int, summary: dict[str, Any]) -> str:
        tied = bool(summary.get("not_distinguishable"))
        if not self.inputs.has_curve[g]:
            if self.fallback:
                return f"no curve; rule {self.fallback}"
            return "no curve; unallocatable until a pilot is run"
        if tied:
            kept = f"rule {self.fallback}" if self.fallback else "optimum kept"
            return f"not distinguishable from a simple rule; {kept}"
        return f"optimum of {self.inputs.objective.kind}"
