"""What is stored of positions comes back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from assets.containment.row_choice import bitmap, pack_order, positions_of, split, unpack_order


@given(st.lists(st.integers(0, 500), min_size=1, max_size=200))
def test_positions_come_back_in_order_and_as_often(listed: list[int]) -> None:
    positions = np.array(listed, np.int64)
    distinct, order = split(positions)
    back = positions_of(bitmap(distinct, 501), 501)
    if order is not None:
        back = back[unpack_order(pack_order(order))]
    assert back.tolist() == listed


def test_no_order_is_stored_for_rows_in_order() -> None:
    assert split(np.array([2, 5, 9]))[1] is None
    assert split(np.array([2, 5, 5]))[1] is not None
    assert split(np.array([5, 2]))[1] is not None


def test_a_bitmap_takes_less_than_a_bit_a_row_and_a_range_next_to_nothing() -> None:
    rows = np.arange(1_000_000)
    assert len(bitmap(rows[100_000:900_000], 1_000_000)) < 200
    some = np.flatnonzero(np.random.default_rng(0).random(1_000_000) < 0.5)
    assert len(bitmap(some, 1_000_000)) < 130_000
    repeated = np.repeat(np.arange(10_000), 3)
    assert len(pack_order(repeated)) < 200
