"""Buy data in rounds: fit the curves to what was measured, divide the next slice, train, repeat.

Round 0 is a pilot. Every later round fits a curve a group to all evaluations so far and divides the
next slice of the budget by the stated objective, with what is already held as the start of each
curve (samples can't be un-bought). A round is a small record; given the study, the rounds so far and
the evaluations, the next one follows, so a study can stop and go on anywhere. The problem: Cai et
al. 2022 (see docs/methods/equitable_allocation.md); this sequence is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError
from assets.allocation.group_curves import GroupCurves, fit_group_curves
from assets.allocation.problem_errors import ProblemError
from assets.allocation.round_gains import KnownCurves, chance_of
from assets.allocation.study import SMALLEST_PILOT, Round, Study, StudyGroup, read_study

__all__ = [
    "SMALLEST_PILOT",
    "Round",
    "Study",
    "StudyGroup",
    "decide",
    "next_round",
    "pilot",
    "read_study",
]


def pilot(study: Study) -> Round:
    """Return round 0: the pilot of every group, with nested sizes to train on.

    Raises
    ------
    ProblemError
        The pilot costs more than the budget.
    """
    bought = {g.name: int(min(max(study.pilot, g.floor), g.available)) for g in study.groups}
    spend = sum(bought[g.name] * g.cost for g in study.groups)
    if spend > study.budget:
        floors = ", with the floors," if any(g.floor > study.pilot for g in study.groups) else ""
        msg = (
            f"field pilot: {study.pilot} of each group{floors} cost {spend:g}, more than the budget"
        )
        raise ProblemError(msg)
    nested = {
        name: sorted({int(v) for v in np.geomspace(n / 4, n, study.sizes).round()})
        for name, n in bought.items()
        if n
    }
    return Round(0, bought, dict(bought), spend, nested)


def next_round(study: Study, past: Sequence[Round], evaluations: pl.DataFrame) -> Round:
    """Return the round after `past`.

    Parameters
    ----------
    study
        As read.
    past
        All rounds so far, the pilot first.
    evaluations
        Rows as `fit_group_curves` takes them, of all rounds.

    Raises
    ------
    AllocationError
        The study is over, or the last round's groups were not evaluated at what they hold.
    """
    last = past[-1]
    if last.stopped:
        msg = f"round {last.number} ended the study: {last.stopped}"
        raise AllocationError(msg)
    _check_evaluated(last, evaluations)
    return decide(study, past, evaluations)


def decide(study: Study, past: Sequence[Round], evaluations: pl.DataFrame) -> Round:
    """Return the round after `past`, from evaluations of whatever sizes there are.

    Parameters
    ----------
    study, past, evaluations
        As for `next_round`, which asks for the sizes of the last round besides.
    """
    last = past[-1]
    number = last.number + 1
    spent = sum(r.spend for r in past)
    nothing = dict.fromkeys(last.held, 0)
    curves = fit_group_curves(
        evaluations, [g.name for g in study.groups], draws=study.draws, seed=study.seed
    )
    missing = {row["group"]: row["remedy"] for row in curves.frame.to_dicts() if row["a"] is None}
    left = study.budget - spent
    slice_ = left / max(study.rounds - number + 1, 1)
    if study.slice is not None:
        slice_ = min(study.slice, left)
    over = number > study.rounds or slice_ < min(g.cost for g in study.groups)
    known = KnownCurves(study, curves)
    beyond = known.out_of_reach(last.held)
    left_out = beyond if study.hold_unreachable else []
    problem = None if over else _problem(study, last.held, curves, slice_, left_out)
    if problem is None:
        why = "the budget is spent" if over else "no group with a curve has records left"
        return Round(number, nothing, last.held, 0.0, {}, why, None, missing, beyond)
    answer = allocate(problem, integer=True)
    bought = nothing | {e["group"]: e["samples"] for e in answer["allocation"]}
    gain = float(np.quantile(known.gains(last.held, bought), 0.9))
    if study.value is not None and gain * study.value < answer["spend"]:
        why = (
            f"the next {answer['spend']:g} would raise the objective by at most {gain:.3g} (90 % of "
            f"the draws), worth {gain * study.value:.3g}"
        )
        return Round(number, nothing, last.held, 0.0, {}, why, gain, missing, beyond)
    held = {name: n + bought[name] for name, n in last.held.items()}
    sizes = {name: [held[name]] for name, n in bought.items() if n}
    done = "the last round is bought" if number == study.rounds else None
    return Round(number, bought, held, answer["spend"], sizes, done, gain, missing, beyond)


def _check_evaluated(last: Round, evaluations: pl.DataFrame) -> None:
    for name, sizes in last.train_sizes.items():
        rows = evaluations.filter(pl.col("group") == name)
        lacking = sorted(set(sizes) - set(rows["samples_seen"].to_list()))
        if lacking:
            msg = (
                f"evaluations: round {last.number} asks for group {name!r} at {lacking} samples; "
                "train on these sizes and add the rows"
            )
            raise AllocationError(msg)


def _curve(curves: GroupCurves, g: int) -> dict[str, Any]:
    b = max(float(curves.b[g]), 1e-12)
    return {"form": "power", "a": float(curves.a[g]), "b": b, "p": float(curves.p[g])}


def _problem(
    study: Study,
    held: Mapping[str, int],
    curves: GroupCurves,
    budget: float,
    left_out: Sequence[str],
) -> dict[str, Any] | None:
    """State the next slice; groups without a curve or without records left are no part of it."""
    even = study.explore * budget / len(study.groups)
    groups = [
        {
            "name": group.name,
            "weight": group.weight,
            "cost": group.cost,
            "available": group.available - held[group.name],
            "floor": float(int(min(even / group.cost, group.available - held[group.name]))),
            "held": held[group.name],
            "chance": None if np.isnan(chance := chance_of(study, curves, g)) else chance,
            "curve": _curve(curves, g),
        }
        for g, group in enumerate(study.groups)
        if curves.usable[g]
        and group.available - held[group.name] >= 1
        and group.name not in left_out
    ]
    if not groups:
        return None
    objective = study.objective.model_dump(exclude_none=True)
    return {"budget": budget, "objective": objective, "groups": groups}
