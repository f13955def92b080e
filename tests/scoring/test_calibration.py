from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.scoring.calibration import (
    NO_RANKS,
    Calibration,
    contents_identity,
    drift_since,
    worst,
)
from assets.scoring.combine import Borda
from assets.scoring.flow import silence_counts
from assets.scoring.protocol import ScorerState

NAN = float("nan")


def ranks(**columns):
    directions = dict.fromkeys(columns, "high")
    return Borda().fit_ranks([{n: np.asarray(v, float) for n, v in columns.items()}], directions)


def calibration(value=1.0, target="t"):
    state = ScorerState("dsir", 2, {"seed": 3}, {"w": np.array([value, 2.0])})
    return Calibration({"dsir": state, "borda": ranks(dsir=[1, 2, 3])}, target, "it is the first")


def test_it_is_read_back_as_it_was_written():
    first = calibration()
    again = Calibration.from_frame(first.to_frame())
    assert again.identity == first.identity
    assert again.reason == "it is the first"
    assert not again.renewed
    assert np.array_equal(again.states["dsir"].arrays["w"], [1.0, 2.0])
    assert first.to_frame()["calibration"].unique().to_list() == [first.identity]


def test_its_name_changes_with_a_state_and_with_the_target_and_with_nothing_else():
    names = {
        calibration().identity,
        calibration(value=1.5).identity,
        calibration(target="u").identity,
    }
    assert len(names) == 3
    drifted = Calibration(calibration().states, "t", "another reason", drift={"dsir": 0.2})
    assert drifted.identity == calibration().identity


def test_drift_is_the_distance_of_distributions():
    fitted = ranks(a=np.arange(100.0), b=np.arange(100.0))
    fitted = Calibration({"borda": fitted}, "t", "it is the first")
    same = drift_since(fitted, {"a": np.arange(100.0)[::-1], "b": np.arange(100.0)})
    assert same == {"a": 0.0, "b": 0.0}
    moved = drift_since(fitted, {"a": np.arange(100.0) + 25, "b": np.arange(100.0)})
    assert moved["a"] == pytest.approx(0.25)
    assert worst(moved) == ("a", moved["a"])
    assert worst({}) == ("", 0.0)


def test_a_score_that_falls_silent_has_drifted():
    """A wrong measure looks at the values that are left, whose distribution is the same."""
    fitted = Calibration({"borda": ranks(a=np.tile([1.0, 2.0], 50))}, "t", "it is the first")
    now = np.tile([1.0, 2.0, NAN, NAN], 25)
    assert drift_since(fitted, {"a": now})["a"] == pytest.approx(0.5)


def test_where_no_scorer_can_run_nothing_drifts():
    nothing = Calibration({"borda": NO_RANKS}, "t", "it is the first")
    assert nothing.combined == set()
    assert drift_since(nothing, {"redundancy": np.array([0.5])}) == {}
    assert Calibration.from_frame(nothing.to_frame()).identity == nothing.identity
    assert calibration().combined == {"dsir"}


def test_contents_are_a_set():
    one = contents_identity(pl.Series(["b", "a", "a"]))
    assert one == contents_identity(pl.Series(["a", "b"]))
    assert one != contents_identity(pl.Series(["a", "c"]))


def test_silences_are_counted_by_scorer_and_reason():
    said = [
        "dsir: no text | heuristics: language am",
        None,
        "heuristics: language am",
        "dsir: a: b",
    ]
    frame = pl.DataFrame({"silent": said})
    assert silence_counts(frame) == [
        ("dsir", "a: b", 1),
        ("dsir", "no text", 1),
        ("heuristics", "language am", 2),
    ]
    assert silence_counts(pl.DataFrame({"silent": [None]}, schema={"silent": pl.String})) == []
