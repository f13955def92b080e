from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.deduplication.errors import SurvivorOrderError
from assets.deduplication.survivor_order import known_columns, order_columns, parse_order

FRAME = pl.DataFrame(
    {
        "name": ["a", "b", "c", "d", "e"],
        "source": [1, 0, 1, 0, 1],
        "length": [5, 5, 9, 1, 7],
        "stars": ["9", "10", None, "many", "1e1"],
    }
)


def ranked(order, frame=FRAME):
    columns = order_columns(frame, order)
    return frame.hstack(columns).sort([*columns.columns, "name"], nulls_last=True)["name"].to_list()


@pytest.mark.parametrize(
    ("order", "want"),
    [
        (["longest"], "ceabd"),
        (["source", "longest"], "bdcea"),
        (["max:stars"], "ebadc"),  # numbers as numbers, words after them, nothing last
        (["min:stars"], "abedc"),
        ([], "abcde"),
    ],
)
def test_wishes_are_followed_in_their_order(order, want):
    assert "".join(ranked(order)) == want


@given(st.permutations(range(5)))
def test_the_order_of_rows_has_no_influence(mixed):
    for order in (["longest"], ["max:stars", "source"], ["min:stars"]):
        assert ranked(order, FRAME[list(mixed)]) == ranked(order)


@pytest.mark.parametrize("wrong", ["first", "max", "max:", "longest:x", ""])
def test_unknown_wishes_are_refused(wrong):
    with pytest.raises(SurvivorOrderError, match="source, longest"):
        parse_order([wrong])


def test_wishes_that_come_twice_and_columns_that_are_not_kept_are_refused():
    with pytest.raises(SurvivorOrderError, match="twice"):
        parse_order(["longest", "longest"])
    with pytest.raises(SurvivorOrderError, match="'stars', which no rule keeps"):
        known_columns(["longest", "max:stars"], ["date"])
    known_columns(["min:date"], ["date"])
