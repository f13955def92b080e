from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.scoring import ngram_buckets as ngram_buckets_module
from assets.scoring.dsir import Dsir
from assets.scoring.ngram_buckets import ngram_buckets, sha256_bucket
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from assets.scoring.tokens import tokenise, utf8
from tests.scoring.samples import records

CONTEXT = ScoreContext()


def batch(text, role="train"):
    ids = [str(i) for i in range(len(text))]
    return ScoreBatch(ids=ids, text=pa.array(text, pa.string()), role=role)


def oracle(raw, target, documents, buckets, bucket_of, smoothing=0.0):
    """DSIR as its paper writes it, slowly: (log weights, number of n-grams)."""

    def grams(text):
        words = re.findall(r"\w+|[^\w\s]+", text.lower())
        return words + [f"{a} {b}" for a, b in pairwise(words)]

    def model(texts, start):
        counts = [start] * buckets
        for text in texts:
            for gram in grams(text):
                counts[bucket_of(gram)] += 1
        return [c / sum(counts) for c in counts]

    p, q = model(raw, 0.0), model(target, smoothing)
    weights = [
        sum(np.log(q[bucket_of(g)] + 1e-8) - np.log(p[bucket_of(g)] + 1e-8) for g in grams(d))
        for d in documents
    ]
    return np.array(weights), np.array([len(grams(d)) for d in documents])


def test_known_answers_of_the_authors_package():
    assert sha256_bucket("alice") == 6720
    assert sha256_bucket("alice went") == 114
    buckets, offsets = ngram_buckets(pa.array(["Alice went to the store"]), scheme="sha256")
    assert offsets.tolist() == [0, 9]
    assert buckets[0] == 6720
    assert buckets[5] == 114


@given(st.lists(st.text(max_size=60), max_size=8))
def test_tokens_are_those_of_the_regular_expression(texts):
    tokens = tokenise(utf8(pa.array(texts, pa.string())))
    for i, text in enumerate(texts):
        words = re.findall(r"\w+|[^\w\s]+", text)
        assert tokens.lengths[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() == [
            len(w) for w in words
        ]
    seen = {}
    for i, text in enumerate(texts):
        for j, word in enumerate(re.findall(r"\w+|[^\w\s]+", text)):
            found = tokens.hashes[tokens.offsets[i] + j]
            assert seen.setdefault(word, found) == found
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_equals_the_paper_in_both_hashes(smoothing):
    sample, _ = records(60)
    role = sample.role.to_pylist()
    text = [t or "" for t in sample.text.to_pylist()]
    raw = [t for t, r in zip(text, role, strict=True) if r == "train"]
    target = [t for t, r in zip(text, role, strict=True) if r == "target"]
    scorer = Dsir(buckets=1000, hash="sha256", smoothing=smoothing)
    column = scorer.score(sample, fit(scorer, [sample], CONTEXT))
    want, count = oracle(raw, target, text, 1000, lambda g: sha256_bucket(g, 1000), smoothing)
    scorable = count > 0
    got = column.extras["dsir_log_weight"]
    assert np.allclose(got[scorable], want[scorable], atol=1e-9, rtol=0)
    mean = (want / np.maximum(count, 1))[scorable]
    assert np.allclose(column.values[scorable], mean, atol=1e-9, rtol=0)
    assert np.isnan(column.values[~scorable]).all()
    # the fast hash is another hash, so near in rank and not in value
    fast = Dsir(buckets=100_000, smoothing=smoothing)
    exact = Dsir(buckets=100_000, hash="sha256", smoothing=smoothing)
    a = fast.score(sample, fit(fast, [sample], CONTEXT)).values[scorable]
    b = exact.score(sample, fit(exact, [sample], CONTEXT)).values[scorable]
    assert np.corrcoef(a, b)[0, 1] > 0.99


def test_equal_distributions_give_zero():
    text = ["one two three", "four five"]
    both = [batch(text), batch(text, "target")]
    scorer = Dsir()
    column = scorer.score(both[0], fit(scorer, both, CONTEXT))
    assert np.abs(column.values).max() == 0


def test_the_planted_topic_ranks_first_and_length_does_not():
    sample, topic = records()
    scorer = Dsir()
    column = scorer.score(sample, fit(scorer, [sample], CONTEXT))
    train = sample.has_role("train") & ~np.isnan(column.values)
    train[[5, 7, 8, 10]] = False
    cooking = np.array([t == "cooking" for t in topic])
    assert column.values[train & cooking].min() > column.values[train & ~cooking].max()
    # the mutant that ranks by the sum favours length: twice a document has twice its sum
    one = sample.text[0].as_py()
    pair = scorer.score(batch([one, one + " " + one]), fit(scorer, [sample], CONTEXT))
    assert pair.extras["dsir_log_weight"][1] > 1.8 * pair.extras["dsir_log_weight"][0]
    assert abs(pair.values[1] - pair.values[0]) < 0.2 * abs(pair.values[0])


def test_log_weight_adds_up_to_the_joining_bigram():
    sample, _ = records()
    scorer = Dsir()
    state = fit(scorer, [sample], CONTEXT)
    a, b = "salt and pepper", "judge the appeal"
    parts = scorer.score(batch([a, b, f"{a} {b}", "pepper judge", "pepper", "judge"]), state)
    w = parts.extras["dsir_log_weight"]
    assert w[2] == pytest.approx(w[0] + w[1] + (w[3] - w[4] - w[5]), abs=1e-9)


def test_errors_name_the_remedy():
    scorer = Dsir()
    with pytest.raises(ScoringError, match="role: target"):
        fit(scorer, [batch(["some text"])], CONTEXT)
    with pytest.raises(ScoringError, match="train rows"):
        fit(scorer, [batch(["some text"], "target")], CONTEXT)
    with pytest.raises(ScoringError, match="md5"):
        Dsir(hash="md5")
    with pytest.raises(ScoringError, match="cannot merge"):
        scorer.merge(
            scorer.summarise([batch(["x"])], CONTEXT),
            Dsir(buckets=5).summarise([batch(["x"])], CONTEXT),
        )


def test_reference_gives_the_sum_of_sha256_buckets_whatever_the_hash():
    sample, _ = records(60)
    sha = Dsir(hash="sha256")
    paper = sha.score(sample, fit(sha, [sample], CONTEXT))
    scorer = Dsir(compat="reference")
    column = scorer.score(sample, fit(scorer, [sample], CONTEXT))
    assert np.array_equal(column.values, paper.extras["dsir_log_weight"], equal_nan=True)
    assert np.array_equal(column.values, column.extras["dsir_log_weight"], equal_nan=True)
    assert not np.allclose(column.values, paper.values, equal_nan=True)
    with pytest.raises(ScoringError, match="smooths nothing"):
        Dsir(compat="reference", smoothing=1.0)
    with pytest.raises(ScoringError, match="compat='package'"):
        Dsir(compat="package")


def test_min_tokens_gives_null_with_the_reason():
    both = [batch(["one two three", "one"]), batch(["one"], "target")]
    scorer = Dsir(min_tokens=3)
    column = scorer.score(both[0], fit(scorer, both, CONTEXT))
    assert column.reasons.to_list() == [None, "fewer than 3 tokens"]


def test_documents_parted_over_the_cores_are_those_of_one_part(monkeypatch):
    words = ["naïve", "Élan", "x", "...", "tea-time", "ƒ"]
    rng = np.random.default_rng(0)
    text = [" ".join(rng.choice(words, rng.integers(0, 30))) for _ in range(200)]
    text[3], text[4], text[5] = None, "", "lang " * 500
    column = pa.array(text)
    roles = pa.array(rng.choice(["train", "target", "evaluation"], 200))
    given = ScoreBatch(ids=[f"d{i}" for i in range(200)], text=column, role=roles)
    found = []
    for size in (2**30, 700, 1):
        monkeypatch.setattr(ngram_buckets_module, "PART_BYTES", size)
        buckets, offsets = ngram_buckets(column)
        state = fit(Dsir(), [given], ScoreContext())
        values = Dsir().score(given, state)
        found.append((buckets, offsets, state.arrays["train"], state.arrays["target"],
                      values.values, values.extras["dsir_log_weight"]))  # fmt: skip
    assert found[0][2].sum() != found[0][3].sum()
    for other in found[1:]:
        assert all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(found[0], other, strict=True)
        )
    sliced = ngram_buckets(column.slice(5, 20))
    a, b = found[0][1][5], found[0][1][25]
    assert np.array_equal(sliced[0], found[0][0][a:b])
