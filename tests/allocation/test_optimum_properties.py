"""The exact optimum against an independent solver, and its invariances."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError
from tests.allocation.stated import MAX_MIN, SUM, as_cells, check_feasible, samples, three
from tests.allocation.strategies import groups
from tests.oracles.allocation_solver import solve_cells, welfare

COMMON = settings(max_examples=15, suppress_health_check=list(HealthCheck))


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
