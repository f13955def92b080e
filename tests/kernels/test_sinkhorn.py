from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from assets.kernels import sinkhorn as module
from assets.kernels.sinkhorn import SinkhornError, sinkhorn, soft_minimum


def problem(n=12, m=9, seed=0, even=False):
    rng = np.random.default_rng(seed)
    a = np.full(n, 1 / n) if even else rng.dirichlet(np.full(n, 3.0))
    b = np.full(m, 1 / m) if even else rng.dirichlet(np.full(m, 3.0))
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) + 0.4
    return ((x[:, None] - y[None]) ** 2).sum(axis=2), a, b


def solve(costs, a, b, eps=0.2, **more):
    return sinkhorn(lambda rows: costs[rows], a, b, eps, tolerance=1e-11, most=50_000, **more)


def test_the_plan_has_both_masses_and_the_value_is_its_cost():
    costs, a, b = problem()
    eps = 0.2
    found = solve(costs, a, b, eps)
    plan = a[:, None] * b * np.exp((found.f[:, None] + found.g - costs) / eps)
    assert np.allclose(plan.sum(axis=1), a, atol=1e-10)
    assert np.allclose(plan.sum(axis=0), b, atol=1e-10)
    divergence = (plan * np.log(plan / (a[:, None] * b))).sum()
    assert found.value == pytest.approx((plan * costs).sum() + eps * divergence, rel=1e-9)
    assert found.error < 1e-11
    assert (b * found.g).sum() == pytest.approx(0, abs=1e-12)


def test_the_potential_is_the_gradient_in_the_masses():
    # finite differences of the optimal value; unregularised duals are not unique and fail this
    costs, a, b = problem(seed=3)
    found = solve(costs, a, b)
    for i, j in [(0, 5), (3, 8), (7, 1)]:
        step = np.zeros(len(a))
        step[i], step[j] = 1e-5, -1e-5
        up, down = solve(costs, a + step, b).value, solve(costs, a - step, b).value
        assert (up - down) / 2e-5 == pytest.approx(found.f[i] - found.f[j], rel=1e-5)


def test_little_regularisation_comes_to_the_linear_programme():
    costs, a, b = problem(8, 6, seed=2)
    n, m = costs.shape
    sums = np.zeros((n + m, n * m))
    for i in range(n):
        sums[i, i * m : (i + 1) * m] = 1
    for j in range(m):
        sums[n + j, j::m] = 1
    exact = linprog(costs.ravel(), A_eq=sums, b_eq=np.concatenate([a, b])).fun
    values = [solve(costs, a, b, eps).value for eps in (0.5, 0.1, 0.02)]
    assert values[0] > values[1] > values[2] > exact - 1e-9
    assert values[2] == pytest.approx(exact, abs=0.05)


def test_transport_is_symmetric_and_a_shift_of_costs_shifts_only_the_value():
    costs, a, b = problem(seed=5)
    there, back = solve(costs, a, b), solve(costs.T.copy(), b, a)
    assert there.value == pytest.approx(back.value, rel=1e-9)
    shifted = solve(costs + 3.0, a, b)
    assert shifted.value == pytest.approx(there.value + 3.0, rel=1e-9)
    assert np.allclose(np.diff(shifted.f), np.diff(there.f), atol=1e-8)


def test_blocks_do_not_matter(monkeypatch):
    costs, a, b = problem(40, 30, seed=1)
    whole = solve(costs, a, b)
    monkeypatch.setattr(module, "BLOCK_CELLS", 64)
    parts = solve(costs, a, b)
    assert np.allclose(parts.f, whole.f, atol=1e-9)
    assert np.allclose(parts.g, whole.g, atol=1e-9)


def nearly_one_hot(n=60, m=40, d=12, noise=0.01):
    """Costs between groups that are far from each other and have other masses on either side."""
    rng = np.random.default_rng(0)
    sides = []
    for rows in (n, m):
        vectors = np.eye(d)[rng.integers(d, size=rows)] + noise * rng.normal(size=(rows, d))
        sides.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return 1 - sides[0] @ sides[1].T


def plain_rounds(costs, eps, rounds, tolerance=1e-6):
    """The slow definition: soft minima in turn, nothing else."""
    n, m = costs.shape
    masses = np.full(n, -np.log(n)), np.full(m, -np.log(m))
    f, g = np.zeros(n), np.zeros(m)
    made = 0
    while made < rounds:
        made += 1
        before, f = f, soft_minimum(costs, g, masses[1], eps)
        g = soft_minimum(costs.T, f, masses[0], eps)
        if np.abs(np.expm1((before - f) / eps)).max() < tolerance:
            break
    return f + g.mean(), g - g.mean(), made


def test_groups_far_from_each_other_take_few_rounds_and_come_to_the_same_potentials():
    costs = nearly_one_hot()
    even = np.full(60, 1 / 60), np.full(40, 1 / 40)
    found = sinkhorn(lambda rows: costs[rows], *even, 0.05)
    f, g, _ = plain_rounds(costs, 0.05, 2_000, 1e-12)
    assert found.converged
    assert found.iterations < plain_rounds(costs, 0.05, 2_000)[2] * 0.6
    assert found.error < 1e-6
    assert np.allclose(found.f, f, atol=1e-4)
    assert np.allclose(found.g, g, atol=1e-4)


def test_rounds_are_bounded_and_what_is_left_is_told():
    costs = nearly_one_hot()
    even = np.full(60, 1 / 60), np.full(40, 1 / 40)
    found = sinkhorn(lambda rows: costs[rows], *even, 0.05, most=7)
    assert not found.converged
    assert found.error > 1e-6
    assert found.iterations <= 7 + 3 * 10  # and three at each warmer temperature
    again = sinkhorn(lambda rows: costs[rows], *even, 0.05, most=60)
    assert again.error < found.error


def test_far_costs_neither_overflow_nor_vanish():
    costs, a, b = problem()
    found = solve(costs * 1e4, a, b, eps=1.0)
    assert np.isfinite(found.f).all()
    assert np.isfinite(found.g).all()
    far = soft_minimum(np.array([[1e6, 2e6]]), np.zeros(2), np.log([0.5, 0.5]), 1.0)
    assert far[0] == pytest.approx(1e6 + np.log(2))


@pytest.mark.parametrize(
    ("a", "b", "eps", "match"),
    [
        ([0.5, 0.5], [1.0, 0.0], 0.1, "masses b must be positive"),
        ([0.5, 0.4], [1.0], 0.1, "masses a must be positive and sum to 1"),
        ([1.0], [1.0], 0.0, "eps is 0.0"),
        ([], [1.0], 0.1, "masses a"),
    ],
)
def test_bad_input_is_refused(a, b, eps, match):
    costs = np.zeros((len(a), len(b)))
    with pytest.raises(SinkhornError, match=match):
        sinkhorn(lambda rows: costs[rows], np.array(a), np.array(b), eps)
