from __future__ import annotations

import json

import polars as pl
import pytest

from assets.deduplication.files import FileColumnError, duplicates_of_files, file_source
from tests.deduplication.corpora import corpus
from tests.oracles.jaccard import near_pairs


@pytest.fixture
def folder(tmp_path):
    texts = [*corpus(11, size=80).values(), "!!!", "!!!", ""]
    half = len(texts) // 2
    pl.DataFrame({"body": texts[:half], "name": [f"n{i}" for i in range(half)]}).write_parquet(
        tmp_path / "a.parquet"
    )
    rows = [json.dumps({"body": t, "name": f"m{i}"}) for i, t in enumerate(texts[half:])]
    (tmp_path / "b.jsonl").write_text("\n".join(rows) + "\n")
    ids = [f"a.parquet#{i}" for i in range(half)] + [
        f"b.jsonl#{i}" for i in range(len(texts) - half)
    ]
    return tmp_path, dict(zip(ids, texts, strict=True))


def sources(path, names=("a.parquet", "b.jsonl")):
    return [s for name in names for s in file_source(path / name, name)]


def test_pairs_of_files_equal_brute_force_in_any_order(folder):
    path, texts = folder
    got = duplicates_of_files(sources(path), "body", 0.6, "word:2", exhaustive=True)
    assert {(a, b): s for a, b, s in got.pairs().iter_rows()} == near_pairs(texts, 0.6, "word:2")
    other = duplicates_of_files(
        sources(path, ("b.jsonl", "a.parquet")), "body", 0.6, "word:2", exhaustive=True
    )
    assert other.clusters.equals(got.clusters)
    assert got.records == len(texts)


def test_each_dropped_record_is_near_its_longer_keeper(folder):
    path, texts = folder
    got = duplicates_of_files(sources(path), "body", 0.6, "word:2")
    want = near_pairs(texts, 0.6, "word:2")
    kept = set(got.clusters.filter(pl.col("id") == pl.col("keeper"))["id"])
    assert got.clusters.height > len(kept) > 0
    for name, _, keeper, similarity in got.clusters.iter_rows():
        assert keeper in kept
        if name != keeper and texts[name] != "!!!":
            assert want[tuple(sorted((name, keeper)))] == similarity
    assert (got.clusters["keeper"].n_unique()) == len(kept)
    marks = [name for name, text in texts.items() if text == "!!!"]
    assert got.clusters.filter(pl.col("id").is_in(marks))["keeper"].n_unique() == 1


def test_components_and_ids_from_a_column(folder):
    path, _ = folder
    got = duplicates_of_files(
        sources(path), "body", 0.6, "word:2", id_column="name", mode="components"
    )
    assert got.clusters["id"].str.contains("^[mn][0-9]+$").all()
    assert got.report.height > 0


def test_mistakes_are_named(folder):
    path, _ = folder
    with pytest.raises(FileColumnError, match="it has body, name"):
        duplicates_of_files(sources(path), "text", 0.6)
    with pytest.raises(FileColumnError, match="occurs twice"):
        duplicates_of_files(sources(path), "body", 0.6, id_column="body")
    with pytest.raises(FileColumnError, match="known format"):
        file_source(path / "none.parquet")
    with pytest.raises(FileColumnError, match="star"):
        duplicates_of_files(sources(path), "body", 0.6, mode="stars")
