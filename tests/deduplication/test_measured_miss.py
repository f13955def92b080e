from __future__ import annotations

import dataclasses

import polars as pl
import pyarrow as pa
import pytest

from assets.deduplication import measured_miss as module
from assets.deduplication import overlaps
from assets.deduplication.measured_miss import MeasuredMiss, measured_miss
from assets.deduplication.near import NearDuplicates
from assets.deduplication.set_cache import SetCache
from tests.deduplication.corpora import corpus, sketches_of
from tests.oracles.jaccard import near_pairs


def found(texts, **settings):
    near = NearDuplicates(0.6, "word:2", **settings)
    near.add(list(texts.values()), list(texts))
    return near.collapsed(lambda: iter([(list(texts), list(texts.values()))]))


def sample(texts, cache=None, read=None):
    near = NearDuplicates(0.6, "word:2")
    near.add(list(texts.values()), list(texts))
    drawn = module.Sample()
    for sketches in near.sketches():
        drawn.add(sketches)
    asked, chosen = drawn.chosen()

    def of_keys(keys):
        if read is not None:
            read.extend(keys)
        yield pa.array(keys), pa.array([texts[key] for key in keys], pa.string())

    return asked, module.sample_sets(chosen, cache, "word:2", of_keys)


@pytest.mark.parametrize("seed", range(8))
def test_what_was_left_out_is_counted(seed, monkeypatch):
    texts = corpus(seed, size=120)
    monkeypatch.setattr(overlaps, "_BLOCK", 100 if seed % 2 else 1 << 20)
    monkeypatch.setattr(module, "ASKED", 30)
    asked, sets = sample(texts)
    want = {p for p in near_pairs(texts, 0.6, "word:2") if set(p) & set(asked)}
    whole = found(texts, exhaustive=True)
    assert measured_miss(sets, asked, whole, 0.6) == MeasuredMiss(len(want), 0)
    poor = dataclasses.replace(whole, pairs=whole.pairs.head(0))
    groups = dict(whole.twins.iter_rows())
    lost = [p for p in want if groups.get(p[0], p[0]) != groups.get(p[1], p[1])]
    told = measured_miss(sets, asked, poor, 0.6)
    assert told == MeasuredMiss(len(want), len(lost))
    assert len(lost) > 0


def test_no_texts_no_pairs():
    asked, sets = sample({})
    assert measured_miss(sets, asked, found({}), 0.6) == MeasuredMiss(0, 0)


@pytest.mark.parametrize("kept", [0, 40, 120])
def test_sets_that_are_kept_are_not_made_from_texts(tmp_path, kept):
    texts = corpus(3, size=120)
    cache = SetCache(tmp_path, "word:2")
    near = NearDuplicates(0.6, "word:2", sets=cache)
    some = dict([*texts.items()][:kept])
    near.add([*some.values()], [*some])
    sketches_of(near)
    read: list[str] = []
    asked, sets = sample(texts, cache, read)
    _, plain = sample(texts)
    assert set(some).isdisjoint(read)
    assert sets.flat.tolist() == plain.flat.tolist()
    # texts that are written otherwise may have the set of one that is kept
    assert len(read) <= len(texts) - kept
    assert asked.to_list() == sorted(texts)[: module.ASKED]


def test_the_sample_is_bounded_and_the_same_in_any_order(monkeypatch):
    monkeypatch.setattr(module, "MOST_ELEMENTS", 100)
    rows = pl.DataFrame(
        {"key": [*"dbca"], "digest": [b""] * 4, "size": [30, 20, 26, 25]},
        schema_overrides={"size": pl.Int64},
    )

    def chosen_of(*parts: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
        drawn = module.Sample()
        for some in parts:
            drawn.add(some)
        return drawn.chosen()

    for parts in ([rows], [rows.reverse()], [rows[:2], rows[1:]], [rows[2:], rows]):
        asked, chosen = chosen_of(*parts)
        assert chosen["key"].to_list() == ["a", "b"]  # c and d are more than a quarter
        assert asked.to_list() == ["a", "b"]
    monkeypatch.setattr(module, "MOST_ELEMENTS", 104)
    assert chosen_of(rows)[1]["key"].to_list() == ["a", "b", "c"]
    monkeypatch.setattr(module, "AGAINST", 2)
    for parts in ([rows], [rows.reverse()], [rows[at : at + 1] for at in range(4)], [rows, rows]):
        assert chosen_of(*parts)[1]["key"].to_list() == ["a", "b"]
