"""Whole samples: exhaustive search, budgets and caps that are never passed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError
from tests.allocation.stated import as_cells, check_feasible, three
from tests.allocation.strategies import groups
from tests.oracles.allocation_solver import brute_force

COMMON = settings(max_examples=20, suppress_health_check=list(HealthCheck))


@st.composite
def small(draw):
    rows = []
    for i in range(draw(st.integers(1, 3))):
        rows.append(
            {
                "name": f"g{i}",
                "weight": draw(st.integers(1, 4)),
                "cost": 1,
                "available": draw(st.integers(2, 9)),
                "repeats": {
                    "r_star": draw(st.sampled_from([1.0, 4.0])),
                    "max_passes": draw(st.integers(1, 2)),
                },
                "curve": {
                    "form": "power",
                    "a": 0.9,
                    "b": draw(st.sampled_from([0.5, 1.0])),
                    "p": draw(st.sampled_from([0.3, 0.5, 1.0])),
                    "offset": 1.0,
                },
                "floor": draw(st.integers(0, 2)),
            }
        )
    return rows


@COMMON
@given(small(), st.integers(7, 20))
def test_greedy_equals_exhaustive_search_at_unit_costs(rows, budget):
    for kind, name in (
        ({"kind": "weighted_sum"}, "sum"),
        ({"kind": "max_min", "level": "raw"}, "max_min"),
    ):
        problem = {"budget": budget, "objective": kind, "groups": rows}
        answer = allocate(problem, integer=True)
        check_feasible(problem, answer)
        assert answer["objective"] == pytest.approx(
            brute_force(as_cells(problem), budget, name), abs=1e-12
        )


def test_a_sample_moves_to_the_worst_from_a_group_that_can_spare_it():
    """The whole part of the optimum is (2, 7, 2): one sample left, and two groups that need one."""
    curve = {"form": "power", "a": 0.9, "b": 0.5, "offset": 1.0}
    rows = [
        {
            "name": name,
            "weight": 1,
            "cost": 1,
            "available": available,
            "repeats": {"r_star": 1.0, "max_passes": 2},
            "curve": {**curve, "p": p},
        }
        for name, available, p in (("a", 2, 0.5), ("b", 4, 0.3), ("c", 2, 0.5))
    ]
    for kind in ("max_min", "leximin"):
        problem = {"budget": 12, "objective": {"kind": kind, "level": "raw"}, "groups": rows}
        answer = allocate(problem, integer=True)
        assert [entry["samples"] for entry in answer["allocation"]] == [3, 6, 3]
        # b can't spare what its floor asks for
        held = {**problem, "groups": [rows[0], {**rows[1], "floor": 7}, rows[2]]}
        samples = [entry["samples"] for entry in allocate(held, integer=True)["allocation"]]
        assert samples[1] == 7
        assert sum(samples) == 12


@COMMON
@given(groups(), st.floats(0.05, 1.2), st.sampled_from(["weighted_sum", "max_min", "leximin"]))
def test_rounding_never_passes_budget_or_availability(rows, share, kind):
    capacity = sum(p["available"] * p["cost"] for g in rows for p in (g.get("pools") or [g]))
    objective = {"kind": kind} if kind == "weighted_sum" else {"kind": kind, "level": "raw"}
    problem = {"budget": capacity * share, "objective": objective, "groups": rows}
    try:
        answer = allocate(problem, integer=True)
    except AllocationError:
        return
    check_feasible(problem, answer)
    for entry in answer["allocation"]:
        assert isinstance(entry["samples"], int)
        assert isinstance(entry["records"], int)
    exact = allocate(problem)
    if exact["objective"] is not None and answer["objective"] is not None:
        assert answer["objective"] <= exact["objective"] + 1e-9


def test_mutant_rounding_to_the_nearest_passes_the_budget():
    broken = 0
    for budget in range(1000, 1040):
        problem = three(budget, kind="weighted_sum")
        exact = allocate(problem)
        nearest = [round(e["samples"]) for e in exact["allocation"]]
        broken += sum(n * c for n, c in zip(nearest, (1, 2, 5), strict=True)) > budget
        check_feasible(problem, allocate(problem, integer=True))
    assert broken > 5


def test_least_spend_rounds_up_to_the_target():
    problem = three(kind="min_cost", level="raw", target=0.6)
    del problem["budget"]
    answer = allocate(problem, integer=True)
    assert all(e["performance"] >= 0.6 for e in answer["allocation"])
    assert answer["spend"] - allocate(problem)["spend"] <= 8
