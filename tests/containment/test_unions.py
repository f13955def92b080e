"""Covers by unions against trying all combinations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment import unions
from assets.containment.unions import union_covers
from tests.oracles.containment import smallest_cover

FAMILY = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.integers(0, 9), max_size=12), min_size=2
)


def as_hashes(family):
    return {name: np.array(rows, np.uint64) for name, rows in family.items()}


@settings(max_examples=300)
@given(family=FAMILY, most=st.integers(2, 3))
def test_a_smallest_cover_is_found_where_there_is_one(family, most):
    sets = {name: set(rows) for name, rows in family.items()}
    single = [(c, p) for c in sets for p in sets if c != p and sets[c] <= sets[p]]
    found = {
        row["child"]: row
        for row in union_covers(as_hashes(family), single, most).iter_rows(named=True)
    }
    for child in sets:
        others = {name: own for name, own in sets.items() if name != child}
        skip = not sets[child] or any(c == child for c, _ in single)
        size = None if skip else smallest_cover(sets[child], others, most)
        if size is None:
            assert child not in found
            continue
        row = found[child]
        parents = row["parents"]
        assert len(parents) == size
        assert parents == sorted(parents)
        assert child not in parents
        assert sets[child] <= set().union(*(sets[p] for p in parents))
        there = [value for parent in parents for value in family[parent]]
        common = sum(min(family[child].count(v), there.count(v)) for v in sets[child])
        assert row["multiset_containment"] == common / len(family[child])
        assert row["proven_smallest"]


def test_children_may_be_named():
    family = as_hashes({"ab": [1, 2], "a": [1, 7], "b": [2, 8]})
    assert union_covers(family, [])["child"].to_list() == ["ab"]
    assert union_covers(family, [], children=["a"]).height == 0


def test_the_greedy_cover_steps_in_when_the_search_is_long(monkeypatch):
    monkeypatch.setattr(unions, "SEARCH_NODES", 1)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2**60, 300, dtype=np.uint64)
    family = {f"p{i}": rows[i::3] for i in range(3)} | {"all": rows}
    row = union_covers(family, [], children=["all"]).row(0, named=True)
    assert row["parents"] == ["p0", "p1", "p2"]
    assert not row["proven_smallest"]


@pytest.mark.parametrize("reverse", [False, True])
def test_order_does_not_matter(reverse):
    rng = np.random.default_rng(1)
    family = {f"t{i}": rng.integers(0, 40, 25).astype(np.uint64) for i in range(8)}
    plain = union_covers(family, [])
    if reverse:
        family = {name: own[::-1] for name, own in reversed(family.items())}
    assert union_covers(family, []).equals(plain)
