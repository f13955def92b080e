from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest

from assets.filtering import utility
from assets.filtering.average import average
from assets.filtering.candidates import list_candidates
from assets.filtering.curves import read_curves
from assets.filtering.plan import make_plan
from assets.filtering.predict import Setting
from assets.filtering.schedule import schedules, table
from assets.filtering.weights import search_shares
from tests.filtering.released import POOLS, SIZE, UTILITY, curves

INF = np.full(4, np.inf)


@pytest.fixture(scope="module")
def exact():
    return average(read_curves(curves(pools=range(4))), law="utility", bootstraps=10)


def released_error(shares, budget):
    at = np.flatnonzero(shares > 0)
    return float(
        utility.mixture_error(
            budget,
            shares[at],
            np.full(len(at), SIZE),
            b=UTILITY["b"][at],
            tau=UTILITY["tau"][at],
            floor=0.1,
            anchor=4e6,
            kappa=1.0,
        )
    )


def test_free_shares_reach_the_best_of_a_fine_grid(exact):
    plans = list_candidates(exact.available, np.arange(4), INF)
    start = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]])
    shares, values = search_shares(exact, plans, start, 256e6)
    steps = [np.array(s) / 20 for s in product(range(21), repeat=4) if sum(s) == 20]
    grid = min(released_error(s, 256e6) for s in steps)
    assert values.min() <= grid + 2e-4
    best = shares[np.argmin(values)]
    assert released_error(best, 256e6) == pytest.approx(values.min(), abs=1e-6)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert ((shares == 0) | (shares >= 0.02 - 1e-12)).all()


def test_free_shares_are_ranked_only_where_a_mixture_was_trained(exact):
    answer = make_plan(exact, 256e6)
    assert {plan["sampling"] for plan in answer["plans"]} == {"by size"}
    free = answer["free_shares"][0]
    assert free["predicted"] < answer["plans"][0]["predicted"]
    assert "not ranked" in free["note"]
    assert free["passes"] == pytest.approx([w * 256e6 / SIZE for w in free["weights"]])
    mixed = curves(pools=range(4)).to_dicts()
    value = released_error(np.array([0.5, 0.5, 0, 0]), 50e6)
    mixed.append(
        {
            "pool": "top10+top20",
            "pool_unique": 2 * SIZE,
            "samples_seen": 50e6,
            "metric_value": value,
        }
    )
    checked = average(read_curves(pl.DataFrame(mixed)), law="utility", bootstraps=10)
    assert make_plan(checked, 256e6)["plans"][0]["sampling"] == "free shares"


def test_a_cap_holds_for_each_pool_of_free_shares(exact):
    answer = make_plan(exact, 100e6, Setting(max_passes=4.0))
    for plan in answer["free_shares"]:
        assert max(plan["passes"]) <= 4.0 + 1e-9


def test_two_phases_draw_what_the_plan_draws(exact):
    plans = list_candidates(exact.available, np.array([POOLS.index(p) for p in POOLS[:4]]), INF)
    row = next(i for i, m in enumerate(plans.members) if m.tolist() == [True, True, True, False])
    order = np.arange(4)
    found = schedules(exact, plans, row, order, 300e6, Setting())
    two = found["two_phase"]["phases"]
    total = np.sum([phase["samples"] for phase in two], axis=0)
    np.testing.assert_allclose(total, 100e6)
    assert two[1]["weights"][0] > 0.7 > two[0]["weights"][0]
    assert two[-1]["passes_after"] == pytest.approx([100e6 / SIZE] * 3)
    assert found["two_phase"]["predicted"] == pytest.approx(found["constant"]["predicted"])
    rows = table(two)
    assert [r["phase"] for r in rows] == [1, 1, 1, 2, 2, 2]
    assert rows[-1]["end"] == 300e6


def test_cooling_starts_flat_ends_by_size_and_keeps_the_cap():
    table_ = pl.concat(
        [
            curves(pools=[0], sizes=(SIZE / 8,), epochs=(1, 2, 4, 8)),
            curves(pools=[1], sizes=(SIZE,), epochs=(1, 2, 4, 8)),
        ]
    )
    ensemble = average(read_curves(table_), law="utility", bootstraps=5)
    for cap in (np.inf, 3.0):
        plans = list_candidates(ensemble.available, np.arange(2), np.full(2, cap))
        row = next(i for i, m in enumerate(plans.members) if m.all())
        found = schedules(ensemble, plans, row, np.arange(2), 2.0 * SIZE, Setting())["cooldown"]
        first, last = found["phases"][0]["weights"], found["phases"][-1]["weights"]
        assert last == pytest.approx([1 / 9, 8 / 9])
        assert first[0] > last[0]
        assert max(found["phases"][-1]["passes_after"]) <= cap * (1 + 1e-9)
