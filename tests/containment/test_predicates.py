"""A learned predicate selects exactly the wanted rows, and is found where a short one exists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment.predicates import Condition, condition, holds, learn

TABLE = pa.table(
    {
        "n": pa.array([1, 2, 3, 4, 5, None], pa.int32()),
        "s": ["x", "y", "x", None, "y", "x"],
        "f": [0.5, float("nan"), -0.0, 2.5, 1.5, 3.0],
        "b": [True, False, True, True, False, False],
        "d": [dt.date(2020, 1, i + 1) for i in range(6)],
        "t": pa.array([i * 10**6 for i in range(6)], pa.timestamp("us", "UTC")),
        "l": [[1]] * 6,
    }
)


def found(wanted: list[int], columns: str, table: pa.Table = TABLE) -> list[str] | None:
    mask = np.array(wanted, np.bool_)

    def stream() -> Iterator[tuple[pa.Table, Any]]:
        for start in range(0, table.num_rows, 2):
            yield table.slice(start, 2), mask[start : start + 2]

    conditions = learn(stream, columns.split())
    if conditions is None:
        return None
    assert holds(conditions, table).tolist() == mask.tolist()
    again = [condition(one.plain()) for one in conditions]
    assert again == conditions
    return [str(one) for one in conditions]


@pytest.mark.parametrize(
    ("wanted", "columns", "expected"),
    [
        ([1, 1, 1, 1, 1, 1], "n s", []),
        ([1, 0, 1, 0, 0, 1], "n s", ["s = 'x'"]),
        ([0, 0, 1, 1, 1, 0], "n", ["n >= 3"]),
        ([0, 1, 1, 0, 0, 0], "n", ["n >= 2", "n <= 3"]),
        ([1, 0, 0, 1, 0, 0], "n", ["n in (1, 4)"]),
        ([1, 0, 1, 1, 0, 0], "b", ["b = 1"]),
        ([1, 0, 1, 0, 0, 0], "s d", ["s = 'x'", "d <= 18264"]),
        ([1, 1, 0, 0, 1, 0], "n s", ["n in (1, 2, 5)"]),
        ([0, 0, 0, 1, 1, 1], "t", ["t >= 3000000"]),
        ([1, 0, 1, 0, 1, 0], "f", ["f <= 1.5"]),
    ],
)
def test_the_shortest_is_found(wanted: list[int], columns: str, expected: list[str]) -> None:
    assert found(wanted, columns) == expected


@pytest.mark.parametrize(
    ("wanted", "columns"),
    [
        ([0, 0, 0, 1, 0, 1], "s"),  # NULL meets no condition
        ([0, 1, 0, 1, 0, 0], "f"),  # nor does NaN
        ([1, 0, 1, 0, 0, 0], "s l"),
        ([1, 0, 0, 0, 0, 0], "b"),
    ],
)
def test_what_no_condition_separates_has_no_predicate(wanted: list[int], columns: str) -> None:
    assert found(wanted, columns) is None


def test_a_column_of_one_value_everywhere_explains_nothing() -> None:
    table = pa.table({"c": [1, 1, 1], "n": [1, 2, 3]})
    assert found([0, 1, 1], "c n", table) == ["n >= 2"]


def test_numbers_beyond_63_bits_are_passed_over() -> None:
    table = pa.table({"u": pa.array([2**63 + 1, 2**63 + 2], pa.uint64())})
    assert found([1, 0], "u", table) is None


CELLS = st.tuples(st.integers(0, 4), st.sampled_from("abc"), st.integers(0, 4))


@settings(max_examples=200)
@given(st.lists(CELLS, min_size=1, max_size=25), st.data())
def test_a_planted_predicate_is_found(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate("psq")})
    planted = data.draw(
        st.lists(
            st.one_of(
                st.builds(
                    Condition,
                    st.sampled_from("pq"),
                    st.sampled_from([">=", "<="]),
                    st.tuples(st.integers(0, 4)),
                ),
                st.builds(Condition, st.just("s"), st.just("="), st.tuples(st.sampled_from("abc"))),
            ),
            max_size=3,
        )
    )
    mask = holds(planted, table)
    if mask.any():
        assert found(mask.astype(int).tolist(), "p s q", table) is not None
