"""Scores that need labels or a target, in a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from orchestration.cli import main
from tests.scoring.samples import TOPICS, document

RECIPE = """
lake: ./lake
output: ./out
records:
  - {{tables: "aim*", role: target, text: text}}
  - {{tables: "*", text: text, label: topic}}
scoring: {{scorers: [{scorers}]}}
"""
SCORES = ["el2n", "entropy", "margin", "perplexity"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    rng = np.random.default_rng(0)
    lake = tmp_path / "lake"
    lake.mkdir()
    topics = ["cooking", "law"] * 25
    rows = [{"text": document(rng, TOPICS[t]), "topic": t} for t in topics]
    (lake / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    aims = [{"text": document(rng, TOPICS["cooking"])} for _ in range(10)]
    (lake / "aim.jsonl").write_text("".join(json.dumps(r) + "\n" for r in aims))
    return tmp_path


def run(folder: Path, scorers: str) -> Result:
    (folder / "recipe.yaml").write_text(RECIPE.format(scorers=scorers))
    return CliRunner().invoke(main, ["run", str(folder / "recipe.yaml"), "--select", "+scoring"])


def scores(folder: Path) -> pl.DataFrame:
    return pl.read_delta(str(folder / "out/scoring/scores")).select("record_id", *SCORES)


def test_labels_and_target_score_records(folder: Path) -> None:
    done = run(folder, ", ".join(SCORES))
    assert done.exit_code == 0, done.output
    frame = scores(folder)
    assert frame.height == 50
    assert frame.null_count().sum_horizontal()[0] == 0
    assert frame["margin"].median() > 0.3  # two topics that a linear head tells apart


def test_what_recipes_cannot_have_is_said(folder: Path) -> None:
    done = run(folder, "knn_shapley")
    assert done.exit_code == 2
    assert "only `sluice score` computes" in done.stderr
