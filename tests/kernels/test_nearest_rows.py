from __future__ import annotations

import numpy as np
import pytest

from assets.kernels import leverage, nearest_rows
from assets.kernels.leverage import LeverageError, gram, inverse_factor, leverage_scores
from assets.kernels.unit_vectors import UNIT, to_grid


@pytest.mark.parametrize("blocks", [(3, 5), (512, 4096)])
@pytest.mark.parametrize("most", [1, 4, 60])
def test_nearest_rows_are_those_of_a_whole_sort(monkeypatch, blocks, most):
    monkeypatch.setattr(nearest_rows, "QUERY_ROWS", blocks[0])
    monkeypatch.setattr(nearest_rows, "BLOCK_ROWS", blocks[1])
    rng = np.random.default_rng(0)
    rows = to_grid(rng.integers(-2, 3, size=(40, 3)) + 0.0)  # many are equally near
    queries = to_grid(rng.normal(size=(11, 3)))
    found, near = nearest_rows.nearest_rows(queries, rows, most)
    products = queries.astype(float) @ rows.T.astype(float)
    order = np.argsort(-products, axis=1, kind="stable")[:, :most]
    assert np.array_equal(found, order)
    assert np.array_equal(near, np.take_along_axis(products, order, axis=1) / UNIT)


def test_nothing_is_nearest_to_nothing():
    none = np.empty((0, 3), dtype=np.float32)
    some = to_grid(np.eye(3))
    assert nearest_rows.nearest_rows(some, none, 4)[0].shape == (3, 0)
    assert nearest_rows.nearest_rows(none, some, 2)[0].shape == (0, 2)


def test_gram_of_parts_adds_up_exactly(monkeypatch):
    grid = to_grid(np.random.default_rng(1).normal(size=(50, 6)))
    whole = gram(grid)
    assert np.array_equal(whole, grid.astype(object).T.astype(int) @ grid.astype(int))
    monkeypatch.setattr(leverage, "_CHUNK", 7)
    assert np.array_equal(gram(grid[31:]) + gram(grid[:31]), whole)


def test_leverage_is_that_of_the_hat_matrix():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 4))
    got = leverage_scores(x, inverse_factor(x.T @ x, 0.7))
    hat = x @ np.linalg.inv(x.T @ x + 0.7 * np.eye(4)) @ x.T
    assert np.allclose(got, np.diag(hat))
    assert got.sum() == pytest.approx(np.trace(hat))
    assert (got > 0).all()
    assert (got < 1).all()
    # leaving one out: the residual grows by 1 / (1 - leverage), which is what leverage is for
    y = rng.normal(size=30)
    keep = np.arange(30) != 5
    beta = np.linalg.solve(x[keep].T @ x[keep] + 0.7 * np.eye(4), x[keep].T @ y[keep])
    assert y[5] - x[5] @ beta == pytest.approx((y - hat @ y)[5] / (1 - got[5]))
    with pytest.raises(LeverageError, match="above 0"):
        inverse_factor(x.T @ x, 0)
