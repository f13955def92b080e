"""Band keys in memory and in a scratch file are the same keys, and give the same pairs and sketches."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication.kept_bands import KeptBands
from assets.deduplication.near import NearDuplicates
from tests.deduplication.corpora import corpus, find, sketches_of


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), max_size=12), st.integers(0, 10**6), st.integers(0, 900))
def test_keys_come_back_as_they_were_given(sizes: list[int], seed: int, limit: int) -> None:
    draw = np.random.default_rng(seed)
    made = [draw.integers(0, 2**32, (5, size), dtype=np.uint32) for size in sizes]
    kept = KeptBands(None, limit)
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(kept.add, made))
    for given_keys, part in zip(made, parts, strict=True):
        assert part.shape == given_keys.shape
        for band in (4, 0, 2):
            assert part[band].tolist() == given_keys[band].tolist()
    in_memory = sum(keys.nbytes for keys, part in zip(made, parts, strict=True) if keys is part)
    assert in_memory <= limit


@pytest.mark.parametrize("limit", [0, 500, 1 << 30])
def test_where_band_keys_lie_changes_nothing(tmp_path: Path, limit: int) -> None:
    texts = corpus(5, size=200)
    want = find(texts, 0.5, "word:2", batch=20)
    assert find(texts, 0.5, "word:2", batch=20, band_bytes=limit, scratch=tmp_path) == want
    assert [*tmp_path.iterdir()] == []  # the file has no name
    made = []
    for near in (
        NearDuplicates(0.5, "word:2", band_bytes=limit),
        NearDuplicates(0.5, "word:2"),
    ):
        near.add([*texts.values()], [*texts])
        made.append(sketches_of(near))
    assert made[0].equals(made[1])
    assert made[0].height == len(texts)


def test_a_full_disk_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = corpus(6, size=120)
    want = find(texts, 0.5, "word:2", batch=20)

    def full(*_: object) -> int:
        message = "no space left"
        raise OSError(message)

    monkeypatch.setattr(os, "pwrite", full)
    assert find(texts, 0.5, "word:2", batch=20, band_bytes=0) == want
