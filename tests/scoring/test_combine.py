from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from assets.scoring.combine import COMBINERS, Borda, ReciprocalRank, Topsis
from assets.scoring.protocol import ScorerState, ScoringError

NAN = float("nan")
column = st.lists(st.one_of(st.integers(-4, 4).map(float), st.just(NAN)), min_size=12, max_size=12)


def oracle(columns, directions):
    """Average ranks by scipy, then the mean over the votes that a row has."""
    votes = []
    for name, values in columns.items():
        values = np.asarray(values)
        rank = np.full(len(values), NAN)
        present = ~np.isnan(values)
        rank[present] = (rankdata(values[present]) - 0.5) / max(present.sum(), 1)
        votes.append(1 - rank if directions[name] == "low" else rank)
    total = np.array(votes)
    count = (~np.isnan(total)).sum(axis=0)
    return np.where(count > 0, np.nansum(total, axis=0) / np.maximum(count, 1), NAN)


def mean_of_scores(columns):
    """A wrong combiner: a scale decides."""
    return np.nanmean(np.array(list(columns.values())), axis=0)


def combined(columns, directions):
    borda = Borda()
    columns = {n: np.asarray(v, dtype=float) for n, v in columns.items()}
    return borda.apply(columns, borda.fit_ranks([columns], directions))


@given(column, column, column, st.randoms(use_true_random=False))
def test_equals_the_oracle_for_any_order_and_shards(a, b, c, random):
    columns = {"a": np.array(a), "b": np.array(b), "c": np.array(c)}
    directions = {"a": "high", "b": "low", "c": "high"}
    want = oracle(columns, directions)
    borda = Borda()
    rows = list(range(12))
    random.shuffle(rows)
    shards = [
        borda.fit_ranks([{n: v[rows[i::3]] for n, v in columns.items()}], directions)
        for i in range(3)
    ]
    state = borda.merge(shards[2], borda.merge(shards[0], shards[1]))
    got = borda.apply(columns, ScorerState.from_bytes(state.to_bytes()))
    assert np.allclose(got, want, atol=1e-12, equal_nan=True)
    alone = np.concatenate(
        [borda.apply({n: v[i : i + 1] for n, v in columns.items()}, state) for i in rows]
    )
    assert np.array_equal(alone, got[rows], equal_nan=True)
    assert ((got >= 0) & (got <= 1) | np.isnan(got)).all()


def test_borda_puts_b_first_where_condorcet_puts_a():
    # three voters A > B > C and two voters B > C > A
    voters = {f"v{i}": [3.0, 2.0, 1.0] for i in range(3)} | {
        f"w{i}": [1.0, 3.0, 2.0] for i in range(2)
    }
    quality = combined(voters, dict.fromkeys(voters, "high"))
    assert quality.argmax() == 1


def test_monotone_transforms_change_nothing_and_a_mean_of_scores_would():
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=500), "b": rng.normal(size=500)}
    directions = {"a": "high", "b": "high"}
    moved = {"a": np.exp(5 * columns["a"]), "b": columns["b"]}
    assert np.array_equal(combined(columns, directions), combined(moved, directions))
    assert not np.array_equal(mean_of_scores(columns).argsort(), mean_of_scores(moved).argsort())


def test_direction_unanimity_and_nulls():
    quality = combined({"a": [1, 2, 3], "b": [9, 5, 1]}, {"a": "high", "b": "low"})
    assert quality.argsort().tolist() == [0, 1, 2]
    quality = combined({"a": [1, 2, NAN, NAN], "b": [1, 2, 3, NAN]}, {"a": "high", "b": "high"})
    assert quality[2] == pytest.approx(5 / 6)  # judged by b alone
    assert np.isnan(quality[3])
    # a missing score neither helps nor hurts: on average, rows without one rank as rows with one
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 20_000))
    gone = rng.random(20_000) < 0.3
    quality = combined({"a": np.where(gone, NAN, a), "b": b}, {"a": "high", "b": "high"})
    assert abs(quality[gone].mean() - quality[~gone].mean()) < 0.01


def test_rows_not_seen_get_the_rank_of_their_place():
    borda = Borda()
    state = borda.fit_ranks([{"a": np.arange(10.0)}], {"a": "high"})
    assert borda.apply({"a": np.array([4.5, -1.0, 99.0])}, state).tolist() == [0.5, 0.0, 1.0]


def test_errors_name_the_column():
    borda = Borda()
    with pytest.raises(ScoringError, match="'b' is missing"):
        combined({"a": [1.0]}, {"b": "high"})
    with pytest.raises(ScoringError, match="nothing to combine"):
        borda.fit_ranks([], {})
    with pytest.raises(ScoringError, match="neither high nor low"):
        borda.fit_ranks([], {"a": "up"})
    with pytest.raises(ScoringError, match="cannot merge"):
        borda.merge(borda.fit_ranks([], {"a": "high"}), borda.fit_ranks([], {"a": "low"}))


def of(combiner, columns, directions=None):
    columns = {n: np.asarray(v, dtype=float) for n, v in columns.items()}
    directions = directions or dict.fromkeys(columns, "high")
    return combiner.apply(columns, combiner.fit_ranks([columns], directions))


def test_reciprocal_rank_is_its_formula():
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=40), "b": rng.normal(size=40)}
    places = [rankdata(-v) for v in columns.values()]
    want = np.mean([61 / (60 + p) for p in places], axis=0)
    assert np.allclose(of(ReciprocalRank(), columns), want, atol=1e-12)
    # the top of one list beats the middle of both, as it does not for Borda
    mixed = {"a": np.arange(101.0), "b": np.roll(np.arange(101.0), 1)}
    mixed["b"][[100, 50]] = mixed["b"][[50, 100]]
    sharp = of(ReciprocalRank(k=1.0), mixed)
    assert sharp[100] > sharp[51]


def test_topsis_is_its_formula_and_dominated_rows_come_behind():
    rng = np.random.default_rng(1)
    columns = {"a": rng.normal(size=60), "b": rng.normal(size=60), "c": rng.normal(size=60)}
    r = np.array([(rankdata(v) - 0.5) / 60 for v in columns.values()])
    best, worst = np.linalg.norm(1 - r, axis=0), np.linalg.norm(r, axis=0)
    got = of(Topsis(), columns)
    assert np.allclose(got, worst / (worst + best), atol=1e-12)
    scaled = {"a": 1e6 * columns["a"] + 3, "b": np.exp(columns["b"]), "c": columns["c"]}
    assert np.allclose(of(Topsis(), scaled), got, atol=1e-12)
    values = np.array(list(columns.values()))
    for i in range(60):
        dominated = (values < values[:, [i]]).all(axis=0)
        assert (got[dominated] < got[i]).all()


@pytest.mark.parametrize("name", sorted(COMBINERS))
def test_every_combiner_is_monotone_between_0_and_1_and_free_of_order(name):
    rng = np.random.default_rng(2)
    columns = {"a": rng.integers(0, 9, 200).astype(float), "b": rng.normal(size=200)}
    columns["b"][:20] = NAN
    columns["a"][10:30] = NAN
    combiner = COMBINERS[name]()
    got = of(combiner, columns, {"a": "low", "b": "high"})
    assert np.isnan(got).tolist() == [10 <= i < 20 for i in range(200)]
    assert ((got >= 0) & (got <= 1))[~np.isnan(got)].all()
    order = rng.permutation(200)
    moved = of(combiner, {n: v[order] for n, v in columns.items()}, {"a": "low", "b": "high"})
    assert np.array_equal(moved, got[order], equal_nan=True)
    up = of(combiner, {"a": -columns["a"], "b": columns["b"]})
    assert np.allclose(up, got, atol=1e-12, equal_nan=True)
    unanimous = of(combiner, {"a": np.arange(50.0), "b": np.exp(np.arange(50.0))})
    assert (np.diff(unanimous) > 0).all()
