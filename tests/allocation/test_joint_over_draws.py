"""Joint plans on all draws: against the draws evaluated one by one, perturbed plans and a general solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from assets.allocation.errors import AllocationError, UnreachableTarget
from assets.allocation.joint_effective import Effective
from assets.allocation.joint_measured import allocate_joint_measured
from assets.allocation.joint_over_draws import plan_over_draws
from assets.allocation.joint_problem import read_joint
from tests.allocation.joint_study import problem, runs, stated
from tests.oracles.allocation_solver import phi

SUM = {"kind": "weighted_sum"}
LOG = {"kind": "isoelastic", "aversion": 1.0}
MAX_MIN = {"kind": "max_min", "level": "raw"}


def draws(objective, kind="step", count=12, seed=0, **change):
    """Return a problem with different curves, worths and decays on every draw: solved, and as numbers."""
    rng = np.random.default_rng(seed)
    solved, numbers = [], []
    for _ in range(count):
        one = stated(kind=kind, objective=objective, **change)
        for group in one["groups"]:
            group["p"] *= np.exp(0.1 * rng.normal())
            for q, cell in enumerate(group["cells"]):
                cell["worth"] *= np.exp(0.5 * rng.normal()) if q else 1.0
                cell["r_star" if kind == "exp" else "tau"] *= np.exp(0.4 * rng.normal())
        solved.append(Effective(read_joint(one), None))
        numbers.append(one)
    return solved, numbers


def performance(one, x):
    """Return each group's performance at samples x (cells in order), by the oracle of passes."""
    out, i = [], 0
    for group in one["groups"]:
        effective = 0.0
        for cell in group["cells"]:
            rate = cell.get("tau") or cell.get("r_star")
            worth = float(phi(one["repetition"], x[i] / cell["U"], rate))
            effective += cell["worth"] * cell["U"] * worth
            i += 1
        out.append(group["a"] - group["b"] * max(effective, 1e-9) ** -group["p"])
    return np.array(out)


def over(numbers, x, objective):
    if objective is MAX_MIN:
        return min(performance(one, x).min() for one in numbers)
    transform = np.log if objective is LOG else np.asarray
    return float(np.mean([transform(performance(one, x)).sum() for one in numbers]))


@pytest.mark.parametrize("kind", ["step", "exp"])
@pytest.mark.parametrize(("objective", "how"), [(SUM, "mean"), (LOG, "mean"), (MAX_MIN, "worst")])
def test_no_other_plan_is_better_on_the_draws(objective, how, kind):
    count = 12 if kind == "step" else 4
    solved, numbers = draws(objective, kind, count)
    central = Effective(read_joint(stated(kind=kind, objective=objective)), None)
    x, value, gap = plan_over_draws(solved, central.drawn(), how)
    assert x.sum() <= 20_000 * (1 + 1e-9)
    assert gap <= 1e-6
    mine = over(numbers, x, objective)
    loose = 1e-9 if kind == "step" else 5e-5  # exp is cut in eighths of a pass
    assert mine == pytest.approx(value, abs=max(loose, 1e-6))
    # the plan on the best parameters, and those of the single draws, are the wrong ways
    others = [central.drawn(), *(d.drawn() for d in solved)]
    assert all(over(numbers, other, objective) <= mine + loose + gap for other in others)
    assert mine > over(numbers, central.drawn(), objective) + 1e-6
    rng = np.random.default_rng(1)
    for _ in range(60):
        move = rng.normal(size=x.size) * rng.choice([1, 10, 100, 1000])
        near = np.maximum(x + move, 0.0)
        near *= 20_000 / near.sum()
        assert over(numbers, near, objective) <= mine + loose + gap


def test_a_general_solver_finds_no_better_mean():
    solved, numbers = draws(SUM, "step", 6)
    start = Effective(read_joint(stated(objective=SUM)), None).drawn()
    x, value, _ = plan_over_draws(solved, start, "mean")
    found = minimize(
        lambda z: -over(numbers, np.abs(z) * 20_000 / np.abs(z).sum(), SUM),
        np.maximum(x, 100.0) / 20_000,
        method="Nelder-Mead",
        options={"maxiter": 600},
    )
    assert -found.fun <= value + 1e-9


def test_one_draw_is_its_own_plan():
    for objective, how in ((SUM, "mean"), (MAX_MIN, "worst")):
        solved, _ = draws(objective, count=1)
        start = Effective(read_joint(stated(objective=objective)), None).drawn()
        x, value, _ = plan_over_draws(solved, start, how)
        answer = solved[0].answer()
        assert value == pytest.approx(answer["objective"], abs=2e-7)
        np.testing.assert_allclose(solved[0].at(x)["performance"], answer["performance"], atol=2e-6)


def test_leximin_goes_on_where_a_group_is_full_and_max_min_stops():
    values = {}
    for kind in ("max_min", "leximin"):
        objective = {"kind": kind, "level": "raw"}
        solved, _ = draws(objective, count=5, budget=200_000)
        for one in solved:
            one.cells.max_passes[:] = 2.0
        start = solved[0].cells.unique * 0.1
        values[kind] = plan_over_draws(solved, start, "worst")[0]
    assert (values["leximin"] >= values["max_min"] - 1e-6).all()
    assert values["leximin"].sum() > values["max_min"].sum() * 1.2


def test_least_spend_reaches_the_target_on_every_draw():
    objective = {"kind": "min_cost", "level": "raw", "target": 0.75}
    solved, numbers = draws(objective, budget=None)
    x, spend, _ = plan_over_draws(solved, solved[0].drawn(), "worst")
    assert min(performance(one, x).min() for one in numbers) == pytest.approx(0.75, abs=1e-7)
    assert spend == pytest.approx(x.sum())
    assert spend >= max(d.answer()["spend"] for d in solved) - 1e-6


def test_plans_on_draws_through_the_problem():
    rows = runs(noise=0.004)
    best = allocate_joint_measured(problem(draws={"count": 20}), rows)
    mean = allocate_joint_measured(problem(draws={"count": 20, "plan": "mean"}), rows)
    assert (best["planned_on"], mean["planned_on"]) == ("best parameters", "mean")
    assert mean["optimum"] == best["answer"]
    assert mean["answer"]["objective"] <= best["answer"]["objective"]
    assert mean["answer"]["over_draws_gap"] < 1e-6
    assert mean["allocation"][0]["samples"] == pytest.approx(sum(mean["answer"]["samples"][0]))
    worst = problem(objective=MAX_MIN, draws={"count": 20, "plan": "worst"}, integer=True)
    answer = allocate_joint_measured(worst, rows)
    assert answer["answer"]["over_draws"] < answer["optimum"]["objective"]
    assert all(v == int(v) for row in answer["answer"]["samples"] for v in row)
    assert answer["answer"]["spend"] <= 20_000


def test_what_does_not_go_together_is_refused():
    rows = runs(noise=0.002)
    with pytest.raises(AllocationError, match="field plan: worst does not go with weighted_sum"):
        allocate_joint_measured(problem(draws={"count": 20, "plan": "worst"}), rows)
    floored = problem(draws={"count": 20, "plan": "mean"})
    floored["groups"][1]["floor"] = 100
    with pytest.raises(AllocationError, match="group 'B', field floor"):
        allocate_joint_measured(floored, rows)
    solved, _ = draws({"kind": "min_cost", "level": "raw", "target": 0.7}, budget=None)
    for one in solved:
        object.__setattr__(one.stated, "target", 0.949)
    start = solved[0].drawn()
    with pytest.raises(UnreachableTarget, match=r"groups .*field target"):
        plan_over_draws(solved, start, "worst")
