"""The trainer reads a pinned release, learns from it, and uses weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from deltalake import write_deltalake

from examples.byte_model import ByteModel, bits_of, train_head, weighted_loss
from examples.train import main


def _identity(i: int) -> str:
    return hashlib.md5(str(i).encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(120):
        labelled = i % 2 == 1
        side = i % 4 // 2
        rows.append(
            {
                "record_id": _identity(i),
                "text": None if labelled else "the same sentence again and again, " * 8,
                "features": rng.normal(loc=4 * side, size=3).tolist() if labelled else None,
                "label": ("left", "right")[side] if labelled else None,
                "language": "tabular" if labelled else ("en", "fr")[i % 4 // 2],
                "table": "t",
                "passes": 1 + i % 3,
                "weight": 1.0,
            }
        )
    frame = pl.DataFrame(
        rows, schema_overrides={"features": pl.List(pl.Float64), "text": pl.String}
    )
    publication = tmp_path / "publication"
    write_deltalake(publication / "training_set", frame[:100])
    write_deltalake(publication / "holdout", frame[100:].drop("passes", "weight"))
    versions = json.dumps({"publication/training_set": 0, "publication/holdout": 0})
    write_deltalake(
        publication / "releases", pl.DataFrame({"release": [1], "versions": [versions]})
    )
    return tmp_path


def test_main_prints_before_and_after(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), "--seconds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "training_set version 0, 100 rows" in printed
    assert "50 with text" in printed
    assert "0 left out" in printed
    everything = next(line.split() for line in printed.splitlines() if line.startswith("all "))
    assert float(everything[3]) < float(everything[2]) - 1
    head = next(line.split() for line in printed.splitlines() if line.startswith("t "))
    assert float(head[4]) > 0.9


def test_main_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "is no Delta table" in capsys.readouterr().err


def test_model_sees_no_later_byte() -> None:
    model = ByteModel(seed=1)
    row = torch.randint(0, 256, (1, 80))
    changed = row.clone()
    changed[0, 50:] = 7
    assert torch.equal(model(row)[0, :50], model(changed)[0, :50])


def test_weights_scale_the_loss() -> None:
    bits, count = torch.tensor([8.0, 2.0]), torch.tensor([2, 2])
    assert weighted_loss(bits, count, torch.tensor([1.0, 1.0])) == pytest.approx(2.5)
    assert weighted_loss(bits, count, torch.tensor([3.0, 1.0])) == pytest.approx(3.25)
    assert weighted_loss(bits, count, torch.tensor([0.0, 1.0])) == pytest.approx(1.0)


def test_padding_costs_nothing() -> None:
    model = ByteModel(seed=1)
    row = torch.full((1, 30), 257)
    row[0, 0], row[0, 1:5] = 256, torch.tensor([65, 66, 67, 68])
    bits, count = bits_of(model, row)
    short, _ = bits_of(model, row[:, :5])
    assert count.item() == 4
    assert bits.item() == pytest.approx(short.item(), rel=1e-4)


def test_head_obeys_passes_and_weights() -> None:
    # one row says left, one right, at the same place: what is shown more often, or weighs more,
    # wins
    frame = pl.DataFrame(
        {"features": [[1.0], [1.0]], "label": ["left", "right"], "weight": [1.0, 1.0]}
    )
    test = pl.DataFrame({"features": [[1.0]], "label": ["right"]})
    assert train_head(frame.with_columns(passes=pl.Series([1, 3])), test)[1] == 1.0
    assert train_head(frame.with_columns(passes=pl.Series([3, 1])), test)[1] == 0.0
    weighted = frame.with_columns(passes=pl.Series([1, 1]), weight=pl.Series([0.2, 1.0]))
    assert train_head(weighted, test)[1] == 1.0
