from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from assets.scoring.prototype import Prototype

CONTEXT = ScoreContext()


def mixture(n=2000, d=48, k=8, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(d, k)))[0].T
    label = rng.integers(k, size=n)
    noise = rng.normal(size=(n, d))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    rows = centres[label] + noise * rng.uniform(0.05, 0.9, size=(n, 1))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    truth = 1 - np.einsum("nd,nd->n", rows, centres[label])
    return rows, truth, label


def batch(rows, first=0):
    ids = [f"{i:032x}" for i in range(first, first + len(rows))]
    return ScoreBatch(ids=ids, embedding=np.asarray(rows, dtype=np.float32))


def test_score_is_the_distance_to_the_planted_centre():
    rows, truth, _ = mixture()
    scorer = Prototype(k=8)
    column = scorer.score(batch(rows), fit(scorer, [batch(rows)], CONTEXT))
    assert spearmanr(column.values, truth).statistic > 0.98


def test_rotation_does_not_matter():
    rows, _, _ = mixture()
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(48, 48)))[0]
    scorer = Prototype(k=8)
    a = scorer.score(batch(rows), fit(scorer, [batch(rows)], CONTEXT)).values
    turned = batch(rows @ turn)
    b = scorer.score(turned, fit(scorer, [turned], CONTEXT)).values
    assert spearmanr(a, b).statistic > 0.99


def perceptron_error(ratio, keep, d=60, trials=24):
    """Angle between a teacher and a student fitted on the half of the rows that `keep` names."""
    errors = []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        teacher = rng.normal(size=d)
        rows = rng.normal(size=(int(ratio * d), d))
        margin = rows @ teacher
        order = np.argsort(np.abs(margin))
        half = len(rows) // 2
        chosen = {"hard": order[:half], "easy": order[half:]}[keep]
        # the maximum-margin direction, by a support vector machine without bias
        from sklearn.svm import LinearSVC

        model = LinearSVC(C=1e3, fit_intercept=False, dual=False, max_iter=5000)
        model.fit(rows[chosen], margin[chosen] > 0)
        student = model.coef_[0]
        cosine = student @ teacher / np.linalg.norm(student) / np.linalg.norm(teacher)
        errors.append(np.arccos(cosine) / np.pi)
    return float(np.mean(errors))


def test_auto_takes_the_side_that_wins_in_the_theory():
    for ratio, better, worse in ((2, "easy", "hard"), (20, "hard", "easy")):
        assert perceptron_error(ratio, better) < perceptron_error(ratio, worse)
        rows, _, _ = mixture(n=int(ratio * 48))
        state = fit(Prototype(), [batch(rows)], CONTEXT)
        assert state.meta["keep"] == better
        assert Prototype().direction(state) == ("low" if better == "easy" else "high")


def test_sample_is_the_same_however_it_is_gathered():
    rows, _, _ = mixture()
    scorer = Prototype(k=8, sample_rows=300)
    whole = scorer.summarise([batch(rows)], CONTEXT)
    assert len(whole.arrays["vectors"]) == 300
    parts = [scorer.summarise([batch(rows[i : i + 700], i)], CONTEXT) for i in (1400, 0, 700)]
    merged = scorer.merge(scorer.merge(parts[0], parts[1]), parts[2])
    assert merged.digest() == whole.digest()


def test_target_rows_do_not_move_prototypes():
    rows, _, _ = mixture()
    scorer = Prototype(k=8)
    want = fit(scorer, [batch(rows)], CONTEXT)
    other = ScoreBatch(ids=["t"] * 1, embedding=np.ones((1, 48), np.float32), role="target")
    assert fit(scorer, [batch(rows), other], CONTEXT).digest() == want.digest()


def test_errors_name_the_setting():
    with pytest.raises(ScoringError, match="hardest"):
        Prototype(keep="hardest")
    with pytest.raises(ScoringError, match="no train row with an embedding"):
        fit(Prototype(), [ScoreBatch(ids=["a"])], CONTEXT)
    with pytest.raises(ScoringError, match="Spaces cannot be mixed"):
        fit(Prototype(), [batch(np.ones((2, 4))), batch(np.ones((2, 5)))], CONTEXT)
    with pytest.raises(ScoringError, match="only once it is fitted"):
        Prototype().direction()
    scorer = Prototype(k=2)
    state = fit(scorer, [batch(np.eye(4))], CONTEXT)
    with pytest.raises(ValueError, match="was the embedder changed"):
        scorer.score(batch(np.ones((2, 5))), state)
