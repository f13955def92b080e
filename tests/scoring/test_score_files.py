"""Scores of files equal scores of one batch in memory, whatever the format, the batches and the order."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from assets.deduplication.files import file_source
from assets.scoring import record_files
from assets.scoring.combine import Borda
from assets.scoring.hashed import HashedEmbedder
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from assets.scoring.record_files import Columns, RecordFiles
from assets.scoring.registry import create, named
from assets.scoring.score_files import ScoreFiles
from assets.scoring.table_writer import TableWriter, check_output, written_metadata
from tests.scoring.samples import records

CONTEXT = ScoreContext(seed=3)
NAMES = "dsir,heuristics,prototype,random,redundancy"


@pytest.fixture(scope="module")
def sample():
    return records(90)[0]


@pytest.fixture
def folder(tmp_path, sample):
    texts = sample.text.to_pylist()
    train = [t for t, r in zip(texts, sample.role.to_pylist(), strict=True) if r == "train"]
    target = texts[len(train) :]
    first = pl.DataFrame({"body": train[:40]})
    first.write_parquet(tmp_path / "a.parquet", row_group_size=7)
    lines = [json.dumps({"body": t}) for t in train[40:]]
    (tmp_path / "b.jsonl").write_text("\n".join(lines) + "\n")
    pl.DataFrame({"body": target}).write_csv(tmp_path / "target.csv")
    return tmp_path, train, target


def run(path, names=NAMES, *, out="out.parquet", columns=None, target=True, **more):
    columns = columns or Columns(text="body")
    embedder = HashedEmbedder(64)
    sources = [s for n in ("a.parquet", "b.jsonl") for s in file_source(path / n, n)]
    aims = file_source(path / "target.csv", "target.csv")
    work = ScoreFiles(
        RecordFiles(sources, columns, embedder),
        named(names),
        CONTEXT,
        RecordFiles(aims, columns, embedder, role="target") if target else None,
        **more,
    )
    work.write(path / out)
    return work


def in_one_batch(train, target):
    """The same scores without files: one batch, fitted and scored at once."""
    ids = [f"a.parquet#{i}" for i in range(40)] + [f"b.jsonl#{i}" for i in range(len(train) - 40)]
    text = pa.array([*train, *target], pa.string())
    role = pa.array(["train"] * len(train) + ["target"] * len(target))
    ids += [f"target.csv#{i}" for i in range(len(target))]
    batch = ScoreBatch(ids, text=text, embedding=HashedEmbedder(64).embed(text), role=role)
    mine = batch.slice(0, len(train))
    columns = {}
    for name in NAMES.split(","):
        scorer = create(name)
        if name == "redundancy":
            order = sorted(range(len(mine)), key=lambda i: _survivor(mine, i))
            rank = np.empty(len(mine), dtype=np.int64)
            rank[order] = np.arange(len(mine))
            columns[name] = scorer.score_all(mine, rank, CONTEXT)[0].values
        else:
            columns[name] = scorer.score(mine, fit(scorer, [batch], CONTEXT)).values
    return mine.ids, columns


def _survivor(batch, i):
    from assets.kernels.identity import content_ids

    text = batch.text[i].as_py()
    if text is None:
        return (1, 0, "", batch.ids[i])
    content = content_ids("text", pa.array([text]))[0]
    return (0, -len(text.encode()), content, batch.ids[i])


def test_equals_one_batch_in_memory_and_keeps_the_order(folder):
    path, train, target = folder
    work = run(path, combine="borda")
    got = pl.read_parquet(path / "out.parquet")
    ids, want = in_one_batch(train, target)
    assert got["id"].to_list() == ids.to_list()
    for name, values in want.items():
        assert np.array_equal(got[name].fill_null(np.nan).to_numpy(), values, equal_nan=True), name
    directions = {n: c.direction for n, c in work.columns.items()}
    ranks = Borda().fit_ranks([want], directions)
    quality = Borda().apply(want, ranks)
    assert np.array_equal(got["quality"].fill_null(np.nan).to_numpy(), quality, equal_nan=True)


def test_every_null_is_accounted_for(folder):
    path, _, _ = folder
    work = run(path)
    got = pl.read_parquet(path / "out.parquet")
    for name in NAMES.split(","):
        missing = got[name].is_null()
        said = got["silent"].str.contains(f"(^|\\| ){name}: ").fill_null(value=False)
        assert (missing == said).all(), name
        summary = work.columns[name]
        assert summary.rows + sum(summary.silent.values()) == got.height
        assert sum(summary.silent.values()) == missing.sum()
    assert got["dsir"].null_count() > 0
    assert not got.select(pl.selectors.float().is_nan().any()).row(0).count(True)


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_batches_do_not_matter(folder, monkeypatch, rows):
    path, _, _ = folder
    run(path, combine="borda")
    monkeypatch.setattr(record_files, "BATCH_ROWS", rows)
    run(path, out="again.parquet", combine="borda")
    want = pl.read_parquet(path / "out.parquet")
    assert pl.read_parquet(path / "again.parquet").equals(want)


@pytest.mark.parametrize("combine", [None, "borda"])
def test_every_format_holds_the_same(folder, combine):
    path, _, _ = folder
    for out in ("o.parquet", "o.csv", "o.jsonl"):
        run(path, out=out, combine=combine)
    want = pl.read_parquet(path / "o.parquet")
    types = want.schema
    assert pl.read_csv(path / "o.csv", schema=types).equals(want)
    assert pl.read_ndjson(path / "o.jsonl", schema=types).equals(want)
    about = written_metadata(path / "o.parquet")
    assert about["scorers"]["redundancy"]["direction"] == "low"
    assert about["scorers"]["prototype"]["direction"] in {"high", "low"}
    assert not [p.name for p in path.iterdir() if p.name.startswith(".")]


def test_an_error_leaves_what_was_there(folder):
    path, _, _ = folder
    (path / "out.parquet").write_bytes(b"before")
    (path / "b.jsonl").write_text('{"body": "one", "name": "x"}\n' * 2)
    with pytest.raises(ScoringError, match="--id"):
        run(path, "random", columns=Columns(text="body", id="body"), target=False)
    assert (path / "out.parquet").read_bytes() == b"before"
    assert not [p.name for p in path.iterdir() if p.name.startswith(".")]


def vectors(path, values, kind=None):
    kind = kind or pa.list_(pa.float32())
    table = pa.table({"v": pa.array(values, kind), "body": [str(i) for i in range(len(values))]})
    import pyarrow.parquet as pq

    pq.write_table(table, path / "v.parquet")
    return file_source(path / "v.parquet", "v.parquet")


def test_vectors_of_a_column_and_those_that_are_none(tmp_path):
    rng = np.random.default_rng(0)
    given = [row.tolist() for row in rng.normal(size=(30, 4))]
    given[3], given[5], given[7] = None, [float("nan"), 1, 2, 3], [0.0] * 4
    files = RecordFiles(vectors(tmp_path, given), Columns(embedding="v"))
    work = ScoreFiles(files, named("prototype,redundancy"), CONTEXT)
    work.write(tmp_path / "out.parquet")
    got = pl.read_parquet(tmp_path / "out.parquet")
    for name in ("prototype", "redundancy"):
        assert got[name].is_null().arg_true().to_list() == [3, 5, 7]
        assert sum(work.columns[name].silent.values()) == 3


def test_vectors_of_two_spaces_are_refused(tmp_path):
    sources = vectors(tmp_path, [[1.0, 2.0], None, [1.0, 2.0, 3.0]])
    with pytest.raises(ScoringError, match=r"v.parquet#2 has 3 numbers and .*v.parquet#0 has 2"):
        list(RecordFiles(sources, Columns(embedding="v")).batches())
    with pytest.raises(ScoringError, match=r"--embedding: column 'body'.*no list of numbers"):
        list(RecordFiles(sources, Columns(embedding="body")).batches())
    with pytest.raises(ScoringError, match=r"--text: column 'v'.*is no text"):
        list(RecordFiles(sources, Columns(text="v")).batches())
    with pytest.raises(ScoringError, match="--features: column 'v'"):
        list(RecordFiles(sources, Columns(features=("v",))).batches())


def test_features_make_vectors_and_a_row_of_nulls_has_none(tmp_path):
    frame = pl.DataFrame({"a": [1.0, None, None, 4.0], "b": [3, 4, None, 5]})
    frame.write_parquet(tmp_path / "f.parquet")
    columns = Columns(features=("a", "b"))
    files = RecordFiles(file_source(tmp_path / "f.parquet"), columns, HashedEmbedder(32))
    (batch, _), *_ = files.batches()
    assert batch.embedding.any(axis=1).tolist() == [True, True, False, True]
    assert not np.array_equal(batch.embedding[0], batch.embedding[3])


def test_what_cannot_be_is_refused(folder):
    path, _, _ = folder
    for name, hint in [("dsir", "--target FILE"), ("heuristics", "--text COL")]:
        columns = Columns(text="body") if name == "dsir" else Columns(embedding="v")
        with pytest.raises(ScoringError, match=f"--scorers {name} needs {hint}"):
            run(path, name, columns=columns, target=False)
    with pytest.raises(ScoringError, match="give one"):
        Columns(features=("a",), embedding="v")
    with pytest.raises(ScoringError, match="twice"):
        named("random, random")
    with pytest.raises(ScoringError, match="names no scorer"):
        named(" , ")
    with pytest.raises(ScoringError, match="given twice"):
        RecordFiles(file_source(path / "a.parquet") * 2, Columns())
    with pytest.raises(ScoringError, match="read as"):
        check_output(path / "a.parquet", [path / "a.parquet"])
    with pytest.raises(ScoringError, match="read as"):
        check_output(path / "new.parquet", [path])
    with pytest.raises(ScoringError, match="ends in none of"):
        check_output(path / "out.txt", [])
    with pytest.raises(ScoringError, match="no folder"):
        check_output(path / "none" / "out.csv", [])


@pytest.mark.parametrize(
    ("ending", "value", "fits"),
    [
        ("csv", [1, 2], False),
        ("csv", b"x", False),
        ("csv", timedelta(1), False),
        ("csv", {"a": 1}, False),
        ("csv", date(2026, 1, 1), True),
        ("jsonl", [1, 2], True),
        ("jsonl", {"a": [timedelta(1)]}, True),
        ("jsonl", b"x", False),
        ("jsonl", [{"a": b"x"}], False),
        ("parquet", [{"a": b"x"}], True),
    ],
)
def test_a_format_that_cannot_hold_a_column_is_refused(tmp_path, ending, value, fits):
    frame = pl.DataFrame({"v": [value]})
    out = tmp_path / f"o.{ending}"
    if fits:
        with TableWriter(out) as writer:
            writer.write(frame)
        assert out.stat().st_size > 0
        return
    with (
        pytest.raises(ScoringError, match=r"can't hold column 'v'.*write .parquet"),
        TableWriter(out) as writer,
    ):
        writer.write(frame)
    assert not list(tmp_path.iterdir())


def test_a_file_without_rows_gives_a_table_without_rows(tmp_path):
    (tmp_path / "empty.csv").write_text("body\n")
    files = RecordFiles(file_source(tmp_path / "empty.csv"), Columns(text="body"))
    work = ScoreFiles(files, named("random,repetition"), CONTEXT, combine="borda")
    assert work.write(tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_text() == "id,random,repetition,quality,silent\n"
    assert work.columns["random"].told()["mean"] is None


def test_ids_of_a_column_are_neither_null_nor_repeated(tmp_path):
    for ids, hint in ((["a", "b", "a"], "repeats ids"), (["a", None, "c"], r"null in .*#1")):
        pl.DataFrame({"name": ids}).write_parquet(tmp_path / "n.parquet")
        files = RecordFiles(file_source(tmp_path / "n.parquet"), Columns(id="name"))
        with pytest.raises(ScoringError, match=hint):
            ScoreFiles(files, named("random"), CONTEXT).write(tmp_path / "o.csv")
        assert [p.name for p in tmp_path.iterdir()] == ["n.parquet"]


@pytest.mark.parametrize("name", ["rds", "got_d"])
def test_a_target_of_another_space_is_refused_with_both_dimensions(tmp_path, name):
    draw = np.random.default_rng(0)
    for path, rows, wide in (("v", 30, 8), ("t", 6, 5)):
        vectors = draw.standard_normal((rows, wide)).tolist()
        pl.DataFrame({"body": vectors}).write_parquet(tmp_path / f"{path}.parquet")
    columns = Columns(embedding="body")
    files, target = (file_source(tmp_path / n, n) for n in ("v.parquet", "t.parquet"))
    work = ScoreFiles(
        RecordFiles(files, columns, None),
        named(name),
        CONTEXT,
        RecordFiles(target, columns, None, role="target"),
    )
    with pytest.raises(ScoringError, match=r"--target: its vectors have 5 .* files 8; .*embedder"):
        work.write(tmp_path / "out.parquet")
