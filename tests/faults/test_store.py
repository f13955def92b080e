"""Stores that refuse: the cause is named, the former release is untouched, and the next run finishes."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from orchestration.cli import main
from orchestration.execute import execute
from resources.errors import StoreError
from resources.recipe_file import load_recipe
from resources.staged_table import StagedTable
from tests.faults import small
from tests.faults.small import Snapshots, contents, orphans, release

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    made = Snapshots(tmp_path_factory.mktemp("store") / "work")
    recipe = small.build(made.folder)
    end = small.run(recipe)
    assert end.status == 0, end.err
    small.change(recipe)
    made.keep("changed")
    return made


@pytest.fixture
def changed(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A recipe with one release, whose lake has changed since; nothing of that release may change in a test."""
    recipe = snapshots.restore("changed")
    monkeypatch.setenv("DAGSTER_HOME", str(recipe.parent / "dagster"))
    former, before = release(recipe), contents(recipe)
    yield recipe
    monkeypatch.undo()
    assert release(recipe) == former
    after = contents(recipe)
    assert before.keys() == after.keys()
    assert all(before[name].equals(after[name]) for name in before)


# a landed source, a table of a stage (no other has its column), and the last one
COLUMNS = ("language", "label_conflict", "recipe_hash")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES], ids=["full", "forbidden"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_write_that_fails_names_the_cause(
    changed: Path, monkeypatch: pytest.MonkeyPatch, column: str, number: int
) -> None:
    write = pq.ParquetWriter.write_table

    def refuse(self: Any, table: Any, *arguments: Any, **named: Any) -> None:
        if column in table.schema.names:
            raise OSError(number, os.strerror(number))
        write(self, table, *arguments, **named)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    with pytest.raises(StoreError, match=f"can't be written: .*{os.strerror(number)}") as told:
        execute(load_recipe(changed))
    assert str(changed.parent / "out") in str(told.value)
    assert orphans(changed.parent / "out") == {}


@pytest.mark.parametrize("name", ["landed", "ingestion/tables", "publication/releases"])
def test_a_rename_that_fails_leaves_no_files_behind(
    changed: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    commit = StagedTable._commit

    def refuse(self: StagedTable, *arguments: Any) -> int:
        if name in str(self.uri):
            raise OSError(errno.EXDEV, "rename failed")
        return commit(self, *arguments)

    monkeypatch.setattr(StagedTable, "_commit", refuse)
    with pytest.raises(StoreError, match=r"the commit failed: .*rename failed") as told:
        execute(load_recipe(changed))
    assert name in str(told.value)
    assert orphans(changed.parent / "out") == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES], ids=["full", "forbidden"])
@pytest.mark.parametrize("place", ["_sluice/runs", "_sluice/cache", "publication/cards"])
def test_a_small_file_that_cannot_be_kept_names_the_cause(
    changed: Path, monkeypatch: pytest.MonkeyPatch, place: str, number: int
) -> None:
    """Beside the tables a run keeps notes, caches and a card; each is written anew and renamed, which may fail."""
    replace = Path.replace
    refused = []

    def refuse(self: Path, target: Path) -> Path:
        if place in self.as_posix():
            refused.append(str(target))
            raise OSError(number, os.strerror(number), str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    result = CliRunner().invoke(main, ["run", str(changed)])
    assert result.exit_code == 1, result.output
    assert os.strerror(number) in result.stderr
    assert refused[-1] in result.stderr
    assert orphans(changed.parent / "out") == {}


def _bound_by_rights() -> None:
    """Make root obey the rights of files, in a process that is about to start another."""
    if os.geteuid() == 0:
        drop_from_bounding_set, override_rights = 24, 1
        ctypes.CDLL(None).prctl(drop_from_bounding_set, override_rights, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("deduplication/records", "deduplication/records: can't be written: .*Permission denied"),
        ("scoring/scores/_delta_log", "scoring/scores: the commit failed: .*Permission denied"),
        ("_sluice/runs", "Permission denied.*_sluice/runs"),
        ("_sluice", "Permission denied.*_sluice/lease.json"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_a_folder_without_the_right_to_write_is_named(changed: Path, name: str, told: str) -> None:
    folder = changed.parent / "out" / name
    folder.chmod(0o500)
    end = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "run", str(changed)],
        cwd=small.ROOT,
        text=True,
        capture_output=True,
        timeout=200,
        check=False,
        preexec_fn=_bound_by_rights,
    )
    folder.chmod(0o700)
    assert end.returncode == 1, end.stderr
    last = end.stderr[end.stderr.index("sluice: ") :]
    assert re.search(told, last, re.DOTALL), last
    assert orphans(changed.parent / "out") == {}


def test_a_root_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    recipe = small.build(tmp_path)
    mkdir = Path.mkdir

    def refuse(self: Path, *arguments: Any, **named: Any) -> None:
        if "out" in self.parts:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        mkdir(self, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"Permission denied.*check the rights"):
        execute(load_recipe(recipe))
    monkeypatch.undo()
    assert not (tmp_path / "out").exists()


def test_after_the_store_recovers_the_run_is_finished(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = snapshots.restore("changed")
    assert small.run(recipe).status == 0
    expected = contents(recipe)
    recipe = snapshots.restore("changed")
    monkeypatch.setenv("DAGSTER_HOME", str(recipe.parent / "dagster"))
    with monkeypatch.context() as patch:
        patch.setattr(StagedTable, "close", _full)
        with pytest.raises(StoreError, match="No space left"):
            execute(load_recipe(recipe))
    end = small.run(recipe)
    assert end.status == 0, end.err
    found = contents(recipe)
    assert expected.keys() == found.keys()
    for name, frame in expected.items():
        assert isinstance(frame, pl.DataFrame)
        assert frame.equals(found[name]), name


def _full(_: StagedTable) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
