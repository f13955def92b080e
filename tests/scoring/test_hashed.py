from __future__ import annotations

import math
import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.scoring.hashed import HashedEmbedder, from_stored, to_stored
from assets.scoring.protocol import ScoringError
from tests.scoring.samples import records

EMBEDDER = HashedEmbedder(256)


def exact_cosine(left, right):
    """The cosine of full n-gram vectors, without hashing."""

    def vector(text):
        words = re.findall(r"\w+", text.lower())
        grams = [(w,) for w in words] + list(pairwise(words))
        return {g: math.log1p(grams.count(g)) for g in set(grams)}

    a, b = vector(left), vector(right)
    dot = sum(a[g] * b[g] for g in a.keys() & b.keys())
    return dot / math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))


@given(st.lists(st.one_of(st.none(), st.text(max_size=80)), max_size=6))
def test_a_row_depends_on_itself_alone(texts):
    column = pa.array(texts, pa.string())
    together = EMBEDDER.embed(column)
    for i, text in enumerate(texts):
        alone = EMBEDDER.embed(pa.array([text], pa.string()))[0]
        assert np.array_equal(together[i], alone)
        norm = float(np.linalg.norm(together[i]))
        assert norm == 0 or abs(norm - 1) < 1e-5
    padded = EMBEDDER.embed(pa.array(["pad", *texts], pa.string()).slice(1))
    assert np.array_equal(padded, together)


def test_cosines_estimate_those_of_full_vectors():
    text = [t for t in records(120)[0].text.to_pylist() if t and len(t) > 100 and t.isascii()][:80]
    text = [t for t in text if " " in t]
    vectors = HashedEmbedder(4096).embed(pa.array(text))
    small = EMBEDDER.embed(pa.array(text))
    error, rough = [], []
    for i in range(0, len(text) - 1, 2):
        want = exact_cosine(text[i], text[i + 1])
        error.append(vectors[i] @ vectors[i + 1] - want)
        rough.append(small[i] @ small[i + 1] - want)
    assert np.abs(error).max() < 5 / math.sqrt(4096)
    assert np.abs(rough).max() < 5 / math.sqrt(256)
    assert abs(np.mean(rough)) < 3 / math.sqrt(256 * len(rough))  # unbiased


def test_near_texts_are_near_in_every_script():
    for near, other in (
        (("the cat sat on the mat", "the cat sat on a mat"), "stocks fell sharply today"),
        (("猫が好きです", "猫が大好きです"), "株価が急落した"),
        (("ผมชอบแมว", "ผมชอบแมวมาก"), "หุ้นตกวันนี้"),
        (("ok", "ok!"), "no"),
    ):
        a, b, c = EMBEDDER.embed(pa.array([*near, other]))
        assert a @ b > a @ c + 0.15


def test_case_and_punctuation_do_not_matter_to_long_texts():
    plain = "one two three four five six seven eight nine ten"
    loud = "ONE, two; three four five... six seven eight nine TEN"
    a, b = EMBEDDER.embed(pa.array([plain, loud]))
    assert a @ b > 0.999


FROZEN = [
    -0.1459,
    -0.1459,
    0.0,
    0.1459,
    0.0,
    0.2917,
    0.0,
    0.1459,
    -0.1459,
    0.2917,
    -0.4376,
    0.2917,
    0.5835,
    0.2917,
    -0.1459,
    0.0,
]


def test_frozen_vector():
    # vectors are stored under the embedder's id: another outcome needs another id
    vector = HashedEmbedder(16).embed(pa.array(["Hello, world of data"]))[0]
    assert np.allclose(vector, FROZEN, atol=1e-4)
    assert HashedEmbedder(16).embedder_id == "hashed/1:dim=16:words=1-2:characters=3:tf=log1p:l2"


def test_features_have_vectors_and_text_goes_first():
    features = pa.array(
        [[1.0, 2.0, 3.0], [1.01, 2.0, 3.0], [-5.0, 40.0, 0.0], None, [], [float("nan"), 1.0, 2.0]]
    )
    vectors = EMBEDDER.embed(None, features)
    assert vectors[0] @ vectors[1] > 0.999
    assert vectors[0] @ vectors[2] < 0.9
    assert not vectors[3].any()
    assert not vectors[4].any()
    assert np.isfinite(vectors).all()
    text = pa.array(["words", None, None, "more", None, None])
    both = EMBEDDER.embed(text, features)
    assert np.array_equal(both[0], EMBEDDER.embed(text)[0])
    assert np.array_equal(both[1], vectors[1])


def test_feature_columns_keep_their_coordinates_when_reordered():
    a = EMBEDDER.embed(None, pa.array([[1.0, 7.0]]), ["height", "width"])
    b = EMBEDDER.embed(None, pa.array([[7.0, 1.0]]), ["width", "height"])
    assert np.allclose(a, b, atol=1e-6)


def test_storage_keeps_half_precision():
    vectors = EMBEDDER.embed(records(30)[0].text)
    stored = to_stored(vectors)
    assert stored.type == pa.binary()
    assert len(stored[0].as_py()) == 512
    assert np.frombuffer(stored[0].as_py(), "<f2")[0] == np.float16(vectors[0, 0])
    assert np.array_equal(from_stored(stored, 256), vectors.astype(np.float16).astype(np.float32))
    assert np.array_equal(from_stored(stored.slice(3, 4), 256), from_stored(stored, 256)[3:7])
    assert not from_stored(pa.array([None, stored[0].as_py()]), 256)[0].any()


def test_errors():
    with pytest.raises(ScoringError, match="another embedder"):
        from_stored(to_stored(np.zeros((2, 8), np.float32)), 16)
    with pytest.raises(ScoringError, match="8 to 8192"):
        HashedEmbedder(4)
    with pytest.raises(ScoringError, match="text or features"):
        EMBEDDER.embed()
    with pytest.raises(ScoringError, match="1 feature names"):
        EMBEDDER.embed(None, pa.array([[1.0, 2.0]]), ["a"])
