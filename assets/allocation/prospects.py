"""What a plan of the flow promises: performance by group, overall and worst, beside other choices of the same spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.baselines import RULES, rule_spend
from assets.allocation.comparisons import AVERSIONS, behind, overall_and_worst, overall_weights
from assets.allocation.errors import AllocationError
from assets.allocation.fill import Fill
from assets.allocation.group_curves import GroupCurves
from assets.allocation.plan_inputs import Inputs, read_inputs
from assets.allocation.plan_table import cells_frame
from assets.allocation.problem import Objective
from assets.allocation.roots import Floats
from assets.allocation.stated import floor_spend
from assets.allocation.tally import sum_by

CURVED = "of the groups with a curve"


def prospects(
    cells: pl.DataFrame,
    frame: pl.DataFrame,
    *,
    budget: float,
    objective: Mapping[str, Any],
    curves: GroupCurves,
    weights: Mapping[str, float] | str | None = None,
    costs: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    worth: Mapping[int, float] | None = None,
    repetition: str = "none",
    decay: float | Mapping[int, float] = 1.0,
    max_passes: float = 1.0,
    unit: str = "records",
    aversions: Sequence[float] = AVERSIONS,
    **_: object,
) -> dict[str, Any]:
    """Return predicted performance of a plan, of simple rules, and of optima over the aversion to inequality.

    Parameters
    ----------
    cells, budget, objective, curves, weights, costs, floors, worth, repetition, decay, max_passes, unit
        As `assets.allocation.plan.plan` took them; its further settings change no prospect.
    frame
        The plan that it gave.
    aversions
        Values of e.

    Returns
    -------
    dict
        For JSON. `weighted` says how `overall` averages; `groups` has group, performance and best (with all its data);
        `chosen` is (overall, worst); `sweep` has aversion, overall, worst; `points` rule, overall, worst; `rules`
        rule, group, samples; `unreachable` the groups that all of their data leaves behind every other on the stated
        level, where that is what the objective compares. Performance is on the raw metric, of groups with a curve
        only; groups without one keep what the plan gave them.

    Notes
    -----
    One solve an aversion. Aversions at which the welfare has no value (a performance not above 0) are left out.
    """
    level = objective.get("level")
    level = level if level in ("raw", "skill", "attainable") else "raw"
    inputs = read_inputs(
        cells_frame(cells, unit),
        budget,
        {"kind": "isoelastic", "aversion": 1.0, "level": level},
        curves,
        weights or "equal",
        costs or {},
        floors or {},
        {int(k): float(v) for k, v in (worth or {}).items()},
        (repetition, decay, max_passes),
    )
    known = np.flatnonzero(inputs.has_curve)
    names = [inputs.names[g] for g in known]
    weight, weighted = overall_weights(
        [None] * known.size if weights is None else inputs.weight[known].tolist()
    )
    if known.size < len(inputs.names):
        weighted = f"{weighted}, {CURVED}"
    samples = frame.sort("group", "pool", nulls_last=True)["samples"].to_numpy().astype(float)
    made = _Prospects(inputs, known, curves, weight)
    performance = made.performance(made.effective(samples))
    full = np.where(inputs.cells.unique > 0, inputs.cells.unique * inputs.cells.max_passes, 0.0)
    best = made.performance(made.effective(full))
    rules, points = made.simple_rules(budget)
    far: list[int] = []
    if objective["kind"] in ("max_min", "leximin") and known.size:
        asked = replace(inputs, objective=Objective.model_validate(dict(objective)))
        on = asked.level(made.curves, known, asked.sub_cells(known))
        far = behind(
            on.value(made.effective(samples)[known]), on.value(made.effective(full)[known])
        )
    return {
        "weighted": weighted,
        "groups": [
            {"group": n, "performance": f, "best": b}
            for n, f, b in zip(names, performance.tolist(), best.tolist(), strict=True)
        ],
        "chosen": overall_and_worst(performance.tolist(), weight),
        "sweep": made.sweep(samples, level, aversions),
        "points": points,
        "rules": rules,
        "unreachable": [{"group": names[g], "best": float(best[g])} for g in far],
    }


def out_of_reach_warnings(promised: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a warning a group that `prospects` says can't reach the others."""
    return [
        {
            "code": "unreachable",
            "message": f"group {row['group']} gets to {row['best']:.4g} at most, with all of its data, which stays "
            "behind every other group on the stated level",
            "remedy": "collect more records of it, or better ones",
        }
        for row in promised["unreachable"]
    ]


class _Prospects:
    """The groups with a curve, and what any division of the budget would give them."""

    def __init__(
        self, inputs: Inputs, known: np.ndarray, curves: GroupCurves, weight: list[float]
    ) -> None:
        self.inputs, self.known, self.weight = inputs, known, weight
        self.curves = curves.central(inputs.curve_at[known])
        self.fill = Fill(inputs.cells, len(inputs.names), inputs.budget)
        self.floors = np.zeros(len(inputs.names))
        if inputs.floors.any():
            self.floors = floor_spend(self.fill, inputs.floors, inputs.names)

    def effective(self, samples: Floats) -> Floats:
        return sum_by(
            self.inputs.group, self.inputs.cells.worth_of(samples), len(self.inputs.names)
        )

    def performance(self, effective: Floats) -> Floats:
        return self.curves.value(effective[self.known])

    def simple_rules(self, budget: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        inputs, rules, points = self.inputs, [], []
        for rule in RULES:
            spend = rule_spend(rule, self.fill, inputs.sizes, self.floors, budget)
            effective = self.fill.effective(spend)
            samples = sum_by(inputs.group, self.fill.samples(effective), len(inputs.names))
            rules += [
                {"rule": rule, "group": n, "samples": s}
                for n, s in zip(inputs.names, samples.tolist(), strict=True)
            ]
            point = overall_and_worst(self.performance(effective).tolist(), self.weight)
            if point is not None:
                points.append({"rule": rule, "overall": point[0], "worst": point[1]})
        return rules, points

    def sweep(
        self, samples: Floats, level: str, aversions: Sequence[float]
    ) -> list[dict[str, float]]:
        inputs, known = self.inputs, self.known
        if not known.size or inputs.budget is None:
            return []
        fixed = ~inputs.has_curve[inputs.group]
        left = max(inputs.budget - float((samples * inputs.cells.cost)[fixed].sum()), 0.0)
        rows = []
        for aversion in aversions:
            asked = Objective.model_validate(
                {"kind": "isoelastic", "aversion": aversion, "level": level}
            )
            stated = replace(inputs, objective=asked).stated(known, left, self.floors)
            stated = replace(stated, weight=np.array(self.weight))
            try:
                division = stated.divide()
            except AllocationError:
                continue
            f = self.curves.value(division.effective)
            point = overall_and_worst(f.tolist(), self.weight)
            if point is not None and np.isfinite(point).all():
                rows.append({"aversion": aversion, "overall": point[0], "worst": point[1]})
        return rows
