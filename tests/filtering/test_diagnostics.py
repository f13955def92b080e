from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.filtering.analyse import analyse
from assets.filtering.curves import CurveError, read_curves
from assets.filtering.diagnostics import diagnose
from tests.filtering.released import SIZE, curves, error


def codes(table, **kw):
    return {w["code"] for w in analyse(table, law="utility", bootstraps=10, **kw)["warnings"]}


GOOD = {"sizes": (SIZE, SIZE / 4, SIZE / 16), "epochs": (0.5, 1, 2, 4, 8)}


def test_each_gap_is_named_with_a_remedy():
    good = curves(**GOOD)
    assert not codes(good) & {
        "single_pool_size",
        "no_repeats",
        "too_few_points",
        "mid_schedule",
        "rising_error",
    }
    assert "single_pool_size" in codes(curves())
    assert "no_repeats" in codes(curves(epochs=(0.2, 0.5, 1, 2)))
    assert "too_few_points" in codes(curves(epochs=(2, 4, 8)))
    assert "mid_schedule" in codes(good.with_columns(annealed=pl.lit(value=False)))
    assert "one_pool" in codes(curves(pools=[0], **GOOD))
    assert "dependent_points" in codes(curves())
    twin = pl.concat(
        [good, good.filter(pl.col("pool") == "top10").with_columns(pool=pl.lit("copy"))]
    )
    assert "identical_pools" in codes(twin)
    for warning in analyse(curves(), law="utility", bootstraps=10)["warnings"]:
        assert warning["message"]
        assert warning["remedy"]


def test_chance_and_warm_up_are_left_out():
    table = curves(epochs=(0.2, 0.5, 1, 2, 4, 8)).with_columns(chance_level=pl.lit(0.999))
    read = read_curves(table)
    found = diagnose(read)
    assert {"above_chance", "warm_up"} <= {n.code for n in found.notices}
    assert not found.keep[read.error >= 0.95 * 0.999].any()
    assert found.keep[read.error < 0.9].all()


def test_extrapolation_is_flagged_beyond_ten_times():
    table = curves(**GOOD)
    most = 8 * SIZE
    assert "extrapolation" not in codes(table, budget=9.9 * most)
    assert "extrapolation" in codes(table, budget=11 * most)
    assert "extrapolated_repeats" in codes(
        table, predict=pl.DataFrame({"pool": ["top10"], "samples_seen": [30 * SIZE]})
    )


# error of a small classifier by passes .5 to 32: clean labels, a quarter and a half of them wrong
CLEAN = (0.7006, 0.4538, 0.3389, 0.3104, 0.3020, 0.3024, 0.3141)
QUARTER = (0.7245, 0.4912, 0.3744, 0.3428, 0.3398, 0.3538, 0.3999)
HALF = (0.7629, 0.5549, 0.4294, 0.3916, 0.3942, 0.4284, 0.4988)


def test_overfitting_of_noisy_pools_is_caught_and_caps_their_passes():
    rows = [
        (name, 6000.0, 6000.0 * passes, value)
        for name, values in (("clean", CLEAN), ("quarter", QUARTER), ("half", HALF))
        for passes, value in zip((0.5, 1, 2, 4, 8, 16, 32), values, strict=True)
    ]
    table = pl.DataFrame(
        rows, schema=["pool", "pool_unique", "samples_seen", "metric_value"], orient="row"
    )
    found = diagnose(read_curves(table))
    assert found.caps["quarter"] == 8.0
    assert found.caps["half"] == 4.0
    assert "rising_error" in {n.code for n in found.notices}
    assert found.inflate > 1.0


def test_a_noisy_plateau_is_not_overfitting():
    table = curves(epochs=(1, 2, 4, 8, 12, 16, 24), sd=0.003, seed=2)
    assert not diagnose(read_curves(table)).caps


def band(table, passes=20.0, samples=None, law="utility", pools="top10"):
    n = samples or passes * SIZE
    point = pl.DataFrame({"pools": [pools], "samples_seen": [n]})
    row = analyse(table, law=law, predict=point, bootstraps=100)["predictions"][0]
    assert row["lo90"] <= row["lo80"] <= row["predicted"] <= row["hi80"] <= row["hi90"]
    return row["hi80"] - row["lo80"]


def same_but(**columns):
    return lambda table: table.with_columns(**columns)


SPOILED = [
    ("mid_schedule", "short decay of the learning rate", same_but(annealed=pl.lit(value=False))),
    # two pool sizes fewer; the floor and the half-life are confounded
    (
        "single_pool_size",
        "random parts of the pool",
        lambda t: t.filter(pl.col("pool_unique") == SIZE),
    ),
    (
        "no_repeats",
        "run of eight passes",
        lambda t: t.filter(pl.col("samples_seen") <= 2 * pl.col("pool_unique")),
    ),
    (
        "too_few_points",
        "four or more sample counts",
        lambda t: t.group_by("pool", maintain_order=True).tail(3),
    ),
    (
        "warm_up",
        "evaluations at more samples",
        same_but(chance_level=pl.col("metric_value").max() * 1.01),
    ),
    (
        "above_chance",
        "check direction and chance_level",
        same_but(chance_level=pl.col("metric_value").max() * 0.999),
    ),
]


@pytest.mark.parametrize(("code", "cure", "spoil"), SPOILED)
@pytest.mark.parametrize("law", ["utility", pytest.param("average", marks=pytest.mark.slow)])
def test_each_finding_is_named_with_its_cure_and_widens_the_interval(code, cure, spoil, law):
    good = curves(sd=0.002, seed=1, **GOOD)
    spoiled = spoil(good)
    told = {w["code"]: w for w in analyse(spoiled, law=law, bootstraps=10)["warnings"]}
    assert code not in codes(good)
    assert cure in told[code]["remedy"]
    assert band(spoiled, law=law) > 1.1 * band(good, law=law)
    # a mixture as well, although the noise of one run is most of its width
    both = {"law": law, "pools": "top10+top20"}
    assert band(spoiled, **both) > band(good, **both)


def test_rising_error_widens():
    table = curves(pools=[0, 1], epochs=(1, 2, 4, 8, 16), sd=0.001, seed=2)
    rising = table.with_columns(
        metric_value=pl.when((pl.col("pool") == "top10") & (pl.col("samples_seen") > 9 * SIZE))
        .then(0.95)
        .otherwise("metric_value")
    )
    assert "rising_error" in codes(rising)
    # the fit sees the same evaluations either way, so the difference is the price of the finding
    kept = rising.filter(pl.col("metric_value") != 0.95)
    assert band(rising, passes=32.0) > 1.1 * band(kept, passes=32.0)


def test_reach_beyond_ten_times_the_data_widens_beyond_what_the_draws_say():
    from assets.filtering.analyse import study
    from assets.filtering.predict import WIDER, sample_points

    fitted = study(curves(sd=0.002, seed=1, **GOOD), law="utility", bootstraps=200)
    ensemble, setting = fitted.ensemble, fitted.setting
    samples = 8 * SIZE * np.array([9.9, 10.1])
    alone, sizes = np.eye(5)[[0, 0]], np.full((2, 5), 2e9)
    plain = ensemble.sample(samples, alone, sizes, seed=setting.seed).std(axis=0)
    widened = sample_points(ensemble, samples, alone, sizes, setting).std(axis=0)
    np.testing.assert_allclose(widened / plain, [1.0, WIDER])


def test_reach_beyond_ten_times_and_rising_error_are_told_with_the_run_that_cures_them():
    table = curves(sd=0.002, seed=1, pools=range(2), **GOOD)
    far = pl.DataFrame({"pool": ["top10"], "samples_seen": [100 * SIZE]})
    told = analyse(table, law="utility", bootstraps=10, predict=far)["warnings"]
    remedy = next(w["remedy"] for w in told if w["code"] == "extrapolation")
    assert f"at least {10 * SIZE:.4g} samples" in remedy
    # that run added, the point is in reach
    run = table.head(1).with_columns(pool_unique=pl.lit(SIZE), samples_seen=pl.lit(10 * SIZE))
    run = run.with_columns(metric_value=pl.lit(float(error("utility", 10 * SIZE, 0))))
    assert "extrapolation" not in codes(pl.concat([table, run]), predict=far)
    late = pl.col("samples_seen") == 8 * SIZE
    rising = table.with_columns(
        metric_value=pl.when(late).then(0.99).otherwise(pl.col("metric_value"))
    )
    told = analyse(rising, law="utility", bootstraps=10)["warnings"]
    assert "add unique data" in next(w["remedy"] for w in told if w["code"] == "rising_error")


def test_repeats_of_a_larger_pool_than_any_trained_on_are_flagged_and_widened():
    table = curves(sd=0.002, seed=1, pools=range(2), **GOOD)
    for factor, flagged in ((1.0, False), (4.0, True)):
        point = {"pool": ["top10"], "pool_unique": [factor * SIZE], "samples_seen": [8 * SIZE]}
        found = codes(table, predict=pl.DataFrame(point))
        assert ("extrapolated_pool_size" in found) == flagged
    from assets.filtering.analyse import study
    from assets.filtering.predict import WIDER, widening

    fitted = study(table, law="utility", bootstraps=20)
    sizes, alone = np.array([[SIZE, SIZE], [4 * SIZE, SIZE]]), np.eye(2)[[0, 0]]
    wide = widening(fitted.ensemble, np.full(2, 8 * SIZE), alone, sizes, fitted.setting)
    np.testing.assert_allclose(wide, [1.0, WIDER])


def test_drift_is_assumed_where_no_budget_can_be_held_out():
    from assets.filtering.analyse import study
    from assets.filtering.held_out import UNKNOWN_DRIFT

    few = study(curves(epochs=(2, 4, 8)), law="utility", bootstraps=5)
    assert few.ensemble.drift == pytest.approx(UNKNOWN_DRIFT)


def test_an_unchecked_mixture_rule_widens_mixtures_by_the_spread_of_its_exponents():
    from assets.filtering.analyse import study
    from assets.filtering.predict import widening

    table = curves(sd=0.0003, pools=range(3))
    samples, sizes = np.array([350e6, 350e6]), np.full((2, 3), SIZE)
    shares = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    known, averaged = (study(table, kappa=kappa, bootstraps=200) for kappa in (1.0, None))
    few, many = (s.ensemble.sample(samples, shares, sizes).std(axis=0) for s in (known, averaged))
    assert many[1] > 1.4 * few[1]
    assert many[0] < 1.2 * few[0]
    # the draws hold the exponents: their spread is not counted twice
    for fitted in (known, averaged):
        np.testing.assert_allclose(
            widening(fitted.ensemble, samples, shares, sizes, fitted.setting), 1.0
        )


def _set(**columns):
    return lambda table: table.with_columns(**columns)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop("pool_unique"), "'pool_unique' is missing"),
        (lambda t: t.head(0), "no rows"),
        (_set(samples_seen=pl.lit(-1.0)), "row 0 .*samples_seen is not a positive"),
        (_set(metric_value=pl.lit(float("nan"))), "row 0 .*not finite"),
        (_set(metric_value=pl.lit(None, dtype=pl.Float64)), "row 0 .*missing"),
        (_set(metric_value=pl.lit(-0.1)), "row 0 .*metric_value is negative"),
        (_set(annealed=pl.lit("perhaps")), "row 0 .*neither true nor false"),
        (_set(metric_name=pl.col("pool")), "more than one value"),
        (_set(direction=pl.lit("sideways")), "sideways"),
        (_set(metric_value=pl.lit("abc")), "row 0: metric_value is .abc., which is not a number"),
        (
            _set(run_id=pl.lit("r"), pool_unique=pl.int_range(pl.len()) + 1.0),
            "two values of pool_unique",
        ),
        (_set(se=pl.lit(-1.0)), "se is negative"),
        (_set(metric_value=pl.lit(250.0), direction=pl.lit("higher")), "falls to a floor"),
    ],
)
def test_bad_curves_are_refused_with_row_and_remedy(change, words):
    with pytest.raises(CurveError, match=words):
        analyse(change(curves()), bootstraps=5)


def test_words_for_true_and_false_are_understood():
    assert not read_curves(curves().with_columns(annealed=pl.lit(" No "))).annealed.any()
    assert read_curves(curves().with_columns(annealed=pl.lit("TRUE"))).annealed.all()


def test_a_budget_of_many_thousand_passes_is_answered():
    answer = analyse(curves(pools=range(2)), law="saturation", budget=1e13, bootstraps=5)
    assert 0 < answer["plans"][0]["predicted"] < 1
    assert not answer["free_shares"]


def test_bad_settings_and_points():
    table = curves()
    with pytest.raises(ValueError, match="choose one of average"):
        analyse(table, law="utlity")
    with pytest.raises(ValueError, match="form 'papier'"):
        analyse(table, law="utility", form="papier")
    with pytest.raises(CurveError, match="row 1: pool 'nope' has no curves"):
        analyse(
            table,
            law="utility",
            bootstraps=5,
            predict=pl.DataFrame({"pool": ["top10", "nope"], "samples_seen": [1e6, 1e6]}),
        )
    with pytest.raises(CurveError, match="row 0: samples_seen"):
        analyse(
            table,
            law="utility",
            bootstraps=5,
            predict=pl.DataFrame({"pool": ["top10"], "samples_seen": [-5.0]}),
        )
    with pytest.raises(CurveError, match="weights"):
        analyse(
            table,
            law="utility",
            bootstraps=5,
            predict=pl.DataFrame(
                {"pools": ["top10+top20"], "weights": ["1+2+3"], "samples_seen": [1e6]}
            ),
        )
