from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import scheme as scheme_module
from assets.deduplication.errors import IndexSchemeError, SimilarityError
from assets.deduplication.file_texts import FileColumnError, FileTexts
from assets.deduplication.files import file_source
from assets.deduplication.index import IndexReader, write_index
from assets.deduplication.index_query import query_index
from assets.deduplication.scheme import Scheme
from assets.deduplication.shingles import hashfunc, shingle_texts
from resources import delta
from tests.deduplication.corpora import TRICKY, corpus

SCHEME = Scheme("word:2", "none", 145, 1)


def texts_of(folder, name, texts, **settings):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    return FileTexts(file_source(path, name), "body", **settings)


def wanted(old, new, similarity, setting, measure="jaccard"):
    """Compare every pair as Python sets of strings."""
    found = {}
    for i, one in enumerate(new):
        for j, two in enumerate(old):
            a, b = shingle_texts(one, setting), shingle_texts(two, setting)
            if one is None or two is None or not ((a and b) or one == two):
                continue
            of = len(a) if measure == "containment" else len(a | b)
            value = len(a & b) / of if of else 1.0
            if value >= similarity:
                found[f"new#{i}", f"old#{j}"] = value
    return found


def asked(folder, old, new, similarity, setting="word:2", **settings):
    write_index(folder / "index", texts_of(folder, "old", old), Scheme(setting, "none", 145, 1))
    reader = IndexReader(folder / "index")
    answer = query_index(
        reader, texts_of(folder, "new", new), similarity, all_pairs=True, **settings
    )
    return answer, {(a, b): s for a, b, s in answer.pairs.iter_rows()}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("measure", ["jaccard", "containment"])
def test_an_exhaustive_query_equals_brute_force(tmp_path, seed, measure):
    old = [*corpus(seed, size=80).values(), *TRICKY, None]
    new = [*corpus(seed, size=40).values(), *TRICKY, None]
    answer, got = asked(tmp_path, old, new, 0.6, measure=measure, exhaustive=True, block_bytes=500)
    want = wanted(old, new, 0.6, "word:2", measure)
    assert got == pytest.approx(want)
    for row in answer.answers.iter_rows(named=True):
        mine = {b: s for (a, b), s in want.items() if a == row["id"]}
        assert row["matches"] == len(mine)
        assert row["similarity"] == (pytest.approx(max(mine.values())) if mine else None)
        assert (row["match"] in mine) if mine else row["match"] is None


def test_a_query_by_bands_finds_only_true_pairs_and_nearly_all(tmp_path):
    total = missed = 0
    for seed in range(6):
        old, new = (list(corpus(seed, size=size).values()) for size in (150, 80))
        folder = tmp_path / str(seed)
        folder.mkdir()
        answer, got = asked(folder, old, new, 0.7)
        want = wanted(old, new, 0.7, "word:2")
        assert got.items() <= want.items()
        total, missed = total + len(want), missed + len(want) - len(got)
    assert 0.004 < answer.expected_miss <= 0.005
    assert total > 1000
    assert missed <= 0.005 * total + 3 * (0.005 * total) ** 0.5


def test_stored_signatures_are_datasketchs_and_are_found_in_its_lsh(tmp_path):
    texts = list(corpus(4, size=50).values())
    write_index(tmp_path / "index", texts_of(tmp_path, "old", texts), SCHEME)
    stored = pl.read_delta(str(tmp_path / "index")).drop_nulls("signature")
    search = MinHashLSH(threshold=0.7, num_perm=SCHEME.hashes)
    made = {}
    for row in stored.iter_rows(named=True):
        opened = MinHash(
            num_perm=SCHEME.hashes,
            seed=SCHEME.seed,
            scheme="affine32",
            hashfunc=hashfunc(SCHEME.shingle),
            hashvalues=np.frombuffer(row["signature"], "<u4"),
        )
        search.insert(row["id"], opened)
        made[row["id"]] = opened
    for name, opened in made.items():
        text = texts[int(name.removeprefix("old#"))]
        own = MinHash(num_perm=SCHEME.hashes, hashfunc=hashfunc(SCHEME.shingle))
        own.update_batch([shingle.encode() for shingle in shingle_texts(text, SCHEME.shingle)])
        np.testing.assert_array_equal(own.hashvalues, opened.hashvalues)
        assert name in search.query(own)
        assert own.jaccard(opened) == 1.0


@settings(max_examples=15)
@given(st.integers(0, 30), st.integers(1, 60))
def test_adding_to_an_index_equals_writing_it_at_once(tmp_path_factory, seed, cut):
    folder = tmp_path_factory.mktemp("index")
    texts = list(corpus(seed).values())
    parts = [("a", texts[:cut]), ("b", texts[cut:])]
    for name, part in parts:
        write_index(folder / "parts", texts_of(folder, name, part), SCHEME)
    both = [source for name, _ in parts for source in file_source(folder / f"{name}.jsonl", name)]
    write_index(folder / "whole", FileTexts(both, "body"), SCHEME)
    new = texts_of(folder, "new", list(corpus(seed, size=30).values()))
    one, two = (
        query_index(IndexReader(folder / name), new, 0.5, all_pairs=True, exhaustive=True)
        for name in ("parts", "whole")
    )
    assert one.pairs.equals(two.pairs)
    assert one.answers.equals(two.answers)


def test_schemes_that_differ_are_refused(tmp_path, monkeypatch):
    old = texts_of(tmp_path, "old", ["a b c d"])
    write_index(tmp_path / "index", old, SCHEME)
    other = texts_of(tmp_path, "other", ["a b c d"])
    for wrong in (
        Scheme("word:3", "none", 145, 1),
        Scheme("word:2", "case", 145, 1),
        Scheme("word:2", "none", 70, 1),
        Scheme("word:2", "none", 145, 2),
    ):
        with pytest.raises(IndexSchemeError, match="can't be compared"):
            write_index(tmp_path / "index", other, wrong)
    with pytest.raises(SimilarityError):
        query_index(IndexReader(tmp_path / "index"), other, 0.02)
    with pytest.raises(IndexSchemeError, match="no index"):
        IndexReader(tmp_path / "none")
    monkeypatch.setattr(scheme_module, "SHINGLE_TAG", "sluice-shingle-2/unicode-15.0.0")
    with pytest.raises(IndexSchemeError, match="sluice-shingle-1"):
        IndexReader(tmp_path / "index")


def test_other_tables_and_mixed_schemes_are_refused(tmp_path):
    pl.DataFrame({"a": [1]}).write_delta(str(tmp_path / "table"))
    with pytest.raises(IndexSchemeError, match="no index"):
        IndexReader(tmp_path / "table")
    write_index(tmp_path / "index", texts_of(tmp_path, "old", ["a b c d"]), SCHEME)
    foreign = pl.read_delta(str(tmp_path / "index")).with_columns(
        scheme=pl.lit(str(Scheme("word:2", "none", 145, 9)))
    )
    foreign.write_delta(str(tmp_path / "index"), mode="append")
    with pytest.raises(IndexSchemeError, match="2 schemes"):
        IndexReader(tmp_path / "index")


def test_an_id_comes_once_and_a_refused_index_stays_as_it_was(tmp_path):
    old = texts_of(tmp_path, "old", ["a b c d", "e f g h"])
    assert write_index(tmp_path / "index", old, SCHEME) == 2
    with pytest.raises(FileColumnError, match="already"):
        write_index(tmp_path / "index", old, SCHEME)
    assert delta.count(tmp_path / "index", IndexReader(tmp_path / "index").version) == 2


def test_an_empty_index_answers(tmp_path):
    answer, got = asked(tmp_path, [], ["a b c"], 0.7)
    assert got == {}
    assert answer.answers["match"].to_list() == [None]


def test_copies_are_counted_and_the_smallest_id_is_named(tmp_path):
    answer, _ = asked(tmp_path, ["x y z", "a b c d", "a b c d", "!!!"], ["a b c d", "!!!"], 0.9)
    assert answer.answers.rows() == [("new#0", "old#1", 1.0, 2), ("new#1", "old#3", 1.0, 1)]
