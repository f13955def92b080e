"""Write the allocation plan: whole samples for every group and pool, with intervals and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import polars as pl

from assets.allocation.errors import InfeasibleFloors
from assets.allocation.group_curves import GroupCurves
from assets.allocation.over_draws import Draws
from assets.allocation.plan_inputs import PlanError, read_inputs
from assets.allocation.plan_table import cells_frame, plan_frame, proportional_cut
from assets.allocation.planner import Plan, Planner


def plan(
    cells: pl.DataFrame,
    *,
    budget: float | None = None,
    objective: Mapping[str, Any] | None = None,
    curves: GroupCurves | None = None,
    weights: Mapping[str, float] | Literal["equal", "proportional"] | None = None,
    costs: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    worth: Mapping[int, float] | None = None,
    pool_passes: Mapping[int, float] | None = None,
    repetition: str = "none",
    decay: float | Mapping[int, float] = 1.0,
    max_passes: float = 1.0,
    unit: Literal["records", "tokens"] = "records",
    fallback: str | None = None,
    draws: Draws | None = None,
) -> Plan:
    """Divide `budget` between groups and pools.

    Parameters
    ----------
    cells
        One row a (group, pool): `group` (str), `pool` (int, 0 the best), `available` (records), and
        for unit tokens `tokens` (mean tokens of a record there).
    budget
        In `unit`; None means that every record passes once.
    objective
        kind, aversion, level, target as in PROBLEM.json; None means that no policy is stated and
        nothing is reallocated: every record as often, cut in proportion where the budget is less.
    curves
        Fitted curves of the groups; needed with an objective.
    weights
        Weight per group for sums, or `equal`, or `proportional` (to records); never assumed.
    costs
        Price of one unit per group, default 1.
    floors
        Least new samples per group, rounded up.
    worth
        Samples of the reference quality that one sample of a pool is worth; default 1, 0 leaves a
        pool out.
    pool_passes
        Without an objective: passes per pool that the compute plan chose; default 1 (0 where worth
        is 0).
    repetition, decay, max_passes
        Worth of passes (none, step, exp, power), its tau or R* (one number or one a pool), and the
        cap on passes.
    unit
        What the budget counts.
    fallback
        Rule (`proportional`, `equal`, `equal_spend`, `alpha_<x>`) for groups without a curve, and
        for all groups where the optimum cannot be told from equal or alpha 0.3. None: groups
        without a curve get nothing and are named.
    draws
        `mean` plans a sum on the mean over the curves' draws, `worst` a level on the worst draw;
        None plans on the best curves.

    Returns
    -------
    Plan
        `frame`: group, pool, available, samples, records, passes, sampling_prob, marginal_value,
        samples_lo80, samples_hi80, bound, reason. Samples are whole, the spend is within the
        budget, records within available, passes within the cap; sorted by group and pool.

    Raises
    ------
    PlanError, InfeasibleFloors, AllocationError
        Naming the setting at fault.
    """
    table = cells_frame(cells, unit)
    worth_of = {int(k): float(v) for k, v in (worth or {}).items()}
    if budget is not None and not budget > 0:
        msg = f"setting budget: {budget} {unit}; give a positive number, or none for all records"
        raise PlanError(msg)
    if objective is None or (budget is None and objective.get("kind") != "min_cost"):
        return _unchanged(table, budget, objective, worth_of, pool_passes or {}, max_passes)
    inputs = read_inputs(
        table,
        budget,
        objective,
        curves,
        weights,
        costs or {},
        floors or {},
        worth_of,
        (repetition, decay, max_passes),
    )
    return Planner(table, inputs, fallback, draws).run()


def _unchanged(
    table: pl.DataFrame,
    budget: float | None,
    objective: Mapping[str, Any] | None,
    worth: Mapping[int, float],
    pool_passes: Mapping[int, float],
    max_passes: float,
) -> Plan:
    passes = {q: 0.0 if worth.get(q) == 0 else 1.0 for q in table["pool"].to_list()}
    passes |= {int(k): min(float(v), max(max_passes, 1.0)) for k, v in pool_passes.items()}
    cut = proportional_cut(table, passes, budget)
    reason = "no policy stated: nothing is reallocated"
    if objective is not None:
        reason = "no budget: every record once"
    size = table.height
    frame = plan_frame(table, cut, cut, cut, None, ["none"] * size, [reason] * size)
    spend = float((cut * table["cost"].to_numpy()).sum())
    return Plan(frame, {"policy": None, "spend": spend, "budget": budget}, [])


__all__ = ["InfeasibleFloors", "Plan", "PlanError", "plan"]
