from __future__ import annotations

import dataclasses

import polars as pl
import pyarrow as pa
import pytest

from assets.deduplication import measured_miss as module
from assets.deduplication.measured_miss import MeasuredMiss, measured_miss, sample_keys
from assets.deduplication.near import NearDuplicates
from tests.deduplication.corpora import corpus
from tests.oracles.jaccard import near_pairs


def found(texts, **settings):
    near = NearDuplicates(0.6, "word:2", **settings)
    near.add(list(texts.values()), list(texts))
    return near.collapsed(lambda: iter([(list(texts), list(texts.values()))]))


@pytest.mark.parametrize("seed", range(8))
def test_what_was_left_out_is_counted(seed, monkeypatch):
    texts = corpus(seed, size=120)
    monkeypatch.setattr(module, "ASKED", 30)
    asked, against = sample_keys(pl.Series(list(texts)))
    want = {p for p in near_pairs(texts, 0.6, "word:2") if set(p) & set(asked)}
    stream = [(pa.array(against), pa.array([texts[k] for k in against], pa.string()))]
    whole = found(texts, exhaustive=True)
    assert measured_miss(iter(stream), asked, whole, 0.6, "word:2") == MeasuredMiss(len(want), 0)
    poor = dataclasses.replace(whole, pairs=whole.pairs.head(0))
    groups = dict(whole.twins.iter_rows())
    lost = [p for p in want if groups.get(p[0], p[0]) != groups.get(p[1], p[1])]
    told = measured_miss(iter(stream), asked, poor, 0.6, "word:2")
    assert told == MeasuredMiss(len(want), len(lost))
    assert len(lost) > 0


def test_no_texts_no_pairs():
    asked, _ = sample_keys(pl.Series([], dtype=pl.String))
    assert measured_miss(iter([]), asked, found({}), 0.6, "word:2") == MeasuredMiss(0, 0)
