"""Vectors of a run that did not end are taken over, once each, and never those of another space."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

from assets.scoring import definitions, vector_parts
from assets.scoring.hashed import HashedEmbedder
from assets.scoring.vector_parts import VectorParts
from orchestration.cli import main


def rows(*ids: str) -> pa.Table:
    return pa.table(
        {
            "content_id": list(ids),
            "embedder_id": ["a"] * len(ids),
            "dim": pa.array([1] * len(ids), pa.int32()),
            "vector": [i.encode() for i in ids],
        }
    )


def asked(*ids: str) -> pl.LazyFrame:
    return pl.LazyFrame({"content_id": list(ids)}, schema={"content_id": pl.String})


def test_parts_come_back_once_each_and_leave_when_nobody_asks(tmp_path: Path) -> None:
    first = VectorParts(tmp_path, "a", seconds=0.0)
    first.add(rows("x", "y"))
    first.add(rows("y", "z"))
    again = VectorParts(tmp_path, "a")
    parts = list(again.wanted(asked("y", "z", "new")))
    assert sorted(pl.concat(parts)["content_id"]) == ["y", "z"]
    assert all(part.height for part in parts)
    assert not [*VectorParts(tmp_path, "b").wanted(asked("y"))]
    assert [part["content_id"].to_list() for part in again.wanted(asked("z"))] == [["z"]]
    assert len(again.rows()) == 1  # of the other part nothing is asked for
    assert not [*again.wanted(asked())]
    assert again.rows() == []


def test_what_was_not_written_whole_is_not_read(tmp_path: Path) -> None:
    parts = VectorParts(tmp_path, "a", seconds=0.0)
    parts.add(rows("x"))
    (path,) = parts.rows()
    (parts.folder / "torn.parquet").write_bytes(path.read_bytes()[:-20])
    (parts.folder / ".hidden").write_bytes(b"half")
    assert parts.rows() == [path]
    assert not (parts.folder / "torn.parquet").exists()


def test_quick_work_writes_nothing(tmp_path: Path) -> None:
    parts = VectorParts(tmp_path, "a", seconds=3600.0)
    parts.add(rows("x"))
    assert parts.rows() == []


def test_rows_that_wait_are_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_parts, "BYTES", 2 * rows("x").nbytes)
    parts = VectorParts(tmp_path, "a", seconds=3600.0)
    for name in "vwxyz":
        parts.add(rows(name))
    assert len(parts.rows()) == 2
    assert pl.concat(parts.wanted(asked(*"vwxyz"))).height == 4


def test_a_run_that_broke_off_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setattr(vector_parts, "SECONDS", 0.0)
    monkeypatch.setattr(VectorParts.__init__, "__defaults__", (0.0,))
    monkeypatch.setattr(definitions, "SLICE", 10)
    lake = tmp_path / "lake"
    lake.mkdir()
    texts = [{"text": f"note {i} of the {i * 7}th sea and its winds"} for i in range(60)]
    (lake / "a.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    recipe = 'lake: ./lake\noutput: ./{0}\nrecords: [{{tables: "*", text: text}}]\n'
    calls: list[int] = []
    embed = HashedEmbedder.embed

    def counted(self, text=None, *rest):
        calls.append(len(text))
        if limit is not None and sum(calls) > limit:
            message = "the power went"
            raise RuntimeError(message)
        return embed(self, text, *rest)

    monkeypatch.setattr(HashedEmbedder, "embed", counted)

    def run(output: str):
        (tmp_path / "recipe.yaml").write_text(recipe.format(output))
        calls.clear()
        return CliRunner().invoke(
            main, ["run", str(tmp_path / "recipe.yaml"), "--select", "+scoring"]
        )

    limit = 35
    assert run("out").exit_code != 0
    limit = None
    done = run("out")
    assert done.exit_code == 0, done.output
    assert sum(calls) == 30  # three slices of ten were kept
    whole = run("other")
    assert whole.exit_code == 0, whole.output
    assert sum(calls) == 60
    found, expected = (
        pl.read_delta(str(tmp_path / out / "scoring/embeddings")).sort("content_id")
        for out in ("out", "other")
    )
    assert found.equals(expected)
