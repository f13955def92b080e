"""Read a joint problem whose parameters are measured: what it states, and what its runs are to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import polars as pl
from pydantic import Field, ValidationError

from assets.allocation.group_curves import CurveError
from assets.allocation.joint_problem import JointProblem, read_joint
from assets.allocation.measured import DrawsAsked
from assets.allocation.measured_groups import completed_runs
from assets.allocation.problem import Strict, known_keys
from assets.allocation.problem_errors import ProblemError, explain

_CURVE = ("a", "b", "p")


class JointUncertainty(Strict):
    """What a problem says about its runs; `fallback` is two_stage or a rule."""

    draws: DrawsAsked = DrawsAsked()
    fallback: (
        Annotated[
            str, Field(pattern=r"^(two_stage|equal|equal_spend|proportional|alpha_\d+(\.\d+)?)$")
        ]
        | None
    ) = None
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Unset:
    """A problem with stand-ins for what it leaves out.

    `groups` names, per group without a, b and p, the positions of its pools without worth (the first
    pool is the reference unless some state theirs) and of those without decay that may be repeated.
    """

    problem: JointProblem
    groups: dict[str, tuple[list[int], list[int]]]
    asked: JointUncertainty


def read_unset(raw: Mapping[str, Any], evaluations: pl.DataFrame) -> Unset:
    """Return the problem, what it leaves out, and what it says about draws.

    Raises
    ------
    ProblemError
        The problem is misstated, not of the effective form, or leaves nothing out; with group and field.
    CurveError
        A run is of a group that states its curve.
    """
    own = {key: raw[key] for key in JointUncertainty.model_fields if key in raw}
    try:
        asked = JointUncertainty.model_validate(own)
    except ValidationError as error:
        known = known_keys(JointUncertainty, DrawsAsked)
        raise ProblemError("; ".join(explain(e, own, known) for e in error.errors()[:5])) from None
    plain = {key: value for key, value in raw.items() if key not in own}
    if plain.get("formulation", "effective") != "effective":
        msg = (
            "field formulation: runs are fitted in the effective form; use it, or state a, A, n0, beta "
            "and tau and leave the runs out"
        )
        raise ProblemError(msg)
    if plain.get("budgets") is not None:
        msg = "field budgets: a measured plan is for one budget; state budget"
        raise ProblemError(msg)
    groups = plain.get("groups")
    rows = groups if isinstance(groups, list) else []
    unset: dict[str, tuple[list[int], list[int]]] = {}
    filled = [_filled(group, str(plain.get("repetition", "step")), unset) for group in rows]
    guesses = _chances(completed_runs(evaluations))
    for n, group in enumerate(filled):
        name = group.get("name") if isinstance(group, dict) else None
        if name in unset and name in guesses and group.get("chance") is None:
            filled[n] = group | {"chance": guesses[str(name)]}
    problem = read_joint(plain | {"groups": filled} if rows else plain)
    if not unset:
        msg = (
            "groups, field a: every group states its curve, so runs have nothing to tell; leave a, b and "
            "p (and worth and decay of its pools) out, or the runs"
        )
        raise ProblemError(msg)
    if "group" in evaluations.columns:
        for number, name in enumerate(evaluations["group"].cast(pl.String).to_list(), 1):
            if name not in unset and name in {g.name for g in problem.groups}:
                msg = (
                    f"row {number}, group {name!r}, field group: the problem states its a, b and p, and "
                    "runs would give others; remove them from the problem, or the row"
                )
                raise CurveError(msg)
    return Unset(problem, unset, asked)


def _filled(group: Any, repetition: str, unset: dict[str, tuple[list[int], list[int]]]) -> Any:  # noqa: ANN401 - not yet checked
    """Return the group with stand-ins where its curve is left out, and note what to fit."""
    if not isinstance(group, dict) or any(group.get(key) is not None for key in _CURVE):
        return group
    cells = group.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        return group | dict.fromkeys(_CURVE, 1.0)
    decay = "r_star" if repetition == "exp" else "tau"
    drawn = [q for q, cell in enumerate(cells) if cell.get("U") != 0]
    free = [q for q in drawn if cells[q].get("worth") is None]
    if len(free) == len(drawn):  # none states its worth: the first is what the others are told in
        free = free[1:]
    repeated = [
        q
        for q in drawn
        if repetition != "none" and cells[q].get(decay) is None and cells[q].get("max_passes") != 1
    ]
    out = []
    for cell in cells:
        own = {key: value for key, value in cell.items() if value is not None}
        own.setdefault("worth", 1.0)
        if repetition != "none":
            own.setdefault(decay, 1.0)
        out.append(own)
    unset[str(group.get("name"))] = (free, repeated)
    return group | dict.fromkeys(_CURVE, 1.0) | {"cells": out}


def _chances(runs: pl.DataFrame) -> dict[str, float]:
    """Return by group the performance of guessing that its runs state."""
    if "chance_level" not in runs.columns:
        return {}
    known = runs.filter(pl.col("chance_level").is_finite(), pl.col("group").is_not_null())
    chance = pl.col("chance_level").cast(pl.Float64)
    lower = pl.col("direction").cast(pl.String) == "lower"
    at = pl.when(lower).then(1.0 - chance).otherwise(chance)
    return dict(known.group_by("group").agg(at.mean()).iter_rows())
