from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from assets.kernels.segments import SegmentsError, segments


def cost(values, group):
    return sum(((values[group == g] - values[group == g].mean()) ** 2).sum() for g in set(group))


def brute(values, k):
    """The least cost over all ways to cut the sorted distinct numbers."""
    distinct = np.unique(values)
    k = min(k, len(distinct))
    best = np.inf
    for cuts in combinations(range(1, len(distinct)), k - 1):
        group = np.searchsorted(distinct[list(cuts)], values, side="right")
        best = min(best, cost(values, group))
    return best


@settings(max_examples=60)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=12), st.integers(1, 5))
def test_is_the_global_optimum(numbers, k):
    values = np.array(numbers, dtype=np.float64)
    group = segments(values, k)
    assert cost(values, group) == pytest.approx(brute(values, k), abs=1e-9)
    assert len(set(group)) == min(k, len(set(numbers)))
    # intervals in order, equal numbers together
    order = np.argsort(values, kind="stable")
    assert (np.diff(group[order]) >= 0).all()
    assert all(len(set(group[values == v])) == 1 for v in set(numbers))


def test_no_start_of_lloyds_iteration_is_better():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.exponential(size=3_000), rng.normal(5, 0.1, size=50)])
    ours = cost(values, segments(values, 8))
    for seed in range(3):
        lloyd = KMeans(8, n_init=1, random_state=seed).fit(values[:, None])
        assert ours <= lloyd.inertia_ * (1 + 1e-9)
    assert ours < KMeans(8, n_init=1, init="random", random_state=1).fit(values[:, None]).inertia_


def test_order_and_shift_do_not_matter():
    rng = np.random.default_rng(1)
    values = np.round(rng.normal(size=500), 2)
    group = segments(values, 6)
    order = rng.permutation(500)
    assert np.array_equal(segments(values[order], 6), group[order])
    assert np.array_equal(segments(values + 1024.0, 6), group)


def test_bad_input_is_refused():
    assert segments(np.empty(0), 3).tolist() == []
    with pytest.raises(SegmentsError, match="at least 1"):
        segments(np.ones(3), 0)
    with pytest.raises(SegmentsError, match="finite"):
        segments(np.array([1.0, np.nan]), 2)
