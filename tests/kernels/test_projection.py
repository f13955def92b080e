from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.projection import Projection, ProjectionError
from assets.kernels.row_products import row_products

KINDS = ["count_sketch", "rademacher"]


def matrix(projection):
    """The oracle: the projection's matrix, a unit vector at a time."""
    return np.vstack(
        [projection.apply(np.eye(projection.dimensions)[[i]]) for i in range(projection.dimensions)]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_one_keyed_linear_map(kind):
    made = Projection(1500, 70, 3, "a", kind)
    x = np.random.default_rng(0).normal(size=(6, 1500))
    dense = matrix(made)
    assert np.allclose(made.apply(x), x @ dense)
    assert np.array_equal(made.apply(x[[2]]), made.apply(x)[[2]])  # bit for bit, alone or not
    assert np.array_equal(Projection(1500, 70, 3, "a", kind).apply(x), made.apply(x))
    for other in (Projection(1500, 70, 4, "a", kind), Projection(1500, 70, 3, "b", kind)):
        assert abs(np.corrcoef(matrix(other).ravel(), dense.ravel())[0, 1]) < 0.02
    small = np.random.default_rng(1).normal(size=70)
    assert np.allclose(made.transposed(small), dense @ small)
    if kind == "count_sketch":
        assert (np.abs(dense).sum(axis=1) == 1).all()  # each number goes to one sum
        filled = (dense != 0).sum(axis=0)
        assert filled.min() > 5  # about 21
    else:
        assert np.allclose(np.abs(dense), 1 / np.sqrt(70))
    assert abs(np.sign(dense).sum()) < 4 * np.sqrt((dense != 0).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_inner_products_are_kept_on_average_and_better_by_more_numbers(kind):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 400))
    b += a
    truth, scale = a @ b, np.linalg.norm(a) * np.linalg.norm(b)
    spread = []
    for size in (16, 256):
        found = []
        for seed in range(200):
            x, y = Projection(400, size, seed, "p", kind).apply(np.stack([a, b]))
            found.append(x @ y)
        error = (np.array(found) - truth) / scale
        assert abs(error.mean()) < 4 * np.sqrt(2 / size / 200)
        spread.append(error.std())
        assert error.std() < 1.5 * np.sqrt(2 / size)
    assert spread[1] < spread[0] / 2.5  # by 4 in expectation


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
@settings(max_examples=40)
def test_row_products_are_products_and_rows_stand_alone(n, d, m, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.normal(size=(n, d)), rng.normal(size=(d, m))
    got = row_products(rows, columns)
    assert np.allclose(got, rows @ columns)
    for i in range(n):
        assert np.array_equal(row_products(rows[i : i + 1], columns)[0], got[i])


def test_what_cannot_be_projected_is_refused():
    with pytest.raises(ProjectionError, match="count_sketch or rademacher"):
        Projection(3, 2, 0, "x", "gauss")
    with pytest.raises(ProjectionError, match="sizes of 1 or more"):
        Projection(3, 0, 0, "x")
    with pytest.raises(ProjectionError, match=r"takes \(n, 3\)"):
        Projection(3, 2, 0, "x").apply(np.ones((2, 4)))
