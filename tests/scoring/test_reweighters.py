from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.kernels.segments import segments
from assets.scoring.protocol import ScoringError
from assets.scoring.reweighters import EveryEpochAnew, InfoBatch, SeTa, loss_weights

N = 200
IDS = pl.Series("id", [f"r#{i}" for i in range(N)])
LOSSES = np.random.default_rng(0).exponential(size=N)


def told(reweighter):
    reweighter.tell(np.arange(N), LOSSES)
    return reweighter


MAKE = {
    "rs2": lambda ids=IDS, seed=0: EveryEpochAnew(ids, 20, 0.3, seed=seed),
    "infobatch": lambda ids=IDS, seed=0: InfoBatch(ids, 20, seed=seed),
    "seta": lambda ids=IDS, seed=0: SeTa(ids, 20, seed=seed),
}


@pytest.mark.parametrize("name", MAKE)
def test_an_epoch_is_the_same_after_a_restart_and_in_any_order(name):
    first = told(MAKE[name]())
    saved = first.state()
    again = MAKE[name]()
    again.restore(saved)
    for number in (3, 7):
        assert np.array_equal(again.epoch(number).rows, first.epoch(number).rows)
        assert np.array_equal(again.epoch(number).weights, first.epoch(number).weights)
    order = np.random.default_rng(1).permutation(N)
    shuffled = MAKE[name](IDS.gather(order))
    shuffled.tell(np.arange(N), LOSSES[order])
    want = set(IDS.gather(first.epoch(5).rows))
    assert set(shuffled.ids.gather(shuffled.epoch(5).rows)) == want
    other = told(MAKE[name](seed=1))
    assert set(IDS.gather(other.epoch(5).rows)) != want
    assert not np.array_equal(first.epoch(5).rows, first.epoch(6).rows)


@pytest.mark.parametrize("share", [0.25, 0.3])
def test_a_cycle_of_rs2_shows_every_record_once(share):
    rs2 = EveryEpochAnew(IDS, 40, share)
    cycle = -(-N // rs2.size)
    for start in (0, cycle):
        shown = np.concatenate([rs2.epoch(start + e).rows for e in range(cycle)])
        assert np.array_equal(np.sort(shown), np.arange(N))
    assert len(rs2.epoch(0).rows) == rs2.size
    again = EveryEpochAnew(IDS, 40, share, replacement=True)
    shown = np.concatenate([again.epoch(e).rows for e in range(cycle)])
    assert len(np.unique(shown)) < N


def expected(reweighter, values, epochs=4_000):
    total = 0.0
    for number in range(epochs):
        epoch = reweighter.epoch(number)
        total += (values[epoch.rows] * epoch.weights).sum()
    return total / epochs


def test_infobatch_keeps_the_expected_gradient_and_seta_does_not():
    gradient = np.random.default_rng(2).normal(size=N) + LOSSES
    whole = gradient.sum()
    infobatch = told(InfoBatch(IDS, 10**6, 0.5))
    spread = np.abs(gradient[LOSSES.mean() > LOSSES])
    error = np.sqrt((spread**2).sum() / 4_000)
    assert abs(expected(infobatch, gradient) - whole) < 4 * error
    assert abs(expected(told(SeTa(IDS, 10**6)), gradient, 500) / whole - 1) > 0.2
    # dropping without the larger weight loses a part of it
    bare = sum(gradient[infobatch.epoch(e).rows].sum() for e in range(500)) / 500
    assert abs(bare - whole) > 10 * error


def test_infobatch_shows_hard_and_unknown_records_and_everything_at_the_end():
    infobatch = InfoBatch(IDS, 16, 0.9)
    assert len(infobatch.epoch(0).rows) == N
    infobatch.tell(np.arange(N - 5), LOSSES[:-5])
    rows = infobatch.epoch(3).rows
    assert set(np.flatnonzero(LOSSES[:-5] >= LOSSES[:-5].mean())) <= set(rows)
    assert set(range(N - 5, N)) <= set(rows)
    assert len(rows) < N
    assert len(infobatch.epoch(14).rows) == N  # 16 x (1 - 0.125) = 14


def test_the_window_of_seta_visits_every_group_and_wraps():
    seta = told(SeTa(IDS, 1_000, 0.0, groups=6, window=0.5))
    group = segments(LOSSES, 6)
    shown = [sorted(set(group[seta.epoch(e).rows])) for e in range(1, 6)]
    assert shown == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 1, 2]]
    assert set(group[seta.epoch(0).rows]) == set(range(6))


@pytest.mark.parametrize("shape", ["linupper", "mid", "upper", "extremes"])
def test_weights_of_a_batch(shape):
    losses = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    weights = loss_weights(losses, 0.4, shape)
    assert weights.sum() == pytest.approx(5)
    assert np.allclose(loss_weights(losses, 1e9, shape), 1)
    assert np.allclose(loss_weights(3 * losses + 7, 0.4, shape), weights)
    want = {"linupper": [3, 4, 2], "mid": [2], "upper": [4], "extremes": [0, 4]}[shape]
    assert set(np.flatnonzero(np.isclose(weights, weights.max()))) == set(want)
    assert np.allclose(loss_weights(np.ones(4), 0.4, shape), 1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: EveryEpochAnew(IDS, 3, 0), "share is 0"),
        (lambda: EveryEpochAnew(IDS, 0, 0.5), "epochs"),
        (lambda: EveryEpochAnew(["a", "a"], 1, 0.5), "distinct ids"),
        (lambda: InfoBatch(IDS, 3, 1.0), "ratio is 1.0"),
        (lambda: SeTa(IDS, 3, groups=0), "groups 0"),
        (lambda: loss_weights(np.ones(2), 0), "temperature is 0"),
        (lambda: loss_weights(np.array([1.0, np.inf])), "not finite"),
        (lambda: loss_weights(np.ones(2), shape="low"), "shape is 'low'"),
        (lambda: told(InfoBatch(IDS, 3)).restore({"losses": np.ones(3)}), "of 3 records"),
        (lambda: InfoBatch(IDS, 3).tell(np.array([0]), np.array([np.nan])), "not finite"),
    ],
)
def test_bad_settings_are_refused(make, match):
    with pytest.raises(ScoringError, match=match):
        make()
