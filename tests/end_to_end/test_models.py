"""A recipe whose vectors, perplexities and classifier come from models and examples of the user's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from orchestration.cli import main
from resources.errors import EXIT_BAD_RECIPE
from tests.scoring.models.conftest import causal, encoder  # noqa: F401 - fixtures
from tests.scoring.samples import TOPICS, document

RECIPE = """
lake: ./lake
output: ./out
records:
  - {tables: "*", text: text}
scoring:
  embedder: ./models/encoder
  language_model: ./models/causal
  classifier: {positives: good.jsonl, negatives: [bad.jsonl]}
  scorers: [lm_perplexity, quality_classifier, prototype]
"""


def write(path: Path, topics: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [{"text": document(rng, TOPICS[topic]), "topic": topic} for topic in topics]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path, encoder, causal, monkeypatch) -> Path:  # noqa: F811
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (tmp_path / "lake").mkdir()
    write(tmp_path / "lake/a.jsonl", ["cooking", "law"] * 10, 0)
    write(tmp_path / "good.jsonl", ["cooking"] * 12, 1)
    write(tmp_path / "bad.jsonl", ["law"] * 12, 2)
    shutil.copytree(encoder, tmp_path / "models/encoder")
    shutil.copytree(causal, tmp_path / "models/causal")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def run(folder: Path) -> Result:
    arguments = ["run", str(folder / "recipe.yaml"), "--select", "+scoring"]
    return CliRunner().invoke(main, arguments)


def test_models_make_vectors_and_scores_and_a_changed_model_makes_them_anew(folder: Path) -> None:
    done = run(folder)
    assert done.exit_code == 0, done.output
    embeddings = pl.read_delta(str(folder / "out/scoring/embeddings"))
    assert embeddings["dim"].unique().to_list() == [32]
    assert embeddings["embedder_id"].n_unique() == 1
    scores = pl.read_delta(str(folder / "out/scoring/scores"))
    assert scores.height == embeddings.height == 20
    for name in ("lm_perplexity", "quality_classifier", "prototype"):
        assert scores[name].null_count() == 0
    assert scores["quality_classifier"].is_between(0, 1).all()
    # other weights under the same name: another space, and no score of the old one stays
    weights = next((folder / "models/encoder").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-3:] = bytes(b ^ 7 for b in data[-3:])
    weights.write_bytes(data)
    again = run(folder)
    assert again.exit_code == 0, again.output
    embeddings = pl.read_delta(str(folder / "out/scoring/embeddings"))
    assert embeddings.group_by("embedder_id").len()["len"].to_list() == [20, 20]
    renewed = pl.read_delta(str(folder / "out/scoring/scores"))
    assert renewed["calibration"][0] != scores["calibration"][0]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "embedder: ./models/encoder",
            "embedder: ./models/absent",
            "scoring.embedder: there is no",
        ),
        ("language_model: ./models/causal", "language_model: null", "needs scoring.language_model"),
        ("negatives: [bad.jsonl]", "negatives: [absent.jsonl]", "absent.jsonl can't be read"),
        ("negatives: [bad.jsonl]", "negatives: []", "scoring.classifier.negatives"),
    ],
)
def test_what_is_missing_is_said_before_anything_runs(folder, old, new, told) -> None:
    (folder / "recipe.yaml").write_text(RECIPE.replace(old, new))
    done = run(folder)
    assert done.exit_code == EXIT_BAD_RECIPE, done.output
    assert told in done.output
    assert not (folder / "out/scoring").exists()


def test_the_commands_take_models_and_examples(folder: Path) -> None:
    lake, out = folder / "lake/a.jsonl", folder / "scores.parquet"
    models = ["--embedder", folder / "models/encoder", "--language-model", folder / "models/causal"]
    examples = ["--positives", folder / "good.jsonl", "--negatives", folder / "bad.jsonl"]
    wanted = ["--scorers", "lm_perplexity,quality_classifier", "--text", "text", "--out", out]
    arguments = [str(a) for a in ["score", lake, *models, *examples, *wanted, "--json"]]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    frame = pl.read_parquet(out)
    assert frame["lm_perplexity"].null_count() == frame["quality_classifier"].null_count() == 0
    assert "bits_per_byte" in frame.columns
    chosen = folder / "chosen.parquet"
    select = ["select", lake, "--method", "k_center", "--budget", "5", "--text", "text"]
    select += ["--embedder", folder / "models/encoder", "--out", chosen, "--json"]
    done = CliRunner().invoke(main, [str(a) for a in select])
    assert done.exit_code == 0, done.output
    assert pl.read_parquet(chosen).height == 5
    vain = [
        str(a)
        for a in ["score", lake, *models[2:], "--text", "text", "--scorers", "random", "--out", out]
    ]
    done = CliRunner().invoke(main, vain)
    assert done.exit_code == EXIT_BAD_RECIPE
    assert "--language-model means nothing without --scorers lm_perplexity" in done.output
