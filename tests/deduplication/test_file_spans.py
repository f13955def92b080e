from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication.file_spans import (
    cut_text,
    spans_of_files,
    without_spans,
    write_without_spans,
)
from assets.deduplication.file_texts import FileTexts
from assets.deduplication.files import file_source
from assets.kernels.identity import content_ids
from tests.oracles.spans import repeated_windows, tokens

SHARED = "one two three four five six seven eight"


def texts_of(folder, texts, name="a"):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    return FileTexts(file_source(path, name), "body")


def test_spans_are_told_with_offsets_and_who_keeps_them(tmp_path):
    long = f"This one is much longer: {SHARED}. And more, and still more."
    short = f"Élan! {SHARED.upper()}; end"
    texts = texts_of(tmp_path, [short, long, long, None, "nothing of this"])
    found = spans_of_files(texts, 8)
    assert found.records == 4
    assert found.distinct == 3
    assert found.spans["id"].to_list() == ["a#0", "a#1"]
    for row, mine, theirs in zip(
        found.spans.iter_rows(named=True), (short, long), (long, short), strict=True
    ):
        assert mine[row["start"] : row["end"]].lower() == SHARED
        assert theirs[row["other_start"] : row["other_end"]].lower() == SHARED
        assert row["tokens"] == 8
    assert found.spans["removable"].to_list() == [True, False]
    rows = pl.concat(pl.from_arrow(t) for t in without_spans(texts, found.cuts))
    assert rows["text"].to_list() == ["Élan! ; end", long, long, "nothing of this"]
    assert rows["characters_removed"].to_list() == [len(SHARED), 0, 0, 0]
    assert rows["content_id"].to_list() == content_ids("text", rows["text"].to_arrow())


def test_the_source_that_is_named_first_keeps_the_span(tmp_path):
    for name in ("a", "b"):
        texts_of(tmp_path, [f"{name} {SHARED} {name * 9}"], name)
    for names in (("a", "b"), ("b", "a")):
        sources = [s for name in names for s in file_source(tmp_path / f"{name}.jsonl", name)]
        found = spans_of_files(FileTexts(sources, "body"), 5, order=["source"])
        kept = found.spans.filter(~pl.col("removable"))["id"].to_list()
        assert kept == [f"{names[0]}#0"]


def test_a_copy_at_the_seam_of_two_files_is_one_text(tmp_path):
    texts_of(tmp_path, ["x y z", SHARED], "a")
    texts_of(tmp_path, [SHARED, f"{SHARED} more"], "b")
    sources = [s for name in "ab" for s in file_source(tmp_path / f"{name}.jsonl", name)]
    found = spans_of_files(FileTexts(sources, "body"), 8)
    assert found.distinct == 3
    assert found.spans.select("id", "other").rows() == [("a#1", "b#1"), ("b#1", "a#1")]


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join), max_size=7),
    st.integers(1, 4),
)
def test_what_goes_was_in_an_earlier_text_and_the_first_text_keeps_all(tmp_path_factory, texts, k):
    folder = tmp_path_factory.mktemp("spans")
    read = texts_of(folder, texts)
    found = spans_of_files(read, k)
    rows = pl.concat(
        [
            pl.DataFrame(schema={"text": pl.String}),
            *(pl.from_arrow(t).select("text") for t in without_spans(read, found.cuts)),
        ]
    )
    left = rows["text"].to_list()
    distinct = [*dict.fromkeys(texts)]
    if len(distinct) > 1 and any(repeated_windows(distinct, k)):
        assert found.spans.height
    if texts:
        # the first of the order loses nothing, and nothing is lost from all texts at once
        longest = max(map(len, texts))
        assert any(text in left for text in texts if len(text) == longest)
    for before, after in zip(texts, left, strict=True):
        words, rest = ([t[0] for t in tokens(t)] for t in (before, after))
        assert len(rest) <= len(words)
        told = found.cuts.filter(
            pl.col("key") == content_ids("text", pl.Series([before]).to_arrow().cast("string"))[0]
        )
        gone = {
            i
            for i, (_, start, end) in enumerate(tokens(before))
            if any(a <= start and end <= b for a, b in told.select("start", "end").iter_rows())
        }
        assert rest == [w for i, w in enumerate(words) if i not in gone]


def test_cuts_outside_a_text_are_refused():
    with pytest.raises(ValueError, match="outside"):
        cut_text("short", [(2, 9)])
    with pytest.raises(ValueError, match="overlaps"):
        cut_text("longer text", [(0, 5), (4, 6)])


def test_the_file_appears_when_it_is_whole(tmp_path):
    texts = texts_of(tmp_path, [SHARED, SHARED + " nine ten"])
    found = spans_of_files(texts, 4)
    assert write_without_spans(tmp_path / "out.parquet", texts, found.cuts) == len(SHARED)
    assert pl.read_parquet(tmp_path / "out.parquet")["text"].to_list() == ["", SHARED + " nine ten"]
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
