from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.deduplication.bands import buckets
from assets.deduplication.first_pass import distinct_sets
from assets.deduplication.near_pairs import pair_frame
from assets.deduplication.order import sorted_rows
from tests.deduplication.corpora import find, key_of

FEW = st.integers(0, 3)


@given(st.lists(st.tuples(FEW, FEW, FEW), max_size=30))
def test_sets_are_equal_by_digest_and_size(rows):
    digests = np.array([row[:2] for row in rows], np.uint64).reshape(-1, 2)
    sizes = np.array([row[2] for row in rows], np.int64)
    sample, member = distinct_sets(digests, sizes)
    assert [rows[sample[m]] for m in member] == rows
    assert len({rows[s] for s in sample}) == len(sample) == len(set(rows))


@given(st.lists(st.tuples(FEW, FEW, FEW), max_size=30))
def test_rows_are_sorted_by_all_columns(rows):
    first, second, third = (np.array([r[i] for r in rows], np.uint64) for i in range(3))
    order = sorted_rows(first, second, third)
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert [rows[i] for i in order] == sorted(rows)


@given(st.lists(st.integers(0, 2**32 - 1) | FEW, max_size=60))
def test_buckets_hold_every_key_that_repeats(keys):
    members, starts, sizes = buckets(np.array(keys, np.uint32))
    got = [members[a : a + m].tolist() for a, m in zip(starts, sizes, strict=True)]
    want = {k: [i for i, other in enumerate(keys) if other == k] for k in set(keys)}
    assert got == [want[k] for k in sorted(want) if len(want[k]) > 1]


def test_pairs_are_named_smaller_key_first_and_sorted():
    high, low = np.array([7, 7, 1, 2**63], np.uint64), np.array([5, 4, 9, 0], np.uint64)
    frame = pair_frame(
        high, low, np.array([0, 3, 2]), np.array([1, 2, 0]), np.array([0.7, 0.8, 0.9])
    )
    names = [f"{h:016x}{v:016x}" for h, v in zip(high.tolist(), low.tolist(), strict=True)]
    assert frame.rows() == [
        (names[2], names[0], 0.9),
        (names[2], names[3], 0.8),
        (names[1], names[0], 0.7),
    ]
    none = np.empty(0, np.int64)
    assert pair_frame(high, low, none, none, np.empty(0)).is_empty()


@pytest.mark.parametrize("exhaustive", [True, False])
def test_copies_within_and_across_slices_find_what_one_text_finds(exhaustive):
    """A slice keeps one sketch for its copies; all copies are still in the answer."""
    texts = {key_of(i): ("a b c d e f" if i % 3 else "a b c d e g") for i in range(12)}
    found = find(texts, 0.5, "word:2", batch=5, exhaustive=exhaustive, bands=(16, 1))
    assert len(found) == 12 * 11 // 2
    for (left, right), similarity in found.items():
        assert similarity == (1.0 if texts[left] == texts[right] else 4 / 6)


def test_halves_of_keys_are_taken_as_they_are():
    texts = {key_of(i): f"a b c {i // 2}" for i in range(4)}
    from assets.deduplication.near import NearDuplicates

    near = NearDuplicates(1.0, "word:1")
    keys = np.array([[int(k[:16], 16), int(k[16:], 16)] for k in texts], np.uint64)
    near.add(list(texts.values()), keys)
    assert {row[:2] for row in near.pairs(lambda: iter([])).rows()} == set(
        find(texts, 1.0, "word:1")
    )
