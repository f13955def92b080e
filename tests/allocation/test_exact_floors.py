"""Floors that compete with pools of unequal cost: by hand, against a general solver, refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from assets.allocation.answer import allocate
from assets.allocation.errors import InfeasibleFloors
from assets.allocation.joint import solve_joint
from tests.allocation.stated import as_cells, check_feasible
from tests.allocation.strategies import groups
from tests.oracles.allocation_solver import solve_cells

COMMON = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def one(budget=150, floor=100, **group):
    return {
        "budget": budget,
        "objective": {"kind": "weighted_sum"},
        "groups": [
            {
                "name": "x",
                "weight": 1,
                "floor": floor,
                "curve": {"form": "power", "a": 0.9, "b": 1.0, "p": 0.5},
                "pools": [
                    {"name": "cheap", "worth": 0.1, "cost": 1, "available": 500},
                    {"name": "dear", "worth": 1.0, "cost": 5, "available": 500},
                ],
            }
            | group
        ],
    }


def test_cheap_draws_fill_the_floor_and_are_swapped_as_far_as_the_budget_goes():
    # 87.5 + 12.5 = 100 draws, 87.5 + 5 * 12.5 = 150: both bounds bind
    entry = allocate(one())["allocation"][0]
    assert [p["samples"] for p in entry["pools"]] == pytest.approx([87.5, 12.5])
    assert entry["bound"] == "floor"
    assert entry["performance"] == pytest.approx(0.9 - (8.75 + 12.5) ** -0.5)
    # beyond the floor the order by worth per cost stands: the dear pool alone
    rich = allocate(one(budget=1000))["allocation"][0]
    assert [p["samples"] for p in rich["pools"]] == pytest.approx([0.0, 200.0])


def test_the_least_budget_is_that_of_the_cheapest_draws():
    with pytest.raises(InfeasibleFloors, match=r"'x' \(100\).*least budget that would do is 100"):
        allocate(one(budget=99))
    assert allocate(one(budget=100))["spend"] == pytest.approx(100)
    with pytest.raises(InfeasibleFloors, match=r"'x', field floor: 1001 samples.*at most 1000"):
        allocate(one(budget=1e6, floor=1001))


def test_whole_samples_keep_the_floor_and_the_budget():
    answer = allocate(one(), integer=True)
    drawn = [p["samples"] for p in answer["allocation"][0]["pools"]]
    assert drawn == [90, 12]
    assert answer["spend"] == 150


@st.composite
def floored(draw):
    rows = draw(groups(low=1, high=3))
    for g in rows:
        most = (g.get("repeats") or {}).get("max_passes", 1) * g["available"]
        if draw(st.booleans()):
            g["floor"] = most * draw(st.floats(0.05, 0.4))
    assume(any("pools" in g and len(g["pools"]) > 1 and "floor" in g for g in rows))
    return rows


@COMMON
@given(floored(), st.floats(0.1, 0.8), st.sampled_from(["weighted_sum", "max_min"]))
def test_floors_agree_with_an_independent_solver(rows, share, kind):
    capacity = sum(
        p["available"] * p["cost"] * (g.get("repeats") or {}).get("max_passes", 1)
        for g in rows
        for p in (g.get("pools") or [g])
    )
    problem = {
        "budget": capacity * share,
        "objective": {"kind": kind, "level": "raw"},
        "groups": rows,
    }
    try:
        answer = allocate(problem)
    except InfeasibleFloors:
        assume(False)
    check_feasible(problem, answer)
    form = "sum" if kind == "weighted_sum" else "max_min"
    best = solve_cells(as_cells(problem), problem["budget"], form, starts=2)
    if np.isfinite(best):
        assert answer["objective"] >= best - 1e-6 * max(0.01, abs(best))


def test_a_joint_floor_swaps_pools_too():
    group = one()["groups"][0]
    cells = [
        {"U": p["available"], "worth": p["worth"], "cost": p["cost"], "tau": 2.0}
        for p in group["pools"]
    ]
    problem = {
        "budget": 150,
        "objective": {"kind": "weighted_sum"},
        "groups": [
            {"name": "x", "weight": 1, "floor": 100, "a": 0.9, "b": 1, "p": 0.5, "cells": cells}
        ],
    }
    assert solve_joint(problem)["answer"]["samples"][0] == pytest.approx([87.5, 12.5])
