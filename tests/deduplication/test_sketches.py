"""Sketches that earlier runs made: the same pairs, whatever is known already."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication.errors import SimilarityError
from assets.deduplication.near import NearDuplicates
from assets.deduplication.sketch_cache import MOST_FILES, SketchCache
from assets.deduplication.sketch_frames import SCHEMA, read_sketches, sketch_frame
from tests.deduplication.corpora import sketches_of

WORDS = ["one", "two", "three", "four", "five", "six", "seven"]


def corpus(seed: int, count: int) -> dict[str, str]:
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(0, 9))) for _ in range(count)]
    return {f"{number * 2654435761 % 2**64:032x}": text for number, text in enumerate(texts)}


def finder() -> NearDuplicates:
    return NearDuplicates(0.5, "word:2", bands=(8, 2), workers=1)


def found(near: NearDuplicates, texts: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    result = near.collapsed(lambda: iter([([*texts], [*texts.values()])]))
    return result.pairs, result.twins


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(0, 30), st.integers(0, 30))
def test_known_sketches_give_the_pairs_of_the_texts(seed: int, count: int, known: int) -> None:
    texts = corpus(seed, count)
    old = dict([*texts.items()][:known])
    earlier = finder()
    earlier.add([*old.values()], [*old])
    sketches = sketches_of(earlier)
    assert sketches["key"].to_list() == sorted(old)
    later = finder()
    fresh = {key: text for key, text in texts.items() if key not in old}
    later.add([*fresh.values()], [*fresh])
    later.add_sketches(sketches)
    whole = finder()
    whole.add([*texts.values()], [*texts])
    for ours, theirs in zip(found(later, texts), found(whole, texts), strict=True):
        assert ours.equals(theirs)
    made = sketches_of(whole)
    assert sketches_of(later).equals(made.filter(~pl.col("key").is_in([*old])))


def test_the_scheme_names_all_that_a_sketch_depends_on() -> None:
    schemes = {
        NearDuplicates(similarity, shingle, bands=bands, seed=seed).scheme
        for similarity, shingle, bands, seed in [
            (0.5, "word:2", (8, 2), 1),
            (0.5, "word:3", (8, 2), 1),
            (0.5, "char:2", (8, 2), 1),
            (0.5, "word:2", (4, 4), 1),
            (0.5, "word:2", (8, 2), 2),
        ]
    }
    assert len(schemes) == 5
    assert NearDuplicates(0.9, "word:2", bands=(8, 2)).scheme == finder().scheme


def test_sketches_of_another_banding_are_refused() -> None:
    other = NearDuplicates(0.5, "word:2", bands=(4, 2), workers=1)
    other.add(["one two three"], ["0" * 32])
    with pytest.raises(SimilarityError, match="another scheme"):
        finder().add_sketches(sketches_of(other))
    with pytest.raises(SimilarityError, match="keeps sets"):
        NearDuplicates(0.5, "word:2", exhaustive=True).sketches().__next__()


def test_a_frame_is_read_back_as_it_was_packed() -> None:
    rng = np.random.default_rng(0)
    columns = (
        rng.integers(0, 2**63, 5).astype(np.uint64),
        rng.integers(0, 2**63, 5).astype(np.uint64),
        rng.integers(0, 2**63, (5, 2)).astype(np.uint64),
        rng.integers(0, 9, 5),
        rng.integers(0, 2**32, (5, 3)).astype(np.uint32),
    )
    for frame in (sketch_frame(*columns), sketch_frame(*columns)[1:]):
        again = read_sketches(frame, 3)
        for ours, theirs in zip(columns, again, strict=True):
            assert np.array_equal(ours[-frame.height :], theirs)
    assert [len(part) for part in read_sketches(pl.DataFrame(schema=SCHEMA), 3)] == [0] * 5


def sketch(text: str, number: int) -> pl.DataFrame:
    near = finder()
    near.add([text], [f"{number:032x}"])
    return sketches_of(near)


def known(cache: SketchCache, keys: pl.Series) -> pl.DataFrame:
    """Return what is known in the order of the keys."""
    parts = [*cache.known(keys)]
    places = [place for some, _ in parts for place in some]
    assert len({*places}) == len(places)
    found = pl.concat([pl.DataFrame(schema=SCHEMA), *(frame for _, frame in parts)])
    assert found["key"].to_list() == keys.gather(places).to_list()
    return found[np.argsort(places)]


def test_the_cache_keeps_schemes_apart_and_its_files_few(tmp_path) -> None:
    cache, other = SketchCache(tmp_path, "one"), SketchCache(tmp_path, "two")
    everything = []
    for number in range(MOST_FILES + 2):
        sketches = sketch(f"one two three {number}", number)
        cache.add([sketches])
        everything.append(sketches)
    whole = pl.concat(everything)
    assert known(cache, whole["key"]).equals(whole)
    assert known(cache, whole["key"][:1]).equals(whole[:1])
    assert known(other, whole["key"]).is_empty()
    assert len([*cache.folder.iterdir()]) <= MOST_FILES
    cache.add([pl.DataFrame(schema=SCHEMA)])
    cache.add([])
    assert known(cache, whole["key"]).equals(whole)


def test_a_damaged_cache_is_only_a_help_that_is_missing(tmp_path) -> None:
    cache = SketchCache(tmp_path, "one")
    first = sketch("one two three", 1)
    for number in range(MOST_FILES):
        cache.add([sketch("one two three", number)])
    for file in cache.folder.iterdir():
        file.write_bytes(b"damaged")
    assert known(cache, first["key"]).is_empty()
    cache.add([first])
    assert known(cache, first["key"]).equals(first)
