"""Sets that the first pass keeps in a scratch file: what is held is what was written, and all else is read again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import kept_sets as module
from assets.deduplication.first_pass import Sketches
from assets.deduplication.kept_sets import KeptSets
from assets.deduplication.minhash import permutations, sketch_texts
from assets.deduplication.shingles import parse_shingle, shingle_sets
from assets.deduplication.text_spans import text_spans
from tests.deduplication.corpora import TRICKY, corpus, find


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.integers(0, 10**6),
    st.sampled_from([512, 1024, 1 << 20]),
    st.integers(0, 9000),
)
def test_sets_come_back_as_they_were_written(sizes, seed, window, limit):
    draw = np.random.default_rng(seed)
    made = [draw.integers(0, 2**63, size, dtype=np.uint64) for size in sizes]
    kept = KeptSets(None, limit)
    with ThreadPoolExecutor(3) as pool:
        begins = np.array(list(pool.map(kept.add, made)))
    held = begins >= 0
    assert 8 * sum(np.array(sizes)[held]) <= limit
    assert held.all() or 8 * sum(sizes) > limit
    original, module.WINDOW = module.WINDOW, window
    try:
        wanted = draw.permutation(len(sizes))[: draw.integers(1, len(sizes) + 1)]
        seen = []
        for some, flat, places in kept.read(begins[wanted], np.array(sizes)[wanted]):
            for which, place in zip(wanted[some], places, strict=True):
                assert flat[place : place + sizes[which]].tolist() == made[which].tolist()
                seen.append(which)
    finally:
        module.WINDOW = original
    assert sorted(seen) == sorted(wanted[held[wanted]])


def test_a_full_disk_is_no_error(monkeypatch):
    texts = corpus(11, size=150)
    whole = find(texts, 0.5, "word:2", batch=20)
    real, calls = os.pwrite, []

    def full(file, octets, place):
        calls.append(place)
        if len(calls) == 3:
            message = "no space left"
            raise OSError(message)
        return real(file, octets[: len(octets) // 2] if len(calls) == 4 else octets, place)

    monkeypatch.setattr(module.os, "pwrite", full)
    assert find(texts, 0.5, "word:2", batch=20, workers=1) == whole
    assert len(calls) == 3
    assert len(whole) > 10


def test_a_part_of_the_free_disk_is_the_limit(monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 8 * 4 * 10})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    kept = KeptSets(tmp_path, 1 << 30)
    assert kept.add(np.arange(11, dtype=np.uint64)) == -1
    assert kept.add(np.arange(10, dtype=np.uint64)) == 0
    assert not kept.open
    assert [*tmp_path.iterdir()] == []


def test_places_of_sets_are_those_of_their_part():
    sizes = np.array([3, 1, 4, 1, 5])
    none, nothing = np.empty(0, np.uint64), np.empty(0, np.int64)
    parts = tuple(np.empty((1, many), np.uint32) for many in (2, 0, 1, 2))
    kept = Sketches(
        none, none, nothing, np.empty((5, 2), np.uint64), sizes, parts, none, (20, 7, -1, 0)
    )
    assert kept.set_places(np.array([4, 0, 2, 3, 1])).tolist() == [1, 20, -1, 0, 23]


@pytest.mark.parametrize("setting", ["word:1", "word:3", "char:4"])
def test_sets_of_a_sketch_are_those_of_the_texts(setting):
    texts = [*TRICKY, *corpus(2).values(), " ".join(TRICKY), None]
    room = np.empty(100_000, np.uint64)
    done = sketch_texts(text_spans(texts), parse_shingle(setting), permutations(8), sets=room)
    wanted = [whole.tolist() for whole in shingle_sets(texts, setting)]
    every = np.arange(len(texts))
    for rows in (every, every[::2], every[::-1], every[:0]):
        flat, ends = done.sets_of(rows), np.cumsum(done.sizes[rows])
        got = [np.sort(part).tolist() for part in np.split(flat, ends)[:-1]] if len(rows) else []
        assert got == [wanted[row] for row in rows]


def test_sets_without_room_are_not_returned():
    texts = ["a b c d e f g h " * 4096 + " ".join(str(i) for i in range(9000)), "İ i"]
    drawn, rule = permutations(8), parse_shingle("word:2")
    made = [
        sketch_texts(text_spans(texts), rule, drawn, sets=np.empty(room, np.uint64))
        for room in (9000, 9008, 100_000)
    ]
    rows = np.arange(2)
    assert [done.sets_of(rows) is None for done in made] == [True, True, False]
    assert made[2].sizes.tolist() == [9008, 1]
    for name in ("signatures", "sizes", "digests"):
        assert (getattr(made[0], name) == getattr(made[2], name)).all()
        assert (getattr(made[1], name) == getattr(made[2], name)).all()
