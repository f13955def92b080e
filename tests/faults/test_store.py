"""Stores that refuse: the cause is named, the former release is untouched, and the next run finishes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from orchestration.execute import execute
from resources import delta
from resources.errors import StoreError
from resources.recipe import load_recipe
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
    commit = delta.StagedTable._commit

    def refuse(self: delta.StagedTable, *arguments: Any) -> int:
        if name in str(self.uri):
            raise OSError(errno.EXDEV, "rename failed")
        return commit(self, *arguments)

    monkeypatch.setattr(delta.StagedTable, "_commit", refuse)
    with pytest.raises(StoreError, match=r"the commit failed: .*rename failed") as told:
        execute(load_recipe(changed))
    assert name in str(told.value)
    assert orphans(changed.parent / "out") == {}


def test_a_note_that_cannot_be_kept_names_the_cause(
    changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run notes which versions it stands on in small files; their rename may fail too."""
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if "runs" in self.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises((StoreError, OSError), match=os.strerror(errno.ENOSPC)):
        execute(load_recipe(changed))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_named(changed: Path) -> None:
    folder = changed.parent / "out" / "deduplication" / "records"
    folder.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="deduplication/records: can't be written"):
            execute(load_recipe(changed))
    finally:
        folder.chmod(0o700)


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
        patch.setattr(delta.StagedTable, "close", _full)
        with pytest.raises(OSError, match="No space left"):
            execute(load_recipe(recipe))
    end = small.run(recipe)
    assert end.status == 0, end.err
    found = contents(recipe)
    assert expected.keys() == found.keys()
    for name, frame in expected.items():
        assert isinstance(frame, pl.DataFrame)
        assert frame.equals(found[name]), name


def _full(_: delta.StagedTable) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
