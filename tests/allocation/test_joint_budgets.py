"""Several budgets: a plan each, and the budgets between them at which pools enter or repeat."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.allocation.errors import AllocationError
from assets.allocation.joint import solve_joint
from assets.allocation.joint_budgets import answer_joint
from assets.allocation.joint_effective import Effective
from assets.allocation.joint_problem import read_joint
from assets.allocation.joint_switches import along_the_path, by_halving
from assets.allocation.problem_errors import ProblemError
from orchestration.cli import main
from tests.allocation.stated import two_by_two
from tests.allocation.strategies import joint_problem


def several(*budgets, **change):
    problem = two_by_two() | change
    del problem["budget"]
    return problem | {"budgets": list(budgets)}


def named(answer):
    return {(s["group"], s["pool"], s["change"]): s["budget"] for s in answer["switch_points"]}


def test_each_budget_has_the_plan_of_its_own_problem():
    answer = answer_joint(several(4000, 500, 1000))
    assert [p["budget"] for p in answer["plans"]] == [500, 1000, 4000]
    for plan in answer["plans"]:
        alone = solve_joint(two_by_two() | {"budget": plan.pop("budget")})
        assert plan == alone
    assert "answer" not in answer


def test_the_switch_points_by_hand():
    # max-min of equal curves: both groups hold the same effective samples E. A has clean records up to 1000; B has
    # 60 clean records, then 1000 of worth 1/2, then repeats clean at 2^(-1/0.9) = .4629 and plain at half of that.
    answer = answer_joint(several(50, 20_000, objective={"kind": "max_min"}))
    delta = 2 ** (-1 / 0.9)
    expected = {
        ("B", 1, "enters"): 60 + 60,  # E = 60 in both
        ("B", 0, "repeats"): 560 + 1060,  # plain used up: E = 60 + 500
        ("B", 1, "repeats"): (560 + 60 * delta) + 1120,
    }
    for key, budget in expected.items():
        assert named(answer)[key] == pytest.approx(budget, rel=1e-12), key
    assert all(s["within"] == 0 for s in answer["switch_points"])


def test_at_a_switch_the_pool_is_just_not_drawn():
    for kind in ("weighted_sum", "isoelastic", "max_min", "leximin"):
        objective = {"kind": kind} | ({"aversion": 2.0} if kind == "isoelastic" else {})
        problem = several(100, 9000, objective=objective)
        for (group, pool, change), budget in named(answer_joint(problem)).items():
            row = "AB".index(group)
            unique = two_by_two()["groups"][row]["cells"][pool]["U"]
            before, after = (
                solve_joint(two_by_two() | {"objective": objective, "budget": budget * k})
                for k in (1 - 1e-4, 1 + 1e-4)
            )
            x = [a["answer"]["samples"][row][pool] for a in (before, after)]
            line = 0.0 if change == "enters" else unique
            assert x[0] <= line + 1e-9 < x[1], (kind, group, pool, change)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(joint_problem(), st.floats(2.0, 20.0))
def test_the_path_agrees_with_halving_between_solves(problem, factor):
    low, high = problem["budget"] / factor, problem["budget"]

    def at(budget):
        return Effective(read_joint(problem | {"budget": budget}), None)

    def drawn(budget):
        rows = at(budget).answer()["samples"]
        return np.array([x for row in rows for x in row]), unique

    unique = np.array([c["U"] for g in problem["groups"] for c in g["cells"]], float)
    places = [
        (g, q) for g, group in enumerate(problem["groups"]) for q in range(len(group["cells"]))
    ]
    try:
        exact = along_the_path(at(high), low, high)
        slow = by_halving(drawn, low, high, within=1e-3, most=400)
    except AllocationError:  # isoelastic welfare that the budget can't lift above 0
        return
    assert exact is not None
    found = {(s.group, s.pool, s.change): s.budget for s in exact}
    for switch in slow:
        budget = found.pop((*places[switch.pool], switch.change))
        assert budget == pytest.approx(switch.budget, rel=2.1e-3)
    # what only the path has lies where the eye of the slow way cannot see it: at an end
    for budget in found.values():
        assert min(budget / low, high / budget) < 1 + 1e-6


def test_mutant_without_the_other_groups_is_far_off():
    """A pool enters at the *total* budget at which its group gets there, not at the group's own spend."""
    answer = answer_joint(several(50, 20_000))
    own_spend = {("B", 1, "enters"): 60.0, ("A", 1, "enters"): 1000.0}
    for key, wrong in own_spend.items():
        assert named(answer)[key] > 1.5 * wrong


def test_floors_over_pools_of_unequal_cost_are_halved():
    problem = several(400, 3000)
    problem["groups"][1]["cells"][1]["cost"] = 0.25
    problem["groups"][1]["floor"] = 300  # the cheapest way there takes plain first
    answer = answer_joint(problem)
    assert answer["switch_points"]
    assert all(0 < s["within"] <= 1.1e-6 * s["budget"] for s in answer["switch_points"])


@pytest.mark.slow
def test_the_mixture_form_is_halved_within_a_hundredth():
    group = {
        "name": "A",
        "weight": 1.0,
        "a": 0.95,
        "n0": 1.0,
        "cells": [{"U": 100, "beta": 0.4, "tau": 2.0}, {"U": 5000, "beta": 0.2, "tau": 2.0}],
    }
    answer = answer_joint(
        {
            "formulation": "mixture",
            "repetition": "power",
            "budgets": [50, 5000],
            "objective": {"kind": "max_min", "level": "raw"},
            "groups": [group],
        }
    )
    changes = named(answer)
    assert changes["A", 0, "repeats"] == pytest.approx(100, rel=0.011)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budgets": []}, "field budgets"),
        ({"budgets": [100, 100]}, "100 stands twice"),
        ({"budgets": [100, 0]}, "budgets"),
        ({"budgets": [float("nan")]}, "not a finite number"),
        ({"budgets": 100}, "field budgets: a list is needed"),
        ({"objective": {"kind": "min_cost", "target": 0.5}}, "min_cost looks for the least spend"),
    ],
)
def test_budgets_that_say_nothing(change, words):
    with pytest.raises(ProblemError, match=words):
        answer_joint(several(100, 200) | change)


def test_the_command_answers_one_budget_as_before_and_several_beside_it(tmp_path):
    file = tmp_path / "joint.json"

    def told(problem):
        file.write_text(json.dumps(problem))
        out = CliRunner().invoke(main, ["allocate", "--joint", str(file)], catch_exceptions=False)
        return json.loads(out.stdout)

    alone = told(two_by_two())
    assert alone == json.loads(json.dumps(solve_joint(two_by_two())))
    beside = told(two_by_two() | {"budgets": [500, 2500]})
    assert [p["budget"] for p in beside.pop("plans")] == [500, 2500]
    assert beside.pop("switch_points")
    assert beside == alone
