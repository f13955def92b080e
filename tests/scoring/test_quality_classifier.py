"""The classifier against exact answers: separable and noisy examples, calibration, no record judged by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from assets.scoring.protocol import ScoreBatch, ScoreContext, ScorerState, ScoringError, fit
from assets.scoring.quality_classifier import Examples, QualityClassifier, platt, quality_of

CONTEXT = ScoreContext()


def cloud(seed, rows, shift, dim=8):
    points = np.random.default_rng(seed).normal(size=(rows, dim))
    points[:, 0] += shift
    return points.astype(np.float32)


def fitted(good, bad):
    scorer = QualityClassifier(Examples(good, bad))
    return scorer, fit(scorer, [], CONTEXT)


def scores(scorer, state, vectors):
    batch = ScoreBatch([str(i) for i in range(len(vectors))], embedding=vectors)
    return scorer.score(batch, state).values


def test_good_records_score_higher_and_the_state_says_how_well():
    scorer, state = fitted(cloud(0, 300, 2.0), cloud(1, 300, -2.0))
    good, bad = (
        scores(scorer, state, cloud(2, 200, 2.0)),
        scores(scorer, state, cloud(3, 200, -2.0)),
    )
    assert good.mean() > 0.8
    assert bad.mean() < 0.2
    assert state.meta["auroc"] > 0.9
    assert (state.meta["good"], state.meta["of"]) == (300, 600)
    assert scorer.direction(state) == "high"


def test_probabilities_are_calibrated_where_truth_is_noisy():
    """Labels drawn with a known chance: in each band the mean probability is the share, for new records."""
    rng = np.random.default_rng(5)
    vectors = cloud(6, 6000, 0.0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = 1 / (1 + np.exp(-3 * unit[:, 0]))
    label = rng.random(6000) < truth
    scorer, state = fitted(vectors[:4000][label[:4000]], vectors[:4000][~label[:4000]])
    found = scores(scorer, state, vectors[4000:])
    order = np.argsort(found)
    for band in np.array_split(order, 4):
        spread = 3 * np.sqrt(0.25 / len(band))
        assert abs(found[band].mean() - label[4000:][band].mean()) < spread
    assert state.meta["calibration_error"] < 0.05


def test_noise_is_not_told_apart_and_is_said_to_be():
    """A head that judged its own examples would find them; cross-fitting does not."""
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(120, 64)).astype(np.float32)
    scorer, state = fitted(vectors[:60], vectors[60:])
    assert abs(state.meta["auroc"] - 0.5) < 0.2
    own = scores(scorer, state, vectors)
    assert abs(own[:60].mean() - own[60:].mean()) < 0.15
    direct = LogisticRegression(C=10.0).fit(vectors, np.arange(120) < 60)
    assert (
        direct.score(vectors, np.arange(120) < 60) > 0.8
    )  # the mutant: it has learned them by heart


def test_batches_order_and_storage_change_nothing():
    scorer, state = fitted(cloud(0, 50, 1.0), cloud(1, 60, -1.0))
    vectors = cloud(9, 40, 0.0)
    whole = scores(scorer, state, vectors)
    assert np.array_equal(np.concatenate([scores(scorer, state, v[None]) for v in vectors]), whole)
    again = ScorerState.from_bytes(state.to_bytes())
    assert np.array_equal(scores(scorer, again, vectors), whole)
    order = np.random.default_rng(1).permutation(50)
    other, turned = fitted(cloud(0, 50, 1.0)[order], cloud(1, 60, -1.0)[::-1])
    assert turned.meta["examples"] == state.meta["examples"]
    assert scores(other, turned, vectors) == pytest.approx(whole, abs=1e-6)


def test_records_without_a_vector_get_none():
    scorer, state = fitted(cloud(0, 50, 1.0), cloud(1, 50, -1.0))
    vectors = np.stack([np.zeros(8), np.full(8, np.nan), np.ones(8)]).astype(np.float32)
    column = scorer.score(ScoreBatch(["a", "b", "c"], embedding=vectors), state)
    assert np.isnan(column.values).tolist() == [True, True, False]
    assert column.reasons.to_list() == ["no embedding", "no embedding", None]


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        (cloud(0, 9, 1.0), cloud(1, 30, -1.0), "has 9 good examples"),
        (cloud(0, 30, 1.0), np.zeros((40, 8), np.float32), "has 0 bad examples"),
    ],
)
def test_too_few_examples_name_the_setting(good, bad, told):
    with pytest.raises(ScoringError, match=f"{told}.*scoring.classifier"):
        fitted(good, bad)


def test_no_examples_name_the_setting():
    with pytest.raises(
        ScoringError, match=r"scoring\.classifier \(or --positives and --negatives\)"
    ):
        fit(QualityClassifier(), [], CONTEXT)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), slope=st.floats(0.2, 3.0), offset=st.floats(-2.0, 2.0))
def test_the_sigmoid_that_made_the_labels_is_found(seed, slope, offset):
    """The gradient of the loss vanishes, and a rescaling of the log-odds is undone exactly."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=400) * 2
    good = rng.random(400) < 1 / (1 + np.exp(-(slope * odds + offset)))
    if good.all() or not good.any():
        return
    a, b = platt(odds, good)
    again = platt(3 * odds + 1, good)
    assert 3 * again[0] == pytest.approx(a, abs=2e-3)
    assert again[1] + again[0] == pytest.approx(b, abs=2e-3)
    target = np.where(good, (good.sum() + 1) / (good.sum() + 2), 1 / ((~good).sum() + 2))
    error = 1 / (1 + np.exp(-(a * odds + b))) - target
    assert abs(error.mean()) < 1e-4
    assert a == 0 or abs((error * odds).mean()) < 1e-4


def test_the_slope_never_turns_the_order_round():
    odds = np.linspace(-3, 3, 100)
    slope, offset = platt(odds, odds < 0)
    assert slope == 0
    assert offset == pytest.approx(0, abs=1e-6)


def test_figures_of_quality():
    good = np.array([True] * 50 + [False] * 50)
    perfect = quality_of(good.astype(float), good)
    assert perfect == {"auroc": 1.0, "brier": 0.0, "calibration_error": 0.0}
    blind = quality_of(np.full(100, 0.9), good)
    assert (blind["auroc"], blind["brier"]) == (0.5, pytest.approx(0.41))
    assert blind["calibration_error"] >= 0.4
