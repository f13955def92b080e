"""Rows are certified by digests, and each gets a position in the parents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.containment import certificate
from assets.containment.certificate import Parent, UncertifiedError, certify
from assets.ingestion.model import POSITION_COLUMN
from assets.kernels.cell_hash import DIGEST_SCHEME

KEY = b"k" * 32


def batches(rows: list[tuple[Any, ...]], names: str, size: int = 3) -> list[pa.Table]:
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names.split())}
    table = pa.table({**columns, POSITION_COLUMN: list(range(len(rows)))})
    return [table.slice(i, size) for i in range(0, len(rows), size)]


def child(rows: list[tuple[Any, ...]], names: str) -> pa.Table:
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names.split())})


def positions(rows: list[Any], *parents: list[Any]) -> list[int]:
    own = child([(row,) for row in rows], "a")
    streams, base = [], 0
    for parent in parents:
        streams.append(Parent(batches([(row,) for row in parent], "a"), {"a": "a"}, base))
        base += len(parent)
    return certify(own, ["a"], streams, "value", KEY)[1].tolist()


def test_rows_without_twins_get_their_place() -> None:
    assert positions([7, 5, 9], [5, 6, 7, 8, 9]) == [2, 0, 4]


def test_equal_rows_come_in_the_parents_order_where_they_can() -> None:
    # a choice of the first copy each time would give 0, 2, 1 and need an order of its own
    assert positions([5, 7, 6], [5, 6, 7, 6, 8]) == [0, 2, 3]


def test_the_kth_of_equal_rows_is_the_kth_of_the_parent_and_repetitions_begin_anew() -> None:
    assert positions([6, 5, 6, 6, 6], [6, 6, 6, 5]) == [0, 3, 1, 2, 0]


def test_positions_of_several_parents_follow_each_other() -> None:
    assert positions([1, 8, 3], [1, 2, 3], [8, 9]) == [0, 3, 2]


def test_null_nan_and_zeros_are_the_equalitys() -> None:
    found = positions([None, float("nan"), 0.0], [float("nan"), -0.0, None])
    assert found == [2, 0, 1]


def test_the_first_row_that_no_parent_has_is_named() -> None:
    with pytest.raises(UncertifiedError, match=r"2 of its rows .* row 1"):
        positions([1, 4, 2, 4], [1, 2, 3])


def test_renamed_columns_are_compared_under_the_childs_names() -> None:
    own = child([(1, "x"), (2, "y")], "number letter")
    parent = Parent(
        batches([(9, "y", 2), (9, "x", 1)], "other a b"), {"number": "b", "letter": "a"}, 0
    )
    told, found = certify(own, ["number", "letter"], [parent], "typed", KEY)
    assert found.tolist() == [1, 0]
    assert (told["scheme"], told["equality"], told["rows"]) == (DIGEST_SCHEME, "typed", 2)


def test_a_collision_of_the_search_hash_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        certificate, "row_hashes", lambda table, *_: np.zeros(table.num_rows, np.uint64)
    )
    assert positions([7, 5], [5, 6, 7]) == [2, 0]
    with pytest.raises(UncertifiedError):
        positions([4], [5, 6, 7])


def test_the_certificate_tells_multisets_and_sequences_apart() -> None:
    def told(rows: list[int]) -> dict[str, Any]:
        own = child([(row,) for row in rows], "a")
        parent = Parent(batches([(1,), (2,)], "a"), {"a": "a"}, 0)
        return certify(own, ["a"], [parent], "value", KEY)[0]

    first, turned, more = told([1, 2]), told([2, 1]), told([1, 2, 2])
    assert first["multiset"] == turned["multiset"] != more["multiset"]
    assert first["sequence"] != turned["sequence"]
    assert (more["rows"], more["distinct_rows"]) == (3, 2)


@given(st.data())
def test_the_rows_at_the_positions_are_the_childs(data: st.DataObject) -> None:
    parent = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=30))
    rows = data.draw(st.lists(st.sampled_from(parent), max_size=40))
    found = positions(rows, parent)
    assert [parent[at] for at in found] == rows


@given(st.data())
def test_a_part_in_the_parents_order_is_found_in_increasing_order(data: st.DataObject) -> None:
    parent = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    taken = data.draw(st.sets(st.integers(0, len(parent) - 1)))
    found = positions([parent[at] for at in sorted(taken)], parent)
    assert found == sorted(set(found))
