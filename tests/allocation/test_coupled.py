"""Transfer and intersections: the separable case, a grid, the certificate, the unscaled twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.allocation.answer import allocate
from assets.allocation.coupled import solve_coupled
from assets.allocation.errors import InfeasibleFloors
from assets.allocation.problem_errors import ProblemError

COMMON = settings(max_examples=25, suppress_health_check=list(HealthCheck))
ROWS = [("A", 0.6, 1, 0.95, 2, 0.5), ("B", 0.3, 2, 0.90, 1.5, 0.25), ("C", 0.1, 5, 0.92, 3, 0.35)]


def three(kind="weighted_sum", **group):
    return {
        "budget": 50_000,
        "kind": kind,
        "cells": [
            {"name": n, "cost": c, "available": 1e9, "groups": {n: 1.0}} for n, _, c, *_ in ROWS
        ],
        "groups": [
            {"name": n, "weight": w, "a": a, "b": b, "p": p} | group for n, w, _, a, b, p in ROWS
        ],
    }


@pytest.mark.parametrize(("kind", "value"), [("weighted_sum", 0.859406), ("max_min", 0.761580)])
def test_without_coupling_it_is_the_separable_optimum(kind, value):
    answer = solve_coupled(three(kind))
    assert answer["objective"] == pytest.approx(value, abs=1e-6)
    assert answer["gap"] < 1e-6
    assert answer["spend"] <= 50_000 * (1 + 1e-9)


def test_at_equal_costs_transfer_by_the_total_changes_nothing():
    problem = three(t=0.8, q=0.3)
    for cell in problem["cells"]:
        cell["cost"] = 1
    plain = {
        "budget": 50_000,
        "objective": {"kind": "weighted_sum"},
        "groups": [
            {
                "name": n,
                "weight": w,
                "cost": 1,
                "available": 1e9,
                "curve": {"form": "power", "a": a, "b": b, "p": p},
            }
            for n, w, _, a, b, p in ROWS
        ],
    }
    exact = {e["group"]: e["samples"] for e in allocate(plain)["allocation"]}
    for name, n in solve_coupled(problem)["samples"].items():
        assert n == pytest.approx(exact[name], rel=2e-3)


def intersections():
    sexes = {"f": 0.7, "m": 1.1}
    return {
        "budget": 900,
        "kind": "max_min",
        "cells": [
            {"name": f"{a}-{s}", "cost": c, "available": 800, "groups": {a: 1, s: 1}}
            for a, c in (("young", 1.0), ("old", 2.5))
            for s in sexes
        ],
        "groups": [
            {"name": "young", "a": 0.9, "b": 1.0, "p": 0.4},
            {"name": "old", "a": 0.9, "b": 1.3, "p": 0.4},
            *({"name": s, "a": 0.92, "b": b, "p": 0.35} for s, b in sexes.items()),
        ],
    }


def test_intersections_beat_every_point_of_a_grid():
    problem = intersections()
    answer = solve_coupled(problem)
    assert answer["gap"] < 1e-6
    best = -np.inf
    steps = np.linspace(0, 800, 33)
    for yf in steps:
        for ym in steps:
            for of in steps:
                om = min((900 - yf - ym - 2.5 * of) / 2.5, 800)
                if om < 0 or min(yf + ym, of + om, yf + of, ym + om) <= 0:
                    continue
                best = max(
                    best,
                    min(
                        0.9 - (yf + ym) ** -0.4,
                        0.9 - 1.3 * (of + om) ** -0.4,
                        0.92 - 0.7 * (yf + of) ** -0.35,
                        0.92 - 1.1 * (ym + om) ** -0.35,
                    ),
                )
    assert answer["objective"] >= best - 1e-9


@COMMON
@given(
    st.integers(2, 4),
    st.integers(0, 10_000),
    st.sampled_from([("weighted_sum", 0.0), ("isoelastic", 1.0), ("max_min", 0.0)]),
)
def test_the_certificate_holds_on_random_coupled_problems(size, seed, kind):
    rng = np.random.default_rng(seed)
    names = [f"g{i}" for i in range(size)]
    problem = {
        "budget": 3000,
        "kind": kind[0],
        "aversion": kind[1],
        "cells": [
            {
                "name": n,
                "cost": float(rng.uniform(0.5, 4)),
                "available": float(rng.uniform(50, 5000)),
                "groups": {m: 1.0 if m == n else float(rng.uniform(0, 0.5)) for m in names},
            }
            for n in names
        ],
        "groups": [
            {
                "name": n,
                "weight": float(rng.uniform(0.1, 1)),
                "a": 0.95,
                "b": float(rng.uniform(0.3, 1)),
                "p": float(rng.uniform(0.2, 0.7)),
                "t": float(rng.uniform(0, 0.2)),
                "held": 10.0,
            }
            for n in names
        ],
    }
    answer = solve_coupled(problem)
    assert answer["spend"] <= 3000 * (1 + 1e-9)
    assert -1e-12 <= answer["gap"] <= 2e-6 * max(1.0, abs(answer["objective"]))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda p: p["cells"][0]["groups"].update(Z=1), r"cell 'A', field groups: \['Z'\]"),
        (lambda p: p["cells"][0].update(cost=0), "cell 'A', field cost"),
        (lambda p: p["cells"][1].update(name="A"), "cell 'A', field name"),
        (lambda p: p["cells"].pop(), "group 'C', field held: no cell"),
    ],
)
def test_misstated_coupled_problems(change, match):
    problem = three()
    change(problem)
    with pytest.raises(ProblemError, match=match):
        solve_coupled(problem)


def test_floors_that_cost_too_much():
    problem = three()
    problem["cells"][2]["floor"] = 20_000
    with pytest.raises(InfeasibleFloors, match=r"'C' \(100000\).*least budget.*100000"):
        solve_coupled(problem)
