"""LAVA and GOT-D: calibrated gradients of transport, with and without labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from assets.kernels.sinkhorn import sinkhorn
from assets.scoring.got_d import GotD
from assets.scoring.label_distances import label_distances
from assets.scoring.lava import Lava
from assets.scoring.protocol import ScoringError, fit
from tests.scoring.test_against_target import CONTEXT, batch, clouds, scored, unit


def entropic(a, b, eps):
    costs = 1 - a @ b.T
    masses = [np.full(n, 1 / n) for n in costs.shape]
    return sinkhorn(lambda rows: costs[rows], *masses, eps, tolerance=1e-9).value


def divergence(a, b, eps):
    return entropic(a, b, eps) - (entropic(a, a, eps) + entropic(b, b, eps)) / 2


def test_distances_of_labels_are_sinkhorn_divergences():
    from assets.kernels.unit_vectors import to_grid

    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(n, 4)) + shift for n, shift in ((5, 0), (9, 1), (1, 2), (7, -1))]
    grids = [to_grid(s) for s in sets]
    units = [g.astype(float) / 4000 for g in grids]
    got, error = label_distances(grids[:2], grids, 0.1)
    assert error < 1e-3
    want = [[divergence(a, b, 0.1) for b in units] for a in units[:2]]
    assert np.allclose(got, np.maximum(want, 0), atol=2e-4)
    assert np.allclose(np.diag(got[:, :2]), 0, atol=1e-6)  # a cloud is at no distance from itself
    assert (got >= 0).all()


def test_lava_is_the_calibrated_gradient_with_labels_in_the_cost():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(26, 4))
    label = np.array([0, 1] * 13)
    vectors[label == 1] += 0.7
    role = ["train"] * 14 + ["target"] * 12
    got = scored(Lava(eps=0.2, label_weight=2.0), batch(vectors, role, label))[:14]
    u = unit(vectors)
    sides = [[u[:14][label[:14] == k] for k in (0, 1)], [u[14:][label[14:] == k] for k in (0, 1)]]
    far = np.array([[max(divergence(a, b, 0.1), 0) for b in sides[1]] for a in sides[0]])
    costs = 1 - u[:14] @ u[14:].T + 2 * far[label[:14]][:, label[14:]]

    def value(mass):
        return sinkhorn(lambda r: costs[r], mass, np.full(12, 1 / 12), 0.2, tolerance=1e-10).value

    even = np.full(14, 1 / 14)
    for i in range(0, 14, 3):
        step = np.full(14, -1e-5 / 13)
        step[i] = 1e-5
        slope = (value(even + step) - value(even - step)) / 2e-5
        assert slope == pytest.approx(got[i], rel=5e-3, abs=5e-4)
    assert got.sum() == pytest.approx(0, abs=2e-3)


def test_wrong_labels_are_found_by_lava_and_not_by_got_d():
    rows, role, label, wrong = clouds(n=400, m=150)
    given = batch(rows, role, label)
    found = {s.name: roc_auc_score(wrong[:400], scored(s, given)[:400]) for s in (Lava(), GotD())}
    assert found["lava"] > 0.9
    assert 0.4 < found["got_d"] < 0.6


def test_names_of_labels_have_no_influence_even_between_the_sides():
    rows, role, label, _ = clouds(n=200, m=100, flipped=0.1)
    want = scored(Lava(), batch(rows, role, label))[:200]
    other = np.where(np.array(role) == "target", label + 10, label)
    assert np.allclose(scored(Lava(), batch(rows, role, other))[:200], want, atol=1e-9)


def test_without_weight_lava_is_got_d():
    rows, role, label, _ = clouds(n=80, m=40)
    given = batch(rows, role, label)
    assert np.allclose(scored(Lava(label_weight=0), given), scored(GotD(), given), atol=1e-12)


def test_rows_without_a_known_label_say_so():
    rows, role, label, _ = clouds(n=60, m=30)
    state = fit(Lava(), [batch(rows, role, label)], CONTEXT)
    stranger = batch(np.vstack([rows[:2], rows[:1] * np.nan]), role[:3], [77, None, 1])
    told = Lava().score(stranger, state).reasons.to_list()
    assert told == ["the label is not among those of the train records", "no label", "no embedding"]
    with pytest.raises(ScoringError, match="a vector and a label"):
        fit(Lava(), [batch(rows, role)], CONTEXT)
    for settings in ({"label_weight": -1}, {"label_rows": 0}, {"label_eps": 0.001}):
        with pytest.raises(ScoringError, match="cannot use"):
            Lava(**settings)


@pytest.mark.parametrize("kind", [GotD, Lava])
def test_a_transport_that_has_not_converged_says_how_far_it_is_and_what_to_raise(kind):
    rng = np.random.default_rng(0)
    vectors = np.eye(12)[rng.integers(12, size=100)] + 0.01 * rng.normal(size=(100, 12))
    given = batch(vectors, ["train"] * 60 + ["target"] * 40, rng.integers(2, size=100))
    short, whole = (fit(kind(rounds=rounds), [given], CONTEXT) for rounds in (4, 500))
    assert whole.warnings == []
    (told,) = short.warnings
    assert f"{kind.name}.rounds" in told
    assert "in 4 rounds" in told
    assert f"{short.meta['error']:.2g}" in told
    values = [kind(rounds=r).score(given, s).values for r, s in ((4, short), (500, whole))]
    assert np.isfinite(values[0][:60]).all()
    assert not np.array_equal(values[0], values[1])


def test_distances_of_labels_that_still_move_are_told(monkeypatch):
    from assets.scoring import label_distances as module

    monkeypatch.setattr(module, "ROUNDS", 1)
    rng = np.random.default_rng(2)
    given = batch(rng.normal(size=(40, 4)), ["train"] * 20 + ["target"] * 20, [0, 1] * 20)
    (told,) = fit(Lava(), [given], CONTEXT).warnings
    assert "lava.label_eps" in told


def test_no_rounds_are_refused():
    with pytest.raises(ScoringError, match="rounds=0"):
        GotD(rounds=0)
