"""Solve groups x quality pools x passes under one budget, with the two-stage answer beside it.

`effective` (default): E_g = held + sum_q worth U phi(x/U), f = a - b E^-p; concave, so the answer
is the global optimum
and carries a certificate. `mixture`: the differential-mixture law; exact for max-min, leximin and
least spend, a global
search for sums. Two-stage means: pools chosen first for all groups together, then groups divided
optimally inside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assets.allocation.errors import AllocationError
from assets.allocation.joint_effective import Effective, effective_pools, staging_bound_of
from assets.allocation.joint_laws import mixture_answer, mixture_pools
from assets.allocation.joint_problem import (
    JointProblem,
    read_joint,
)
from assets.allocation.problem_errors import ProblemError
from assets.allocation.stated import SUMS

Answer = dict[str, Any]


def solve_joint(problem: Mapping[str, Any]) -> Answer:
    """Solve a joint problem.

    Parameters
    ----------
    problem
        `formulation`, `repetition`, `budget`, `objective`, `groups` with `cells`; see
        `JointProblem`.

    Returns
    -------
    dict
        `answer` and `two_stage` (objective, worst, mean, performance, group_spend, samples per
        group and pool, spend,
        and for `effective` also effective samples, shadow_price, kkt_residual, gap), `gain`,
        `staging_bound` (how much
        two stages can lose at most; sums of the effective form), `verdict` ("no difference" where
        staging is lossless),
        `warnings`.

    Raises
    ------
    ProblemError, AllocationError
        The problem is misstated or has no answer.
    """
    read = read_joint(problem)
    if read.budgets is not None:
        msg = "field budgets: one plan is for one budget; `answer_joint` takes several"
        raise ProblemError(msg)
    warnings = _warnings(read)
    if read.formulation == "mixture":
        answer = mixture_answer(read, None)
        budget = read.budget or answer["spend"]
        pools = mixture_pools(read, budget)
        try:
            staged = mixture_answer(read, pools, budget) | {"pools": pools}
        except AllocationError as error:
            staged = _no_answer(error, pools)
        bound = None
        if answer.get("unequal_twins"):
            warnings.append(
                "identical groups are treated differently by the optimum of the sum; consider "
                "max_min"
            )
    else:
        joint = Effective(read, None)
        answer = joint.answer()
        pools = effective_pools(read, read.budget or answer["spend"])
        bound = None
        try:
            part = Effective(read, pools)
        except AllocationError as error:
            staged = _no_answer(error, pools)
        else:
            staged = part.answer() | {"pools": pools}
            if read.objective.kind in SUMS and staged["objective"] is not None:
                bound = staging_bound_of(joint, part)
    gain, verdict = _gain(answer, staged, read.objective.kind)
    return {
        "answer": answer,
        "two_stage": staged,
        "gain": gain,
        "staging_bound": bound,
        "verdict": verdict,
        "warnings": warnings,
    }


def _no_answer(error: AllocationError, pools: list[int]) -> Answer:
    return {
        "objective": None,
        "worst": None,
        "mean": None,
        "reason": str(error),
        "pools": pools,
    }


def _gain(answer: Answer, staged: Answer, kind: str) -> tuple[Answer, str]:
    gain = {
        key: None if answer[key] is None or staged[key] is None else answer[key] - staged[key]
        for key in ("objective", "worst", "mean")
    }
    size = gain["objective"]
    if kind == "min_cost" and size is not None:
        gain["objective"] = size = -size  # what the joint plan saves
    if size is None:
        return gain, "two stages have no answer"
    same = abs(size) <= 1e-9 * max(1.0, abs(answer["objective"]))
    return gain, "no difference" if same else "joint is better"


def _warnings(read: JointProblem) -> list[str]:
    out = []
    if read.objective.kind in ("max_min", "leximin", "min_cost") and read.objective.level is None:
        out.append("no level stated: groups were compared on the raw metric; state objective.level")
    if read.formulation == "mixture":
        low = [
            g.name
            for g in read.groups
            if read.budget and g.n0 and read.budget / g.cells[0].cost < g.n0
        ]
        if low:
            out.append(
                f"groups {low}: fewer samples than the anchor n0, where the mixture law does not "
                "hold"
            )
    return out
