"""When a calibration is kept and when it is renewed, as a person at a terminal is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestration.cli import main
from tests import lakes
from tests.conftest import RunLake

Told = Callable[..., str]


@pytest.fixture
def told(run_lake: RunLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Run the recipe in a copy of the lake after its first run; returns what is said of the calibration."""
    shutil.copytree(run_lake.lake.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))

    def run(*options: str) -> str:
        done = CliRunner().invoke(main, ["run", str(tmp_path / "recipe.yaml"), "--json", *options])
        assert done.exit_code == 0, done.output
        return str(json.loads(done.stdout)["calibration"])

    return run


def add_a_row(folder: Path, seed: int) -> None:
    with (folder / "lake/texts/english.jsonl").open("a", encoding="utf-8") as file:
        row = {"text": lakes.words("en", seed, 50), "language": "en", "source": "new"}
        file.write(json.dumps(row) + "\n")


def test_it_is_kept_until_somebody_asks(told: Told, tmp_path: Path) -> None:
    add_a_row(tmp_path, 7000)
    kept = told()
    assert "kept: largest drift 0.0" in kept
    assert "renewed above 0.1" in kept
    asked = told("--recalibrate")
    assert "fitted in this run, because --recalibrate asked for it" in asked
    assert asked[:8] != kept[:8]
    assert told() == asked, "nothing has changed since, so the last release is the answer"


def test_a_new_target_renews_it(told: Told, tmp_path: Path) -> None:
    with (tmp_path / "lake/target/good.txt").open("a", encoding="utf-8") as file:
        file.write(lakes.words("en", 7100, 50) + "\n")
    assert "fitted in this run, because dsir's target changed; kept: heuristics" in told()


def test_the_limit_is_the_recipes(told: Told, tmp_path: Path) -> None:
    lakes.write_recipe(tmp_path / "recipe.yaml", recalibrate_at=0.0)
    add_a_row(tmp_path, 7200)
    assert "has drifted by" in told()


def test_another_outputs_calibration_is_kept_to(told: Told, tmp_path: Path) -> None:
    add_a_row(tmp_path, 7300)
    ours = told()
    lakes.write_recipe(tmp_path / "recipe.yaml", output="elsewhere")
    theirs = told("--calibration", str(tmp_path / "out"))
    assert theirs[:8] == ours[:8]
    assert "kept" in theirs
