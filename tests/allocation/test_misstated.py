"""Misstated problems."""

from __future__ import annotations

import pytest

from assets.allocation.answer import allocate
from assets.allocation.problem import ProblemError
from tests.allocation.stated import three


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"groups": 0, "cost": 0}, r"group 'A', field cost: .*greater than 0.*use 1"),
        ({"groups": 1, "cost": -2}, "group 'B', field cost"),
        ({"groups": 1, "name": "A"}, "two groups have this name"),
        ({"groups": 0, "available": 0}, "group 'A', field available: 0 records"),
        ({"groups": 0, "wieght": 1}, "unknown key; did you mean 'weight'"),
        ({"groups": 0, "weight": None}, "group 'A', field weight"),
        (
            {"groups": 0, "curve": {"form": "power", "a": float("nan"), "b": 1, "p": 1}},
            "group 'A'.*field a: nan",
        ),
        (
            {"groups": 0, "curve": {"form": "power", "a": 1, "b": 1, "p": -0.5}},
            "group 'A'.*field p.*not concave",
        ),
        (
            {"groups": 0, "curve": {"form": "tabulated", "n": [1, 2, 3], "value": [0, 0.1, 0.9]}},
            "convex",
        ),
        ({"objective": {"kind": "isoelastic", "aversion": -1}}, "objective, field aversion"),
        ({"objective": {"kind": "isoelastic"}}, "aversion: isoelastic needs it"),
        ({"objective": {"kind": "max_min"}}, "field level: max_min compares groups"),
        ({"objective": {"kind": "min_cost", "level": "raw"}}, "field target"),
        ({"objective": {"kind": "max_min", "level": "skill"}}, "group 'A', field chance"),
        ({"budget": None}, "field budget"),
        ({"budget": -3}, "field budget"),
    ],
)
def test_misstated_problems_name_group_and_field(change, match):
    problem = three(kind="weighted_sum")
    change = dict(change)
    if isinstance(change.get("groups"), int):
        problem["groups"][change.pop("groups")] |= change
    else:
        problem |= change
    with pytest.raises(ProblemError, match=match):
        allocate(problem)
