"""RDS, LAVA and influence: scores by the target."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from assets.kernels.unit_vectors import SCALE, to_grid
from assets.scoring.got_d import GotD
from assets.scoring.influence import Influence
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from assets.scoring.rds import Rds

CONTEXT = ScoreContext(seed=2)


def batch(vectors, role, label=None):
    label = [None] * len(vectors) if label is None else label
    return ScoreBatch(
        pl.Series("id", [f"{i:032x}" for i in range(len(vectors))]),
        embedding=np.asarray(vectors, dtype=np.float32),
        label=pa.array([None if v is None else str(v) for v in label], pa.string()),
        role=pa.array(role),
    )


def scored(scorer, given):
    return scorer.score(given, fit(scorer, [given], CONTEXT)).values


def unit(vectors):
    return to_grid(np.asarray(vectors, np.float32).astype(np.float16)).astype(float) / SCALE


def clouds(n=300, m=120, dim=10, seed=0, classes=3, flipped=0.15):
    """Train clouds with wrong labels, and a clean target of the same kind."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(dim, classes)))[0].T
    truth = rng.integers(classes, size=n + m)
    rows = centres[truth] + 0.35 * rng.normal(size=(n + m, dim))
    wrong = (rng.random(n + m) < flipped) & (np.arange(n + m) < n)
    label = np.where(wrong, (truth + 1) % classes, truth)
    return rows, ["train"] * n + ["target"] * m, label, wrong


def test_rds_is_the_largest_cosine_to_the_target():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 7))
    role = ["train"] * 40 + ["target"] * 20
    got = scored(Rds(), batch(vectors, role))
    u = unit(vectors)
    assert np.allclose(got, (u @ u[40:].T).max(axis=1), atol=1e-12)
    assert got[40:] == pytest.approx(1.0, abs=1e-3)  # a leaked target record comes first
    # a mean over the target, which rewards its crowded corner, is another ranking
    assert spearmanr(got[:40], (u[:40] @ u[40:].T).mean(axis=1)).statistic < 0.9


def test_got_d_is_the_calibrated_gradient_of_the_transport_cost():
    from assets.kernels.sinkhorn import sinkhorn

    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(24, 4))
    vectors[14:] += 1.0
    given = batch(vectors, ["train"] * 14 + ["target"] * 10)
    scorer = GotD(eps=0.2)
    got = scored(scorer, given)[:14]
    u = unit(vectors)
    costs = 1 - u[:14] @ u[14:].T

    def value(mass):
        return sinkhorn(lambda r: costs[r], mass, np.full(10, 0.1), 0.2, tolerance=1e-10).value

    even = np.full(14, 1 / 14)
    for i in range(0, 14, 3):
        step = np.full(14, -1e-5 / 13)  # a little more of one record, evenly less of the others
        step[i] = 1e-5
        slope = (value(even + step) - value(even - step)) / 2e-5
        assert slope == pytest.approx(got[i], rel=2e-3, abs=2e-4)
    assert got.sum() == pytest.approx(0, abs=1e-3)


def test_got_d_puts_strangers_last_and_a_set_against_itself_is_flat():
    rng = np.random.default_rng(2)
    train = rng.normal(size=(200, 12)) * 0.2
    train[:, 0] += 1
    train[:30] = rng.normal(size=(30, 12))  # strangers
    target = rng.normal(size=(100, 12)) * 0.2
    target[:, 0] += 1
    got = scored(GotD(), batch(np.vstack([train, target]), ["train"] * 200 + ["target"] * 100))
    assert np.median(got[:30]) > np.quantile(got[30:200], 0.99)
    itself = scored(
        GotD(eps=0.01),
        batch(np.vstack([target, target]), ["train"] * 100 + ["target"] * 100),
    )
    assert np.ptp(itself) < np.ptp(got) / 10


def test_got_d_scores_new_records_by_the_same_potential():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(80, 6))
    role = ["train"] * 50 + ["target"] * 30
    given = batch(vectors, role)
    state = fit(GotD(), [given], CONTEXT)
    whole = GotD().score(given, state).values
    assert np.array_equal(GotD().score(given.take(np.array([3])), state).values, whole[[3]])


def exact_effects(rows, label, goals, aims, strength, left_out):
    """Losses of the target after refits without one record, less the loss with all."""

    def head(keep):
        fitted = LogisticRegression(C=strength, fit_intercept=False, max_iter=5_000, tol=1e-10)
        # the penalty stays that of the whole
        return fitted.fit(rows[keep], label[keep])

    def loss(fitted):
        p = fitted.predict_proba(goals)
        return -np.log(p[np.arange(len(goals)), np.searchsorted(fitted.classes_, aims)]).mean()

    everyone = np.ones(len(rows), dtype=bool)
    before = loss(head(everyone))
    found = []
    for i in left_out:
        keep = everyone.copy()
        keep[i] = False
        found.append(loss(head(keep)) - before)
    return np.array(found)


@pytest.mark.parametrize("classes", [2, 3])
def test_influence_agrees_with_leaving_one_out(classes):
    rows, role, label, _ = clouds(n=150, m=80, classes=classes)
    got = scored(Influence(strength=1.0), batch(rows, role, label))
    u = np.column_stack([unit(rows), np.ones(len(rows))])
    picked = np.arange(0, 150, 6)
    exact = exact_effects(u[:150], label[:150], u[150:], label[150:], 1.0, picked)
    assert np.corrcoef(got[picked] / 150, exact)[0, 1] > 0.99
    assert np.polyfit(exact, got[picked] / 150, 1)[0] == pytest.approx(1, abs=0.1)  # and its size
    plain = scored(Influence(strength=1.0, hessian=False), batch(rows, role, label))[picked]
    assert np.corrcoef(plain, exact)[0, 1] < np.corrcoef(got[picked], exact)[0, 1]


def test_influence_finds_wrong_labels_and_values_the_target_itself():
    rows, role, label, wrong = clouds()
    got = scored(Influence(), batch(rows, role, label))
    from sklearn.metrics import roc_auc_score

    assert roc_auc_score(wrong[:300], -got[:300]) > 0.9


def test_influences_of_the_fitted_records_sum_to_the_penalty_only():
    # at the optimum the gradients sum to minus the penalty's: with next to none, to nothing
    rows, role, label, _ = clouds(flipped=0.3)
    got = scored(Influence(strength=1e4), batch(rows, role, label))[:300]
    assert abs(got.sum()) < 0.02 * np.abs(got).sum()


def test_the_solve_is_that_of_the_hessian():
    from assets.scoring.influence import _errors, _fit, _solve

    rows, _, label, _ = clouds(n=60, m=20, dim=3)
    u, weights = _fit(np.asarray(rows, np.float16), label, 2.0)
    penalty = 1 / (2.0 * len(u))

    def objective(flat):
        logits = u @ flat.reshape(weights.shape).T
        top = logits.max(axis=1)
        log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        return (log_sum - logits[np.arange(len(u)), label]).mean() + penalty / 2 * flat @ flat

    # the fit is the optimum of the objective whose Hessian is solved
    assert objective(weights.ravel()) <= minimize(objective, weights.ravel()).fun + 1e-8
    slope = _errors(u[:20] @ weights.T, label[:20]).T @ u[:20] / 20
    found = _solve(u, weights, slope, penalty).ravel()
    step = 1e-4 * found
    gradient = [
        (_errors(u @ w.reshape(weights.shape).T, label).T @ u / len(u)).ravel() + penalty * w
        for w in (weights.ravel() + step, weights.ravel() - step)
    ]
    assert np.allclose((gradient[0] - gradient[1]) / 2e-4, slope.ravel(), atol=1e-6)


@pytest.mark.parametrize("scorer", [Rds(), GotD(), Influence()], ids=lambda s: s.name)
def test_a_side_that_is_missing_is_named(scorer):
    rows, _, label, _ = clouds(n=20, m=10)
    only = batch(rows, ["train"] * 30, label)
    with pytest.raises(ScoringError, match=f"{scorer.name} found no target record"):
        fit(scorer, [only], CONTEXT)
    if scorer.name != "rds":
        with pytest.raises(ScoringError, match=f"{scorer.name} found no train record"):
            fit(scorer, [batch(rows, ["target"] * 30, label)], CONTEXT)


def test_influence_says_what_is_wrong_with_labels():
    rows, role, label, _ = clouds(n=20, m=10)
    with pytest.raises(ScoringError, match="of one class"):
        fit(Influence(), [batch(rows, role, np.zeros(30))], CONTEXT)
    other = np.where(np.array(role) == "target", label + 100, label)
    with pytest.raises(ScoringError, match="no label of the target occurs"):
        fit(Influence(), [batch(rows, role, other)], CONTEXT)
    given = batch(rows, role, label)
    state = fit(Influence(), [given], CONTEXT)
    stranger = batch(rows[:2], role[:2], [77, None])
    reasons = Influence().score(stranger, state).reasons.to_list()
    assert reasons == ["the label is not among those that the head has learned", "no label"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rds(target_rows=0),
        lambda: GotD(eps=0),
        lambda: GotD(sample_rows=1),
        lambda: Influence(strength=0),
        lambda: Influence(target_rows=0),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ScoringError, match="cannot use"):
        make()
