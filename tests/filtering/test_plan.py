from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from assets.filtering.analyse import analyse
from assets.filtering.average import average
from assets.filtering.candidates import PlanError, list_candidates
from assets.filtering.curves import read_curves
from assets.filtering.frontier import switch_points
from assets.filtering.plan import make_plan
from assets.filtering.predict import Setting
from tests.filtering.released import POOLS, SIZE, curves

FOUR = range(4)


@pytest.fixture(scope="module")
def exact():
    return average(read_curves(curves(pools=FOUR)), law="utility", bootstraps=10)


@pytest.mark.parametrize(
    ("law", "form", "points"),
    [
        ("utility", "code", (102e6, 1098e6)),
        ("utility", "paper", (82e6, 992e6)),
        ("saturation", "paper", (68e6, 346e6)),
    ],
)
def test_switch_points_of_nested_plans(law, form, points):
    ensemble = average(read_curves(curves(law, form, pools=FOUR)), law=law, form=form, bootstraps=5)
    found = switch_points(ensemble, 20e6, 1.5e9, Setting(nested_only=True))[:2]
    for item, expected in zip(found, points, strict=True):
        # the published figures are on a grid of 2M samples
        assert abs(item["samples"] - expected) <= 2e6
    assert [len(item["to"]) for item in found] == [2, 3]


def test_best_plan_and_golden_prediction(exact):
    for budget, count, value in (
        (32e6, 1, 0.8296401063147294),
        (640e6, 2, 0.6436486333692982),
        (1280e6, 3, 0.6288638436640295),
    ):
        plan = make_plan(exact, budget, Setting(nested_only=True))["plans"][0]
        assert plan["pools"] == sorted(POOLS[:count])
        assert plan["predicted"] == pytest.approx(value, rel=1e-7)
        assert plan["passes"] == pytest.approx([budget / SIZE / count] * count)
        assert plan["p_best"] == 1.0


def test_all_subsets_are_never_worse_than_nested(exact):
    for budget in (50e6, 300e6, 900e6, 4e9):
        nested = make_plan(exact, budget, Setting(nested_only=True))["plans"][0]
        free = make_plan(exact, budget)["plans"][0]
        assert free["predicted"] <= nested["predicted"] + 1e-12


def test_candidates_are_all_subsets_once_nested_first():
    order = np.array([2, 0, 1])
    found = list_candidates(np.array([1.0, 2.0, 3.0]), order, np.full(3, np.inf))
    assert len(found.members) == 7
    assert len({row.tobytes() for row in found.members}) == 7
    assert found.members[:3].tolist() == [
        [False, False, True],
        [True, False, True],
        [True, True, True],
    ]
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0)
    assert len(list_candidates(np.ones(13), np.arange(13), np.full(13, np.inf)).members) < 60


def test_ties_go_to_fewer_repeats():
    table = curves(pools=[0], sd=0.002, seed=1)
    twin = table.with_columns(pool=pl.lit("twin"))
    ensemble = average(
        read_curves(pl.concat([table, twin])), law="utility", kappa=0.0, bootstraps=50
    )
    plan = make_plan(ensemble, 20e6)["plans"][0]
    assert plan["pools"] == ["top10", "twin"]


def test_cap_leaves_budget_unspent_rather_than_forcing_it(exact):
    result = make_plan(exact, 200e6, Setting(max_passes=4.0))
    used = {tuple(p["pools"]): p for p in result["plans"]}
    assert all(max(p["passes"]) <= 4.0 + 1e-9 for p in result["plans"])
    assert used[("top10",)]["samples"] == pytest.approx(4 * SIZE)
    with pytest.raises(PlanError, match="max_passes is 4"):
        make_plan(exact, 16.1 * SIZE, Setting(max_passes=4.0))
    with pytest.raises(PlanError, match="not a positive number"):
        make_plan(exact, 0.0)


def test_a_pool_that_overfits_is_capped():
    table = curves(pools=[0, 1], epochs=(1, 2, 4, 8))
    rising = table.with_columns(
        metric_value=pl.when((pl.col("pool") == "top10") & (pl.col("samples_seen") > 5 * SIZE))
        .then(0.95)
        .otherwise("metric_value")
    )
    result = analyse(rising, law="utility", budget=20 * SIZE, bootstraps=20)
    assert "rising_error" in {w["code"] for w in result["warnings"]}
    for plan in result["plans"]:
        if "top10" in plan["pools"]:
            assert plan["passes"][plan["pools"].index("top10")] <= 4.0 + 1e-9


def test_baselines_are_always_printed_and_losses_said(exact):
    result = make_plan(exact, 640e6)
    assert set(result["baselines"]) == {
        "all_data",
        "rs2",
        "best_single_pool",
        "fixed_top_30_percent",
        "single_scale_ranking",
    }
    assert result["baselines"]["all_data"]["pools"] == sorted(POOLS[:4])
    assert result["baselines"]["best_single_pool"]["pools"] == ["top10"]
    assert result["plans"][0]["predicted"] <= min(
        b["predicted"] for b in result["baselines"].values()
    )
    small = make_plan(exact, 32e6)
    assert "best_single_pool" in small["beats_baselines"]["same_as"]


def test_marginal_values(exact):
    result = make_plan(exact, 640e6, Setting(nested_only=True))
    following = result["marginal"]["next_pool"]
    assert following["pool"] == "top30"
    assert following["error_change"] == pytest.approx(
        0.6507311704430303 - 0.6436486333692982, rel=1e-5
    )
    assert abs(following["pays_from_samples"] - 991e6) < 3e6
    assert result["marginal"]["compute"] < 0
    assert result["marginal"]["unique_data"]["top10"] < 0


def test_disagreeing_laws_are_flagged():
    result = analyse(curves(pools=FOUR, sd=0.003, seed=3), budget=640e6, bootstraps=60)
    assert result["laws_disagree"]["flag"] == (
        "laws_disagree" in {w["code"] for w in result["warnings"]}
    )
    assert result["laws_disagree"]["largest_regret"] >= 0


def test_decisions_off_the_crossovers():
    right = {32e6: 1, 64e6: 1, 256e6: 2, 640e6: 2, 2560e6: 3}
    hits = dict.fromkeys(right, 0)
    for seed in range(20):
        table = curves(pools=FOUR, sd=0.003, seed=seed)
        ensemble = average(read_curves(table), law="utility", bootstraps=20, floor=0.1, anchor=4e6)
        for budget, count in right.items():
            plan = make_plan(ensemble, budget, Setting(nested_only=True))["plans"][0]
            hits[budget] += len(plan["pools"]) == count
    assert all(count >= 19 for count in hits.values()), hits


def test_pool_sizes_of_the_lake_set_the_passes():
    result = analyse(
        curves(pools=[0, 1]),
        law="utility",
        budget=640e6,
        bootstraps=5,
        pool_sizes={"top10": 640e6, "top20": 640e6},
    )
    assert result["plans"][0]["pools"] == ["top10"]
    assert result["plans"][0]["passes"] == [1.0]
    with pytest.raises(ValueError, match="top20"):
        analyse(curves(pools=[0, 1]), law="utility", bootstraps=5, pool_sizes={"top10": 1e6})


def test_json_shape_and_repeatability():
    table = curves(pools=FOUR, sd=0.002)
    points = pl.DataFrame(
        {
            "pools": ["top10", "top10+top20"],
            "samples_seen": [200e6, 300e6],
            "weights": [None, "0.75+0.25"],
        }
    )
    first = analyse(table, budget=300e6, predict=points, bootstraps=40)
    again = analyse(
        table.sample(fraction=1.0, shuffle=True, seed=3),
        budget=300e6,
        predict=points,
        bootstraps=40,
    )
    assert json.dumps(first) == json.dumps(again)
    assert {"laws", "plans", "switch_points", "predictions", "baselines", "warnings"} <= set(first)
    entry = first["laws"]["utility"]
    assert set(entry["shared"]) >= {"floor", "anchor"}
    assert set(entry["pools"]["top10"]) >= {"b", "tau", "b_interval", "tau_interval"}
    assert {"power", "data_constrained", "saturation"} <= set(first["laws"])
    for plan in first["plans"]:
        assert set(plan) >= {
            "pools",
            "weights",
            "passes",
            "predicted",
            "interval80",
            "interval90",
            "p_best",
            "regret",
        }
        assert (
            plan["interval90"][0]
            <= plan["interval80"][0]
            <= plan["predicted"]
            <= plan["interval80"][1]
        )
    for point in first["predictions"]:
        assert (
            point["lo90"] <= point["lo80"] <= point["predicted"] <= point["hi80"] <= point["hi90"]
        )


def test_accuracy_is_the_mirror_image_of_error():
    table = curves(pools=FOUR, sd=0.002)
    flipped = table.with_columns(
        metric_value=1.0 - pl.col("metric_value"), direction=pl.lit("higher")
    )
    one = analyse(table, law="utility", budget=300e6, bootstraps=20)
    two = analyse(flipped, law="utility", budget=300e6, bootstraps=20)
    assert one["plans"][0]["pools"] == two["plans"][0]["pools"]
    assert two["plans"][0]["predicted"] == pytest.approx(1 - one["plans"][0]["predicted"], rel=1e-6)
    low, high = two["plans"][0]["interval80"]
    assert low <= two["plans"][0]["predicted"] <= high
