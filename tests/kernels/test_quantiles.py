from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, rankdata

from assets.kernels.quantiles import BoundaryState, QuantileError, QuantileState, ordered_bits

floats = st.lists(
    st.one_of(
        st.floats(allow_nan=True, allow_infinity=True, width=32),
        st.integers(-3, 3).map(float),
    ),
    max_size=80,
)


def same(a, b):
    return (
        a.shift == b.shift
        and np.array_equal(a.keys, b.keys)
        and np.array_equal(a.counts, b.counts)
        and a.missing == b.missing
    )


@given(floats)
def test_ordered_bits_keep_the_order(values):
    values = np.array([v for v in values if not np.isnan(v)])
    bits = ordered_bits(values)
    for i in range(len(values)):
        assert ((bits < bits[i]) == (values < values[i])).all()


@given(floats, st.sampled_from([2, 7, 1000]), st.randoms(use_true_random=False))
def test_state_is_free_of_order_and_merging(values, limit, random):
    whole = QuantileState(limit).update(np.array(values, dtype=float))
    shuffled = list(values)
    random.shuffle(shuffled)
    shards = [QuantileState(limit) for _ in range(4)]
    for value in shuffled:
        i = random.randrange(4)
        shards[i] = shards[i].update(np.array([value]))
    assert same(whole, shards[3].merge(shards[1]).merge(shards[0].merge(shards[2])))
    assert len(whole.keys) <= limit
    assert whole.total + whole.missing == len(values)
    assert same(whole, QuantileState.from_arrays(whole.to_arrays()))


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=60))
def test_ranks_are_average_ranks(values):
    values = np.array(values)
    got = QuantileState().update(values).rank(values)
    assert np.allclose(got, (rankdata(values, "average") - 0.5) / len(values), atol=1e-12)


def test_coarse_ranks_are_as_good_as_they_say():
    values = np.random.default_rng(0).normal(size=100_000)
    state = QuantileState(4096).update(values)
    assert not state.exact
    exact = (rankdata(values) - 0.5) / len(values)
    error = np.abs(state.rank(values) - exact).max()
    assert error <= state.rank_error < 0.002


def naive_parts(values, shares):
    """A wrong cut: quantile thresholds, which put all ties on one side."""
    return np.searchsorted(np.quantile(values, np.cumsum(shares)[:-1]), values, side="right")


@pytest.mark.parametrize("kind", ["ties", "continuous", "mixed"])
@pytest.mark.parametrize("limit", [64, 65_536])
def test_two_passes_cut_exact_parts(kind, limit):
    rng = np.random.default_rng(1)
    n = 10_000
    values = {
        "ties": rng.integers(0, 3, n).astype(float),
        "continuous": rng.normal(size=n),
        "mixed": np.where(rng.random(n) < 0.6, 0.0, rng.normal(size=n)),
    }[kind]
    ids = [f"{i:032x}" for i in range(n)]
    shares = [0.1, 0.2, 0.3, 0.4]
    state = QuantileState(limit).update(values)
    cuts = state.cuts(shares, seed=5)
    once = np.bincount(cuts.assign(values, ids), minlength=4)
    assert np.abs(once - np.array(shares) * n).max() < 5 * np.sqrt(n) / 2
    halves = [BoundaryState(cuts) for _ in range(2)]
    for row in range(0, n, 1000):
        halves[row // 1000 % 2].update(values[row : row + 1000], ids[row : row + 1000])
    exact = halves[1].merge(halves[0]).finish()
    parts = exact.assign(values, ids)
    assert np.bincount(parts, minlength=4).tolist() == [1000, 2000, 3000, 4000]
    if limit > n:  # then parts are ordered by value too
        for part in range(3):
            assert values[parts == part].max() <= values[parts == part + 1].min()
    order = rng.permutation(n)
    shuffled = exact.assign(values[order], [ids[i] for i in order])
    assert (shuffled == parts[order]).all()
    if kind != "continuous":
        assert np.bincount(naive_parts(values, shares), minlength=4).tolist() != [
            1000,
            2000,
            3000,
            4000,
        ]


def test_nan_is_in_no_part_and_empty_states_rank_nothing():
    state = QuantileState().update(np.array([1.0, np.nan, 2.0]))
    assert state.missing == 1
    assert state.cuts([0.5, 0.5]).assign(
        np.array([1.0, np.nan, 2.0]), ["a", "b", "c"]
    ).tolist() == [0, -1, 1]
    assert np.isnan(QuantileState().rank(np.array([1.0]))).all()
    assert QuantileState().cuts([0.5, 0.5]).assign(np.array([np.nan]), ["a"]).tolist() == [-1]


def test_what_cannot_be_is_refused():
    with pytest.raises(QuantileError, match="limit is 1"):
        QuantileState(1)
    with pytest.raises(QuantileError, match="sum to 1"):
        QuantileState().cuts([0.5, 0.6])
    with pytest.raises(QuantileError, match="cannot merge"):
        QuantileState(10).merge(QuantileState(20))


some = st.lists(st.one_of(st.integers(-4, 4).map(float), st.floats(-9, 9)), min_size=1, max_size=50)


@given(some, some)
def test_distance_is_that_of_kolmogorov_and_smirnov(left, right):
    a, b = (QuantileState().update(np.array(values)) for values in (left, right))
    shares = [
        abs(np.mean(np.array(left) <= x) - np.mean(np.array(right) <= x)) for x in [*left, *right]
    ]
    assert a.distance(b) == pytest.approx(max(shares), abs=1e-12)
    assert a.distance(b) == b.distance(a)
    assert a.distance(a) == 0.0


def test_distance_of_coarse_states_is_taken_at_the_coarser_one():
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=4000), rng.normal(0.5, 1.0, 4000)
    fine, coarse = QuantileState().update(left), QuantileState(200).update(right)
    with pytest.raises(QuantileError):
        fine.merge(coarse)
    assert fine.distance(coarse) == pytest.approx(
        ks_2samp(left, right, method="asymp").statistic, abs=0.02
    )
    empty = QuantileState()
    assert (empty.distance(empty), empty.distance(fine)) == (0.0, 1.0)
