"""Sets that earlier runs kept: an incremental search equals a rebuild and reads no text again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import set_cache as module
from assets.deduplication.near import NearDuplicates
from assets.deduplication.set_cache import SetCache, set_digests
from tests.deduplication.corpora import corpus, sketches_of


def finder(folder: Path | None, memory: int = 1 << 20) -> NearDuplicates:
    cache = None if folder is None else SetCache(folder, "word:2")
    return NearDuplicates(0.5, "word:2", workers=2, memory_bytes=memory, sets=cache)


def answer(near: NearDuplicates, read) -> tuple[pl.DataFrame, pl.DataFrame]:
    found = near.collapsed(read)
    return found.pairs, found.twins


def forbidden():
    message = "a text was read again"
    raise AssertionError(message)


def rebuilt(texts: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    near = finder(None)
    near.add([*texts.values()], [*texts])
    return answer(near, lambda: iter([([*texts], [*texts.values()])]))


def same(ours, theirs) -> bool:
    return all(a.equals(b) for a, b in zip(ours, theirs, strict=True))


@settings(max_examples=40)
@given(
    st.integers(0, 500),
    st.lists(st.integers(0, 59), min_size=1, max_size=3),
    st.sampled_from([64, 2000, 1 << 20]),
    st.sampled_from([4, module.WINDOW]),
)
def test_releases_read_no_text_again_and_equal_a_rebuild(seed, cuts, memory, window):
    texts = [*corpus(seed).items()]
    original, module.WINDOW = module.WINDOW, window
    with tempfile.TemporaryDirectory() as name:
        try:
            sketches, begin = [], 0
            for end in [*sorted(cuts), len(texts)]:
                near = finder(Path(name), memory)
                fresh = dict(texts[begin:end])
                near.add([*fresh.values()], [*fresh])
                for some in sketches:
                    near.add_sketches(some)
                assert same(answer(near, forbidden), rebuilt(dict(texts[:end])))
                sketches.append(sketches_of(near))
                begin = end
        finally:
            module.WINDOW = original


def two_releases(folder: Path, damage) -> list[int]:
    """Damage what the first release kept; returns how often texts were read by the second."""
    texts = corpus(7, size=120)
    old = dict([*texts.items()][:80])
    first = finder(folder)
    first.add([*old.values()], [*old])
    sketches = sketches_of(first)
    damage(*sorted(first._sets.folder.glob("*.sets")), *sorted(first._sets.folder.glob("*.list")))
    fresh = {key: text for key, text in texts.items() if key not in old}
    near = finder(folder)
    near.add([*fresh.values()], [*fresh])
    near.add_sketches(sketches)
    reads = []

    def read():
        reads.append(1)
        yield [*texts], [*texts.values()]

    assert same(answer(near, read), rebuilt(texts))
    return reads


def broken(file: Path, place: int) -> None:
    octets = bytearray(file.read_bytes())
    octets[place] ^= 1
    file.write_bytes(octets)


@pytest.mark.parametrize(
    "damage",
    [
        lambda sets, lines: sets.unlink(),
        lambda sets, lines: lines.unlink(),
        lambda sets, lines: sets.write_bytes(sets.read_bytes()[: sets.stat().st_size // 16 * 8]),
        lambda sets, lines: lines.write_bytes(b"PAR1 nothing PAR1"),
        # the same bit of elements that lie apart: it cancels in a sum
        lambda sets, lines: [broken(sets, place) for place in range(0, sets.stat().st_size, 64)],
    ],
)
def test_damaged_sets_are_made_again(tmp_path, damage):
    assert two_releases(tmp_path, damage) == [1]
    assert two_releases(tmp_path / "whole", lambda sets, lines: None) == []


def test_what_killed_runs_left_goes_after_a_day(tmp_path):
    cache = SetCache(tmp_path, "word:2")
    cache.folder.mkdir(parents=True)
    old, young = cache.folder / "old.new", cache.folder / "young.new"
    for file in (old, young):
        file.write_bytes(b"")
    os.utime(old, (0, 0))
    flat, sizes = np.array([5, 6, 7], np.uint64), np.array([2, 1])
    digests = set_digests(flat, sizes)
    cache.add(digests, sizes, flat)
    cache.close()
    assert not old.exists()
    assert young.exists()
    got = [*cache.read(digests[::-1], sizes[::-1])]
    assert [[part.tolist() for part in found] for found in got] == [[[1, 0], [5, 6, 7], [0, 2]]]
    assert [*SetCache(tmp_path, "word:3").read(digests, sizes)] == []
