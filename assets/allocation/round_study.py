"""A recipe's rounds as a study: what there is of each group and what it costs, slices and floors in the unit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from assets.allocation.problem_errors import ProblemError
from assets.allocation.study import SMALLEST_PILOT, Study, read_study
from resources.recipe import Recipe


def study_of(recipe: Recipe, groups: pl.DataFrame) -> Study:
    """Return the study that a recipe states.

    Parameters
    ----------
    recipe
        With `allocation.rounds` and a budget.
    groups
        One row a group: `group`, `available` (records), `tokens` (mean of a record).

    Raises
    ------
    ProblemError
        Naming the key: there are no rounds, or the pilot is too small for curves.
    """
    policy, budget = recipe.allocation, recipe.budget
    if policy is None or policy.rounds is None or budget is None:
        message = "allocation.rounds: the recipe states none; see docs/methods/adaptive_rounds.md"
        raise ProblemError(message)
    rounds = policy.rounds
    names = groups["group"].to_list()
    sizes = dict(groups.select("group", "available").iter_rows())
    tokens = dict(groups.select("group", "tokens").iter_rows())
    cost = {
        name: policy.costs.get(name, 1.0) * (tokens[name] if recipe.unit == "tokens" else 1.0)
        for name in names
    }
    pilot = int(rounds.pilot * budget / sum(cost.values()) + 1e-9)
    if pilot < SMALLEST_PILOT:
        least = SMALLEST_PILOT * sum(cost.values()) / budget
        message = (
            f"allocation.rounds.pilot: {rounds.pilot:g} of the budget buys {pilot} records of each of {len(names)} "
            f"groups, and a curve needs {SMALLEST_PILOT}; raise it to {least:.2g}, or the budget"
        )
        raise ProblemError(message)
    objective = {"kind": policy.objective, "level": policy.level, "aversion": policy.aversion}
    weights = _weights(policy.weights, sizes)
    raw: dict[str, Any] = {
        "budget": float(budget),
        "objective": {key: value for key, value in objective.items() if value is not None},
        "rounds": rounds.count,
        "pilot": pilot,
        "slice": None if rounds.slice is None else rounds.slice * budget,
        "value": rounds.value,
        "hold_unreachable": rounds.hold_unreachable,
        "explore": rounds.explore,
        "seed": recipe.seed,
        "groups": [
            {
                "name": name,
                "weight": weights.get(name),
                "cost": cost[name],
                "available": sizes[name],
                "floor": float(policy.floors.get(name, 0)),
            }
            for name in names
        ],
    }
    return read_study(raw)


def _weights(stated: object, sizes: Mapping[str, int]) -> dict[str, float]:
    if stated == "equal":
        return dict.fromkeys(sizes, 1.0 / len(sizes))
    if stated == "proportional":
        total = sum(sizes.values())
        return {name: size / total for name, size in sizes.items()}
    return dict(stated) if isinstance(stated, Mapping) else {}


def settings_text(recipe: Recipe, sections: tuple[str, ...], sample: float | None) -> str:
    """Return what a study is bought under, as JSON."""
    settings = recipe.section(*sections)
    return json.dumps({**settings, "seed": recipe.seed, "sample": sample}, sort_keys=True)


def changed_settings(before: str, now: str) -> list[str]:
    """Name the keys in which two texts of `settings_text` differ, with both values."""
    old, new = (dict(_leaves("", json.loads(text))) for text in (before, now))
    return [
        f"{key} was {old.get(key)} and is {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}" if key else name, inner)
    elif value is not None:
        yield key, value
