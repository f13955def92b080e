"""Equity-scaled scores, intervals of a change, levelling down, suppression, Fairlearn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.allocation.errors import AllocationError
from assets.allocation.fairness import (
    Change,
    equity_scaled,
    equity_scaled_by_spread,
    suppress_cells,
    suppress_small,
)
from assets.allocation.group_metrics import default_metrics, group_metrics


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


def test_a_blank_cell_is_alone_in_no_row_and_no_column():
    people = {
        ("a", "f"): 50,
        ("a", "m"): 40,
        ("a", "x"): 3,
        ("b", "f"): 60,
        ("b", "m"): 70,
        ("b", "x"): 80,
    }
    frame = pl.DataFrame(
        [(*place, n, 0.5) for place, n in people.items()],
        schema=["down", "across", "rows", "value"],
        orient="row",
    )
    out = suppress_cells(frame, "down", "across")
    hidden = set(out.filter("suppressed").select("down", "across").iter_rows())
    # the small one, the next in its row, and then the least in each of their columns
    assert hidden == {("a", "x"), ("a", "m"), ("b", "x"), ("b", "m")}
    assert out.filter("suppressed")["rows"].null_count() == 4
    assert out.filter("suppressed")["value"].null_count() == 4
    assert suppress_cells(frame, "down", "across", least=1)["suppressed"].sum() == 0


@given(st.lists(st.integers(0, 60), min_size=4, max_size=12), st.integers(2, 4))
def test_totals_never_give_a_cell_away(counts, columns):
    places = [(str(i // columns), str(i % columns)) for i in range(len(counts))]
    frame = pl.DataFrame(
        [(*place, n) for place, n in zip(places, counts, strict=True)],
        schema={"down": pl.String, "across": pl.String, "rows": pl.Int64},
        orient="row",
    )
    out = suppress_cells(frame, "down", "across")
    for side in ("down", "across"):
        for part in out.partition_by(side):
            assert part["suppressed"].sum() != 1 or part.height == 1
    small = pl.Series([n < 10 for n in counts])
    assert (out["suppressed"] | ~small).all()


def people():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    group = np.array(["a"] * 200 + ["b"] * 195 + ["c"] * 5)
    right = rng.random(400) < np.where(group == "a", 0.9, 0.6)
    return truth, np.where(right, truth, 1 - truth), group


def test_group_metrics_and_gaps_come_from_fairlearn():
    pytest.importorskip("fairlearn")
    truth, predicted, group = people()
    group[395:] = "a"
    group[100:160] = "c"
    made = group_metrics(default_metrics(truth), truth, predicted, group, draws=60)
    table = made.by_group
    assert table["suppressed"].to_list() == [False, False, False]
    by = {row["group"]: row for row in table.to_dicts()}
    assert by["b"]["accuracy"] == pytest.approx((truth == predicted)[group == "b"].mean())
    assert by["a"]["accuracy_lo95"] < by["a"]["accuracy"] < by["a"]["accuracy_hi95"]
    inside = (group == "b") & (truth == 1)
    assert by["b"]["true positive rate"] == pytest.approx(predicted[inside].mean())
    inside = (group == "b") & (truth == 0)
    assert by["b"]["false positive rate"] == pytest.approx(predicted[inside].mean())
    assert by["b"]["selection rate"] == pytest.approx(predicted[group == "b"].mean())
    gap = made.gaps.filter(pl.col("metric") == "accuracy").to_dicts()[0]
    each = [row["accuracy"] for row in by.values()]
    assert gap["difference"] == pytest.approx(max(each) - min(each))
    assert gap["ratio"] == pytest.approx(min(each) / max(each))
    assert gap["group_min"] == pytest.approx(min(each))
    assert gap["overall"] == pytest.approx((truth == predicted).mean())
    assert gap["difference_lo95"] < gap["difference"] < gap["difference_hi95"] + 0.05


def test_a_small_group_is_suppressed_and_is_in_no_gap():
    pytest.importorskip("fairlearn")
    truth, predicted, group = people()
    predicted[395:] = 1 - truth[395:]  # the small group is wrong throughout
    made = group_metrics(
        {"accuracy": default_metrics(["x"])["accuracy"]}, truth, predicted, group, draws=20
    )
    assert made.by_group["suppressed"].to_list() == [
        False,
        True,
        True,
    ]  # one alone could be told from a total
    assert made.by_group["accuracy"].null_count() == 2
    assert made.gaps["group_min"].to_list() == made.gaps["group_max"].to_list()


def test_without_fairlearn_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("assets.allocation.group_metrics.find_spec", lambda _: None)
    with pytest.raises(AllocationError, match=r"pip install 'sluice\[fairness\]'"):
        group_metrics({}, [0], [0], ["a"])
