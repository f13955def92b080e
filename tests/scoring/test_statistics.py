from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from assets.scoring.protocol import ScoringError
from assets.scoring.statistics import agreement, correlations, extremes, histogram, keyed_sample

NAN = float("nan")


def test_histogram_accounts_for_every_row():
    values = np.concatenate([np.random.default_rng(0).normal(size=990), [NAN] * 10])
    found = histogram(values)
    assert sum(found["counts"]) + found["missing"] == 1000
    assert found["missing"] == 10
    json.dumps(found, allow_nan=False)
    assert histogram(np.full(5, 2.0))["counts"][20] == 5
    assert histogram(np.full(3, NAN))["mean"] is None


def test_correlations_are_spearmans():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 20, 300).astype(float)
    b = a + rng.normal(size=300) * 5
    a[:20] = NAN
    frame = correlations({"a": a, "b": b, "flat": np.ones(300)})
    want = spearmanr(a[20:], b[20:]).statistic
    row = frame.row(by_predicate=(pl.col("left") == "a") & (pl.col("right") == "b"), named=True)
    assert row["spearman"] == pytest.approx(want, abs=1e-12)
    assert row["rows"] == 280
    assert frame.filter(pl.col("right") == "flat")["spearman"].is_null().all()
    assert correlations({"a": np.array([NAN]), "b": np.array([1.0])})["spearman"][0] is None


def test_agreement_with_itself_its_opposite_and_chance():
    values = np.random.default_rng(0).normal(size=4000)
    ids = [str(i) for i in range(4000)]
    frame = agreement(
        {"a": values, "same": values * 2, "opposite": values},
        {"a": "high", "same": "high", "opposite": "low"},
        ids,
        share=0.25,
    )
    overlap = {(r["left"], r["right"]): r["overlap"] for r in frame.to_dicts()}
    assert overlap[("a", "same")] == 1.0
    assert overlap[("a", "opposite")] == 0.0
    assert abs(overlap[("a", "random")] - 0.25) < 0.06
    with pytest.raises(ScoringError, match="share is 0"):
        agreement({}, {}, [], share=0)


def test_extremes_and_samples_are_free_of_order():
    values = np.array([5.0, NAN, 1.0, 3.0, 3.0, 4.0])
    ids = list("abcdef")
    found = extremes(values, ids, 2)
    assert found["highest"] == ["a", "f"]
    assert found["lowest"][0] == "c"
    order = [3, 1, 5, 0, 4, 2]
    assert extremes(values[order], [ids[i] for i in order], 2) == found
    sample = {ids[i] for i in keyed_sample(ids, 3)}
    assert {[ids[i] for i in order][j] for j in keyed_sample([ids[i] for i in order], 3)} == sample
