"""Equity-scaled scores, intervals of a change, levelling down, suppression, Fairlearn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.allocation.errors import AllocationError
from assets.allocation.fairness import (
    Change,
    equity_scaled,
    equity_scaled_by_spread,
    group_metrics,
    suppress_small,
)


def test_equity_scaled_scores_match_the_worked_example():
    assert equity_scaled(0.82, [0.8, 0.7, 0.9]) == pytest.approx(0.672131148, abs=1e-9)
    assert equity_scaled_by_spread(0.82, [0.8, 0.7, 0.9]) == pytest.approx(0.745454545, abs=1e-9)
    with pytest.raises(AllocationError, match=r"on 0\.\.1"):
        equity_scaled(82, [80, 70, 90])


def change(gain_best, gain_worst):
    rng = np.random.default_rng(0)
    before = np.array([[0.9], [0.6]]) + rng.normal(0, 0.003, (2, 5))
    after = before + np.array([[gain_best], [gain_worst]]) + rng.normal(0, 0.003, (2, 5))
    return Change(("best", "worst"), before, after)


def test_a_gap_closed_by_hurting_the_best_group_is_called_levelling_down():
    (warning,) = change(-0.1, 0.0).summary()["warnings"]
    assert "levelling down" in warning
    assert "best" in warning
    assert change(0.0, 0.1).summary()["warnings"] == []
    assert change(0.05, -0.05).summary()["warnings"] == []  # the gap grew: another fault


def test_intervals_are_students_and_paired():
    made = change(0.0, 0.05)
    row = made.frame().filter(pl.col("group") == "worst").to_dicts()[0]
    gain = made.after[1] - made.before[1]
    half = 2.7764 * gain.std(ddof=1) / np.sqrt(5)
    assert row["gain_hi95"] - row["gain"] == pytest.approx(half, rel=1e-3)
    with pytest.raises(AllocationError, match="two runs"):
        Change(("a",), np.ones((1, 1)), np.ones((1, 1))).frame()


def test_small_cells_are_blank_and_never_alone():
    frame = pl.DataFrame({"group": ["a", "b", "c"], "rows": [50, 40, 3], "value": [0.1, 0.2, 0.3]})
    out = suppress_small(frame)
    assert out["suppressed"].to_list() == [False, True, True]
    assert out["value"].to_list() == [0.1, None, None]
    assert out["rows"].to_list() == [50, None, None]


def test_group_metrics_come_from_fairlearn():
    pytest.importorskip("fairlearn")
    from sklearn.metrics import accuracy_score

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    group = np.array(["a"] * 200 + ["b"] * 195 + ["c"] * 5)
    predicted = np.where(rng.random(400) < np.where(group == "a", 0.9, 0.6), truth, 1 - truth)
    out = group_metrics({"accuracy": accuracy_score}, truth, predicted, group)
    assert out["suppressed"].to_list() == [False, True, True]
    row = out.to_dicts()[0]
    assert row["accuracy"] == pytest.approx((truth == predicted)[:200].mean())
    assert row["accuracy_lo95"] < row["accuracy"] < row["accuracy_hi95"]
