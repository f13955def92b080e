from __future__ import annotations

import itertools
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import text_containment as module
from assets.deduplication.errors import SimilarityError
from assets.deduplication.shingles import shingle_texts
from assets.deduplication.text_containment import ContainedTexts
from tests.deduplication.corpora import TRICKY, corpus, key_of


def with_parts(seed):
    """Return a corpus with pieces of some of its texts as texts of their own."""
    draw = random.Random(seed)
    texts = list(corpus(seed, size=40).values())
    for text in texts[:20]:
        words = text.split(" ")
        start = draw.randrange(len(words))
        texts.append(" ".join([*words[start : start + 8], f"own{draw.randrange(3)}"]))
    return {key_of((seed, i)): text for i, text in enumerate([*texts, *TRICKY])}


def brute_force(texts, similarity, shingle):
    sets = {key: shingle_texts(text, shingle) for key, text in texts.items()}
    found = {}
    for one, two in itertools.combinations(sorted(sets), 2):
        least = min(len(sets[one]), len(sets[two]))
        if least and len(sets[one] & sets[two]) / least >= similarity:
            found[one, two] = len(sets[one] & sets[two]) / least
    return found


def find(texts, similarity, shingle, batch=1000):
    finder = ContainedTexts(similarity, shingle)
    keys = list(texts)
    for start in range(0, len(keys), batch):
        some = keys[start : start + batch]
        finder.add([texts[key] for key in some], some)
    return finder.collapsed()


@pytest.mark.parametrize("seed", range(30))
def test_containment_equals_brute_force(seed):
    texts = with_parts(seed)
    for similarity, shingle in ((0.5, "word:1"), (0.8, "word:2"), (0.7, "char:5"), (1.0, "word:3")):
        found = find(texts, similarity, shingle).expanded()
        got = {(a, b): s for a, b, s in found.iter_rows()}
        assert got == pytest.approx(brute_force(texts, similarity, shingle))


@settings(max_examples=25)
@given(st.integers(0, 40), st.integers(1, 50), st.integers(1, 300), st.randoms())
def test_neither_order_nor_batches_nor_pieces_matter(seed, batch, chunk, draw):
    texts = with_parts(seed)
    once = find(texts, 0.6, "word:2")
    shuffled = list(texts.items())
    draw.shuffle(shuffled)
    before, module.CHUNK = module.CHUNK, chunk
    try:
        again = find(dict(shuffled), 0.6, "word:2", batch)
    finally:
        module.CHUNK = before
    assert again.pairs.equals(once.pairs)
    assert again.twins.equals(once.twins)


def test_a_family_beyond_the_budget_is_compared_with_its_first():
    base = [f"w{i}" for i in range(40)]
    texts = {key_of(i): " ".join([*base, f"own{i}"]) for i in range(3000)}
    found = find(texts, 0.9, "word:1")
    assert found.large_buckets > 0
    assert found.candidates < 40 * 3000
    named = pl.concat([found.pairs["left"], found.pairs["right"]])
    assert named.n_unique() == 3000


def test_a_similarity_outside_its_range_is_refused():
    with pytest.raises(SimilarityError):
        ContainedTexts(0.0, "word:5")
    assert ContainedTexts(0.5, "word:5").collapsed().pairs.is_empty()
