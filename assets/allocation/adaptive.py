"""Buy data in rounds: fit the curves to what was measured, divide the next slice, train, repeat.

Round 0 is a pilot. Every later round fits a curve a group to all evaluations so far and divides the
next slice of the budget by the stated objective, with what is already held as the start of each
curve (samples can't be un-bought). A round is a small record; given the study, the rounds so far and
the evaluations, the next one follows, so a study can stop and go on anywhere. The problem: Cai et
al. 2022 (see docs/methods/equitable_allocation.md); this sequence is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field, ValidationError

from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError
from assets.allocation.group_curves import LEAST_SIZES, GroupCurves, fit_group_curves
from assets.allocation.problem import NonNegative, Objective, Positive, Strict, known_keys
from assets.allocation.problem_errors import ProblemError, explain
from assets.allocation.roots import Floats

SMALLEST_PILOT = 50


class StudyGroup(Strict):
    """A group that data can be bought for; one with nothing available is named, not planned for."""

    name: str
    weight: NonNegative | None = None
    cost: Positive
    available: NonNegative
    chance: float | None = None


class Study(Strict):
    """A budget that is spent in rounds.

    `value` is what one unit of the objective is worth in units of the budget; without it no round
    is left out. `sizes` is how many nested sizes of the pilot are trained on. `hold_unreachable` leaves
    groups out of a level objective that could not get to where half of the others are (they are named
    in any case), so that they do not take the whole budget. `explore` is the share of every slice that is spread evenly
    (as floors inside the solve), so that a curve that looked flat in the pilot is measured again.
    """

    budget: Positive
    objective: Objective
    rounds: Annotated[int, Field(ge=1)]
    pilot: Annotated[int, Field(ge=SMALLEST_PILOT)]
    sizes: Annotated[int, Field(ge=LEAST_SIZES)] = LEAST_SIZES
    value: Positive | None = None
    hold_unreachable: bool = False
    explore: Annotated[float, Field(ge=0, le=1)] = 0.0
    draws: Annotated[int, Field(ge=20)] = 100
    seed: int = 0
    groups: Annotated[list[StudyGroup], Field(min_length=1)]


@dataclass(frozen=True)
class Round:
    """What one round buys.

    `bought` and `held` (after it) in samples per group, `spend` of this round, `train_sizes` the
    sizes to evaluate next per group, `stopped` why nothing more is bought, `predicted_gain` the
    objective's gain from this round by the curves (its 90 % quantile over their draws),
    `unallocatable` groups without a curve and what they need, `out_of_reach` (level objectives)
    groups that the whole budget would not lift to today's median of the others, by the 90 % quantile
    over the draws.
    """

    number: int
    bought: dict[str, int]
    held: dict[str, int]
    spend: float
    train_sizes: dict[str, list[int]]
    stopped: str | None = None
    predicted_gain: float | None = None
    unallocatable: dict[str, str] | None = None
    out_of_reach: list[str] | None = None


def read_study(raw: Mapping[str, Any]) -> Study:
    """Return a checked study; errors name group and field."""
    known = known_keys(Study, StudyGroup, Objective)
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        raise ProblemError("; ".join(explain(e, raw, known) for e in error.errors()[:5])) from None
    names = [g.name for g in study.groups]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = f"group {twice[0]!r}, field name: two groups have this name; rename or merge them"
        raise ProblemError(msg)
    if study.objective.kind == "min_cost":
        msg = "objective, field kind: min_cost has no budget to spend in rounds; use allocate"
        raise ProblemError(msg)
    return study


def pilot(study: Study) -> Round:
    """Return round 0: the pilot of every group, with nested sizes to train on.

    Raises
    ------
    ProblemError
        The pilot costs more than the budget.
    """
    bought = {g.name: int(min(study.pilot, g.available)) for g in study.groups}
    spend = sum(bought[g.name] * g.cost for g in study.groups)
    if spend > study.budget:
        msg = f"field pilot: {study.pilot} of each group cost {spend:g}, more than the budget"
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
    number = last.number + 1
    spent = sum(r.spend for r in past)
    nothing = dict.fromkeys(last.held, 0)
    curves = fit_group_curves(
        evaluations, [g.name for g in study.groups], draws=study.draws, seed=study.seed
    )
    missing = {row["group"]: row["remedy"] for row in curves.frame.to_dicts() if row["a"] is None}
    slice_ = (study.budget - spent) / max(study.rounds - number + 1, 1)
    over = number > study.rounds or slice_ < min(g.cost for g in study.groups)
    known = _Known(study, curves)
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
            "chance": group.chance,
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


class _Known:
    """Draws of the curves of the groups that have one, on the study's level."""

    def __init__(self, study: Study, curves: GroupCurves) -> None:
        self.study = study
        known = [g for g in range(len(study.groups)) if curves.usable[g]]
        self.groups = [study.groups[g] for g in known]
        self.a, self.b, self.p = (
            v[:, known] for v in (curves.draw_a, curves.draw_b, curves.draw_p)
        )
        self.chance = np.array([g.chance or 0.0 for g in self.groups])
        self.available = np.array([g.available for g in self.groups])

    def counts(self, held: Mapping[str, int]) -> Floats:
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
