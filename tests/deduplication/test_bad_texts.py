"""Texts that break tools: every search of the command takes them and says the same as the definition."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.deduplication.file_spans import spans_of_files, without_spans
from assets.deduplication.file_texts import FileTexts
from assets.deduplication.files import duplicates_of_files, file_source
from assets.deduplication.index import IndexReader, write_index
from assets.deduplication.index_query import query_index
from assets.deduplication.scheme import Scheme

STOP_WORDS = "the of and to in a is that it"
GROUPS = {
    "empty": ["", "", " ", "\n\t"],
    "one word": ["word", "word", "Word", "other"],
    "only emoji": ["\U0001f600" * 5, "\U0001f600" * 5, "\U0001f680 \U0001f680"],
    "only stop words": [STOP_WORDS, STOP_WORDS, STOP_WORDS + " for"],
    "null": [None, None, "a text beside nothing"],
    "many copies": ["a text that is here many times over"] * 3000,
    "one character": ["x" * 200_000, "x" * 200_000, "x" * 200_001],
    "nul": ["a\x00b c d e f", "a\x00b c d e f", "a b c d e f"],
}


def source_of(folder, texts, kind=None):
    path = folder / "texts.parquet"
    pq.write_table(pa.table({"body": pa.array(texts, kind or pa.string())}), path)
    return file_source(path, "t")


def every_search(folder, source, shingle):
    """Run each search; returns the clusters."""
    texts = FileTexts(source, "body")
    found = duplicates_of_files(source, "body", 0.8, shingle)
    inside = duplicates_of_files(source, "body", 0.8, shingle, measure="containment")
    assert found.near.candidates < 10_000
    assert inside.near.candidates < 10_000
    write_index(folder / f"ix-{shingle[:4]}", texts, Scheme(shingle, "none", 70, 1))
    answers = query_index(IndexReader(folder / f"ix-{shingle[:4]}"), texts, 0.8).answers
    assert answers["similarity"].to_list() == [1.0] * found.records  # each is there as it is
    spans = spans_of_files(texts, 3)
    kept = [row for table in without_spans(texts, spans.cuts) for row in table.to_pylist()]
    assert len(kept) == found.records
    return found


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("shingle", ["word:5", "char:5"])
def test_equal_texts_are_twins_and_no_search_breaks(tmp_path, name, shingle):
    texts = GROUPS[name]
    found = every_search(tmp_path, source_of(tmp_path, texts), shingle)
    present = [text for text in texts if text is not None]
    assert found.records == len(present)
    keeper = dict(found.clusters.select("id", "keeper").iter_rows())
    for one, text in enumerate(texts):
        for two in range(one):
            if text is not None and texts[two] == text and (one < 50 or two == one - 1):
                assert keeper[f"t#{one}"] == keeper[f"t#{two}"]


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_what_is_not_utf8_is_set_aside_and_counted(tmp_path, kind):
    octets = [b"fine text of five words", b"broken \xff\xfe text", None, b"fine text of five words"]
    binary = pa.array(octets, pa.binary())
    column = (
        binary
        if kind == pa.binary()
        else pa.Array.from_buffers(pa.string(), 4, binary.buffers(), binary.null_count)
    )
    pq.write_table(pa.table({"body": column}), tmp_path / "texts.parquet")
    source = file_source(tmp_path / "texts.parquet", "t")
    texts = FileTexts(source, "body")
    assert [row for frame, _ in texts for row in frame["id"]] == ["t#0", "t#3"]
    assert (texts.rejected, texts.without_text) == (1, 1)
    assert every_search(tmp_path, source, "word:5").rejected == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_megabytes_of_one_character(tmp_path):
    texts = ["y" * 100_000_000, "y" * 100_000_000 + "z", "short text of some few words"]
    found = every_search(tmp_path, source_of(tmp_path, texts, pa.large_string()), "word:5")
    assert found.clusters.is_empty()
    near = duplicates_of_files(source_of(tmp_path, texts), "body", 0.4, "char:5")
    assert near.clusters.height == 2
