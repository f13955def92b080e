from __future__ import annotations

import random
import re
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import repeated_spans as module
from assets.deduplication.repeated_spans import ALL_BITS, repeated_spans
from assets.deduplication.token_files import TokenFiles
from assets.deduplication.token_kernels import fold_table
from tests.deduplication.corpora import TRICKY
from tests.oracles.spans import FOLDS, repeated_windows, tokens


def find(texts, k, places=None, batch=7, **settings):
    files = TokenFiles()
    for start in range(0, len(texts), batch):
        files.add(texts[start : start + batch])
    order = np.arange(len(texts)) if places is None else np.asarray(places, np.int64)
    frames = list(repeated_spans(files.close(), k, order, **settings))
    return pl.concat([pl.DataFrame(schema=module.MATCH_SCHEMA), *frames])


def check(texts, k, places, found):
    """Hold the theorem of the module against the brute force."""
    words = [tokens(text) for text in texts]
    covered = [set() for _ in texts]
    for row in found.iter_rows(named=True):
        mine, theirs = words[row["text"]], words[row["other"]]
        at = [t[1] for t in mine].index(row["start"])
        by = [t[1] for t in theirs].index(row["other_start"])
        size = row["tokens"]
        assert row["text"] != row["other"]
        assert size >= k
        assert [t[0] for t in mine[at : at + size]] == [t[0] for t in theirs[by : by + size]]
        assert mine[at + size - 1][2] == row["end"]
        assert theirs[by + size - 1][2] == row["other_end"]
        assert mine[at + size : at + size + 1] == [] or (
            [t[0] for t in mine[at + size : at + size + 1]]
            != [t[0] for t in theirs[by + size : by + size + 1]]
        )
        assert row["earlier"] == (places[row["other"]] < places[row["text"]])
        covered[row["text"]] |= set(range(at, at + size - k + 1))
    assert covered == repeated_windows(texts, k)


def small_corpus(draw, vocabulary=5, size=9):
    return [
        " ".join(f"W{draw.randrange(vocabulary)}" for _ in range(draw.randrange(30)))
        for _ in range(draw.randrange(1, size))
    ]


@pytest.mark.parametrize("seed", range(300))
def test_what_matches_cover_is_the_brute_force_over_many_small_corpora(seed):
    draw = random.Random(seed)
    for k in (1, 2, 3, 6):
        texts = [*dict.fromkeys(small_corpus(draw, vocabulary=draw.choice([1, 2, 5, 40])))]
        places = list(range(len(texts)))
        draw.shuffle(places)
        check(texts, k, places, find(texts, k, places))


@settings(max_examples=60)
@given(
    st.lists(st.text("aAbß İΣσς\u0301日 \n'-", max_size=40), max_size=6, unique=True),
    st.integers(1, 4),
)
def test_offsets_are_the_texts_own_whatever_the_script(texts, k):
    check(texts, k, list(range(len(texts))), find(texts, k))


def test_tricky_texts_have_true_spans():
    texts = [*TRICKY, *(f"before {text} after" for text in TRICKY)]
    for k in (1, 2):
        check(texts, k, list(range(len(texts))), find(texts, k))


def test_each_character_folds_as_stated():
    table = fold_table()
    for point in [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]:
        letter = chr(point)
        word = re.match(r"\w", letter) is not None
        assert (table[point] != 0) == word
        if word:
            assert chr(table[point]) == (FOLDS.get(letter) or letter.lower())


@pytest.mark.parametrize("bits", [0, 1, 0b111])
def test_hashes_that_collide_change_nothing(bits):
    for seed in range(30):
        draw = random.Random(seed)
        texts = [*dict.fromkeys(small_corpus(draw, vocabulary=6))]
        places = list(range(len(texts)))
        check(texts, 2, places, find(texts, 2, places, hash_bits=bits))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 300, 5000, 1 << 28]), st.integers(1, 9))
def test_memory_and_batches_change_nothing(seed, memory, batch):
    draw = random.Random(seed)
    texts = [*dict.fromkeys(small_corpus(draw))]
    once = find(texts, 3)
    assert find(texts, 3, batch=batch, memory_bytes=memory).equals(once)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_texts_changes_only_their_numbers(seed, mixer):
    draw = random.Random(seed)
    texts = [*dict.fromkeys(small_corpus(draw))]
    shuffled = list(range(len(texts)))
    mixer.shuffle(shuffled)
    once = find(texts, 3)
    again = find([texts[i] for i in shuffled], 3, shuffled)
    number = pl.Series(shuffled, dtype=pl.Int64)
    renamed = again.with_columns(
        text=number.gather(again["text"]), other=number.gather(again["other"])
    )
    assert renamed.sort("text", "start").equals(once.sort("text", "start"))


def test_a_partner_in_the_same_text_would_be_told():
    """A mutant that takes any other window, its own text's too, covers windows that no other text has."""
    texts = ["a b a b a b", "c d"]
    assert find(texts, 2).is_empty()
    assert repeated_windows(texts, 2) == [set(), set()]


def test_periodic_and_long_texts_stay_linear():
    one, two = "la " * 200_000, "la " * 150_000 + "end"
    found = find([one, two, "z" * 30_000_000, "z" * 30_000_001], 50, batch=1)
    assert found["tokens"].max() == 150_000
    assert found.height < 20
    assert find(["", None, "!!!"], 1).is_empty()
    assert ALL_BITS == 2**64 - 1
