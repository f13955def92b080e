"""Caches let go of what no kept release holds, and of nothing else, wherever they are cut off."""

from __future__ import annotations

import os
import time
from pathlib import Path

import polars as pl
import pytest

from assets.deduplication import cache_pruning as module
from assets.deduplication.cache_pruning import prune_caches
from assets.deduplication.near import NearDuplicates
from assets.deduplication.set_cache import SetCache
from assets.deduplication.sketch_cache import SketchCache
from resources.sweep import Sweep
from tests.deduplication.corpora import corpus

TEXTS = [*corpus(11, size=90).items()]


class Caches:
    """Sketches and sets of some releases, each of a slice of the texts."""

    def __init__(self, scratch: Path, cuts: tuple[int, ...] = (30, 60, 90)) -> None:
        self.scratch = scratch
        begin = 0
        for end in cuts:
            near = self.finder()
            fresh = dict(TEXTS[begin:end])
            near.add([*fresh.values()], [*fresh])
            self.sketches(near).add(near.sketches())
            begin = end

    def finder(self) -> NearDuplicates:
        return NearDuplicates(0.5, "word:2", sets=SetCache(self.scratch / "sets", "word:2"))

    def sketches(self, near: NearDuplicates) -> SketchCache:
        return SketchCache(self.scratch / "sketches", near.scheme)

    def known(self, keys: list[str]) -> set[str]:
        cache = self.sketches(self.finder())
        found = cache.known(pl.Series(keys, dtype=pl.String))
        return {key for _, sketches in found for key in sketches["key"]}

    def finds_all(self, keys: list[str]) -> bool:
        """Search among old texts only: their sketches and sets are there, or a text is asked for."""
        near = self.finder()
        for _, known in self.sketches(near).known(pl.Series(keys, dtype=pl.String)):
            near.add_sketches(known)
        missing = {key: text for key, text in TEXTS if key in set(keys) - self.known(keys)}
        near.add([*missing.values()], [*missing])
        reads: list[int] = []

        def read():
            reads.append(1)
            yield [key for key, _ in TEXTS], [text for _, text in TEXTS]

        pairs = near.collapsed(read).pairs
        wanted = {key: text for key, text in TEXTS if key in keys}
        again = NearDuplicates(0.5, "word:2")
        again.add([*wanted.values()], [*wanted])
        whole = again.collapsed(lambda: iter([([*wanted], [*wanted.values()])])).pairs
        assert pairs.equals(whole)
        return not reads and not missing

    def age(self) -> None:
        for file in self.scratch.rglob("*"):
            os.utime(file, (1000, 1000))

    def state(self) -> dict[str, bytes]:
        return {
            str(f.relative_to(self.scratch)): f.read_bytes()
            for f in self.scratch.rglob("*")
            if f.is_file()
        }

    def bytes(self) -> int:
        return sum(map(len, self.state().values()))


def pruned(caches: Caches, keys: list[str], **settings) -> Sweep:
    sweep = Sweep(settings.pop("before", time.time() - 60), lambda: None, **settings)
    half = len(keys) // 2
    frames = [pl.LazyFrame({"content_id": part}) for part in (keys[:half], keys[half:])]
    prune_caches(caches.scratch, frames, sweep)
    return sweep


KEYS = [key for key, _ in TEXTS]


@pytest.mark.parametrize(
    "stays", [KEYS, KEYS[:30], KEYS[::3], KEYS[25:35], KEYS[60:], KEYS[:85], []]
)
def test_what_stays_is_read_and_the_rest_is_at_most_a_third_of_it(tmp_path, stays):
    caches = Caches(tmp_path)
    caches.age()
    sweep = pruned(caches, stays)
    assert caches.known(stays) == set(stays)
    assert not stays or caches.finds_all(stays)
    left = caches.known(KEYS)
    assert len(left) <= len(stays) / (1 - module.WORTH)
    if not stays:
        assert caches.state() == {}
    else:
        again = pruned(caches, stays)
        assert again.removed["caches"].files == 0
    assert (sweep.removed["caches"].files > 0) == (left != set(KEYS))


def test_young_files_and_dry_runs_change_nothing(tmp_path):
    caches = Caches(tmp_path)
    before = caches.state()
    assert pruned(caches, []).removed["caches"].files == 0
    assert caches.state() == before
    caches.age()
    told = pruned(caches, KEYS[::3], dry_run=True).removed["caches"]
    assert caches.state() == before
    assert told.files == 6
    assert 0 < told.bytes < caches.bytes()
    held = caches.bytes()
    done = pruned(caches, KEYS[::3]).removed["caches"]
    assert done.files == 6
    assert done.bytes > 0.3 * held


def test_what_a_young_run_sketched_keeps_its_sets(tmp_path):
    caches = Caches(tmp_path, (45, 90))
    for file in (tmp_path / "sets").rglob(
        "*"
    ):  # the sets are older than the sketches that need them
        os.utime(file, (1000, 1000))
    pruned(caches, [])
    assert caches.finds_all(KEYS)


@pytest.mark.parametrize("step", range(14))
def test_wherever_it_is_cut_off_what_stays_is_there(tmp_path, step, monkeypatch):
    """The process dies at the n-th change of the disk; the next run finds all, and the next pass ends the work."""
    caches = Caches(tmp_path)
    caches.age()
    stays = KEYS[::3]
    count = 0

    def dying(change):
        def changed(*args, **kwargs):
            nonlocal count
            count += 1
            if count > step:
                raise KeyboardInterrupt
            return change(*args, **kwargs)

        return changed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying(Path.replace))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        patch.setattr(module, "_copy", dying(module._copy))
        patch.setattr(module.pq, "write_table", dying(module.pq.write_table))
        with pytest.raises(KeyboardInterrupt):
            pruned(caches, stays)
    assert caches.finds_all(stays)
    for file in tmp_path.rglob("*.new"):
        file.unlink()  # as every maintenance does
    caches.age()
    pruned(caches, stays)
    pruned(caches, stays)
    assert caches.finds_all(stays)
    assert len(caches.known(KEYS)) <= len(stays) / (1 - module.WORTH)


def test_damaged_and_lone_files_go(tmp_path):
    caches = Caches(tmp_path)
    one, two, three = sorted((tmp_path / "sets").rglob("*.list"))
    one.unlink()
    two.write_bytes(b"PAR1 nothing PAR1")
    sets = three.with_suffix(".sets")
    sets.write_bytes(sets.read_bytes()[:-8])
    sketch = min((tmp_path / "sketches").rglob("*.parquet"))
    sketch.write_bytes(b"PAR1 nothing PAR1")
    caches.age()
    pruned(caches, KEYS)
    pruned(caches, KEYS)
    assert len([*(tmp_path / "sets").rglob("*.*")]) == 0
    assert not sketch.exists()
    assert len([*(tmp_path / "sketches").rglob("*.parquet")]) == 2
    assert not caches.finds_all(KEYS)  # the same answer, from texts


def test_more_than_a_piece_is_copied_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 24)
    caches = Caches(tmp_path)
    caches.age()
    pruned(caches, KEYS[20:])
    assert caches.finds_all(KEYS[20:])
