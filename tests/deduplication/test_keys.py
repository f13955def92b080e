from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import keys as module
from assets.deduplication.keys import KeyLookup, format_keys, parse_keys
from tests.deduplication.corpora import key_of


@settings(deadline=None)
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


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 60), unique=True, max_size=30),
    st.lists(st.integers(0, 60), max_size=30),
    st.booleans(),
)
def test_lookup_equals_a_dictionary(held, asked, clash):
    places = {key_of(n): i for i, n in enumerate(held)}
    texts = [key_of(n) for n in asked]
    original = module._mixed
    if clash:  # every key has one of three mixes
        module._mixed = lambda high, low: (high ^ low) % np.uint64(3)
    try:
        rows, found = KeyLookup(*parse_keys(list(places))).find(*parse_keys(texts))
    finally:
        module._mixed = original
    want = [(i, places[t]) for i, t in enumerate(texts) if t in places]
    assert list(zip(rows.tolist(), found.tolist(), strict=True)) == want
