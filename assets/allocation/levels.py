"""Pools and levels of a stated problem, as arrays."""

from __future__ import annotations

import math

import numpy as np

from assets.allocation.curves import Curves
from assets.allocation.problem import Group, Pool, Problem
from assets.allocation.problem_errors import ProblemError
from assets.allocation.repetition import Cells


def cells_of(problem: Problem) -> Cells:
    """Return the pools of all groups as columns; a group without pools is one cell of worth 1."""
    rows = [
        (g, pool.available, pool.worth, pool.cost, *_repeat(group))
        for g, group in enumerate(problem.groups)
        for pool in (
            group.pools
            or [
                Pool(
                    name=group.name,
                    worth=1.0,
                    cost=group.cost or 1.0,
                    available=group.available or 0.0,
                )
            ]
        )
    ]
    group, unique, worth, cost, rate, most = (np.array(c) for c in zip(*rows, strict=True))
    return Cells(group.astype(int), unique, worth, cost, rate, most, "exp")


def _repeat(group: Group) -> tuple[float, float]:
    if group.repeats is None:
        return 1.0, 1.0
    most = group.repeats.max_passes
    return group.repeats.r_star, math.inf if most is None else most


def level_curves(
    curves: Curves, level: str | None, chance: np.ndarray | None, best: np.ndarray, names: list[str]
) -> Curves:
    """Return the curves on a level.

    These are raw f, excess f - ceiling, skill (f - chance)/(1 - chance) and attainable f / best.

    Parameters
    ----------
    curves
        Raw curves of G groups.
    level
        Name of the level; None means raw, for sums only.
    chance
        Performance of guessing per group (skill).
    best
        Performance with all data of the group (attainable).
    names
        Names of the groups, for messages.
    """
    one = np.ones(curves.a.shape)
    if level in (None, "raw"):
        return curves
    if level == "excess":
        return curves.line(one, -curves.ceiling)
    if level == "skill":
        if chance is None or np.isnan(chance).any():
            msg = "level skill needs the performance of guessing (chance) for each group"
            raise ProblemError(msg)
        return curves.line(1.0 / (1.0 - chance), -chance / (1.0 - chance))
    bad = [names[i] for i in np.flatnonzero(best <= 0)]
    if bad:
        msg = (
            f"level attainable: groups {bad[:10]} do not get above 0 with all their data; choose "
            "another level"
        )
        raise ProblemError(msg)
    return curves.line(1.0 / best, 0.0 * one)
