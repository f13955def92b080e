"""What the card is told: settings as words, warnings of every budget, bands no further than they reach."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from assets.publication.facts import _policy, _warnings
from assets.publication.frames import group_bands, switch_points


def test_settings_are_written_for_people() -> None:
    stated = {
        "by": "language",
        "floors": {"am": 4, "hi": 20},
        "groups": ["a", "b"],
        "caps": {},
        "level": None,
        "policy": {"owner": "council", "reason": "the weakest first"},
    }
    assert _policy(stated) == {
        "by": "language",
        "floors": "am 4, hi 20",
        "groups": "a, b",
        "owner": "council",
        "reason": "the weakest first",
    }


def _analysis(*budgets: tuple[int | None, list[str]]) -> list[dict[str, Any]]:
    return [
        {
            "budget": budget,
            "answer": json.dumps(
                {"warnings": [{"code": one, "message": one, "remedy": "run"} for one in codes]}
            ),
        }
        for budget, codes in budgets
    ]


def test_warnings_of_other_budgets_are_told_once_with_their_budget() -> None:
    analysis = _analysis((8_000, ["floor"]), (32_000, ["floor", "far"]))
    assert [one["message"] for one in _warnings(analysis, 0, "records")] == [
        "floor",
        "for a budget of 32,000 records: far",
    ]
    assert [one["message"] for one in _warnings(analysis, 1, "records")] == ["floor", "far"]
    assert _warnings([], 0, "records") == []
    assert [one["code"] for one in _warnings(_analysis((None, ["few"])), 0, "tokens")] == ["few"]


def test_switch_points_are_in_the_unit_of_budgets() -> None:
    answer = {"switch_points": [{"samples": 100.0, "from": ["0"], "to": ["0", "1"]}]}
    assert switch_points(answer, 62.5).rows() == [(6_250.0, "0", "0+1")]


def test_a_band_reaches_from_what_was_measured_to_what_was_given() -> None:
    fits = [
        {"group": "a", "a": 1.0, "b": 2.0, "p": 0.5, "rmse": 0.1},
        {"group": "without a fit", "a": None, "b": None, "p": None, "rmse": None},
        {"group": "without a size", "a": 1.0, "b": 2.0, "p": 0.5, "rmse": None},
    ]
    curves = pl.DataFrame({"group": ["a", "a"], "samples_seen": [16, 64]})
    allocation = pl.DataFrame({"group": ["a", "a", "b", None], "samples": [90_000, 10_000, 0, 7]})
    bands = group_bands({"curves": json.dumps(fits)}, curves, allocation)
    assert set(bands["group"]) == {"a"}
    assert bands["samples"].min() == pytest.approx(16.0)
    assert bands["samples"].max() == pytest.approx(100_000.0)
    first = bands.sort("samples").row(0, named=True)
    assert first["performance"] == pytest.approx(0.5)
    assert first["hi80"] - first["performance"] == pytest.approx(0.12816)
    assert group_bands({"curves": None}, curves, allocation).is_empty()
