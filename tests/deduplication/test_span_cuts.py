"""What goes where repeated spans are removed: the plain model, what is promised of it, and ways to get it wrong."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication.repeated_spans import MATCH_SCHEMA
from assets.deduplication.span_cuts import CUT_SCHEMA, merged, span_cuts
from assets.deduplication.span_partners import exact_partners
from assets.deduplication.token_files import TokenFiles
from tests.oracles.spans import cut_tokens, tokens


def cuts_of(texts, k, places=None, whole=None, **settings):
    files = TokenFiles()
    files.add(texts)
    held = files.close()
    order = np.arange(len(texts)) if places is None else np.asarray(places, np.int64)
    stays = None if whole is None else np.asarray(whole)
    with exact_partners(held, k, order, **settings) as partner:
        parts = list(span_cuts(held, partner, k, order, stays))
    return pl.concat([pl.DataFrame(schema=MATCH_SCHEMA), *parts])


def tokens_of(texts, found):
    """Which tokens of each text lie in a span."""
    gone = [set() for _ in texts]
    for row in found.iter_rows(named=True):
        for at, (_, start, end) in enumerate(tokens(texts[row["text"]])):
            if row["start"] <= start and end <= row["end"]:
                gone[row["text"]].add(at)
    return gone


def some_texts(draw):
    vocabulary = draw.choice([1, 2, 4, 30])
    texts = [
        " ".join(f"w{draw.randrange(vocabulary)}" for _ in range(draw.randrange(25)))
        for _ in range(draw.randrange(1, 9))
    ]
    return [*dict.fromkeys(texts)]


@pytest.mark.parametrize("bits", [(1 << 64) - 1, 0, 0b11])
def test_what_goes_is_what_the_plain_model_cuts(bits):
    for seed in range(150):
        draw = random.Random(seed)
        texts = some_texts(draw)
        places = [*range(len(texts))]
        draw.shuffle(places)
        order = sorted(range(len(texts)), key=places.__getitem__)
        for k in (1, 2, 3, 5):
            found = cuts_of(texts, k, places, hash_bits=bits)
            assert tokens_of(texts, found) == cut_tokens(texts, order, k), (seed, k)


@settings(max_examples=150)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_what_goes_stands_uncut_where_it_is_said_to(seed, k):
    draw = random.Random(seed)
    texts = some_texts(draw)
    places = [*range(len(texts))]
    draw.shuffle(places)
    found = cuts_of(texts, k, places)
    gone = tokens_of(texts, found)
    for row in found.iter_rows(named=True):
        here = texts[row["text"]][row["start"] : row["end"]]
        assert here == texts[row["other"]][row["other_start"] : row["other_end"]]
        assert len(here.split()) == row["tokens"] >= k
        assert places[row["other"]] < places[row["text"]]
        kept = {
            at
            for at, (_, start, end) in enumerate(tokens(texts[row["other"]]))
            if row["other_start"] <= start and end <= row["other_end"]
        }
        assert not kept & gone[row["other"]]
    pieces = [set() for _ in texts]
    for number, text in enumerate(texts):
        words = text.split()
        for at in range(len(words) - k + 1):
            if not gone[number] & set(range(at, at + k)):
                pieces[number].add(tuple(words[at : at + k]))
    for one in range(len(texts)):
        for two in range(one):
            assert not pieces[one] & pieces[two]


def test_a_window_that_lost_a_token_keeps_nothing():
    """A mutant that cuts whatever an earlier text had before it was cut itself: "3 4 5" would stand nowhere."""
    texts = ["1 2 3 4", "4 5 6", "1 2 3 4 5 6", "x 3 4 5 y"]
    gone = tokens_of(texts, cuts_of(texts, 3))
    assert gone == [set(), set(), set(range(6)), set()]
    assert gone == cut_tokens(texts, [0, 1, 2, 3], 3)


def test_a_repeat_in_the_middle_of_a_match_goes_too():
    """A mutant that cuts only the matches of a walk leaves "c d" in the first: it lies in a match with a later text."""
    texts = ["a b c d", "a b c d e", "c d"]
    gone = tokens_of(texts, cuts_of(texts, 2, places=[1, 2, 0]))
    assert gone == [{2, 3}, {0, 1, 2, 3}, set()]


def test_a_text_that_is_to_stay_whole_is_not_cut_and_keeps_what_it_has():
    texts = ["a b c", "a b c d", "c d x"]
    gone = tokens_of(texts, cuts_of(texts, 2, whole=[False, True, False]))
    assert gone == [set(), set(), {0, 1}]


def test_a_span_may_end_where_one_text_does_and_the_next_begins():
    # with windows of one token, the last of a text and the first of the next follow one another
    found = cuts_of(["a b", "c d", "a b c d"], 1)
    assert found.select("text", "other", "tokens").rows() == [(2, 0, 2), (2, 1, 2)]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 400, 1 << 28]), st.randoms(use_true_random=False))
def test_order_and_memory_change_nothing(seed, memory, mixer):
    texts = some_texts(random.Random(seed))
    once = tokens_of(texts, cuts_of(texts, 2))
    mixed = [*range(len(texts))]
    mixer.shuffle(mixed)
    shuffled = [texts[i] for i in mixed]
    again = tokens_of(shuffled, cuts_of(shuffled, 2, places=mixed, memory_bytes=memory))
    assert [again[mixed.index(i)] for i in range(len(texts))] == once


def test_spans_that_touch_or_overlap_are_one():
    rows = [("b", 5, 9), ("a", 0, 4), ("a", 3, 6), ("a", 6, 7), ("a", 9, 11)]
    spans = pl.DataFrame(rows, schema=CUT_SCHEMA, orient="row")
    assert merged(spans).rows() == [("a", 0, 7), ("a", 9, 11), ("b", 5, 9)]


def test_no_texts_and_no_tokens_lose_nothing():
    assert cuts_of([], 3).is_empty()
    assert cuts_of(["", "!!"], 1).is_empty()
