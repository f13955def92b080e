from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from assets.kernels.unit_vectors import SCALE, to_grid, to_stored_grid
from assets.scoring import linear_head
from assets.scoring.difficulty import El2n, Entropy, Loss, Margin
from assets.scoring.linear_head import LabelledSample, fit_heads, vector_hashes
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from assets.scoring.samples import class_places

CONTEXT = ScoreContext()
ALL = [El2n, Entropy, Loss, Margin]


def blobs(n=600, classes=4, dim=12, noise=0.25, flipped=0.1, seed=0):
    """Labelled clouds; a share of the labels is wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    centres = np.linalg.qr(rng.normal(size=(dim, classes)))[0].T
    rows = (centres[truth] + noise * rng.normal(size=(n, dim))).astype(np.float32)
    wrong = rng.random(n) < flipped
    label = np.where(wrong, (truth + rng.integers(1, classes, size=n)) % classes, truth)
    return rows, label, wrong


def batch(rows, label, first=0):
    return ScoreBatch(
        [f"{i:032x}" for i in range(first, first + len(rows))],
        label=pa.array([None if v is None else f"class {v}" for v in label], pa.string()),
        embedding=np.asarray(rows, dtype=np.float32),
    )


def scores(kind, rows, label, **settings):
    scorer = kind(**settings)
    given = batch(rows, label)
    return scorer.score(given, fit(scorer, [given], CONTEXT)).values


def test_formulas_on_given_probabilities():
    p = np.array([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0]])
    own = np.array([1, 2, 1])
    want = np.linalg.norm(p - np.eye(3)[own], axis=1)
    assert np.allclose(El2n().measure(p, own), want)
    assert El2n().measure(p, own)[1] == pytest.approx(np.sqrt(1 - 1 / 3))  # uniform: sqrt(1 - 1/C)
    assert np.allclose(Loss().measure(p, own), [-np.log(0.2), np.log(3), 0])
    assert np.allclose(Margin().measure(p, own), [-0.5, 0, 1])
    plain = [sum(-v * np.log(v) for v in row if v) for row in p]
    assert np.allclose(Entropy().measure(p, own), plain)
    assert El2n().measure(np.array([[1.0, 0.0]]), np.array([1]))[0] == pytest.approx(np.sqrt(2))
    assert np.isfinite(Loss().measure(np.array([[1.0, 0.0]]), np.array([1]))).all()


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_are_those_of_a_classifier_without_the_fold(classes):
    rows, label, _ = blobs(200, classes=classes)
    labels = label.astype(np.uint64) * 7
    heads = fit_heads(LabelledSample(rows, labels), 3, 10.0)
    got = heads.probabilities(rows)
    fold = vector_hashes(to_grid(rows)) % np.uint64(3)
    unit = to_grid(rows).astype(float) / SCALE
    for k in range(3):
        plain = LogisticRegression(C=10.0, max_iter=1000).fit(unit[fold != k], labels[fold != k])
        assert np.allclose(got[fold == k], plain.predict_proba(unit[fold == k]), atol=2e-3)
    assert np.allclose(got.sum(axis=1), 1)


def test_no_record_is_judged_by_a_head_that_learned_from_it():
    # on pure noise a head that has seen a record prefers its label; one that has not does not
    rng = np.random.default_rng(1)
    rows, label = rng.normal(size=(300, 150)), rng.integers(2, size=300)
    honest = scores(Margin, rows, label)
    assert abs(honest.mean()) < 0.1  # 0 but for chance
    grid = to_grid(rows.astype(np.float32)) / SCALE
    memory = LogisticRegression(C=10.0).fit(grid, label).predict_proba(grid)
    own = memory[np.arange(300), label]
    assert (2 * own - 1).mean() > 0.3
    twice = np.concatenate([rows, rows])  # copies are in one fold, so they teach nothing either
    assert abs(scores(Margin, twice, np.concatenate([label, label]))[:300].mean()) < 0.1


@pytest.mark.parametrize("kind", [El2n, Loss, Margin])
def test_flipped_labels_are_found(kind):
    rows, label, wrong = blobs()
    value = scores(kind, rows, label)
    assert roc_auc_score(wrong, value if kind.hard == "high" else -value) > 0.95


def test_entropy_is_of_the_record_not_of_its_label():
    rows, label, _ = blobs(flipped=0)
    other = label.copy()
    scorer = Entropy()
    state = fit(scorer, [batch(rows, label)], CONTEXT)
    other[0] = (label[0] + 1) % 4
    got = [scorer.score(batch(rows, labels), state).values for labels in (label, other)]
    assert np.array_equal(*got)
    between = (rows[label == 0].mean(axis=0) + rows[label == 1].mean(axis=0)) / 2
    column = scorer.score(batch([between, rows[label == 0].mean(axis=0)], [0, 0]), state)
    assert column.values[0] > column.values[1]


@pytest.mark.parametrize("kind", ALL)
def test_names_of_classes_and_scale_do_not_matter(kind):
    rows, label, _ = blobs(200)
    want = scores(kind, rows, label)
    renamed = np.array([9, 3, 5, 1])[label]
    assert np.allclose(scores(kind, rows, renamed), want, atol=2e-3)  # another order for the solver
    assert np.array_equal(scores(kind, rows * 4, label), want)


@pytest.mark.parametrize("kind", ALL)
def test_every_row_without_a_score_says_why(kind):
    rows, label, _ = blobs(300)
    labels = [*label.tolist(), 1, None, 77, 1]
    rows = np.concatenate([rows, [rows[0] * np.nan], rows[1:3], np.zeros((1, 12))])
    given = batch(rows, labels)
    scorer = kind()
    column = scorer.score(given, fit(scorer, [given], CONTEXT))
    unknown = "the label is not among those that the head has learned from other records"
    told = ["no embedding", "no label", unknown, "no embedding"]
    assert column.reasons.to_list()[300:] == told
    assert np.isnan(column.values[300:]).all()
    assert np.isfinite(column.values[:300]).all()
    bare = scorer.score(ScoreBatch(["x"]), fit(scorer, [given], CONTEXT))
    assert bare.reasons.to_list() == ["no embedding"]


def test_one_head_serves_all_four(monkeypatch):
    rows, label, _ = blobs(150, seed=5)
    linear_head.fit_heads.cache_clear()
    for kind in ALL:
        scores(kind, rows, label)
    assert linear_head.fit_heads.cache_info().misses == 1
    scores(El2n, rows, label[::-1].copy())
    assert linear_head.fit_heads.cache_info().misses == 2


def test_the_sample_is_bounded_and_by_id():
    rows, label, _ = blobs(400)
    scorer = El2n(sample_rows=100)
    parts = [batch(rows[i : i + 50], label[i : i + 50], i) for i in range(0, 400, 50)]
    whole = scorer.summarise(parts, CONTEXT)
    assert len(whole.arrays["words"]) == 100
    assert scorer.summarise(parts[::-1], CONTEXT).digest() == whole.digest()


def test_what_keep_means():
    assert (El2n().direction(), Margin().direction()) == ("high", "low")
    assert (El2n(keep="easy").direction(), Margin(keep="easy").direction()) == ("low", "high")


@pytest.mark.parametrize("kind", ALL)
def test_what_cannot_be_is_refused(kind):
    rows, _, _ = blobs(50)
    with pytest.raises(ScoringError, match=f"{kind.name}: the labels are of one class"):
        scores(kind, rows, np.zeros(50, dtype=int))
    with pytest.raises(ScoringError, match="no train row with a vector and a label"):
        scores(kind, rows, [None] * 50)
    with pytest.raises(ScoringError, match="only one class is left"):
        scores(kind, rows, np.array([1] + [0] * 49))
    with pytest.raises(ScoringError, match="keep hard or easy"):
        kind(keep="best")
    with pytest.raises(ScoringError, match="strength"):
        kind(strength=0)


@pytest.mark.parametrize("classes", [2, 9, 20])
def test_probabilities_of_few_classes_are_those_of_a_matrix_product_bit_for_bit(classes):
    rng = np.random.default_rng(classes)
    rows = rng.normal(size=(300, 40)).astype(np.float32)
    rows[7], rows[8] = 0, np.nan
    labels = rng.integers(classes, size=300).astype(np.uint64) + np.uint64(1)
    heads = fit_heads(LabelledSample(rows[9:], labels[9:]), 3, 1.0)
    grid = to_grid(rows)
    want = np.full((300, classes), np.nan)
    linear_head._many_classes(heads, grid, want)
    got = np.empty_like(want)
    linear_head._few_classes(heads, grid, got)
    assert np.array_equal(got, want, equal_nan=True)
    assert np.isnan(got[7:9]).all()
    assert np.isfinite(np.delete(got, [7, 8], axis=0)).all()
    stored = heads.probabilities_as_stored(rows)
    assert np.array_equal(stored, heads.probabilities_of(to_stored_grid(rows)), equal_nan=True)


def test_places_among_classes_are_those_of_a_search():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 7, 8, 100):
        classes = np.unique(rng.integers(2**64, size=size, dtype=np.uint64))
        assert np.array_equal(class_places(classes, classes), np.arange(len(classes)))
        others = rng.integers(2**64, size=500, dtype=np.uint64)
        places = class_places(classes, others)
        assert ((places >= 0) & (places < len(classes))).all()
        assert np.array_equal(classes[places] == others, np.isin(others, classes))
    assert len(class_places(classes, classes[:0])) == 0
