"""Stores that refuse: the cause is named, and the former release is untouched."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.execute import execute
from resources import delta
from resources.errors import StoreError
from resources.recipe import load_recipe
from resources.run import last_release
from tests.faults.small import build, contents

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    recipe = build(tmp_path)
    execute(load_recipe(recipe))
    with (tmp_path / "lake" / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write(
            '{"text": "one more line of words that nobody wrote before", "language": "en"}\n'
        )
    return recipe


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_write_that_fails_names_the_cause(
    released: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = contents(released)
    write = pq.ParquetWriter.write_table

    def refuse(self: Any, table: Any, *arguments: Any, **named: Any) -> None:
        if "fate" in table.schema.names:
            raise OSError(number, "the store said no")
        write(self, table, *arguments, **named)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    with pytest.raises(StoreError, match="the store said no"):
        execute(load_recipe(released))
    monkeypatch.undo()
    after = contents(released)
    assert before.keys() == after.keys()
    assert all(before[name].equals(after[name]) for name in before)


def test_a_commit_that_fails_leaves_no_files_behind(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = released.parent / "out"

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "rename failed")

    monkeypatch.setattr(delta, "create_table_with_add_actions", refuse)
    monkeypatch.setattr(delta.DeltaTable, "create_write_transaction", refuse)
    files = set((output / "ingestion" / "tables").glob("*.parquet"))
    with pytest.raises(StoreError, match="rename failed"):
        execute(load_recipe(released))
    monkeypatch.undo()
    assert set((output / "ingestion" / "tables").glob("*.parquet")) == files
    release = last_release(output)
    assert release is not None
    assert release["release"] == 1
