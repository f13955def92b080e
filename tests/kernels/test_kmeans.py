from __future__ import annotations

import numpy as np
import pytest
import torch

from assets.kernels.kmeans import KMeansError, fit_kmeans
from assets.kernels.unit_vectors import UNIT, UnitVectorError, to_grid, valid_rows


def blobs(n=3000, d=32, k=12, noise=0.4, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    label = rng.integers(k, size=n)
    rows = (centres[label] + noise * rng.normal(size=(n, d))).astype(np.float32)
    return rows, label, [f"{i:032x}" for i in range(n)]


@pytest.mark.parametrize("metric", ["spherical", "euclidean"])
def test_order_and_threads_do_not_matter(metric):
    rows, _, ids = blobs()
    want = fit_kmeans(rows, ids, 12, metric=metric)
    order = np.random.default_rng(1).permutation(len(rows))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        got = fit_kmeans(rows[order], [ids[i] for i in order], 12, metric=metric)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(got.centroids, want.centroids)
    assert got.inertia == want.inertia
    cells, distance = want.assign(rows)
    for size in (1, 7, 1000):
        parts = [want.assign(rows[i : i + size]) for i in range(0, 1400, size)]
        assert np.array_equal(np.concatenate([p[0] for p in parts])[:1400], cells[:1400])
        assert np.array_equal(np.concatenate([p[1] for p in parts])[:1400], distance[:1400])


def test_the_sample_is_chosen_by_id():
    rows, _, ids = blobs()
    want = fit_kmeans(rows, ids, 12, sample_rows=400, init_rows=100)
    order = np.random.default_rng(1).permutation(len(rows))
    ids = [ids[i] for i in order]
    got = fit_kmeans(rows[order], ids, 12, sample_rows=400, init_rows=100)
    assert np.array_equal(got.centroids, want.centroids)


def test_finds_planted_clusters():
    rows, label, ids = blobs()
    cells, _ = fit_kmeans(rows, ids, 12).assign(rows)
    purity = sum(np.bincount(label[cells == c]).max() for c in np.unique(cells)) / len(rows)
    assert purity > 0.9


def test_inertia_is_near_that_of_scikit_learn():
    from sklearn.cluster import KMeans

    rows, _, ids = blobs(noise=1.0)
    ours = min(fit_kmeans(rows, ids, 12, metric="euclidean", seed=s).inertia for s in range(3))
    theirs = KMeans(12, n_init=3, random_state=0).fit(rows).inertia_
    assert ours < 1.01 * theirs


def test_cosines_on_the_grid_are_exact_and_near_the_truth():
    rows = np.random.default_rng(0).normal(size=(500, 384))
    grid = to_grid(rows)
    exact = grid.astype(np.int64) @ grid.astype(np.int64).T
    assert np.array_equal((grid @ grid.T).astype(np.int64), exact)
    assert np.abs(exact).max() < 2**24
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.abs(exact / UNIT - unit @ unit.T).max() < 1e-3


def test_the_largest_dimension_stays_exact():
    grid = to_grid(np.ones((2, 8192)))
    assert (grid @ grid.T).max() < 2**24
    assert (
        to_grid(np.random.default_rng(0).normal(size=(20, 8192)))
        .astype(np.int64)
        .__pow__(2)
        .sum(1)
        .max()
        < 2**24
    )


def test_empty_cells_are_filled_again():
    rows = np.repeat(np.eye(4, dtype=np.float32), 25, axis=0)
    ids = [str(i) for i in range(100)]
    model = fit_kmeans(rows, ids, 4)
    assert np.unique(model.assign(rows)[0]).size == 4
    assert fit_kmeans(rows, ids, 10).centroids.shape[0] == 4  # no more than distinct rows


def test_rows_without_direction_are_set_aside():
    rows, _, ids = blobs(n=50)
    rows[0] = 0
    rows[1] = np.nan
    rows[2, 3] = np.inf
    assert valid_rows(to_grid(rows)).tolist() == [False, False, False, *[True] * 47]
    cells, distance = fit_kmeans(rows, ids, 3).assign(rows)
    assert (cells[:3] == -1).all()
    assert np.isnan(distance[:3]).all()
    assert (cells[3:] >= 0).all()


def test_seeds_differ_and_agree():
    rows, _, ids = blobs(noise=2.0)
    a, b = fit_kmeans(rows, ids, 20, seed=1), fit_kmeans(rows, ids, 20, seed=2)
    assert not np.array_equal(a.centroids, b.centroids)
    assert np.array_equal(a.centroids, fit_kmeans(rows, ids, 20, seed=1).centroids)


def test_what_cannot_be_is_refused():
    rows, _, ids = blobs(n=10)
    with pytest.raises(KMeansError, match="k=0"):
        fit_kmeans(rows, ids, 0)
    with pytest.raises(KMeansError, match="no row has a usable vector"):
        fit_kmeans(np.zeros((3, 4)), ["a", "b", "c"], 2)
    with pytest.raises(KMeansError, match="was the embedder changed"):
        fit_kmeans(rows, ids, 2).assign(np.zeros((1, 5)))
    with pytest.raises(UnitVectorError, match="shape"):
        to_grid(np.zeros(3))
