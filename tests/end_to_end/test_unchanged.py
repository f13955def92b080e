"""A second run on an unchanged lake: no data byte is read, and nothing is committed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from orchestration.execute import execute
from resources.recipe_file import load_recipe
from tests.conftest import RunLake
from tests.end_to_end.test_run import commits_of, release_of


def blank(path: Path) -> None:
    """Replace every byte of a file and keep all that a listing shows of it."""
    known = path.stat()
    path.write_bytes(b"\x00" * known.st_size)
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))


def test_a_lake_whose_every_data_byte_is_gone_is_still_up_to_date(
    run_lake: RunLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run_lake.lake.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    recipe = load_recipe(tmp_path / "recipe.yaml")
    # the copy is another place, which is a change of its own
    execute(recipe)
    before, release = commits_of(tmp_path / "out"), release_of(tmp_path / "out")
    data = [
        p for p in (tmp_path / "lake").rglob("*") if p.is_file() and "_delta_log" not in p.parts
    ]
    landed = list((tmp_path / "out").rglob("landed/**/*.parquet"))
    assert data
    assert landed
    for path in [*data, *landed]:
        blank(path)
    outcome = execute(recipe)
    assert not outcome.changed
    assert commits_of(tmp_path / "out") == before
    assert release_of(tmp_path / "out") == release
