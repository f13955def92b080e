"""The exact optimum: closed forms, a general solver, properties, errors, wrong twins."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError, InfeasibleFloors, UnreachableTarget
from assets.allocation.problem import ProblemError
from tests.allocation.strategies import groups
from tests.oracles.allocation_solver import performance, phi, solve_cells, welfare

COMMON = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
SUM = {"kind": "weighted_sum"}
MAX_MIN = {"kind": "max_min", "level": "raw"}


def three(budget: float = 50_000, **objective):
    """The setting of the adaptive-sampling study: three power curves, unequal costs and weights."""
    rows = [
        ("A", 0.6, 1, 0.95, 2, 0.5),
        ("B", 0.3, 2, 0.90, 1.5, 0.25),
        ("C", 0.1, 5, 0.92, 3, 0.35),
    ]
    return {
        "budget": budget,
        "objective": objective,
        "groups": [
            {
                "name": n,
                "weight": w,
                "cost": c,
                "available": 1e9,
                "curve": {"form": "power", "a": a, "b": b, "p": p},
            }
            for n, w, c, a, b, p in rows
        ],
    }


def as_cells(problem):
    """The same problem for the independent solver."""
    out = []
    for g in problem["groups"]:
        repeat = g.get("repeats") or {}
        tail = ("exp", repeat.get("r_star", 1.0), repeat.get("max_passes", 1.0))
        pools = g.get("pools") or [{"available": g["available"], "worth": 1.0, "cost": g["cost"]}]
        out.append(
            {
                "weight": g.get("weight", 1.0),
                "curve": g["curve"],
                "held": g.get("held", 0.0),
                "floor": g.get("floor", 0.0),
                "cells": [(p["available"], p["worth"], p["cost"], *tail) for p in pools],
            }
        )
    return out


def samples(answer):
    return np.array([entry["samples"] for entry in answer["allocation"]])


def check_feasible(problem, answer, tolerance=1e-9):
    spend = 0.0
    for group, entry in zip(problem["groups"], answer["allocation"], strict=True):
        most = (group.get("repeats") or {}).get("max_passes", 1.0)
        pools = group.get("pools") or [{"cost": group["cost"], "available": group["available"]}]
        drawn = [p["samples"] for p in entry.get("pools", [])] or [entry["samples"]]
        rate = (group.get("repeats") or {}).get("r_star", 1.0)
        effective = group.get("held", 0.0) + sum(
            p.get("worth", 1.0) * p["available"] * phi("exp", x / p["available"], rate)
            for p, x in zip(pools, drawn, strict=True)
        )
        if entry["performance"] is not None:
            again = performance(group["curve"], effective)
            assert entry["performance"] == pytest.approx(again, rel=1e-8, abs=1e-10)
        for pool, x in zip(pools, drawn, strict=True):
            assert -1e-12 <= x <= pool["available"] * most * (1 + tolerance)
            spend += x * pool["cost"]
        assert entry["records"] <= sum(p["available"] for p in pools) * (1 + tolerance)
        assert entry["samples"] >= group.get("floor", 0.0) * (1 - tolerance)
    assert spend == pytest.approx(answer["spend"], rel=1e-9, abs=1e-9)
    if problem.get("budget") is not None:
        assert spend <= problem["budget"] * (1 + tolerance) + 1e-9


def test_published_setting_gives_its_optimum():
    answer = allocate(three(kind="weighted_sum"))
    assert answer["objective"] == pytest.approx(0.859406, abs=5e-7)
    assert answer["baselines"]["equal_spend"]["objective"] == pytest.approx(0.858063, abs=5e-7)
    assert answer["baselines"]["equal"]["objective"] == pytest.approx(0.852132, abs=5e-7)
    worst = allocate(three(**MAX_MIN))
    assert worst["objective"] == pytest.approx(0.761580, abs=5e-7)
    assert worst["baselines"]["equal_spend"]["worst"] == pytest.approx(0.743005, abs=5e-7)
    assert worst["baselines"]["equal"]["worst"] == pytest.approx(0.731298, abs=5e-7)
    assert max(answer["kkt_residual"], worst["kkt_residual"]) < 1e-10


def test_neyman_allocation_in_closed_form():
    w, b, c = np.array([1.0, 2.0, 3.0]), np.array([4.0, 1.0, 2.0]), np.array([1.0, 3.0, 0.5])
    problem = {
        "budget": 1000,
        "objective": SUM,
        "groups": [
            {
                "name": str(i),
                "weight": w[i],
                "cost": c[i],
                "available": 1e12,
                "curve": {"form": "power", "a": 1, "b": b[i], "p": 1.0},
            }
            for i in range(3)
        ],
    }
    expected = 1000 * np.sqrt(w * b / c) / np.sqrt(w * b * c).sum()
    np.testing.assert_allclose(samples(allocate(problem)), expected, rtol=1e-10)


def test_equal_exponents_in_closed_form_and_shadow_price():
    b, p, budget = np.array([2.0, 0.7]), 0.4, 500.0
    problem = {
        "budget": budget,
        "objective": SUM,
        "groups": [
            {
                "name": str(i),
                "weight": 1,
                "cost": 1,
                "available": 1e9,
                "curve": {"form": "power", "a": 0.9, "b": b[i], "p": p},
            }
            for i in range(2)
        ],
    }
    answer = allocate(problem)
    share = b ** (1 / (1 + p))
    np.testing.assert_allclose(samples(answer), budget * share / share.sum(), rtol=1e-10)
    more = allocate(problem | {"budget": budget + 1e-2})["objective"]
    less = allocate(problem | {"budget": budget - 1e-2})["objective"]
    assert answer["shadow_price"] == pytest.approx((more - less) / 2e-2, rel=1e-5)


def test_hyperbola_groups_are_dropped_when_the_price_is_above_their_first_gain():
    problem = {
        "budget": 10,
        "objective": SUM,
        "groups": [
            {
                "name": "x",
                "weight": 1,
                "cost": 1,
                "available": 1e6,
                "curve": {"form": "hyperbola", "a": 0.9, "k": 50},
            },
            {
                "name": "y",
                "weight": 1,
                "cost": 1,
                "available": 1e6,
                "curve": {"form": "hyperbola", "a": 0.1, "k": 50},
            },
        ],
    }
    answer = allocate(problem)
    np.testing.assert_allclose(samples(answer), [10, 0], atol=1e-9)
    assert [e["bound"] for e in answer["allocation"]] == ["none", "zero"]


def test_repeated_samples_follow_the_decay():
    problem = {
        "budget": 400,
        "objective": SUM,
        "groups": [
            {
                "name": "x",
                "weight": 1,
                "cost": 1,
                "available": 100,
                "repeats": {"r_star": 5.0, "max_passes": 4},
                "curve": {"form": "power", "a": 0.9, "b": 1.0, "p": 0.5},
            }
        ],
    }
    entry = allocate(problem)["allocation"][0]
    assert entry["samples"] == pytest.approx(400)
    assert entry["records"] == pytest.approx(100)
    assert entry["passes"] == pytest.approx(4)
    assert entry["performance"] == pytest.approx(0.9 - (100 * phi("exp", 4, 5.0)) ** -0.5)
    assert entry["bound"] == "available"


@COMMON
@given(groups(), st.floats(0.05, 0.95), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_sums_agree_with_an_independent_solver(rows, share, aversion):
    capacity = sum(
        p["available"] * p["cost"] * (g.get("repeats") or {}).get("max_passes", 1)
        for g in rows
        for p in (g.get("pools") or [g])
    )
    problem = {
        "budget": capacity * share,
        "objective": {"kind": "isoelastic", "aversion": aversion},
        "groups": rows,
    }
    try:
        answer = allocate(problem)
    except AllocationError:
        assume(False)
    check_feasible(problem, answer)
    assert answer["kkt_residual"] < 1e-7
    assert answer["gap"] <= 1e-9 * max(1.0, abs(answer["objective"]))
    best = solve_cells(as_cells(problem), problem["budget"], "sum", aversion, starts=1)
    if math.isfinite(best):
        scale = max(1.0, abs(best))
        assert answer["objective"] >= best - 2e-7 * scale
    f = [entry["performance"] for entry in answer["allocation"]]
    assert answer["objective"] == pytest.approx(
        welfare(f, [g["weight"] for g in rows], aversion), rel=1e-9, abs=1e-12
    )


@COMMON
@given(groups(low=2), st.floats(0.05, 0.9))
def test_max_min_agrees_with_an_independent_solver(rows, share):
    capacity = sum(p["available"] * p["cost"] for g in rows for p in (g.get("pools") or [g]))
    problem = {"budget": capacity * share, "objective": MAX_MIN, "groups": rows}
    answer = allocate(problem)
    check_feasible(problem, answer)
    best = solve_cells(as_cells(problem), problem["budget"], "max_min", starts=1)
    assert answer["objective"] >= best - 1e-6 * max(1.0, abs(best))
    lexi = allocate(problem | {"objective": {"kind": "leximin", "level": "raw"}})
    check_feasible(problem, lexi)
    assert lexi["objective"] == pytest.approx(answer["objective"], rel=1e-8, abs=1e-10)
    a, b = (sorted(e["performance"] for e in r["allocation"]) for r in (answer, lexi))
    assert all(y >= x - 1e-8 for x, y in zip(a, b, strict=True))


@COMMON
@given(groups(), st.floats(0.1, 0.9), st.randoms(use_true_random=False))
def test_invariances(rows, share, random):
    capacity = sum(p["available"] * p["cost"] for g in rows for p in (g.get("pools") or [g]))
    problem = {"budget": capacity * share, "objective": SUM, "groups": rows}
    base = allocate(problem)
    order = list(range(len(rows)))
    random.shuffle(order)
    turned = allocate(problem | {"groups": [rows[i] for i in order]})
    np.testing.assert_allclose(turned["objective"], base["objective"], rtol=1e-11)
    dear = copy.deepcopy(problem)
    dear["budget"] *= 7.0
    for g in dear["groups"]:
        for p in [g, *g.get("pools", [])]:
            p["cost"] *= 7.0
    assert allocate(dear)["objective"] == pytest.approx(base["objective"], rel=1e-9)
    heavy = copy.deepcopy(problem)
    for g in heavy["groups"]:
        g["weight"] *= 3.0
    assert allocate(heavy)["objective"] == pytest.approx(3.0 * base["objective"], rel=1e-9)
    for rule, found in base["baselines"].items():
        if found["objective"] is not None:
            assert base["objective"] >= found["objective"] - 1e-9, rule
    if not any("pools" in g for g in rows):
        np.testing.assert_allclose(samples(turned), samples(base)[order], rtol=1e-6, atol=1e-6)
        more = samples(allocate(problem | {"budget": problem["budget"] * 1.3}))
        assert (more >= samples(base) * (1 - 1e-7) - 1e-7).all()


@COMMON
@given(groups(low=2, pools=False), st.floats(0.2, 0.9))
def test_worst_group_never_falls_as_aversion_rises(rows, share):
    capacity = sum(g["available"] * g["cost"] for g in rows)
    worst = -math.inf
    for aversion in (0.0, 0.5, 1.0, 2.0, 5.0):
        problem = {
            "budget": capacity * share,
            "objective": {"kind": "isoelastic", "aversion": aversion},
            "groups": rows,
        }
        try:
            answer = allocate(problem)
        except AllocationError:
            assume(False)
        low = min(e["performance"] for e in answer["allocation"])
        if worst > 0:
            assert low >= worst - 1e-7
        worst = low


def test_two_halves_of_a_group_get_half_each():
    problem = three(kind="weighted_sum")
    halves = copy.deepcopy(problem)
    first = halves["groups"].pop(0)
    for name in ("A1", "A2"):
        half = copy.deepcopy(first) | {
            "name": name,
            "weight": first["weight"] / 2,
            "available": 5e8,
        }
        half["curve"]["b"] *= 2 ** -half["curve"]["p"]
        halves["groups"].append(half)
    whole, parts = samples(allocate(problem)), samples(allocate(halves))
    np.testing.assert_allclose(parts[2:], whole[0] / 2, rtol=1e-9)


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


def test_tabulated_flat_pieces_are_mixed_so_that_the_budget_is_met():
    table = {"form": "tabulated", "n": [0, 100, 200], "value": [0.0, 0.5, 0.75]}
    problem = {
        "budget": 250,
        "objective": SUM,
        "groups": [
            {"name": n, "weight": 1, "cost": 1, "available": 1000, "curve": copy.deepcopy(table)}
            for n in "xy"
        ],
    }
    answer = allocate(problem)
    assert answer["spend"] == pytest.approx(250)
    assert answer["objective"] == pytest.approx(0.5 + 0.5 + 50 * 0.0025)
    assert allocate(problem | {"budget": 1000})["objective"] == pytest.approx(1.5)


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


def test_zero_budget_and_one_group():
    problem = three(0, kind="weighted_sum")
    assert samples(allocate(problem)).tolist() == [0, 0, 0]
    one = three(777, kind="weighted_sum")
    one["groups"] = one["groups"][:1]
    assert samples(allocate(one)) == pytest.approx([777])


# --- wrong implementations that the checks above must reject
# ---------------------------------------------------


def test_mutant_unscaled_general_solver_is_far_off():
    """A general solver on raw counts stops early without an error; this is why it is not used."""
    from scipy.optimize import minimize

    problem = three(kind="weighted_sum")
    curves = [g["curve"] for g in problem["groups"]]
    cost = np.array([g["cost"] for g in problem["groups"]])
    out = minimize(
        lambda n: (
            -sum(
                g["weight"] * performance(c, max(v, 1e-9))
                for g, c, v in zip(problem["groups"], curves, n, strict=True)
            )
        ),
        np.full(3, 50.0),
        constraints=[{"type": "ineq", "fun": lambda n: 50_000 - (n * cost).sum()}],
        bounds=[(1e-3, None)] * 3,
        method="SLSQP",
    )
    exact = samples(allocate(problem))
    assert np.max(np.abs(out.x / exact - 1)) > 1e-3


def test_mutant_marginal_gain_rule_is_not_max_min():
    problem = three(500, **MAX_MIN)
    n = np.ones(3)
    cost = np.array([1.0, 2.0, 5.0])
    left = 500 - cost.sum()
    while left > 0:
        gain = [
            (performance(g["curve"], v + 1) - performance(g["curve"], v)) / c
            for g, v, c in zip(problem["groups"], n, cost, strict=True)
        ]
        best = int(np.argmax(gain))
        n[best] += 1
        left -= cost[best]
    worst = min(performance(g["curve"], v) for g, v in zip(problem["groups"], n, strict=True))
    assert worst < allocate(problem, integer=True)["objective"] - 1e-3


def test_mutant_floors_added_after_solving_break_the_budget():
    problem = three(kind="weighted_sum")
    problem["groups"][2]["floor"] = 5000
    after = np.maximum(samples(allocate(three(kind="weighted_sum"))), [0, 0, 5000])
    answer = allocate(problem)
    assert after @ np.array([1, 2, 5]) > 50_000 * 1.1
    check_feasible(problem, answer)


def test_an_answer_at_the_end_of_a_table_is_an_optimum_and_says_so():
    # the root that finds the end of the table misses it by a rounding; there the slope falls from 0.00195 to 0
    power = {"form": "power", "a": 0.75, "b": 1.0, "p": 1.0}
    table = {"form": "tabulated", "n": [0, 10, 20], "value": [0.05, 0.0695, 0.08900000000000001]}
    problem = {
        "budget": 58.0,
        "objective": {"kind": "weighted_sum"},
        "groups": [
            {"name": "g0", "weight": 1, "cost": 2, "available": 45, "curve": power},
            {"name": "g1", "weight": 1, "cost": 1, "available": 5, "curve": power},
            {"name": "g2", "weight": 1, "cost": 1, "available": 21, "curve": table},
        ],
    }
    answer = allocate(problem)
    assert [a["samples"] for a in answer["allocation"]] == pytest.approx([16.5, 5, 20])
    assert answer["kkt_residual"] < 1e-9
