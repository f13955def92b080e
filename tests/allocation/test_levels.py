"""Levels, targets, floors and caps."""

from __future__ import annotations

import numpy as np
import pytest

from assets.allocation.answer import allocate
from assets.allocation.errors import InfeasibleFloors, UnreachableTarget
from tests.allocation.stated import MAX_MIN, samples, three
from tests.oracles.allocation_solver import performance


@pytest.mark.parametrize("level", ["raw", "skill", "attainable", "excess"])
def test_levels_are_equalised_as_named(level):
    problem = three(kind="max_min", level=level)
    chance = [0.5, 0.2, 0.1]
    for g, c in zip(problem["groups"], chance, strict=True):
        g |= {"chance": c, "available": 1e5}
    answer = allocate(problem)
    f = np.array([e["performance"] for e in answer["allocation"]])
    ceiling = np.array([0.95, 0.90, 0.92])
    top = np.array([performance(g["curve"], 1e5) for g in problem["groups"]])
    shown = {
        "raw": f,
        "skill": (f - chance) / (1 - np.array(chance)),
        "attainable": f / top,
        "excess": ceiling - f,
    }[level]
    np.testing.assert_allclose(shown, shown[0], rtol=1e-9)
    assert answer["objective"] == pytest.approx(shown[0], rel=1e-9)
    assert answer["spend"] == pytest.approx(50_000)


def test_least_spend_inverts_max_min_and_names_unreachable_groups():
    level = allocate(three(**MAX_MIN))["objective"]
    problem = three(kind="min_cost", level="raw", target=level)
    del problem["budget"]
    answer = allocate(problem)
    assert answer["objective"] == pytest.approx(50_000, rel=1e-9)
    problem["objective"]["target"] = 0.91
    with pytest.raises(UnreachableTarget, match="'B'"):
        allocate(problem)


def test_max_min_leaves_and_leximin_uses_what_a_capped_group_frees():
    problem = three(**MAX_MIN)
    problem["groups"][2]["available"] = 200
    capped = allocate(problem)
    assert capped["spend"] < 50_000
    assert any("unspent" in w for w in capped["warnings"])
    lexi = allocate(problem | {"objective": {"kind": "leximin", "level": "raw"}})
    assert lexi["spend"] == pytest.approx(50_000)
    assert lexi["objective"] == pytest.approx(capped["objective"])


def test_floors_bind_inside_the_solve():
    problem = three(kind="weighted_sum")
    free = samples(allocate(problem))
    problem["groups"][2]["floor"] = 5000
    answer = allocate(problem)
    n = samples(answer)
    assert n[2] == pytest.approx(5000)
    assert answer["allocation"][2]["bound"] == "floor"
    assert answer["spend"] == pytest.approx(50_000)
    assert (n[:2] < free[:2]).all()
    # the remaining budget is divided optimally between the others
    rest = three(25_000, kind="weighted_sum")
    rest["groups"].pop()
    np.testing.assert_allclose(n[:2], samples(allocate(rest)), rtol=1e-9)


def test_infeasible_floors_say_which_and_the_least_budget():
    problem = three(100, kind="weighted_sum")
    problem["groups"][1]["floor"] = 40
    problem["groups"][2]["floor"] = 50
    with pytest.raises(
        InfeasibleFloors, match=r"'C' \(250\), 'B' \(80\).*least budget that would do is 330"
    ):
        allocate(problem)
    problem["budget"] = 330
    np.testing.assert_allclose(samples(allocate(problem)), [0, 40, 50])
    problem["groups"][2] |= {"available": 30}
    with pytest.raises(InfeasibleFloors, match=r"group 'C', field floor: 50 samples.*at most 30"):
        allocate(problem)
