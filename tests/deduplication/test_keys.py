from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.deduplication import keys as module
from assets.deduplication import name_places
from assets.deduplication.errors import RankError
from assets.deduplication.keys import KeyLookup, format_keys, parse_keys
from assets.deduplication.name_places import NamePlaces
from assets.deduplication.order import sorted_order
from tests.deduplication.corpora import key_of


@given(st.lists(st.integers(0, 2**128 - 1), max_size=20))
def test_keys_come_back_and_keep_their_order(numbers):
    texts = [f"{n:032x}" for n in numbers]
    high, low = parse_keys(texts)
    assert format_keys(high, low).to_pylist() == texts
    by_halves = np.lexsort((low, high))
    assert [texts[i] for i in by_halves] == sorted(texts)


def test_sliced_and_chunked_keys():
    texts = [key_of(i) for i in range(9)]
    want = [a.tolist() for a in parse_keys(texts[2:])]
    assert [a.tolist() for a in parse_keys(pa.array(texts)[2:])] == want
    assert [a.tolist() for a in parse_keys(pa.chunked_array([texts[2:4], texts[4:]]))] == want


@given(
    st.lists(st.integers(0, 60), unique=True, max_size=30),
    st.lists(st.integers(0, 60), max_size=30),
    st.booleans(),
)
def test_lookup_equals_a_dictionary(held, asked, clash):
    places = {key_of(n): i for i, n in enumerate(held)}
    texts = [key_of(n) for n in asked]
    original = module.mixed_keys
    if clash:  # every key has one of three mixes
        module.mixed_keys = lambda high, low: (high ^ low) % np.uint64(3)
    try:
        rows, found = KeyLookup(*parse_keys(list(places))).find(*parse_keys(texts))
    finally:
        module.mixed_keys = original
    want = [(i, places[t]) for i, t in enumerate(texts) if t in places]
    assert list(zip(rows.tolist(), found.tolist(), strict=True)) == want


@given(
    st.lists(st.integers(0, 60), unique=True, max_size=30),
    st.lists(st.one_of(st.none(), st.integers(0, 60)), max_size=30),
    st.booleans(),
    st.integers(1, 40),
)
def test_places_of_names_equal_a_dictionary(held, asked, numbers, chunk):
    """Also names that are asked for and are no keys, such as null, and names in several chunks."""
    name_of = key_of if numbers else str
    names = [name_of(n) for n in held]
    texts = [None if n is None else name_of(n) for n in asked]
    original = name_places.CHUNK, module.CHUNK
    name_places.CHUNK = module.CHUNK = chunk
    try:
        places = NamePlaces(pl.Series(names, dtype=pl.String))
        got = places.find(pl.Series(texts, dtype=pl.String))
        by_name = places.by_name(np.arange(len(names)))
    finally:
        name_places.CHUNK, module.CHUNK = original
    want = {name: place for place, name in enumerate(names)}
    assert got.tolist() == [want.get(text, -1) for text in texts]
    assert by_name.tolist() == [want[name] for name in sorted(names)]


def test_a_key_that_comes_again_is_named():
    texts = [key_of(n) for n in (1, 2, 3, 2)]
    assert KeyLookup(*parse_keys(texts)).repeated == 3
    assert KeyLookup(*parse_keys(texts[:3])).repeated == -1
    order = pl.DataFrame({"key": texts, "wish": [0, 1, 2, 3]})
    with pytest.raises(RankError, match=texts[1]):
        sorted_order(order)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), unique_by=lambda t: t[1]))
def test_the_order_of_keys_equals_a_plain_sort(rows):
    keys = [key_of(n) for _, n in rows]
    wishes = [None if wish == 3 else wish for wish, _ in rows]
    order = pl.DataFrame({"key": keys, "wish": wishes}, {"key": pl.String, "wish": pl.Int64})
    want = sorted(zip(wishes, keys, strict=True), key=lambda t: (t[0] is None, t[0] or 0, t[1]))
    assert sorted_order(order)["key"].to_list() == [key for _, key in want]
    assert sorted_order(order.select("key"))["key"].to_list() == sorted(keys)


def test_a_list_of_other_names_is_put_into_a_table_once(monkeypatch):
    """Mutant: a join a chunk of names, each of which builds a table of the whole list (quadratic)."""
    monkeypatch.setattr("assets.deduplication.name_places.CHUNK", 2)
    names = [f"file#{number}" for number in range(20)]
    places = NamePlaces(pl.Series(names))
    real, calls = pl.DataFrame.join, []

    def counted(self, *arguments, **more):
        calls.append(1)
        return real(self, *arguments, **more)

    monkeypatch.setattr(pl.DataFrame, "join", counted)
    assert places.find(pl.Series([*names[::-1], "none"])).tolist() == [*range(19, -1, -1), -1]
    assert len(calls) == 1
