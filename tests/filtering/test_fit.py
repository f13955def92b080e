from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets.filtering import levenberg
from assets.filtering.average import average
from assets.filtering.bootstrap import _run_counts, draw, least_keys, row_keys, rows_by_run
from assets.filtering.curves import read_curves
from assets.filtering.fit import fit
from assets.filtering.held_out import held_out_errors
from assets.filtering.levenberg import minimise
from assets.filtering.problem import Problem, state_problem
from tests.filtering.released import DATA, POOLS, SIZE, UTILITY, curves, error


def by_name(fitted, values):
    return {name: values[0, i] for i, name in enumerate(fitted.curves.pools)}


@pytest.mark.parametrize(
    ("law", "form"), [("utility", "paper"), ("utility", "code"), ("saturation", "paper")]
)
@pytest.mark.parametrize("fixed", [{}, {"floor": 0.1}])
def test_released_parameters_come_back_from_noiseless_points(law, form, fixed):
    truth = UTILITY if law == "utility" else DATA
    fitted = fit(read_curves(curves(law, form)), law, form=form, **fixed)
    p = fitted.parameters(kappa=1.0)
    b, tau = by_name(fitted, p.b), by_name(fitted, p.tau)
    for i, name in enumerate(POOLS):
        assert b[name] == pytest.approx(truth["b"][i], rel=1e-5)
        assert tau[name] == pytest.approx(truth["tau"][i], rel=1e-5)
    assert p.floor[0] == pytest.approx(0.1, abs=1e-6)
    assert np.exp(p.log_anchor[0]) == pytest.approx(truth["anchor"], rel=1e-5)


def test_one_pool_of_several_sizes_comes_back():
    table = curves(pools=[1], sizes=(SIZE, SIZE / 4), epochs=(0.5, 1, 2, 4, 8))
    p = fit(read_curves(table), "utility").parameters(kappa=1.0)
    assert p.tau[0, 0] == pytest.approx(94 / 11, rel=1e-4)
    assert p.b[0, 0] == pytest.approx(-0.125, rel=1e-4)


def test_model_size_term_comes_back():
    rows = []
    for size in (1e8, 4e8, 1.6e9):
        for row in curves(pools=[0, 1], sd=0.0).iter_rows(named=True):
            extra = 0.05 * ((size / 1.6e9) ** -0.4 - 1.0)
            rows.append({**row, "model_size": size, "metric_value": row["metric_value"] + extra})
    fitted = fit(read_curves(pl.DataFrame(rows)), "utility")
    p = fitted.parameters(kappa=1.0)
    assert p.size_height is not None
    assert p.size_height[0] == pytest.approx(0.05, rel=1e-3)
    assert p.size_exponent[0] == pytest.approx(0.4, rel=1e-3)
    assert p.floor[0] == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("law", ["utility", "saturation", "power", "data_constrained"])
@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("heights", ["shared", "free"])
def test_jacobian_equals_finite_differences(law, form, heights):
    table = curves(pools=[0, 3], sizes=(SIZE, SIZE / 5), epochs=(0.4, 1.5, 3.7, 9.2))
    table = pl.concat([table.with_columns(model_size=pl.lit(s)) for s in (1e8, 1e9)])
    problem = state_problem(read_curves(table), law, form=form, heights=heights, size_kappa=0.5)
    rng = np.random.default_rng(1)
    theta = problem.prior_mean + 0.1 * rng.standard_normal(problem.size)
    theta = np.clip(theta, problem.lower, problem.upper)[None, :]
    _, jacobian = problem.values(theta)
    for i in range(problem.size):
        step = np.zeros_like(theta)
        step[0, i] = 1e-6
        ahead = problem.values(theta + step, slopes=False)[0]
        behind = problem.values(theta - step, slopes=False)[0]
        numeric = (ahead - behind)[0] / 2e-6
        if law == "power" and i in problem.columns("tau"):
            numeric = np.zeros_like(numeric)
        np.testing.assert_allclose(jacobian[0, :, i], numeric, rtol=2e-5, atol=1e-7)


def test_optimum_is_not_beaten_by_scipy():
    from scipy.optimize import least_squares

    problem_curves = read_curves(curves(sd=0.004, seed=3))
    fitted = fit(problem_curves, "utility", priors=False, robust=False)
    problem = fitted.problem

    def residual(theta):
        return problem.values(theta[None, :], slopes=False)[0][0] - problem_curves.error

    rng = np.random.default_rng(0)
    best = np.inf
    for _ in range(12):
        start = np.clip(
            problem.prior_mean + problem.prior_sd * rng.standard_normal(problem.size) * 0.5,
            problem.lower + 1e-6,
            problem.upper - 1e-6,
        )
        found = least_squares(residual, start, bounds=(problem.lower, problem.upper), max_nfev=300)
        best = min(best, 2 * found.cost)
    assert fitted.objective <= best * (1 + 1e-6)


def test_minimise_never_leaves_bounds_or_gets_worse():
    problem = state_problem(read_curves(curves(sd=0.01, seed=5)), "saturation")
    rng = np.random.default_rng(0)
    start = rng.uniform(problem.lower, problem.upper, (20, problem.size))
    args = {
        "weight": np.ones((1, 25)),
        "target": problem.curves.error[None, :],
        "prior_mean": problem.prior_mean[None, :],
        "prior_weight": np.full(20, 1e-5),
    }
    before = minimise(problem, start, iterations=0, **args)[1]
    theta, after = minimise(problem, start, **args)
    assert (after <= before + 1e-12).all()
    assert (theta >= problem.lower - 1e-12).all()
    assert (theta <= problem.upper + 1e-12).all()


def test_order_and_names_of_rows_do_not_matter():
    table = curves(sd=0.003, seed=2)
    first = average(read_curves(table), bootstraps=40)
    shuffled = average(read_curves(table.sample(fraction=1.0, shuffle=True, seed=9)), bootstraps=40)
    rename = {name: f"z{9 - i}" for i, name in enumerate(POOLS)}
    renamed = average(
        read_curves(table.with_columns(pl.col("pool").replace(rename))), bootstraps=40
    )
    point = (np.array([400e6]), np.eye(5)[:1], np.full((1, 5), SIZE))
    at = renamed.curves.pools.index(rename[first.curves.pools[0]])
    moved = (np.array([400e6]), np.eye(5)[at : at + 1], np.full((1, 5), SIZE))
    np.testing.assert_array_equal(first.sample(*point), shuffled.sample(*point))
    np.testing.assert_allclose(first.predict(*point), renamed.predict(*moved), rtol=1e-6)
    np.testing.assert_allclose(first.sample(*point), renamed.sample(*moved), rtol=1e-3)


def test_draws_nest_and_repeat():
    fitted = fit(read_curves(curves(sd=0.003)), "utility")
    for method in ("parametric", "pairs"):
        many, few = draw(fitted, 30, seed=4, method=method), draw(fitted, 10, seed=4, method=method)
        np.testing.assert_allclose(many[:10], few, rtol=1e-4, atol=1e-5)
        assert not np.allclose(many, draw(fitted, 30, seed=5, method=method))


def test_without_repeats_the_half_life_spreads_over_its_prior():
    table = curves(sd=0.002, epochs=(0.1, 0.2, 0.4, 0.7, 1.0))
    fitted = fit(read_curves(table), "utility")
    log_tau = draw(fitted, 400)[:, fitted.problem.columns("tau")]
    assert abs(log_tau.mean() - np.log(5.0)) < 0.15
    assert 0.8 < log_tau.std() < 1.15


def posterior_mean(fitted, draws=4000):
    """Return the exact posterior mean and spread by importance sampling about the fit (the oracle)."""
    problem, curves_ = fitted.problem, fitted.curves
    _, jacobian = problem.values(fitted.theta[None, :])
    free = problem.free
    j = jacobian[0][:, free]
    precision = (j * fitted.robust[:, None]).T @ j / fitted.sigma**2
    precision = precision + np.diag(1.0 / problem.prior_sd[free] ** 2)
    root = np.linalg.cholesky(np.linalg.inv(precision))
    z = np.random.default_rng(0).standard_normal((draws, int(free.sum())))
    theta = np.repeat(fitted.theta[None, :], draws, axis=0)
    theta[:, free] += z @ root.T
    inside = ((theta >= problem.lower) & (theta <= problem.upper)).all(axis=1)
    residual = problem.values(theta, slopes=False)[0] - curves_.error
    distance = (theta - problem.prior_mean)[:, free] / problem.prior_sd[free]
    log_density = -0.5 * (
        (residual**2 * fitted.robust).sum(axis=1) / fitted.sigma**2 + (distance**2).sum(axis=1)
    )
    log_weight = np.where(inside, log_density + 0.5 * (z**2).sum(axis=1), -np.inf)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = weight @ theta
    return mean, np.sqrt(weight @ (theta - mean) ** 2)


@pytest.mark.parametrize(
    ("sd", "last"), [(0.006, 3.5), (0.01, 3.5), (0.004, 2.0)], ids=["few", "noisy", "two passes"]
)
def test_draws_are_drawn_to_the_priors_once(sd, last):
    # few passes: the half-life is partly the data's, partly the prior's, whose centre is far from it
    table = curves(pools=[3], epochs=np.linspace(0.5, last, 7))
    noise = sd * np.random.default_rng(2).standard_normal(table.height)
    read = read_curves(table.with_columns(metric_value=pl.col("metric_value") + noise))
    fitted = fit(read, "utility", floor=0.1, anchor=4e6, robust=False)
    at = fitted.problem.columns("tau")[0]
    mean, spread = posterior_mean(fitted)
    assert abs(draw(fitted, 500, method="parametric")[:, at].mean() - mean[at]) < 0.3 * spread[at]
    # the mutant disturbs fitted values, which the priors have pulled once already
    values = fitted.problem.values(fitted.theta[None, :], slopes=False)[0][0]
    pulled = replace(fitted.problem, curves=replace(read, error=values))
    wrong = draw(replace(fitted, problem=pulled), 500, method="parametric")[:, at]
    assert abs(wrong.mean() - mean[at]) > 0.4 * spread[at]


def test_robust_to_one_gross_error():
    table = curves(sd=0.001, seed=1)
    spoiled = table.with_columns(
        metric_value=pl.when(pl.int_range(pl.len()) == 7)
        .then(pl.col("metric_value") + 0.08)
        .otherwise("metric_value")
    )
    clean = fit(read_curves(table), "utility").parameters(kappa=1.0)
    robust = fit(read_curves(spoiled), "utility").parameters(kappa=1.0)
    plain = fit(read_curves(spoiled), "utility", robust=False).parameters(kappa=1.0)
    assert np.abs(robust.b - clean.b).max() < 0.5 * np.abs(plain.b - clean.b).max()


def test_weights_and_standard_errors_count():
    table = curves(sd=0.0, pools=[0, 1])
    bad = table.with_columns(
        metric_value=pl.when(pl.col("samples_seen") == 4 * SIZE)
        .then(pl.col("metric_value") + 0.02)
        .otherwise("metric_value"),
        weight=pl.when(pl.col("samples_seen") == 4 * SIZE).then(0.0).otherwise(1.0),
    )
    p = fit(read_curves(bad), "utility", floor=0.1).parameters(kappa=1.0)
    assert p.b[0, 0] == pytest.approx(-0.16, rel=1e-4)


@pytest.mark.parametrize("growth", [0.0, 1.0])
def test_one_law_learns_from_sizes_how_the_half_life_grows(growth):
    # the mutant: one law with a half-life that is the same for every part of a pool
    table = pl.concat(
        [
            curves(pools=[0, 1], sizes=(SIZE * part,), epochs=(0.5, 1, 2, 4, 8)).with_columns(
                metric_value=pl.Series(
                    [
                        float(error_of_part(n, SIZE * part, pool, growth))
                        for pool in (0, 1)
                        for n in np.array([0.5, 1, 2, 4, 8]) * SIZE * part
                    ]
                )
            )
            for part in (1.0, 0.25, 1 / 16)
        ]
    )
    ensemble = average(read_curves(table), law="utility", bootstraps=10)
    assert {m.kappa for m in ensemble.members} == {1.0}
    assert {m.fitted.problem.size_kappa for m in ensemble.members} == {growth}
    at, sizes = np.array([20 * SIZE]), np.full((1, 2), SIZE)
    predicted = ensemble.predict(at, np.eye(2)[:1], sizes)
    assert predicted[0] == pytest.approx(float(error("utility", 20 * SIZE, 0)), rel=1e-5)


def error_of_part(n, unique, pool, growth):
    from assets.filtering import utility

    return utility.error(
        n,
        unique,
        b=UTILITY["b"][pool],
        tau=UTILITY["tau"][pool] * (unique / SIZE) ** growth,
        floor=0.1,
        anchor=UTILITY["anchor"],
    )


def test_average_prefers_the_law_that_predicts_not_the_one_that_fits():
    # truth: saturation. In-sample averaging is the mutant: a flexible law wins it on any data
    table = curves("saturation", sd=0.0005, seed=0, epochs=(0.5, 1, 2, 3, 5, 8, 12, 20))
    ensemble = average(read_curves(table), bootstraps=20)
    weight = {"utility": 0.0, "saturation": 0.0}
    for member in ensemble.members:
        weight[member.law] += member.weight
    assert weight["saturation"] > 0.8
    scores = [m.score for m in ensemble.members]
    assert np.isfinite(scores).all()


def test_held_out_evaluations_do_not_reach_the_fold():
    from assets.filtering.held_out import Fold

    table = curves(sd=0.001, seed=3)
    base = read_curves(table)
    held = base.samples == 10 * SIZE
    fold = [Fold("last", held)]
    errors = held_out_errors(fit(base, "utility"), fold)[0][0]
    honest = fit(base.take(~held), "utility")
    expected = []
    for i in np.flatnonzero(held):
        n, pool = base.samples[i], base.pool[i]
        p = honest.parameters(kappa=1.0)
        from assets.filtering import utility

        expected.append(
            base.error[i]
            - float(
                utility.error(
                    n,
                    SIZE,
                    b=p.b[0, pool],
                    tau=p.tau[0, pool],
                    floor=p.floor[0],
                    anchor=np.exp(p.log_anchor[0]),
                )
            )
        )
    # noise level and robust weights differ a little between the two, not the evaluations used
    np.testing.assert_allclose(errors, expected, atol=2e-3)


def test_mixtures_tell_the_diversity_exponent():
    from assets.filtering import utility

    rows = curves(sd=0.0003, seed=1, pools=[0, 1]).to_dicts()
    b, tau = UTILITY["b"][:2], UTILITY["tau"][:2]
    for n in (100e6, 200e6, 300e6, 400e6):
        value = float(
            utility.mixture_error(
                n, np.full(2, 0.5), np.full(2, SIZE), b=b, tau=tau, floor=0.1, anchor=4e6, kappa=1.0
            )
        )
        rows.append(
            {
                "pool": "top10+top20",
                "pool_unique": 2 * SIZE,
                "samples_seen": n,
                "metric_value": value,
            }
        )
    ensemble = average(read_curves(pl.DataFrame(rows)), bootstraps=20)
    weight = {0.0: 0.0, 0.5: 0.0, 1.0: 0.0}
    for member in ensemble.members:
        weight[member.kappa] += member.weight
    assert weight[1.0] > 0.6
    assert error("utility", 1e6, 0) > 0


def _seeds(count, **kw):
    return pl.concat(
        [curves(sd=0.003, seed=s, **kw).with_columns(seed=pl.lit(s)) for s in range(count)]
    )


@pytest.mark.parametrize("law", ["utility", "saturation", "data_constrained", "power"])
def test_evaluations_of_one_design_fit_together_as_they_do_one_by_one(law, monkeypatch):
    read = read_curves(_seeds(9, pools=range(3), sizes=(SIZE, SIZE / 4), epochs=(1, 3, 9)))
    together = fit(read, law, size_kappa=1.0)
    assert together.problem.repeated is not None
    assert int(together.problem.repeated.distinct.sum()) == 18
    draws = draw(together, 20, seed=3)
    monkeypatch.setattr(Problem, "repeated", None)
    alone = fit(read, law, size_kappa=1.0)
    np.testing.assert_allclose(together.theta, alone.theta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together.objective, alone.objective, rtol=1e-8)
    np.testing.assert_allclose(draws, draw(alone, 20, seed=3), rtol=1e-3, atol=1e-3)


def test_few_evaluations_of_one_design_stay_as_they_are():
    assert state_problem(read_curves(_seeds(3)), "utility").repeated is None
    # the model's size is part of the design
    sized = [_seeds(2).with_columns(model_size=pl.lit(size)) for size in (1e6, 2e6, 4e6)]
    assert state_problem(read_curves(pl.concat(sized)), "utility").repeated is None


def test_sums_of_squares_of_one_design_are_those_of_all_evaluations():
    problem = state_problem(read_curves(_seeds(6, pools=range(2))), "utility")
    rng = np.random.default_rng(1)
    weight, target = rng.uniform(0, 2, (2, 4, len(problem.curves)))
    theta = problem.prior_mean + 0.1 * rng.standard_normal((4, problem.size))
    every = np.sum(weight * (target - problem.values(theta, slopes=False)[0]) ** 2, axis=1)
    same = problem.repeated
    total, mean, scatter = same.together(weight, target)
    value = problem.distinct(same.distinct).values(theta, slopes=False)[0]
    np.testing.assert_allclose(np.sum(total * (mean - value) ** 2, axis=1) + scatter, every)


def test_draws_do_not_depend_on_how_many_fit_in_memory(monkeypatch):
    fitted = fit(read_curves(curves(sd=0.002)), "utility")
    whole = draw(fitted, 11)
    monkeypatch.setattr(levenberg, "MOST_NUMBERS", 3 * 25 * fitted.problem.size)
    np.testing.assert_allclose(draw(fitted, 11), whole, rtol=1e-6)


def test_runs_are_told_by_their_least_key_and_drawn_whole():
    run = np.array([2, 0, 2, 1, 0])
    assert least_keys(run, [5, 9, 3, 7, 8]) == {2: 3, 0: 8, 1: 7}
    rows = {number: part.tolist() for number, part in rows_by_run(run)}
    assert rows == {0: [1, 4], 1: [3], 2: [0, 2]}
    table = curves(pools=range(2), epochs=(1, 2, 4)).with_columns(
        run_id=pl.concat_str(pl.col("pool"), (pl.int_range(pl.len()) // 2).cast(pl.String))
    )
    read = read_curves(table)
    fitted = fit(read, "power")
    counts = _run_counts(fitted, row_keys(fitted), 50, 0)
    for number, part in rows_by_run(read.run):
        assert (counts[:, part] == counts[:, part[:1]]).all(), number
    for pool in range(2):
        runs = np.unique(read.run[read.pool == pool])
        first = [int(np.flatnonzero(read.run == r)[0]) for r in runs]
        assert (counts[:, first].sum(axis=1) == len(runs)).all()
