"""Fixtures that several folders of tests share: the tiny lake, run once a session, and a Dagster home of its own."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests import lakes

# The same examples in every run, so that a failure is the change's. Look for new ones with
# `pytest --hypothesis-profile=search`; what that finds becomes a test of its own.
# No deadline, as the first example compiles its loops.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("same")

# some four seconds a run; the tests of figures turn them on
os.environ["SLUICE_FIGURES"] = "off"


@event.listens_for(Engine, "connect")
def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    """Let SQLite, which holds Dagster's history, return before the disk has it: no test outlives a power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@dataclass(frozen=True)
class RunLake:
    """The tiny lake after one run; read it, never write to it."""

    lake: lakes.Lake
    run_id: str
    home: Path


@pytest.fixture
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the history of a test's runs in its own folder."""
    home = tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def run_lake(tmp_path_factory: pytest.TempPathFactory) -> RunLake:
    """Build the tiny lake and run it, once a session (once a worker under xdist)."""
    from orchestration.execute import execute
    from resources.recipe_file import load_recipe

    lake = lakes.build(tmp_path_factory.mktemp("tiny"))
    home = lake.folder / "dagster"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.setenv("SLUICE_FIGURES", "on")
        outcome = execute(load_recipe(lake.recipe))
    assert outcome.changed
    return RunLake(lake, outcome.run_id, home)
