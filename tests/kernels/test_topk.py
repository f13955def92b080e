from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.kernels.keyed_random import hash64
from assets.kernels.topk import TopK, TopKError, gumbel_top_k, top_k

keys = st.lists(
    st.one_of(st.integers(0, 5).map(float), st.just(float("nan")), st.just(float("inf"))),
    max_size=60,
)


def oracle(values, ids, k, seed):
    tie = hash64(ids, seed, "top-k tie") if ids else []
    rows = [(-v, int(t), i) for v, t, i in zip(values, tie, ids, strict=True) if not np.isnan(v)]
    return [i for _, _, i in sorted(rows)[:k]]


def by_position(values, ids, k):
    """A wrong top-k: ties by position."""
    order = sorted(range(len(values)), key=lambda r: (-values[r], r))
    return [ids[r] for r in order[:k]]


@given(keys, st.integers(0, 30), st.integers(0, 3), st.randoms(use_true_random=False))
def test_equals_a_sort_for_any_order_and_shards(values, k, seed, random):
    ids = [f"row {i}" for i in range(len(values))]
    want = oracle(values, ids, k, seed)
    assert top_k(np.array(values), ids, k, seed)["id"].to_list() == want
    order = list(range(len(values)))
    random.shuffle(order)
    shards = [TopK(k, seed) for _ in range(3)]
    for row in order:
        shards[random.randrange(3)].update(np.array([values[row]]), [ids[row]])
    merged = shards[2].merge(shards[0]).merge(shards[1])
    assert merged.result()["id"].to_list() == want
    assert merged.seen == len(values)
    assert merged.missing == int(np.isnan(values).sum()) if values else merged.missing == 0


def test_ties_by_position_would_be_seen():
    ids = [f"row {i}" for i in range(20)]
    values = [1.0] * 20
    assert by_position(values, ids, 5) != by_position(values, ids[::-1], 5)
    forward = top_k(np.array(values), ids, 5)["id"].to_list()
    assert forward == top_k(np.array(values), ids[::-1], 5)["id"].to_list()


def test_ties_with_the_threshold_still_compete():
    ids = [f"row {i}" for i in range(5000)]
    state = TopK(10)
    for start in range(0, 5000, 500):
        state.update(np.ones(500), ids[start : start + 500])
    assert state.result()["id"].to_list() == oracle([1.0] * 5000, ids, 10, 0)


def test_selections_are_nested():
    rng = np.random.default_rng(0)
    ids = [str(i) for i in range(3000)]
    values = rng.integers(0, 50, 3000).astype(float)
    small = top_k(values, ids, 100)["id"].to_list()
    assert top_k(values, ids, 101)["id"].to_list()[:100] == small


def test_memory_is_bounded():
    state = TopK(100)
    assert state.k == 100
    for batch in range(50):
        state.update(np.arange(1000.0), [f"{batch}-{i}" for i in range(1000)])
        assert state._held <= 1000 + 2 * 512


def test_gumbel_draws_follow_the_weights():
    # exact: first-draw probabilities of p = (.6, .3, .1); 3 sigma of a chi-square of 2 degrees
    weights = np.log([0.6, 0.3, 0.1])
    draws = 6000
    first = np.zeros(3)
    for seed in range(draws):
        first[int(gumbel_top_k(weights, ["0", "1", "2"], 1, seed)["id"][0])] += 1
    expected = np.array([0.6, 0.3, 0.1]) * draws
    assert ((first - expected) ** 2 / expected).sum() < 13.8  # p = 0.001


def test_what_cannot_be_is_refused():
    with pytest.raises(TopKError, match="k is -1"):
        TopK(-1)
    with pytest.raises(TopKError, match="2 ids"):
        top_k(np.zeros(3), ["a", "b"], 1)
    with pytest.raises(TopKError, match="temperature"):
        gumbel_top_k(np.zeros(1), ["a"], 1, 0, temperature=0.0)
    with pytest.raises(TopKError, match="cannot merge"):
        TopK(1).merge(TopK(2))
    assert top_k(np.zeros(0), [], 3).height == 0
