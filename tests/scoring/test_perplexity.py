from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.scoring.perplexity import Perplexity
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from tests.scoring.samples import records

CONTEXT = ScoreContext()
WORDS = ["sea", "wind", "sail", "the", "a", "."]
texts = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=6
)


def batch(text, role="train"):
    return ScoreBatch(
        [str(i) for i in range(len(text))], text=pa.array(text, pa.string()), role=role
    )


def split(text):
    return re.findall(r"\w+|[^\w\s]+", text.lower())


class Slow:
    """The same model by dictionaries of tuples."""

    def __init__(self, target, order, prior):
        self.order, self.prior = order, prior
        self.grams, self.history = Counter(), Counter()
        for words in map(split, target):
            for i in range(len(words)):
                for n in range(1, order + 1):
                    if i - n + 1 >= 0:
                        gram = tuple(words[i - n + 1 : i + 1])
                        self.grams[gram] += 1
                        self.history[gram[:-1]] += 1
        self.words = {gram[0] for gram in self.grams if len(gram) == 1}

    def p(self, word, history):
        lower = 1 / (len(self.words) + 1) if not history else self.p(word, history[1:])
        seen = self.history[history]
        return (self.grams[(*history, word)] + self.prior * lower) / (seen + self.prior)

    def perplexity(self, text):
        words = split(text)
        if not words:
            return math.nan
        logs = [
            math.log(self.p(w, tuple(words[max(0, i - self.order + 1) : i])))
            for i, w in enumerate(words)
        ]
        return math.exp(-sum(logs) / len(logs))


@settings(max_examples=60)
@given(texts, texts, st.integers(1, 4), st.sampled_from([0.1, 1.0, 7.5]))
def test_equals_a_model_of_dictionaries(target, documents, order, prior):
    target = [*target, "the sea"]
    documents = [*documents, "the unseen sea . the"]
    scorer = Perplexity(order=order, prior=prior)
    state = fit(scorer, [batch(target, "target")], CONTEXT)
    got = scorer.score(batch(documents), state).values
    slow = Slow(target, order, prior)
    assert np.allclose(got, [slow.perplexity(d) for d in documents], rtol=1e-12, equal_nan=True)


def test_probabilities_of_all_words_and_an_unknown_one_add_up():
    target = ["the sea and the wind", "the wind . a sail"]
    slow = Slow(target, 3, 2.0)
    for history in ((), ("the",), ("and", "the"), ("never", "seen")):
        total = sum(slow.p(w, history) for w in [*slow.words, "some other word"])
        assert total == pytest.approx(1, abs=1e-12)


def test_a_history_does_not_cross_documents():
    scorer = Perplexity(order=2)
    apart = fit(scorer, [batch(["a b", "c d"], "target")], CONTEXT)
    joined = fit(scorer, [batch(["a b c d"], "target")], CONTEXT)
    document = batch(["b c"])
    assert scorer.score(document, joined).values[0] < scorer.score(document, apart).values[0]


def test_the_planted_topic_is_nearest_and_length_does_not_matter():
    sample, topic = records()
    scorer = Perplexity()
    column = scorer.score(sample, fit(scorer, [sample], CONTEXT))
    train = sample.has_role("train") & ~np.isnan(column.values)
    mine = np.array([t == "cooking" for t in topic])
    assert np.median(column.values[train & mine]) < 0.5 * np.median(column.values[train & ~mine])
    one = scorer.score(batch(["stir the sauce " * 20]), fit(scorer, [sample], CONTEXT)).values[0]
    many = scorer.score(batch(["stir the sauce " * 200]), fit(scorer, [sample], CONTEXT)).values[0]
    assert many == pytest.approx(one, rel=0.1)  # a sum of surprisals would differ tenfold


def test_more_of_the_same_target_makes_it_likelier_and_order_of_words_counts():
    scorer = Perplexity()
    state = fit(scorer, [batch(["salt and pepper with butter"] * 3, "target")], CONTEXT)
    said, shuffled = scorer.score(batch(["salt and pepper", "pepper salt and"]), state).values
    assert said < shuffled
    more = fit(scorer, [batch(["salt and pepper with butter"] * 30, "target")], CONTEXT)
    assert scorer.score(batch(["salt and pepper"]), more).values[0] < said


def test_it_is_silent_where_words_are_not_known():
    scorer = Perplexity()
    state = fit(scorer, [batch(["some words"], "target")], CONTEXT)
    column = scorer.score(batch([None, "", "  ", "我们今天去海边看日出", "words"]), state)
    spaceless = "written without spaces between words"
    assert column.reasons.to_list() == ["no text", "no words", "no words", spaceless, None]
    nothing = scorer.score(ScoreBatch(["a"]), state)
    assert nothing.reasons.to_list() == ["no text"]


def test_what_cannot_be_is_refused():
    with pytest.raises(ScoringError, match="role: target"):
        fit(Perplexity(), [batch(["words"])], CONTEXT)
    with pytest.raises(ScoringError, match="order 1 to 5"):
        Perplexity(order=0)
    with pytest.raises(ScoringError, match="prior above 0"):
        Perplexity(prior=0)
