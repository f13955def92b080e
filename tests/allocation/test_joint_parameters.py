"""Parameters of joint problems from proxy runs: recovery, shrinkage, coverage, runs that tell nothing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.optimize import least_squares

from assets.allocation.group_curves import CurveError
from assets.allocation.joint_parameters import fit_joint
from assets.allocation.joint_unset import read_unset
from tests.allocation.joint_study import POOLS, TRUTH, problem, runs, value
from tests.oracles.allocation_solver import phi


def fitted(rows, stated=None, draws=20, seed=0):
    unset = read_unset(stated or problem(), rows)
    return fit_joint(unset.problem, unset.groups, rows, draws=draws, seed=seed)


def planted(group, parameter, pool=None, truth=TRUTH):
    of = truth[group]
    if parameter in "abp":
        return of["curve"]["abp".index(parameter)]
    return of["worth"] if parameter == "worth" else of["decay"][POOLS.index(pool)]


@pytest.mark.parametrize("kind", ["step", "exp", "power"])
def test_exact_runs_give_the_planted_parameters(kind):
    table = fitted(runs(kind=kind), problem(kind=kind)).table()
    assert len(table) == 3 * (3 + 1 + 2)
    for row in table:
        true = planted(row["group"], row["parameter"], row["pool"])
        assert row["value"] == pytest.approx(true, rel=1e-5), row
        assert row["lo80"] == pytest.approx(row["hi80"], rel=1e-3)


def test_one_seed_a_run_is_enough_where_nothing_is_noisy():
    table = fitted(runs(seeds=1)).table()
    for row in table:
        assert row["value"] == pytest.approx(
            planted(row["group"], row["parameter"], row["pool"]), rel=1e-5
        )


def worth_without_the_shared_curve(rows, group):
    """The wrong way: each pool gets a curve of its own, worth is the ratio of sizes for equal scores."""

    def curve(pool):
        mine = rows.filter(
            (pl.col("group") == group)
            & (pl.col("pool") == pool)
            & (pl.col("unique") == pl.col("samples_seen"))
            & (pl.col("run_id").count().over("run_id") == 1)
        )
        n, y = mine["samples_seen"].to_numpy(), mine["metric_value"].to_numpy()
        return least_squares(
            lambda t: t[0] - np.exp(t[1]) * n ** -np.exp(t[2]) - y, [0.9, 0.5, -1.0]
        ).x

    clean, plain = curve("clean"), curve("plain")
    n = TRUTH[group]["U"][1]
    score = plain[0] - np.exp(plain[1]) * n ** -np.exp(plain[2])
    return ((clean[0] - score) / np.exp(clean[1])) ** (-1 / np.exp(clean[2])) / n


def worth_in_scores(rows, group):
    """The wrong way: worth as the ratio of scores at equal size."""
    of = TRUTH[group]
    a, b, p = of["curve"]
    plain = rows.filter((pl.col("group") == group) & (pl.col("pool") == "plain"))
    score = plain.filter(pl.col("samples_seen") == of["U"][1])["metric_value"][0]
    return score / (a - b * of["U"][1] ** -p)


def worth_where_mixtures_count_once(rows, group):
    """The wrong way: rows of a mixture read as runs of their own."""
    alone = rows.with_columns(run_id=pl.format("{}-{}", "run_id", "pool"))
    return value(fitted(alone).table(), group, "worth", "plain")


@pytest.mark.parametrize("wrong", [worth_in_scores, worth_where_mixtures_count_once])
def test_wrong_ways_to_a_worth_are_caught_by_exact_runs(wrong):
    assert wrong(runs(), "A") != pytest.approx(TRUTH["A"]["worth"], rel=1e-3)


def test_worth_needs_the_shared_curve():
    errors = {"shared": [], "apart": []}
    for seed in range(5):
        rows = runs(noise=0.003, seed=seed)
        found = value(fitted(rows).table(), "A", "worth", "plain")
        errors["shared"].append(abs(np.log(found / 0.5)))
        errors["apart"].append(abs(np.log(worth_without_the_shared_curve(rows, "A") / 0.5)))
    assert np.mean(errors["shared"]) < 0.1
    assert np.mean(errors["apart"]) > 3 * np.mean(errors["shared"])


@pytest.mark.parametrize("noisy", [pytest.param("A", marks=pytest.mark.slow), "C"])
def test_a_noisy_group_gains_from_the_others(noisy):
    truth = {name: of | {"worth": 0.5, "decay": (4.0, 2.5)} for name, of in TRUTH.items()}
    shrunk, alone = [], []
    for seed in range(8):
        rows = runs(truth, noise=0.002, seed=seed, noisy={noisy: 0.015})
        table = fitted(rows).table()
        for parameter, pool in (("worth", "plain"), ("tau", "clean"), ("tau", "plain")):
            true = np.log(planted(noisy, parameter, pool, truth))
            shrunk.append(np.log(value(table, noisy, parameter, pool)) - true)
            alone.append(np.log(value(table, noisy, parameter, pool, "alone")) - true)
    assert np.mean(np.square(shrunk)) < 0.6 * np.mean(np.square(alone))


def test_clear_differences_are_not_shrunk_away():
    truth = TRUTH | {"C": TRUTH["C"] | {"worth": 0.1}}
    table = fitted(runs(truth, noise=0.001)).table()
    assert value(table, "C", "worth", "plain") == pytest.approx(0.1, rel=0.1)


def test_groups_without_runs_of_a_pool_take_what_others_share_with_a_wide_interval():
    table = fitted(runs(noise=0.003, whole=["A"]), draws=100).table()
    rows = {
        g: next(r for r in table if r["group"] == g and r["parameter"] == "worth") for g in "AB"
    }
    assert rows["B"]["runs"] == 0
    assert rows["B"]["alone"] is None
    assert rows["B"]["value"] == pytest.approx(rows["A"]["value"], rel=0.2)
    width = {g: np.log(r["hi80"] / r["lo80"]) for g, r in rows.items()}
    assert width["B"] > 3 * width["A"]


def test_order_of_rows_and_direction_do_not_matter():
    rows = runs(noise=0.003)
    table = fitted(rows).table()
    assert fitted(rows.sample(fraction=1.0, shuffle=True, seed=3)).table() == table
    lower = rows.with_columns(metric_value=1 - pl.col("metric_value"), direction=pl.lit("lower"))
    for row, other in zip(table, fitted(lower).table(), strict=True):
        assert other["value"] == pytest.approx(row["value"], rel=1e-6)
    other = fitted(rows, seed=1).table()
    assert [r["value"] for r in other] == pytest.approx([r["value"] for r in table])
    assert [r["lo80"] for r in other] != [r["lo80"] for r in table]


@pytest.mark.slow
def test_intervals_of_worth_hold_the_truth_in_four_of_five_studies():
    hits = []
    for seed in range(100):
        table = fitted(runs(noise=0.003, seed=100 + seed), draws=100).table()
        hits += [
            row["lo80"] <= planted(row["group"], "worth") <= row["hi80"]
            for row in table
            if row["parameter"] == "worth"
        ]
    # 300 intervals: 0.8 +- 0.023 if they were independent
    assert 0.74 <= np.mean(hits) <= 0.88, np.mean(hits)


def without(rows, **what):
    """Drop the runs that match all of `what`, whole mixtures included."""
    match = pl.all_horizontal(
        pl.col(k) == v for k, v in what.items() if k not in ("repeated", "alone")
    )
    if "repeated" in what:
        match &= (pl.col("samples_seen") > pl.col("unique")) == what["repeated"]
    return rows.join(rows.filter(match).select("run_id").unique(), on="run_id", how="anti")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: without(r, group="B"), "group 'B', field p: no run.*pilot: train pool 'clean'"),
        (
            lambda r: r.filter((pl.col("group") != "C") | (pl.col("samples_seen") != 2000)),
            r"group 'C', pool 'clean', field p: fresh runs have 3 sizes.*\(125, 500, 8000\).*needs 4",
        ),
        (
            lambda r: without(r, pool="plain"),
            "group 'A', pool 'plain', field worth: no run.*alone, fresh",
        ),
        (
            lambda r: without(r, pool="plain", repeated=True),
            "group 'A', pool 'plain', field tau: no run.*500 of its 2000 records 8 times.*max_passes 1",
        ),
        (
            lambda r: r.with_columns(pool=pl.lit(None, pl.String)),
            "row 1, group 'A', field pool: missing",
        ),
        (lambda r: r.drop("pool"), "row 1, group 'A', field pool: missing"),
        (
            lambda r: r.with_columns(pool=pl.lit("dirty")),
            "row 1, group 'A', field pool: 'dirty' is not",
        ),
        (
            lambda r: r.with_columns(group=pl.lit("Z")),
            "row 1, group 'Z', field group: not in the problem",
        ),
        (lambda r: r.with_columns(unique=pl.lit(0.0)), "row 1, group 'A', field unique: 0.0"),
        (
            lambda r: r.with_columns(metric_value=pl.lit(71.0)),
            "field metric_value: 71.0; metrics must",
        ),
        (
            lambda r: r.with_columns(direction=pl.lit("up")),
            "field direction: 'up'; use lower or higher",
        ),
        (lambda r: r.with_columns(se=pl.lit(-0.1)), "field se: -0.1"),
        (
            lambda r: r.with_columns(run_id=pl.lit("one")),
            "draws from pool 'clean' twice.*its own run_id",
        ),
        (lambda r: r.drop("run_id"), "row .*field run_id: missing.*has the same metric and seed"),
        (lambda r: r.drop("seed"), "column 'seed' is missing"),
    ],
)
def test_runs_that_tell_nothing_are_refused_with_the_run_that_would(change, message):
    with pytest.raises(CurveError, match=message):
        fitted(change(runs(seeds=2)))


def test_runs_of_the_reference_are_needed():
    rows = runs()
    plain = rows.filter(pl.col("pool") == "clean").with_columns(pool=pl.lit("plain"))
    part = pl.concat([rows.filter(pl.col("group") != "A"), plain.filter(pl.col("group") == "A")])
    with pytest.raises(CurveError, match="group 'A', pool 'clean', field b: no run draws from it"):
        fitted(part)


def test_as_many_runs_as_parameters_need_an_error():
    one = problem()
    one["groups"] = one["groups"][:1]
    rows = runs(seeds=1).filter(pl.col("group") == "A")
    few = rows.filter(pl.col("run_id").is_in([f"A-{k}-0" for k in (0, 1, 2, 3, 4, 6)]))
    with pytest.raises(CurveError, match="group 'A', field se: as many runs as parameters"):
        fitted(few, one)
    assert len(fitted(few.with_columns(se=pl.lit(0.002)), one).table()) == 6


def test_a_pool_that_cannot_repeat_needs_no_decay():
    stated = problem()
    for group in stated["groups"]:
        group["cells"][1]["max_passes"] = 1
    table = fitted(without(runs(), pool="plain", repeated=True), stated).table()
    assert {r["pool"] for r in table if r["parameter"] == "tau"} == {"clean"}


def test_the_oracle_of_passes_agrees():
    from assets.allocation.repetition import worth_of_passes

    r = np.linspace(0, 9, 37)
    for kind in ("step", "exp", "power"):
        many = worth_of_passes(kind, r[None], np.array([[0.7], [2.0], [40.0]]))
        for row, rate in zip(many, (0.7, 2.0, 40.0), strict=True):
            np.testing.assert_allclose(row, [float(phi(kind, v, rate)) for v in r], atol=1e-12)
