"""Answer a joint problem for several budgets, and say where between them the plan changes its pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from assets.allocation.joint import solve_joint
from assets.allocation.joint_effective import Effective
from assets.allocation.joint_laws import mixture_answer
from assets.allocation.joint_problem import JointProblem, read_joint
from assets.allocation.joint_switches import Switch, along_the_path, by_halving

Answer = dict[str, Any]

_EFFECTIVE_WITHIN, _MIXTURE_WITHIN = 1e-6, 1e-2
_MOST_SOLVES = {"effective": 2000, "mixture": 40}


def answer_joint(problem: Mapping[str, Any]) -> Answer:
    """Solve a joint problem for its budget, and for each of its `budgets` where it states them.

    Parameters
    ----------
    problem
        As `solve_joint` reads it, with `budgets` (each above 0, none twice) in place of `budget` or
        beside it.

    Returns
    -------
    dict
        Without `budgets`, the answer of `solve_joint`. With them, `plans`: for each budget, rising,
        `budget` and the fields of `solve_joint`; `switch_points` between the least and the largest
        of them, rising: `budget`, `group`, `pool` (its name, else its position), `change` (`enters`,
        `leaves`, `repeats`, `repeats_no_more`) and `within`, the half width of the bracket that holds
        it (0 where it is exact); and, where `budget` stands beside, its own fields on top.

    Raises
    ------
    ProblemError, AllocationError
        The problem is misstated or has no answer.

    Notes
    -----
    Effective form: exact, one evaluation of the groups' paths for every pool. With floors over pools of
    unequal cost, and in the mixture form (where a pool may enter and leave between two budgets
    without being seen), by halving; the mixture form stops after 40 solves.
    """
    if problem.get("budgets") is None:
        return solve_joint(problem)
    read = read_joint(problem)
    budgets = sorted(read.budgets or [])
    single = {key: value for key, value in problem.items() if key != "budgets"}
    plans = [{"budget": b} | solve_joint(single | {"budget": b}) for b in budgets]
    own = {} if read.budget is None else solve_joint(single)
    switches = _switches(read, budgets[0], budgets[-1])
    return own | {"plans": plans, "switch_points": [_told(read, s) for s in switches]}


def _switches(read: JointProblem, low: float, high: float) -> list[Switch]:
    if high <= low:
        return []
    form = read.formulation
    if form == "effective":
        exact = along_the_path(Effective(_at(read, high), None), low, high)
        if exact is not None:
            return exact

    def drawn(budget: float) -> tuple[np.ndarray, np.ndarray]:
        at = _at(read, budget)
        answer = mixture_answer(at, None) if form == "mixture" else Effective(at, None).answer()
        samples = [x for row in answer["samples"] for x in row]
        unique = [cell.U for group in read.groups for cell in group.cells]
        return np.array(samples), np.array(unique, float)

    within = _MIXTURE_WITHIN if form == "mixture" else _EFFECTIVE_WITHIN
    found = by_halving(drawn, low, high, within=within, most=_MOST_SOLVES[form])
    places = [(g, q) for g, group in enumerate(read.groups) for q in range(len(group.cells))]
    return [Switch(s.budget, *places[s.pool], s.change, s.within) for s in found]


def _at(read: JointProblem, budget: float) -> JointProblem:
    return read.model_copy(update={"budget": budget, "budgets": None, "integer": False})


def _told(read: JointProblem, switch: Switch) -> Answer:
    group = read.groups[switch.group]
    return {
        "budget": switch.budget,
        "group": group.name,
        "pool": group.cells[switch.pool].name or switch.pool,
        "change": switch.change,
        "within": switch.within,
    }
