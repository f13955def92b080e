"""Curves from evaluations, and the plan: whole numbers, caps, groups without a curve, ties."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.allocation.group_curves import CurveError, fit_group_curves
from assets.allocation.plan import InfeasibleFloors, PlanError, plan
from assets.allocation.plan_table import CellsError

TRUTH = {"en": (0.95, 2.0, 0.5), "fr": (0.9, 1.5, 0.25), "sw": (0.92, 3.0, 0.35)}
COLUMNS = [
    "group",
    "pool",
    "available",
    "samples",
    "records",
    "passes",
    "sampling_prob",
    "marginal_value",
]


def evaluations(noise=0.0, sizes=(200, 400, 800, 1600), seeds=3, truth=TRUTH, direction="lower"):
    rng = np.random.default_rng(7)
    rows = []
    for group, (a, b, p) in truth.items():
        for n in sizes:
            for s in range(seeds):
                f = a - b * n**-p + noise * rng.normal()
                rows.append(
                    {
                        "group": group,
                        "samples_seen": n,
                        "unique": n,
                        "metric_value": 1 - f if direction == "lower" else f,
                        "direction": direction,
                        "chance_level": 1.0 if direction == "lower" else 0.0,
                        "se": noise or None,
                        "seed": s,
                        "run_id": f"{group}-{n}-{s}",
                    }
                )
    return pl.DataFrame(rows, schema_overrides={"se": pl.Float64})


CELLS = pl.DataFrame(
    {
        "group": ["en", "en", "fr", "fr", "sw", "sw", "zz"],
        "pool": [0, 1, 0, 1, 0, 1, 0],
        "available": [5000, 3000, 900, 900, 200, 400, 55],
    }
)
MAX_MIN = {"kind": "max_min", "level": "skill"}


@pytest.fixture(scope="module")
def curves():
    return fit_group_curves(evaluations(0.004), ["en", "fr", "sw", "zz"], draws=60)


def check(frame, budget=None, most=1.0, cells=CELLS):
    assert frame.columns[:8] == COLUMNS
    assert frame["samples"].dtype == pl.Int64
    assert frame["records"].dtype == pl.Int64
    joined = frame.join(cells, on=["group", "pool"], suffix="_in", nulls_equal=True)
    assert joined.height == cells.height
    assert (joined["available"] == joined["available_in"]).all()
    assert (frame["records"] <= frame["available"]).all()
    assert (frame["records"] <= frame["samples"]).all()
    assert (frame["passes"] <= most + 1e-12).all()
    drawn = frame.filter(pl.col("records") > 0)
    np.testing.assert_allclose(drawn["passes"], drawn["samples"] / drawn["records"])
    if budget is not None:
        assert frame["samples"].sum() <= budget
    if drawn.height:
        assert frame["sampling_prob"].sum() == pytest.approx(1.0)


def test_noiseless_curves_are_recovered_with_a_weak_prior():
    got = fit_group_curves(evaluations(sizes=(100, 400, 1600, 6400, 25600)), draws=5, prior_sd=50.0)
    for g, (a, b, p) in enumerate(TRUTH.values()):
        assert got.a[g] == pytest.approx(a, abs=2e-3)
        assert got.p[g] == pytest.approx(p, abs=5e-3)
        assert got.b[g] == pytest.approx(b, rel=3e-2)


def test_draws_do_not_depend_on_row_order_and_cover_the_truth(curves):
    shuffled = fit_group_curves(
        evaluations(0.004).sample(fraction=1.0, shuffle=True, seed=3), curves.groups, draws=60
    )
    np.testing.assert_array_equal(shuffled.draw_p, curves.draw_p)
    np.testing.assert_array_equal(shuffled.a, curves.a)
    for g, (a, b, p) in enumerate(TRUTH.values()):
        at = 1000.0
        truth = a - b * at**-p
        spread = curves.draw_a[:, g] - curves.draw_b[:, g] * at ** -curves.draw_p[:, g]
        assert np.quantile(spread, 0.005) - 0.004 <= truth <= np.quantile(spread, 0.995) + 0.004
        assert spread.std() < 0.01


def test_higher_is_better_gives_the_same_curves(curves):
    other = fit_group_curves(evaluations(0.004, direction="higher"), curves.groups, draws=60)
    np.testing.assert_allclose(other.a, curves.a, rtol=1e-6)


def test_groups_that_cannot_be_fitted_are_flagged():
    rows = evaluations(0.004)
    few = rows.filter((pl.col("group") != "fr") | (pl.col("samples_seen") <= 800))
    repeated = few.with_columns(
        unique=pl.when(pl.col("group") == "sw").then(100).otherwise(pl.col("unique"))
    )
    got = fit_group_curves(repeated, ["en", "fr", "sw", "zz"], draws=5)
    assert got.frame["status"].to_list() == ["ok", "few_sizes", "no_rows", "no_rows"]
    assert got.frame["rows_left_out"].to_list() == [0, 0, 12, 0]
    assert got.usable.tolist() == [True, False, False, False]
    assert "unallocatable without a pilot" in got.frame["remedy"][3]
    flat = rows.with_columns(metric_value=pl.lit(0.5))
    assert set(fit_group_curves(flat, draws=5).frame["status"]) == {"no_gain"}


def test_shrinkage_pulls_exponents_together():
    rows = evaluations(0.02)
    free = fit_group_curves(rows, draws=2, prior_sd=5.0)
    shrunk = fit_group_curves(rows, draws=2)
    assert np.ptp(shrunk.p) < np.ptp(free.p)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.drop("run_id"), "column 'run_id' is missing"),
        (lambda f: f.with_columns(direction=pl.lit("up")), "direction 'up'"),
        (lambda f: f.with_columns(samples_seen=pl.lit(0)), "samples positive"),
    ],
)
def test_bad_evaluations(change, match):
    with pytest.raises(CurveError, match=match):
        fit_group_curves(change(evaluations()))


def test_without_policy_nothing_is_reallocated():
    whole = plan(CELLS)
    check(whole.frame)
    assert (whole.frame["samples"] == whole.frame["available"]).all()
    cut = plan(CELLS, budget=1000)
    check(cut.frame, 1000)
    assert cut.frame["samples"].sum() == 1000
    share = cut.frame["samples"] / cut.frame["available"]
    assert (share - 1000 / CELLS["available"].sum()).abs().max() < 1 / 55
    assert set(cut.frame["reason"]) == {"no policy stated: nothing is reallocated"}
    by_pool = plan(CELLS, pool_passes={0: 2, 1: 0}, max_passes=4)
    assert by_pool.frame.filter(pl.col("pool") == 1)["samples"].sum() == 0
    assert (by_pool.frame.filter(pl.col("pool") == 0)["passes"] == 2).all()
    assert plan(CELLS, worth={1: 0.0}).frame.filter(pl.col("pool") == 1)["samples"].sum() == 0


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    st.floats(20, 30_000),
    st.sampled_from(
        [
            {"kind": "weighted_sum"},
            {"kind": "isoelastic", "aversion": 1.0, "level": "skill"},
            MAX_MIN,
            {"kind": "leximin", "level": "raw"},
            {"kind": "max_min", "level": "attainable"},
        ]
    ),
    st.sampled_from([None, "proportional", "equal", "alpha_0.3"]),
    st.sampled_from([("none", 1.0), ("step", 3.0), ("exp", 4.0), ("power", 2.5)]),
)
def test_plans_keep_budget_records_and_passes(curves, budget, objective, fallback, repeat):
    keywords = {"budget": budget, "objective": objective, "curves": curves, "weights": "equal"}
    keywords |= {"worth": {1: 0.6}, "repetition": repeat[0], "decay": 3.0, "max_passes": repeat[1]}
    if objective["kind"] == "isoelastic":
        budget = max(budget, 500.0)  # below that no plan lifts every group above 0
        keywords["budget"] = budget
    got = plan(CELLS, **keywords, fallback=fallback)
    check(got.frame, budget, repeat[1] if repeat[0] != "none" else 1.0)
    if objective["kind"] in ("weighted_sum", "leximin") and fallback is None:
        capacity = CELLS.filter(pl.col("group") != "zz")["available"].sum()
        assert got.frame["samples"].sum() >= min(int(budget), int(capacity)) - 1
    zz = got.frame.filter(pl.col("group") == "zz")
    assert zz["marginal_value"].to_list() == [None]
    assert any(w["code"] in ("unallocatable", "no_curve") for w in got.warnings)
    if fallback is None:
        assert zz["samples"].to_list() == [0]
    assert (got.frame["samples_lo80"] <= got.frame["samples_hi80"]).all()


def test_plan_does_not_depend_on_the_order_of_cells(curves):
    keywords = {
        "budget": 3000,
        "objective": MAX_MIN,
        "curves": curves,
        "worth": {1: 0.6},
        "repetition": "step",
    }
    keywords |= {"decay": 4.0, "max_passes": 4}
    one = plan(CELLS, **keywords).frame
    two = plan(CELLS.sample(fraction=1.0, shuffle=True, seed=1), **keywords).frame
    assert one.equals(two)


def test_costs_floors_tokens_and_fallback(curves):
    tokens = CELLS.with_columns(tokens=pl.Series([10.0, 12.0, 20.0, 20.0, 50.0, 40.0, 30.0]))
    got = plan(
        tokens,
        budget=30_000,
        objective={"kind": "weighted_sum"},
        curves=curves,
        weights={"en": 1, "fr": 1, "sw": 1, "zz": 1},
        unit="tokens",
        floors={"zz": 20, "sw": 100},
        costs={"sw": 2.0},
    )
    check(got.frame, cells=tokens.drop("tokens"))
    spent = (
        got.frame["samples"].to_numpy()
        * tokens["tokens"].to_numpy()
        * np.array([1, 1, 1, 1, 2, 2, 1])
    ).sum()
    assert spent <= 30_000
    assert spent == pytest.approx(got.summary["spend"])
    assert got.frame.filter(pl.col("group") == "zz")["samples"].sum() == 20
    assert got.frame.filter(pl.col("group") == "sw")["samples"].sum() >= 100
    # of groups with a curve and without one: zz has none
    told = r"'en' \(60\), 'zz' \(20\) cost 80 together, .* least budget that would do is 80"
    with pytest.raises(InfeasibleFloors, match=told):
        plan(CELLS, budget=50, objective=MAX_MIN, curves=curves, floors={"en": 60, "zz": 20})


def test_a_gain_that_the_draws_do_not_see_is_called_not_distinguishable():
    same = dict.fromkeys(["x", "y"], (0.9, 1.0, 0.35))
    loose = fit_group_curves(evaluations(0.03, truth=same), draws=80)
    cells = pl.DataFrame({"group": ["x", "y"], "pool": [0, 0], "available": [9000, 8000]})
    keywords = {
        "budget": 2000,
        "objective": {"kind": "weighted_sum"},
        "curves": loose,
        "weights": "equal",
    }
    kept = plan(cells, **keywords)
    assert kept.summary["not_distinguishable"]
    assert "optimum kept" in kept.frame["reason"][0]
    ruled = plan(cells, **keywords, fallback="equal")
    assert ruled.frame["samples"].to_list() == [1000, 1000]
    assert "rule equal" in ruled.frame["reason"][0]


def test_plan_of_least_spend_reaches_its_target(curves):
    got = plan(CELLS, objective={"kind": "min_cost", "level": "raw", "target": 0.55}, curves=curves)
    n = (
        got.frame.filter(pl.col("group") != "zz")
        .group_by("group", maintain_order=True)
        .agg(pl.col("samples").sum())
    )
    for group, count in n.iter_rows():
        i = curves.groups.index(group)
        assert curves.a[i] - curves.b[i] * count ** -curves.p[i] >= 0.55 - 1e-9


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"budget": 0}, "setting budget"),
        ({"objective": {"kind": "max_min"}}, "objective.level"),
        ({"objective": {"kind": "best"}}, "setting objective, kind"),
        ({"objective": {"kind": "weighted_sum"}}, "setting weights"),
        (
            {"objective": {"kind": "weighted_sum"}, "weights": {"en": 1}},
            r"groups \['fr', 'sw', 'zz'\] have none",
        ),
        ({"curves": None}, "needs learning curves"),
        ({"costs": {"xx": 1}}, r"no records of groups \['xx'\]"),
        ({"costs": {"en": 0}}, "group 'en' costs 0"),
    ],
)
def test_settings_that_do_not_fit(curves, change, match):
    with pytest.raises(PlanError, match=match):
        plan(CELLS, **({"budget": 100, "objective": MAX_MIN, "curves": curves} | change))


def test_cells_that_cannot_be_used():
    with pytest.raises(CellsError, match="'available'"):
        plan(CELLS.drop("available"))
    with pytest.raises(CellsError, match="appears twice"):
        plan(pl.concat([CELLS, CELLS.head(1)]))
    with pytest.raises(CellsError, match="no records"):
        plan(CELLS.with_columns(available=pl.lit(0)))
