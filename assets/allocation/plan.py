"""Write the allocation plan: whole samples for every group and pool, with intervals and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import ValidationError

from assets.allocation.baselines import rule_spend
from assets.allocation.curves import Curves
from assets.allocation.fill import Fill
from assets.allocation.group_curves import GroupCurves
from assets.allocation.integer import whole_samples
from assets.allocation.plan_table import cells_frame, plan_frame, proportional_cut
from assets.allocation.problem import Objective, level_curves
from assets.allocation.repetition import Cells, slope_of_passes
from assets.allocation.roots import Floats
from assets.allocation.solve import AllocationError, InfeasibleFloors
from assets.allocation.stated import SUMS, Stated, floor_spend
from assets.allocation.tally import sum_by


class PlanError(AllocationError):
    """The plan's settings do not fit together; the message names the setting and the remedy."""


@dataclass(frozen=True)
class Plan:
    """`frame`: one row a group and pool (see `plan`); `summary`: numbers and flags; `warnings`: code, message, remedy."""

    frame: pl.DataFrame
    summary: dict[str, Any]
    warnings: list[dict[str, str]]


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
) -> Plan:
    """Divide `budget` between groups and pools.

    Parameters
    ----------
    cells
        One row a (group, pool): `group` (str), `pool` (int, 0 the best), `available` (records), and
        for unit tokens
        `tokens` (mean tokens of a record there).
    budget
        In `unit`; None means that every record passes once.
    objective
        kind, aversion, level, target as in PROBLEM.json; None means that no policy is stated and
        nothing is
        reallocated: every record the same number of times, cut in proportion where the budget is
        smaller.
    curves
        Fitted curves of the groups; needed with an objective.
    weights
        Weight per group for sums, or `equal`, or `proportional` (to records); never assumed.
    costs
        Price of one unit per group, default 1.
    floors
        Least new samples per group.
    worth
        Samples of the reference quality that one sample of a pool is worth; default 1. 0 leaves a
        pool out.
    pool_passes
        Without an objective: the passes per pool that the compute plan chose; default 1 (0 where
        worth is 0).
    repetition, decay, max_passes
        Worth of passes (none, step, exp, power), its tau or R* (one number or one a pool), and the
        cap.
    fallback
        Rule (`proportional`, `equal`, `equal_spend`, `alpha_<x>`) for groups without a curve, and
        for all groups where
        the optimum cannot be told from equal or alpha 0.3. None: groups without a curve get nothing
        and are named.

    Returns
    -------
    Plan
        `frame`: group, pool, available, samples, records, passes, sampling_prob, marginal_value,
        samples_lo80,
        samples_hi80, bound, reason; whole numbers, spend within the budget, records within
        available, passes within
        the cap; sorted by group and pool.

    Raises
    ------
    PlanError, InfeasibleFloors, AllocationError
        Naming the setting at fault.
    """
    table = cells_frame(cells, unit)
    worth_of = {int(k): float(v) for k, v in (worth or {}).items()}
    if budget is not None and not budget > 0:
        msg = (
            f"setting budget: {budget} {unit}; give a positive number, or none to take every "
            "record once"
        )
        raise PlanError(msg)
    if objective is None or (budget is None and objective.get("kind") != "min_cost"):
        passes = {q: 0.0 if worth_of.get(q) == 0 else 1.0 for q in table["pool"].to_list()}
        passes |= {int(k): min(float(v), max_passes) for k, v in (pool_passes or {}).items()}
        cut = proportional_cut(table, passes, budget)
        reason = (
            "no policy stated: nothing is reallocated"
            if objective is None
            else "no budget: every record once"
        )
        frame = plan_frame(
            table, cut, cut, cut, None, ["none"] * table.height, [reason] * table.height
        )
        return Plan(
            frame, {"policy": "none", "spend": float((cut * table["cost"].to_numpy()).sum())}, []
        )
    return _Planner(
        table,
        budget,
        objective,
        curves,
        weights,
        costs or {},
        floors or {},
        worth_of,
        (repetition, decay, max_passes),
        fallback,
    ).run()


class _Planner:
    def __init__(
        self,
        table: pl.DataFrame,
        budget: float | None,
        objective: Mapping[str, Any],
        curves: GroupCurves | None,
        weights: Mapping[str, float] | str | None,
        costs: Mapping[str, float],
        floors: Mapping[str, float],
        worth: Mapping[int, float],
        repeat: tuple[str, float | Mapping[int, float], float],
        fallback: str | None,
    ) -> None:
        try:
            self.objective = Objective.model_validate(dict(objective))
        except ValidationError as error:
            first = error.errors()[0]
            msg = (
                f"setting objective, {'.'.join(map(str, first['loc']))}: "
                f"{str(first['msg']).lower()}"
            )
            raise PlanError(msg) from None
        if curves is None:
            msg = (
                "setting objective: it needs learning curves of the groups; run proxies or state "
                "no objective"
            )
            raise PlanError(msg)
        o = self.objective
        if o.kind in ("max_min", "leximin", "min_cost") and o.level is None:
            msg = (
                f"setting objective.level: {o.kind} compares groups; name raw, excess, skill or "
                "attainable"
            )
            raise PlanError(msg)
        self.table, self.budget, self.curves, self.fallback = table, budget, curves, fallback
        self.names = table["group"].unique(maintain_order=True).to_list()
        unknown = sorted((set(costs) | set(floors)) - set(self.names))
        if unknown:
            msg = (
                f"setting costs or floors: no records of groups {unknown}; known groups are "
                f"{self.names[:20]}"
            )
            raise PlanError(msg)
        position = {name: i for i, name in enumerate(self.names)}
        self.group = np.array([position[g] for g in table["group"].to_list()])
        pool = table["pool"].to_list()
        price = np.array([float(costs.get(n, 1.0)) for n in self.names])
        if (price <= 0).any():
            msg = (
                f"setting costs: group {self.names[int(np.argmax(price <= 0))]!r} costs "
                f"{price.min()}; use more than 0"
            )
            raise PlanError(msg)
        kind, decay, most = repeat
        rate = np.array(
            [float(decay[q]) if isinstance(decay, Mapping) else float(decay) for q in pool]
        )
        self.available = table["available"].to_numpy().astype(float)
        self.cells = Cells(
            self.group,
            self.available,
            np.array([float(worth.get(q, 1.0)) for q in pool]),
            table["cost"].to_numpy() * price[self.group],
            rate,
            np.full(rate.size, 1.0 if kind == "none" else most),
            kind,
        )
        self.sizes = sum_by(self.group, self.available, len(self.names))
        self.floors = np.array([float(floors.get(n, 0.0)) for n in self.names])
        self.weight = self._weights(weights)
        where = {name: i for i, name in enumerate(curves.groups)}
        self.curve_at = np.array([where.get(n, -1) for n in self.names])
        self.has_curve = np.array([i >= 0 and bool(curves.usable[i]) for i in self.curve_at])
        self.warnings: list[dict[str, str]] = []

    def _weights(self, weights: Mapping[str, float] | str | None) -> Floats:
        size = len(self.names)
        if weights == "equal":
            return np.full(size, 1.0 / size)
        if weights == "proportional":
            return np.asarray(self.sizes / self.sizes.sum())
        if isinstance(weights, Mapping):
            missing = [n for n in self.names if n not in weights]
            if missing and self.objective.kind in SUMS:
                msg = (
                    f"setting weights: groups {missing[:10]} have none; give each one, or say "
                    "equal or proportional"
                )
                raise PlanError(msg)
            return np.array([float(weights.get(n, 1.0)) for n in self.names])
        if self.objective.kind in SUMS:
            msg = (
                f"setting weights: {self.objective.kind} needs them: numbers, equal, or "
                "proportional"
            )
            raise PlanError(msg)
        return np.ones(size)

    def run(self) -> Plan:
        size = len(self.names)
        fill = Fill(self.cells, size, self.budget)
        floors = floor_spend(fill, self.floors, self.names) if self.floors.any() else np.zeros(size)
        fixed = self._without_curve(fill, floors)
        known = np.flatnonzero(self.has_curve)
        spend_fixed = float(fixed[~self.has_curve].sum())
        if not known.size:
            return self._finish(fill, fixed, None, {}, floors)
        part = self._sub(known)
        left = None if self.budget is None else max(self.budget - spend_fixed, 0.0)
        stated = self._stated(
            part, known, self.curves.central(self.curve_at[known]), left, floors[known]
        )
        division = stated.divide()
        spend = fixed.copy()
        spend[known] = division.spend
        drawn = self._drawn(stated, known)
        tied = self._tied(stated, known, division.effective, drawn)
        summary: dict[str, Any] = {
            "policy": self.objective.model_dump(exclude_none=True),
            "shadow_price": division.price,
            "kkt_residual": division.residual,
            "gap": division.gap,
            "draws": len(drawn),
            "rules": tied,
        }
        flagged = [
            rule for rule, verdict in tied.items() if verdict["verdict"] == "not distinguishable"
        ]
        summary["not_distinguishable"] = bool(flagged)
        if flagged and self.budget is not None:
            used = (
                f"the rule {self.fallback} is used"
                if self.fallback
                else "the optimum is kept (no fallback is named)"
            )
            self._warn(
                "not_distinguishable",
                f"the curves cannot tell the optimum from {' and '.join(flagged)} at 80 %: {used}",
                "train more sizes or seeds, or accept the simple rule",
            )
            if self.fallback:
                spend = rule_spend(self.fallback, fill, self.sizes, floors, self.budget)
                drawn = []
        return self._finish(fill, spend, stated, summary, floors, drawn, known)

    def _without_curve(self, fill: Fill, floors: Floats) -> Floats:
        missing = np.flatnonzero(~self.has_curve)
        out = floors.copy()
        if not missing.size:
            return out
        names = [self.names[g] for g in missing]
        rule = self.fallback
        if rule is None or self.budget is None:
            self._warn(
                "unallocatable",
                f"groups {names} have no curve and get nothing beyond their floors",
                "run a pilot (4 nested sizes from 50 records, 3 seeds), or name a fallback rule",
            )
            return out
        self._warn(
            "no_curve",
            f"groups {names} have no curve: the rule {rule} decides their share",
            "run a pilot",
        )
        if self.budget < floors.sum():
            return out
        by_rule = rule_spend(rule, fill, self.sizes, floors, self.budget)
        out[missing] = by_rule[missing]
        return out

    def _warn(self, code: str, message: str, remedy: str) -> None:
        self.warnings.append({"code": code, "message": message, "remedy": remedy})

    def _sub(self, known: np.ndarray) -> Cells:
        local = np.full(len(self.names), -1)
        local[known] = np.arange(known.size)
        rows = np.flatnonzero(local[self.group] >= 0)
        c = self.cells
        return Cells(
            local[self.group[rows]],
            c.unique[rows],
            c.worth[rows],
            c.cost[rows],
            c.parameter[rows],
            c.max_passes[rows],
            c.kind,
        )

    def _stated(
        self, cells: Cells, known: np.ndarray, curves: Curves, budget: float | None, floors: Floats
    ) -> Stated:
        o = self.objective
        names = [self.names[g] for g in known]
        fill = Fill(cells, known.size, budget)
        self._best_e = sum_by(
            cells.group, cells.worth_of(cells.unique * cells.max_passes), known.size
        )
        target = -o.target if o.target is not None and o.level == "excess" else o.target
        return Stated(
            names=names,
            weight=self.weight[known],
            curves=curves,
            level=self._level(curves, known, names),
            cells=cells,
            fill=fill,
            held=np.zeros(known.size),
            floor_spend=floors,
            budget=budget,
            kind=o.kind,
            aversion=o.aversion or 0.0,
            target=target,
        )

    def _level(self, curves: Curves, known: np.ndarray, names: list[str]) -> Curves:
        chance = self.curves.chance[self.curve_at[known]]
        return level_curves(curves, self.objective.level, chance, curves.value(self._best_e), names)

    def _drawn(self, stated: Stated, known: np.ndarray) -> list[Stated]:
        out = []
        for number in range(self.curves.draw_a.shape[0]):
            curves = self.curves.draw(number, self.curve_at[known])
            level = self._level(curves, known, list(stated.names))
            out.append(
                Stated(
                    names=stated.names,
                    weight=stated.weight,
                    curves=curves,
                    level=level,
                    cells=stated.cells,
                    fill=stated.fill,
                    held=stated.held,
                    floor_spend=stated.floor_spend,
                    budget=stated.budget,
                    kind=stated.kind,
                    aversion=stated.aversion,
                    target=stated.target,
                )
            )
        return out

    def _tied(
        self, stated: Stated, known: np.ndarray, effective: Floats, drawn: list[Stated]
    ) -> dict[str, dict[str, Any]]:
        """Compare the plan with simple rules over the draws: the 80 % interval of its gain."""
        if stated.budget is None or not drawn:
            return {}
        out = {}
        for rule in ("equal", "alpha_0.3"):
            spend = rule_spend(
                rule, stated.fill, self.sizes[known], stated.floor_spend, stated.budget
            )
            other = stated.fill.effective(spend)
            gains = np.array([d.objective(effective)[0] - d.objective(other)[0] for d in drawn])
            gains = gains[np.isfinite(gains)]
            if not gains.size:
                continue
            lo, hi = np.quantile(gains, [0.1, 0.9])
            if np.abs(gains).max() <= 1e-12:
                verdict = "same plan"
            else:
                verdict = "better" if lo > 0 else "not distinguishable"
            out[rule] = {"gain_lo80": float(lo), "gain_hi80": float(hi), "verdict": verdict}
        return out

    def _finish(
        self,
        fill: Fill,
        spend: Floats,
        stated: Stated | None,
        summary: dict[str, Any],
        floors: Floats,
        drawn: list[Stated] | None = None,
        known: np.ndarray | None = None,
    ) -> Plan:
        size = len(self.names)
        effective = fill.effective(spend)
        curves = Curves.power(np.ones(size), np.full(size, 1e-9), np.full(size, 0.5))
        level = curves
        if stated is not None and known is not None:
            a, b, p = curves.a.copy(), curves.b.copy(), curves.p.copy()
            scale, shift = curves.scale.copy(), curves.shift.copy()
            a[known], b[known], p[known] = stated.level.a, stated.level.b, stated.level.p
            scale[known], shift[known] = stated.level.scale, stated.level.shift
            level = Curves(curves.form, a, b, p, curves.offset, scale, shift)
        weight = np.where(self.has_curve, self.weight, 0.0)
        spent = float(spend.sum()) if self.budget is None else self.budget
        whole_of = Stated(
            names=self.names,
            weight=weight,
            curves=level,
            level=level,
            cells=self.cells,
            fill=fill,
            held=np.zeros(size),
            floor_spend=floors,
            budget=spent if self.objective.kind != "min_cost" else None,
            kind=self.objective.kind,
            aversion=self.objective.aversion or 0.0,
            target=None if stated is None else stated.target,
        )
        samples = self._whole(whole_of, fill, effective)
        lo, hi = self._intervals(fill, samples, drawn or [], known)
        values = self._values(stated, known, samples)
        bounds = self._bounds(samples, effective, fill, floors)
        reasons = [self._reason(int(g), stated is not None, summary) for g in self.group]
        summary = summary | {
            "spend": float((samples * self.cells.cost).sum()),
            "budget": self.budget,
        }
        frame = plan_frame(self.table, samples, lo, hi, values, bounds, reasons)
        return Plan(frame, summary, self.warnings)

    def _whole(self, stated: Stated, fill: Fill, effective: Floats) -> np.ndarray:
        if self.objective.kind == "min_cost":
            x = np.ceil(fill.samples(effective) - 1e-9)
            cap = np.floor(self.cells.unique * self.cells.max_passes + 1e-9)
            return np.minimum(x, cap).astype(np.int64)
        if self.has_curve.all():
            return whole_samples(stated, effective, self.floors)
        # groups without a curve have no marginal worth: their samples are cut to whole ones and the
        # rest is divided
        x = np.floor(fill.samples(effective) + 1e-9)
        out = np.minimum(x, np.floor(self.cells.unique * self.cells.max_passes + 1e-9)).astype(
            np.int64
        )
        for g in np.flatnonzero(
            sum_by(self.group, out, len(self.names)) < np.ceil(self.floors - 1e-9)
        ):
            mine = np.flatnonzero(self.group == g)
            need = int(np.ceil(self.floors[g] - 1e-9) - out[mine].sum())
            for cell in mine[np.argsort(-self.cells.worth[mine], kind="stable")]:
                more = int(
                    min(
                        need,
                        np.floor(self.cells.unique[cell] * self.cells.max_passes[cell]) - out[cell],
                    )
                )
                out[cell] += more
                need -= more
        return out

    def _intervals(
        self, fill: Fill, samples: np.ndarray, drawn: list[Stated], known: np.ndarray | None
    ) -> tuple[Floats, Floats]:
        point = samples.astype(float)
        if not drawn or known is None:
            return point, point
        rows = np.flatnonzero(self.has_curve[self.group])
        many = []
        for d in drawn:
            try:
                many.append(d.fill.samples(d.divide().effective))
            except AllocationError:
                continue  # a draw in which the target is out of reach says nothing about the amount
        lo, hi = point.copy(), point.copy()
        if many:
            lo[rows], hi[rows] = np.quantile(np.stack(many), [0.1, 0.9], axis=0)
        return np.minimum(lo, point), np.maximum(hi, point)

    def _values(
        self, stated: Stated | None, known: np.ndarray | None, samples: np.ndarray
    ) -> Floats | None:
        """Return what one more unit of spend on each cell would add (its group's level, or the sum)."""
        if stated is None or known is None:
            return None
        worth = self.cells.worth_of(samples.astype(float))
        e = sum_by(self.group, worth, len(self.names))[known]
        gain = stated.welfare().marginal(e) if stated.kind in SUMS else stated.level.slope(e)
        out = np.full(self.group.size, np.nan)
        local = {int(g): i for i, g in enumerate(known)}
        for i, g in enumerate(self.group.tolist()):
            if g not in local or self.available[i] <= 0:
                continue
            r = float(samples[i]) / float(self.available[i])
            kind = self.cells.kind if r < 1 or self.cells.max_passes[i] > 1 else "none"
            slope = (
                slope_of_passes(kind, r, float(self.cells.parameter[i])) if kind != "none" else 1.0
            )
            out[i] = gain[local[g]] * self.cells.worth[i] * slope / self.cells.cost[i]
        return out

    def _bounds(
        self, samples: np.ndarray, effective: Floats, fill: Fill, floors: Floats
    ) -> list[str]:
        floor_e = fill.effective(floors)
        out = []
        for i, g in enumerate(self.group.tolist()):
            if samples[i] + 1 > self.cells.unique[i] * self.cells.max_passes[i] and samples[i] > 0:
                out.append("available")
            elif floor_e[g] > 0 and effective[g] <= floor_e[g] * (1 + 1e-9):
                out.append("floor")
            else:
                out.append("none" if samples[i] > 0 else "zero")
        return out

    def _reason(self, g: int, solved: bool, summary: dict[str, Any]) -> str:
        if not self.has_curve[g]:
            rule = f"rule {self.fallback}" if self.fallback else "unallocatable: a pilot is needed"
            return f"no curve; {rule}"
        if summary.get("not_distinguishable"):
            return (
                f"not distinguishable; rule {self.fallback}"
                if self.fallback
                else "not distinguishable; optimum kept"
            )
        return f"optimum of {self.objective.kind}" if solved else "floor"


__all__ = ["InfeasibleFloors", "Plan", "PlanError", "plan"]
