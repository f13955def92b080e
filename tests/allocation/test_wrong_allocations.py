"""Wrong implementations that the checks of the optimum must reject."""

from __future__ import annotations

import numpy as np

from assets.allocation.answer import allocate
from tests.allocation.stated import MAX_MIN, check_feasible, samples, three
from tests.oracles.allocation_solver import performance


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
