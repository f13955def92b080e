from __future__ import annotations

import numpy as np
import pytest
from datasketch import MinHash

from assets.deduplication.errors import SimilarityError
from assets.deduplication.minhash import (
    band_keys,
    choose_bands,
    collision_probability,
    permutations,
    sketch_texts,
)
from assets.deduplication.shingles import hashfunc, parse_shingle, shingle_texts, text_spans
from tests.deduplication.corpora import TRICKY, corpus


@pytest.mark.parametrize(("setting", "seed"), [("word:5", 1), ("char:5", 1), ("word:2", 7)])
def test_signatures_are_datasketchs(setting, seed):
    texts = [*TRICKY, *corpus(3).values()]
    done = sketch_texts(text_spans(texts), parse_shingle(setting), permutations(112, seed=seed))
    for text, signature, size in zip(texts, done.signatures, done.sizes, strict=True):
        shingles = shingle_texts(text, setting)
        other = MinHash(num_perm=112, seed=seed, hashfunc=hashfunc(setting))
        other.update_batch([s.encode() for s in shingles])
        assert other.hashvalues.dtype == signature.dtype
        np.testing.assert_array_equal(other.hashvalues, signature)
        assert size == len(shingles)


def test_tags_differ_where_signatures_may_not_be_compared():
    assert len({permutations(n, seed=s).tag for n in (64, 128) for s in (1, 2)}) == 4


def test_bands_are_salted():
    signatures = np.tile(np.arange(4, dtype=np.uint32), (3, 5))  # every band holds the same values
    keys = band_keys(signatures, 5, 4)
    assert len(np.unique(keys[:, 0])) == 5
    assert (keys == keys[:, :1]).all()


@pytest.mark.parametrize("similarity", [0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_chosen_bands_keep_their_promise(similarity):
    bands, rows = choose_bands(similarity)
    assert bands * rows <= 256
    assert 1 - collision_probability(similarity, bands, rows) <= 0.005
    if bands > 1:
        assert 1 - collision_probability(similarity, bands - 1, rows) > 0.005


def test_no_cheaper_banding_is_as_good():
    bands, rows = choose_bands(0.7)
    for b in range(1, 257):
        for r in range(1, 257):
            if b * r < bands * rows and 1 - collision_probability(0.7, b, r) <= 0.005:
                assert collision_probability(0.35, b, r) > 0.15


def test_impossible_bands_are_refused():
    with pytest.raises(SimilarityError, match="allow more hashes"):
        choose_bands(0.01)
    with pytest.raises(SimilarityError):
        choose_bands(0.0)


def test_collisions_follow_the_formula():
    """Sets of Jaccard exactly 2/3 share a band as often as the formula says (binomial test)."""
    from scipy.stats import binomtest

    trials, bands, rows = 3000, 8, 4
    texts = []
    for i in range(trials):
        shared = [f"s{i}x{j}" for j in range(80)]
        texts.append(" ".join([*shared, *(f"a{i}x{j}" for j in range(20))]))
        texts.append(" ".join([*shared, *(f"b{i}x{j}" for j in range(20))]))
    done = sketch_texts(text_spans(texts), parse_shingle("word:1"), permutations(32))
    keys = band_keys(done.signatures, bands, rows)
    hits = int((keys[:, 0::2] == keys[:, 1::2]).any(axis=0).sum())
    assert binomtest(hits, trials, collision_probability(80 / 120, bands, rows)).pvalue > 1e-4
    agree = (done.signatures[0::2] == done.signatures[1::2]).mean()
    assert abs(agree - 80 / 120) < 0.01
