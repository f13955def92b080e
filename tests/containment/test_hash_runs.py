"""Kept hashes give back what was written, whole, by range and by row; and wrong ways of it are caught."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment import hash_files, hash_runs, star_counts
from assets.containment.content import contained_rows
from assets.containment.hash_files import DamagedHashesError, HashFile, HashWriter, load
from assets.containment.hash_parts import PartHashes
from assets.containment.ranges import Held
from assets.containment.room import Room

TOP = 2**64 - 1
BATCHES = st.lists(
    st.lists(st.one_of(st.integers(0, TOP), st.sampled_from([0, 1, TOP, TOP - 1])), max_size=60),
    max_size=6,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Runs, parts and ranges of a few rows."""
    monkeypatch.setattr(hash_files, "RUN_ROWS", 32)
    monkeypatch.setattr("assets.containment.ranges.RUN_ROWS", 32)
    monkeypatch.setattr(hash_runs, "_PART_ROWS", 4)
    monkeypatch.setattr(star_counts, "RANGE_ROWS", 8)


def written(folder, batches, name="t") -> HashFile:
    writer = HashWriter(folder / f"{name}.u64", Room(0))
    for batch in batches:
        writer.append(np.array(batch, np.uint64))
    if writer.spilled is None:  # a table without batches is held
        writer.append(np.empty(0, np.uint64))
        writer._spill()
    file = writer.finish()
    assert isinstance(file, HashFile)
    return file


@settings(max_examples=80)
@given(batches=BATCHES, bits=st.integers(0, 6), again=st.booleans())
def test_files_give_what_was_written(tmp_path_factory, batches, bits, again):
    file = written(tmp_path_factory.mktemp("hashes"), batches)
    file = load(file.path) if again else file
    rows = [value for batch in batches for value in batch]
    assert file.size == len(rows)
    pieces = [value for piece in file.pieces() for value in piece.tolist()]
    assert Counter(pieces) == Counter(rows)
    assert Counter(file.mapped().tolist()) == Counter(rows)
    held = Held(np.array(rows, np.uint64))
    for hashes in (file, held, PartHashes([file, np.array([5, TOP], np.uint64)])):
        expected = rows + ([5, TOP] if isinstance(hashes, PartHashes) else [])
        with hashes.by_range(bits) as of:
            for number in range(1 << bits):
                found = [value for piece in of(number) for value in piece.tolist()]
                own = [value for value in expected if bits == 0 or value >> (64 - bits) == number]
                assert Counter(found) == Counter(own)


@settings(max_examples=60)
@given(batches=BATCHES, others=st.lists(st.integers(0, TOP), max_size=5))
def test_first_rows_are_those_of_the_table(tmp_path_factory, batches, others):
    file = written(tmp_path_factory.mktemp("hashes"), batches)
    rows = [value for batch in batches for value in batch]
    wanted = np.unique(np.array([*rows[::3], *others], np.uint64))
    expected = {v: rows.index(v) if v in rows else -1 for v in wanted.tolist()}
    assert file.first_rows(wanted) == expected
    parts = PartHashes([np.array(rows[:7], np.uint64), file])
    whole = rows[:7] + rows
    assert parts.first_rows(wanted) == {
        v: whole.index(v) if v in whole else -1 for v in wanted.tolist()
    }


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 90), min_size=2, max_size=5))
def test_a_star_of_files_is_counted_as_arrays_are(tmp_path_factory, seed, sizes):
    folder = tmp_path_factory.mktemp("hashes")
    draw = np.random.default_rng(seed)
    pool = draw.integers(0, 2**64, 100, np.uint64)
    pool[:3] = 0, TOP, TOP - 1
    arrays = {f"t{i}": draw.choice(pool, size) for i, size in enumerate(sizes)}
    files = {name: written(folder, [own], name) for name, own in arrays.items()}
    pairs = [pair for name in arrays if name != "t0" for pair in (("t0", name), (name, "t0"))]
    distinct = {name: np.unique(own).size for name, own in arrays.items() if name != "t0"}
    expected = contained_rows(arrays, pairs)
    assert contained_rows(files, pairs, distinct=distinct, workers=2).equals(expected)
    assert contained_rows(files, pairs, chunk_rows=8192).equals(expected)


def test_files_that_are_not_what_was_written_are_not_believed(tmp_path):
    for suffix in (".u64", ".rows"):
        for at in (0, 100, -30, -1):
            file = written(tmp_path, [range(0, 2**60, 2**54)])
            damaged = file.path.with_suffix(suffix)
            raw = bytearray(damaged.read_bytes())
            raw[at] ^= 1
            damaged.write_bytes(raw)
            if suffix == ".u64":
                assert load(file.path) is None
            else:
                with pytest.raises(DamagedHashesError, match="not what was written"):
                    load(file.path).first_rows(np.array([0], np.uint64))
    file.path.with_suffix(".rows").unlink()
    assert load(file.path) is None


# --- wrong ways ---


def test_places_in_the_file_taken_for_rows_are_caught(tmp_path, monkeypatch):
    rows = [2**63, 1, 2**62] * 20
    file = written(tmp_path, [rows])
    wanted = np.array([1, 2**62, 2**63], np.uint64)
    assert file.first_rows(wanted) == {1: 1, 2**62: 2, 2**63: 0}
    monkeypatch.setattr(HashFile, "_places", lambda self: np.arange(self.size, dtype=np.uint32))
    assert file.first_rows(wanted) != {1: 1, 2**62: 2, 2**63: 0}


def test_parts_that_are_wider_than_a_range_are_caught(tmp_path, monkeypatch):
    files = {"a": written(tmp_path, [[1, 2, 2**63]], "a"), "b": written(tmp_path, [[2]], "b")}
    pairs = [("a", "b"), ("b", "a")]
    arrays = {"a": np.array([1, 2, 2**63], np.uint64), "b": np.array([2], np.uint64)}
    expected = contained_rows(arrays, pairs)
    assert contained_rows(files, pairs, distinct={"b": 1}).equals(expected)
    monkeypatch.setattr(hash_files, "of_range", lambda hashes, number, bits: hashes)
    assert not contained_rows(files, pairs, distinct={"b": 1}).equals(expected)
