"""Sums of short rows have the bits of numpy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from assets.kernels.row_sums import LONGEST, row_sums


@given(st.integers(0, LONGEST + 20), st.integers(0, 20), st.integers(0, 99))
def test_sums_are_those_of_numpy_bit_for_bit(c, n, seed):
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(n, c)) * 10.0 ** draw.integers(-9, 9, size=(n, c))
    assert np.array_equal(row_sums(rows), rows.sum(axis=1))
    assert np.array_equal(row_sums(rows.T), rows.T.sum(axis=1))


def test_another_order_would_be_seen():
    rows = np.random.default_rng(0).normal(size=(200, 20))
    in_order = np.array([sum(row.tolist()) for row in rows])
    assert not np.array_equal(row_sums(rows), in_order)
