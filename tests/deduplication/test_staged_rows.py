"""Staged records in small batches, and what is held of them: the rows of the files in order, and no text."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import staged_rows as module
from assets.deduplication.records import record_schema
from assets.deduplication.stage_texts import StageTexts, narrow_records
from assets.deduplication.staged_rows import staged_batches
from assets.kernels.identity import content_ids
from tests.deduplication.corpora import key_of


def written(folder: Path, texts: list[str | None], cuts: list[int], group: int) -> list[Path]:
    """Write records with these texts to files that begin at the cuts, in row groups of some size."""
    schema = record_schema([], ["stars"])
    ids = content_ids("text", pa.array(texts, pa.string()))
    files = []
    for begin, end in zip([0, *cuts], [*cuts, len(texts)], strict=True):
        some = texts[begin:end]
        rows = pl.DataFrame(
            {
                "record_id": [key_of(at) for at in range(begin, end)],
                "content_id": ids[begin:end],
                "table": ["t"] * len(some),
                "role": ["train"] * len(some),
                "text": some,
                "label": [str(at % 3) for at in range(begin, end)],
                "stars": [str(at) for at in range(begin, end)],
                "rule": [0] * len(some),
                "tokens": [1] * len(some),
            },
            schema_overrides={"text": pl.String},
        )
        table = pa.table(
            {
                field.name: rows[field.name].to_arrow().cast(field.type)
                if field.name in rows.columns
                else pa.nulls(len(some), field.type)
                for field in schema
            }
        )
        files.append(folder / f"{begin}-{end}-{len(files)}.parquet")
        pa.parquet.write_table(table, files[-1], row_group_size=group)
    return files


some_texts = st.lists(
    st.one_of(st.none(), st.sampled_from(["", " ", "a b", "A b", "c", "d" * 999])), max_size=40
)


@settings(max_examples=60)
@given(some_texts, st.data())
def test_batches_are_the_rows_of_the_files(tmp_path_factory, texts, data) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    group = data.draw(st.integers(1, 20))
    files = written(tmp_path_factory.mktemp("rows"), texts, cuts, group)
    size = data.draw(st.sampled_from([1, 500, 1 << 20]))
    batches = [*staged_batches(files, ["text", "stars"], batch_bytes=size)]
    assert [text for batch in batches for text in batch.column("text").to_pylist()] == texts
    stars = [star for batch in batches for star in batch.column("stars").to_pylist()]
    assert stars == [str(at) for at in range(len(texts))]
    assert all(batch.num_rows for batch in batches)
    if size == 1:
        assert all(batch.num_rows == 1 for batch in batches)


def test_batches_hold_about_what_was_asked(tmp_path: Path) -> None:
    """Mutant: a batch a row group."""
    texts = [f"{at} " + "".join(key_of((at, part)) for part in range(32)) for at in range(2000)]
    files = written(tmp_path, texts, [], 2000)
    sizes = [batch.nbytes for batch in staged_batches(files, ["text"], batch_bytes=100_000)]
    assert len(sizes) >= 15
    assert max(sizes) < 300_000


@settings(max_examples=40)
@given(some_texts, st.sampled_from(["none", "case", "whitespace+case"]), st.data())
def test_each_content_is_read_once_and_by_its_own_text(
    tmp_path_factory, texts, setting, data
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=2)))
    files = written(tmp_path_factory.mktemp("rows"), texts, cuts, 7)
    own = narrow_records(files, ["label", "rule", "stars"])
    assert own.height == len(texts)
    assert "text" not in own.columns
    assert own["stars"].to_list() == [str(at) for at in range(len(texts))]
    assert own["empty"].to_list() == [not (text or "").strip() for text in texts]
    stage = StageTexts.of(files, own, setting)
    read = [
        (key, text)
        for keys, values in stage.batches()
        for key, text in zip(keys.to_pylist(), values.to_pylist(), strict=True)
    ]

    def told(text: str) -> str:
        text = " ".join(text.split()) if "whitespace" in setting else text
        return text.lower() if "case" in setting else text

    known = dict(zip(own["content_id"], texts, strict=True))
    assert all(text == told(known[key]) for key, text in read)
    assert len({key for key, _ in read}) == len(read)
    named = stage.renamed(own)["content_id"].to_list()
    for one, a in enumerate(texts):
        for other, b in enumerate(texts):
            if a is not None and b is not None:
                assert (named[one] == named[other]) == (told(a) == told(b))
    half = stage.firsts[::2]
    some = [key for keys, _ in stage.batches(half) for key in keys.to_pylist()]
    assert sorted(some) == sorted(half["content_id"])


def test_what_is_held_of_records_holds_no_batch(tmp_path: Path) -> None:
    """Mutant: a frame made of a whole batch keeps the texts alive with its ids."""
    texts = [key_of(at) * 200 for at in range(300)]
    files = written(tmp_path, texts, [], 300)
    before = pa.total_allocated_bytes()
    own = narrow_records(files, ["label", "rule"])
    assert own.height == 300
    assert pa.total_allocated_bytes() - before < 300 * 6400 // 4


@pytest.mark.parametrize("most", [1, 7])
def test_a_batch_has_no_more_rows_than_it_may(tmp_path: Path, monkeypatch, most: int) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", most)
    files = written(tmp_path, ["a"] * 20, [], 20)
    assert max(batch.num_rows for batch in staged_batches(files, ["text"])) == most
