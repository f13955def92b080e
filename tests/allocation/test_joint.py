"""Groups x pools x passes: oracles, a general solver, the law integrated, invariances."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.allocation.joint import solve_joint
from assets.allocation.joint_mixture import mixture_sum
from assets.allocation.mixture import MixtureGroup
from assets.allocation.problem import ProblemError
from tests.allocation.stated import two_by_two
from tests.allocation.strategies import joint_problem
from tests.oracles.allocation_solver import mixture_stepwise, phi, solve_cells

ORACLES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "joint_oracles_open.json"
CASES = json.loads(ORACLES.read_text()) if ORACLES.exists() else []
COMMON = settings(max_examples=15, suppress_health_check=list(HealthCheck))


@pytest.mark.skipif(not CASES, reason="the open oracles are not here")
@pytest.mark.parametrize("case", CASES, ids=[c["id"] for c in CASES])
def test_open_oracles(case):
    result = solve_joint(case["input"])
    for part in ("answer", "two_stage"):
        if part not in case:
            continue
        mine, theirs = result[part], case[part]
        assert mine["objective"] == pytest.approx(theirs["objective"], rel=1e-6)
        if "note" not in case:  # there only the objective is unique
            np.testing.assert_allclose(mine["performance"], theirs["performance"], atol=1e-5)
        assert mine["spend"] <= case["input"]["budget"] * (1 + 1e-9)
        if part == "two_stage":
            assert mine["pools"] == theirs["pools"]
    if "staging_bound" in case:
        assert result["staging_bound"] == pytest.approx(case["staging_bound"], rel=1e-6)
    if "gain" in case:
        assert result["gain"]["objective"] == pytest.approx(case["gain"]["objective"], abs=1e-7)


def test_simplest_case_by_hand():
    answer = solve_joint(two_by_two("max_min"))["answer"]
    # 60 clean + 0.5 (1060 / 3 - 60) ... both groups reach E = 1060 / 3
    assert answer["effective"] == pytest.approx([1060 / 3, 1060 / 3])
    assert answer["samples"][1] == pytest.approx([60, 1760 / 3])
    result = solve_joint(two_by_two())
    assert 0 < result["gain"]["objective"] <= result["staging_bound"] + 1e-12


def test_no_difference_where_staging_is_lossless():
    problem = two_by_two()
    problem["groups"][1]["cells"][0]["U"] = 1000
    result = solve_joint(problem)
    assert result["verdict"] == "no difference"
    assert abs(result["gain"]["objective"]) < 1e-12


def as_cells(problem):
    kind = problem["repetition"]
    return [
        {
            "weight": g["weight"],
            "held": g.get("held", 0.0),
            "curve": {"form": "power", "a": g["a"], "b": g["b"], "p": g["p"]},
            "cells": [
                (
                    c["U"],
                    c["worth"],
                    c.get("cost", 1.0),
                    kind,
                    c.get("tau") or c.get("r_star"),
                    c.get("max_passes", 50.0),
                )
                for c in g["cells"]
            ],
        }
        for g in problem["groups"]
    ]


@COMMON
@given(joint_problem())
def test_effective_agrees_with_an_independent_solver_and_its_certificate(problem):
    result = solve_joint(problem)
    answer = result["answer"]
    assert answer["spend"] <= problem["budget"] * (1 + 1e-9)
    assert answer["kkt_residual"] < 1e-6
    for g, row in zip(problem["groups"], answer["samples"], strict=True):
        for c, x in zip(g["cells"], row, strict=True):
            assert x <= c["U"] * c.get("max_passes", math.inf) * (1 + 1e-9)
    for g, row, f in zip(problem["groups"], answer["samples"], answer["performance"], strict=True):
        effective = g["held"] + sum(
            c["worth"]
            * c["U"]
            * phi(problem["repetition"], x / c["U"], c.get("tau") or c.get("r_star"))
            for c, x in zip(g["cells"], row, strict=True)
        )
        assert f == pytest.approx(g["a"] - g["b"] * effective ** -g["p"], rel=1e-8)
    o = problem["objective"]
    form = "sum" if o["kind"] in ("weighted_sum", "isoelastic") else "max_min"
    best = solve_cells(as_cells(problem), problem["budget"], form, o.get("aversion", 0.0), starts=1)
    if math.isfinite(best):
        # kinks of the step form stop a smooth solver short; it must never be above the optimum
        assert answer["objective"] >= best - 1e-6 * max(1.0, abs(best))
    if form == "sum":
        assert answer["gap"] <= 1e-9 * max(1.0, abs(answer["objective"]))
        if result["staging_bound"] is not None:
            assert result["gain"]["objective"] <= result["staging_bound"] + 1e-9
    two = result["two_stage"]["objective"]
    if two is not None:
        assert answer["objective"] >= two - 1e-9 * max(1.0, abs(two))  # I9


def objective(problem):
    return solve_joint(problem)["answer"]["objective"]


@COMMON
@given(joint_problem(), st.floats(0.2, 5.0))
def test_invariances_of_the_effective_form(problem, k):
    base = objective(problem)
    near = pytest.approx(base, rel=1e-8, abs=1e-10)
    units = copy.deepcopy(problem)  # I1
    units["budget"] *= k
    for g in units["groups"]:
        g["held"] *= k
        g["b"] *= k ** g["p"]
        for c in g["cells"]:
            c["U"] *= k
    assert objective(units) == near
    halves = copy.deepcopy(problem)  # I2
    for g in halves["groups"]:
        g["cells"] = [c | {"U": c["U"] / 2} for c in g["cells"]] + [
            c | {"U": c["U"] / 2} for c in g["cells"]
        ]
    assert objective(halves) == near
    turned = copy.deepcopy(problem)  # I4
    turned["groups"] = turned["groups"][::-1]
    for g in turned["groups"]:
        decay = {k: v for k, v in g["cells"][0].items() if k in ("tau", "r_star")}
        g["cells"] = [*g["cells"][::-1], {"U": 500, "worth": 0.0, **decay}]
    assert objective(turned) == near
    worths = copy.deepcopy(problem)  # I5
    for g in worths["groups"]:
        g["held"] *= k
        g["b"] *= k ** g["p"]
        for c in g["cells"]:
            c["worth"] *= k
    assert objective(worths) == near
    costs = copy.deepcopy(problem)  # I7
    costs["budget"] *= k
    for g in costs["groups"]:
        for c in g["cells"]:
            c["cost"] *= k
    assert objective(costs) == near


@COMMON
@given(joint_problem(kinds=("weighted_sum",)))
def test_halves_of_groups_and_more_of_anything(problem):
    base = objective(problem)
    halves = copy.deepcopy(problem)  # I3
    halves["groups"] = []
    for g in problem["groups"]:
        for side in "lr":
            half = copy.deepcopy(g) | {
                "name": g["name"] + side,
                "weight": g["weight"] / 2,
                "held": g["held"] / 2,
            }
            half["b"] *= 2 ** -g["p"]
            for c in half["cells"]:
                c["U"] /= 2
            halves["groups"].append(half)
    assert objective(halves) == pytest.approx(base, rel=1e-8, abs=1e-10)
    for change in ("budget", "U", "worth", "decay", "max_passes"):  # I6
        more = copy.deepcopy(problem)
        if change == "budget":
            more["budget"] *= 1.5
        for g in more["groups"]:
            for c in g["cells"]:
                for key in ("tau", "r_star") if change == "decay" else (change,):
                    if key in c:
                        c[key] *= 1.5
        assert objective(more) >= base - 1e-9 * max(1.0, abs(base)), change
    if len(problem["groups"]) == 1:  # I8
        fair = problem | {"objective": {"kind": "max_min"}}
        a, b = solve_joint(problem)["answer"], solve_joint(fair)["answer"]
        assert a["performance"] == pytest.approx(b["performance"], rel=1e-8)


def mixture_group(**change):
    base = {
        "unique": np.array([100.0, 400.0]),
        "beta": np.array([0.35, 0.2]),
        "tau": np.array([1.0, 2.0]),
        "most": np.array([np.inf, np.inf]),
        "reach": 1e5,
    }
    return MixtureGroup(0.95, 1.0, 2.0, **(base | change))


@pytest.mark.parametrize("x", [(50.0, 30.0), (250.0, 700.0), (480.0, 0.0), (333.0, 4000.0)])
def test_mixture_law_equals_stepwise_integration(x):
    pools = [(100.0, 0.35, 1.0), (400.0, 0.2, 2.0)]
    law = float(mixture_group().value_of(np.array(x)))
    assert law == pytest.approx(mixture_stepwise(0.95, 1.0, 2.0, pools, x), abs=2e-5)


@pytest.mark.parametrize("n", [5.0, 80.0, 150.0, 333.0, 1000.0, 9000.0])
@pytest.mark.parametrize("most", [np.inf, 3.0])
def test_best_split_beats_a_grid(n, most):
    group = mixture_group(most=np.array([most, np.inf]))
    split = group.split(np.array([n]))[0]
    assert split.sum() == pytest.approx(n, rel=1e-9)
    first = np.linspace(0, min(n, 100 * most), 4001)
    grid = group.value_of(np.stack([first, n - first], axis=1))
    assert float(group.value(np.array([n]))[0]) >= grid.max() - 1e-12


def test_uncapped_value_never_falls_and_capped_budget_may_stay_unspent():
    n = np.geomspace(2, 1e5, 400)
    assert (np.diff(mixture_group().value(n)) >= -1e-12).all()
    capped = {
        "formulation": "mixture",
        "repetition": "power",
        "budget": 5000,
        "objective": {"kind": "max_min"},
        "groups": [
            {
                "name": "x",
                "weight": 1.0,
                "a": 1.0,
                "A": 1.0,
                "n0": 1.0,
                "cells": [
                    {"U": 100, "beta": 0.4, "tau": 2, "max_passes": 4},
                    {"U": 1e6, "beta": 0.15, "tau": 2},
                ],
            }
        ],
    }
    answer = solve_joint(capped)["answer"]
    assert answer["spend"] == pytest.approx(400, rel=1e-6)
    group = MixtureGroup(
        1.0,
        1.0,
        1.0,
        unique=np.array([100.0, 1e6]),
        beta=np.array([0.4, 0.15]),
        tau=np.array([2.0, 2.0]),
        most=np.array([4.0, np.inf]),
        reach=1e5,
    )
    forced = group.value(np.array([400.0, 401.0, 5000.0, 1e5]))
    np.testing.assert_allclose(forced, [0.8847, 0.8844, 0.7604, 0.8240], atol=6e-5)
    # mutant: spending everything is worse
    assert answer["objective"] > forced[2] + 0.1
    summed = solve_joint(capped | {"objective": {"kind": "weighted_sum"}})["answer"]
    assert summed["objective"] == pytest.approx(answer["objective"], rel=1e-9)


def twins(budget):
    def group(name):
        return {
            "name": name,
            "weight": 0.5,
            "a": 0.95,
            "A": 1.0,
            "n0": 1.0,
            "cells": [{"U": 100, "beta": 0.35, "tau": 0.2}, {"U": 1e6, "beta": 0.19, "tau": 2.0}],
        }

    return {
        "formulation": "mixture",
        "repetition": "power",
        "budget": budget,
        "objective": {"kind": "weighted_sum"},
        "groups": [group("A"), group("B")],
    }


def test_identical_groups_may_have_an_unequal_optimum():
    result = solve_joint(twins(2733))
    assert result["answer"]["objective"] == pytest.approx(0.757399, abs=5e-5)
    assert result["answer"]["objective"] >= 0.757399 - 1e-6
    assert any("identical groups" in w for w in result["warnings"])
    # mutant: one price for all (the KKT point of a concave problem) gives the equal split
    group = MixtureGroup(
        0.95,
        1.0,
        1.0,
        unique=np.array([100.0, 1e6]),
        beta=np.array([0.35, 0.19]),
        tau=np.array([0.2, 2.0]),
        most=np.array([np.inf, np.inf]),
        reach=1e5,
    )
    equal = float(group.value(np.array([2733 / 2]))[0])
    assert equal == pytest.approx(0.754679, abs=2e-6)
    assert result["answer"]["objective"] > equal + 2e-3
    assert result["answer"]["gap"] >= 0
    fair = solve_joint(twins(2733) | {"objective": {"kind": "max_min"}})["answer"]
    assert fair["group_spend"] == pytest.approx([2733 / 2, 2733 / 2], rel=1e-6)


def test_mixture_sum_against_a_fine_grid():
    a = MixtureGroup(
        0.95,
        1.0,
        1.0,
        unique=np.array([100.0, 1e5]),
        beta=np.array([0.35, 0.19]),
        tau=np.array([0.2, 2.0]),
        most=np.array([np.inf, np.inf]),
        reach=5000,
    )
    b = mixture_group()
    weight = (0.4, 0.6)
    found = mixture_sum([a, b], np.array([1.0, 2.0]), 3000.0, lambda g, f: weight[g] * f)
    grid = np.linspace(1, 2999, 6001)
    both = 0.4 * a.value(grid) + 0.6 * b.value((3000 - grid) / 2)
    assert found.objective >= both.max() - 1e-9


def test_one_pool_without_repeats_is_the_power_curve_in_both_forms():
    cells = [{"U": 1e9, "beta": 0.3, "tau": 1.0}]
    mixed = {
        "formulation": "mixture",
        "repetition": "power",
        "budget": 1000,
        "objective": {"kind": "weighted_sum"},
        "groups": [
            {"name": "x", "weight": 0.7, "a": 0.9, "A": 1.0, "n0": 4.0, "cells": cells},
            {"name": "y", "weight": 0.3, "a": 0.8, "A": 1.0, "n0": 9.0, "cells": cells},
        ],
    }
    plain = {
        "formulation": "effective",
        "repetition": "step",
        "budget": 1000,
        "objective": {"kind": "weighted_sum"},
        "groups": [
            {
                "name": g["name"],
                "weight": g["weight"],
                "a": g["a"],
                "b": g["n0"] ** 0.3,
                "p": 0.3,
                "cells": [{"U": 1e9, "worth": 1.0, "tau": 1.0}],
            }
            for g in mixed["groups"]
        ],
    }
    assert objective(mixed) == pytest.approx(objective(plain), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"formulation": "mixture"}, "field repetition"),
        ({"repetition": "exp"}, "group 'A', field r_star"),
        ({"budget": 0}, "field budget"),
        ({"objective": {"kind": "isoelastic"}}, "aversion"),
        ({"kappa": 1}, "unknown key"),
    ],
)
def test_misstated_joint_problems(change, match):
    with pytest.raises(ProblemError, match=match):
        solve_joint(two_by_two() | change)


@pytest.mark.parametrize("formulation", ["effective", "mixture"])
def test_least_spend_inverts_max_min(formulation):
    if formulation == "effective":
        problem = two_by_two("max_min")
    else:
        problem = twins(2733) | {"objective": {"kind": "max_min"}}
    level = solve_joint(problem)["answer"]["objective"]
    del problem["budget"]
    problem["objective"] = {"kind": "min_cost", "level": "raw", "target": level}
    result = solve_joint(problem)
    spend = 1000 if formulation == "effective" else 2733
    assert result["answer"]["objective"] == pytest.approx(spend, rel=1e-6)
    assert result["gain"]["objective"] is None or result["gain"]["objective"] >= -1e-9


def test_mutant_conic_order_by_worth_alone_misses_costs_and_passes():
    problem = two_by_two("max_min")
    answer = solve_joint(problem)["answer"]
    # filling the clean pool to the end of the budget first (worth alone) leaves B at 60 records
    worth = phi("step", (1000 - 353) / 60, 0.9) * 60
    assert 0.95 - 2.0 * worth**-0.5 < answer["objective"] - 0.05
