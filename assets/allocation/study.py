"""A study that buys data in rounds: its settings, and what one round is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError

from assets.allocation.group_curves import LEAST_SIZES
from assets.allocation.problem import NonNegative, Objective, Positive, Strict, known_keys
from assets.allocation.problem_errors import ProblemError, explain

SMALLEST_PILOT = 50


class StudyGroup(Strict):
    """A group that data can be bought for; one with nothing available is named, not planned for.

    `floor` is the least that it holds: the pilot buys it.
    """

    name: str
    weight: NonNegative | None = None
    cost: Positive
    available: NonNegative
    chance: float | None = None
    floor: NonNegative = 0.0


class Study(Strict):
    """A budget that is spent in rounds.

    `slice` is what one round after the pilot may spend; without it, what is left over the rounds that
    are left. `value` is what one unit of the objective is worth in units of the budget; without it no round
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
    slice: Positive | None = None
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
