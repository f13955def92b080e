"""Answer a joint problem whose parameters are measured: fitted to proxy runs, with what draws say of the plan.

The answer is that of `solve_joint` on the fitted parameters. Every draw of the parameters is solved again
for the intervals; the plan is fixed and compared with two stages and with simple rules on all draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.baselines import rule_spend
from assets.allocation.errors import AllocationError
from assets.allocation.joint import solve_joint
from assets.allocation.joint_effective import Effective
from assets.allocation.joint_over_draws import plan_over_draws
from assets.allocation.joint_parameters import JointFit, fit_joint
from assets.allocation.joint_problem import JointProblem, pool_labels
from assets.allocation.joint_unset import JointUncertainty, read_unset
from assets.allocation.measured import LEAST_SEEDS
from assets.allocation.plan_uncertainty import COMPARED
from assets.allocation.roots import Floats
from assets.allocation.tally import sum_by

Answer = dict[str, Any]


def allocate_joint_measured(problem: Mapping[str, Any], evaluations: pl.DataFrame) -> Answer:
    """Fit the parameters that a joint problem leaves out, solve it, and say how sure the answer is.

    Parameters
    ----------
    problem
        As `solve_joint` reads it, effective form and one budget. A group without a, b and p is fitted:
        its curve, the worth of its pools (the first is the reference unless some state theirs) and
        their tau or r_star. Further `draws: {count, plan}`, `fallback` (two_stage or a rule) and `seed`.
    evaluations
        One row a run and pool; see `read_joint_runs`.

    Returns
    -------
    dict
        The fields of `solve_joint`, and `allocation` (a row a group with its pools: samples, records,
        passes, and of samples and records the 10 % and 90 % quantiles of the optimum over the draws as
        `_lo80` and `_hi80`), `parameters` (a row each with interval, and `alone`: what the group's own
        runs give), `rules` (two_stage, equal, alpha_0.3: 80 % interval of the plan's gain and a
        verdict), `not_distinguishable`, `decided_by`, `planned_on`, `draws`; `optimum` where a rule
        decides or the plan is made on the draws; then `answer` has `over_draws` (the objective on their
        mean, or the worst draw's) and `over_draws_gap` (how far any plan could be above it).

    Raises
    ------
    ProblemError, CurveError, AllocationError
        The problem or a run is misstated, runs do not tell a parameter, or there is no answer.

    Notes
    -----
    One solve a draw.
    """
    unset = read_unset(problem, evaluations)
    asked = unset.asked
    fit = fit_joint(
        unset.problem, unset.groups, evaluations, draws=asked.draws.count, seed=asked.seed
    )
    read = fit.problem(unset.problem, 0)
    central = Effective(read, None)
    drawn = _solved(unset.problem, fit, asked.draws.count)
    out = solve_joint(read.model_dump(exclude_none=True))
    x = central.drawn()
    if asked.draws.plan is not None:
        x, value, gap = plan_over_draws(drawn, x, asked.draws.plan)
        x = central.whole(x) if read.integer else x
        out["optimum"] = out["answer"]
        out["answer"] = central.at(x) | {"over_draws": value, "over_draws_gap": gap}
    rules = _rules(central, out["two_stage"], asked.fallback)
    seen = _compare(central, x, rules, drawn)
    flagged = [name for name, row in seen.items() if row["verdict"] == "not distinguishable"]
    chosen = rules.get(str(asked.fallback)) if flagged else None
    if chosen is not None:
        x = central.whole(chosen) if read.integer else chosen
        out = {"optimum": out["answer"]} | out | {"answer": central.at(x)}
    out["warnings"] += _warnings(fit, flagged, asked, by_rule=chosen is not None)
    return out | {
        "allocation": _rows(read, central, x, drawn),
        "parameters": fit.table(),
        "planned_on": asked.draws.plan or "best parameters",
        "draws": len(drawn),
        "rules": seen,
        "not_distinguishable": bool(flagged),
        "decided_by": f"optimum of {read.objective.kind}"
        if chosen is None
        else f"rule {asked.fallback}",
    }


def _solved(problem: JointProblem, fit: JointFit, draws: int) -> list[Effective]:
    """Return the problem solved on every draw; draws without an answer are left out."""
    out = []
    for number in range(1, draws + 1):
        try:
            out.append(Effective(fit.problem(problem, number), None))
        except AllocationError:  # a target out of reach under this draw
            continue
    return out


def _rules(central: Effective, staged: Answer, fallback: str | None) -> dict[str, Floats]:
    """Return the samples of the cells under two stages and simple rules; nothing without a budget."""
    stated = central.stated
    if stated.budget is None:
        return {}
    out = {}
    if staged.get("samples") is not None:
        out["two_stage"] = np.array([v for row in staged["samples"] for v in row])
    sizes = sum_by(central.cells.group, central.cells.unique, stated.fill.groups)
    for rule in dict.fromkeys([*COMPARED, fallback or COMPARED[0]]):
        if rule != "two_stage":
            spend = rule_spend(rule, stated.fill, sizes, stated.floor_spend, stated.budget)
            out[rule] = stated.fill.samples(stated.fill.effective(spend))
    return out


def _compare(
    central: Effective, x: Floats, rules: Mapping[str, Floats], drawn: Sequence[Effective]
) -> dict[str, Answer]:
    """Return per rule the 80 % interval of the fixed plan's gain over it on the draws, and a verdict."""
    out: dict[str, Answer] = {}
    for rule in ("two_stage", *COMPARED):
        if rule not in rules or not drawn:
            continue
        gains = np.array([_value(d, x) - _value(d, rules[rule]) for d in drawn])
        gains = gains[~np.isnan(gains)]
        if not gains.size:
            continue
        lo, hi = np.quantile(gains, [0.1, 0.9], method="nearest")
        same = np.abs(x - rules[rule]) <= 1e-6 * max(1.0, float(x.max()))
        verdict = "better" if lo > 0 else "not distinguishable"
        out[rule] = {
            "gain_lo80": float(lo) if np.isfinite(lo) else None,
            "gain_hi80": float(hi) if np.isfinite(hi) else None,
            "verdict": "same plan" if same.all() or np.abs(gains).max() <= 1e-12 else verdict,
        }
    return out


def _value(drawn: Effective, x: Floats) -> float:
    return drawn.stated.objective(drawn.effective(x))[0]


def _rows(
    read: JointProblem, central: Effective, x: Floats, drawn: Sequence[Effective]
) -> list[Answer]:
    cells = central.cells
    many = np.array([d.solved.samples(d.division.effective) for d in drawn]).reshape(-1, x.size)
    performance = central.at(x)["performance"]
    out = []
    for g, group in enumerate(read.groups):
        mine = np.flatnonzero(cells.group == g)
        pools = [
            {"name": label} | _amounts(x[[i]], cells.unique[[i]], many[:, [i]])
            for label, i in zip(pool_labels(group), mine, strict=True)
        ]
        row = {"group": group.name} | _amounts(x[mine], cells.unique[mine], many[:, mine])
        out.append(row | {"performance": performance[g], "pools": pools})
    return out


def _amounts(x: Floats, unique: Floats, many: Floats) -> Answer:
    """Return samples, records and passes of some cells together, with quantiles over the draws."""
    records = float(np.minimum(x, unique).sum())
    samples = float(x.sum())
    out: Answer = {
        "samples": samples,
        "records": records,
        "passes": samples / records if records > 0 else 0.0,
    }
    of = {"samples": many.sum(axis=1), "records": np.minimum(many, unique).sum(axis=1)}
    for name, values in of.items():
        lo, hi = np.quantile(values, [0.1, 0.9]) if values.size else (None, None)
        out[f"{name}_lo80"] = None if lo is None else float(lo)
        out[f"{name}_hi80"] = None if hi is None else float(hi)
    return out


def _warnings(
    fit: JointFit, flagged: list[str], asked: JointUncertainty, *, by_rule: bool
) -> list[str]:
    out = []
    if flagged:
        used = (
            f"the rule {asked.fallback} is used"
            if by_rule
            else "the optimum is kept, no fallback is named"
        )
        out.append(
            f"the runs cannot tell the optimum from {' and '.join(flagged)} at 80 % (not distinguishable): "
            f"{used}; train more sizes or seeds, or accept the simpler plan"
        )
    for name, one in fit.groups.items():
        _, b, p = one.curve[0].tolist()
        if b * one.model.unit**-p < 1e-6:
            out.append(
                f"group {name!r}: no gain with size was seen: add larger sizes, or check the metric"
            )
    for row in fit.table():
        where = f"group {row['group']!r}, pool {row['pool']!r}"
        if not row["runs"]:
            out.append(
                f"{where}: no run tells its {row['parameter']}, which is what other groups share"
            )
        elif row["parameter"] == "worth" and row["lo80"] <= 1 <= row["hi80"]:
            out.append(
                f"{where}: its worth can't be told from 1 at 80 %; merge it with the reference"
            )
    few = [n for n, f in fit.groups.items() if len(set(f.model.runs.seeds)) < LEAST_SEEDS]
    if few:
        out.append(
            f"groups {few[:10]} have fewer than {LEAST_SEEDS} seeds: intervals are too narrow"
        )
    return out
