"""Maintenance of a real output: releases, later runs and adoption are what they would be without it."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from orchestration.stages import BY_TABLE
from resources import delta, maintain
from resources.maintain import Maintenance
from resources.releases import releases
from tests.faults import small
from tests.faults.small import Snapshots, contents, orphans, release

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

LAYERS = {table: spec.layer for table, spec in BY_TABLE.items()}


def do(recipe: Path, **more: Any) -> Maintenance:
    output = recipe.parent / "out"
    return maintain.maintain(output, output, LAYERS, retention_hours=168, **more)


def every_release(recipe: Path) -> dict[tuple[int, str], pl.DataFrame]:
    """Read every table of every release, and the landed tables that it refers to."""
    output = recipe.parent / "out"
    found = {}
    for row in releases(output):
        for name, version in row["versions"].items():
            found[row["release"], name] = delta.scan(output / name, version).collect()
        tables = found[row["release"], "ingestion/tables"].drop_nulls("data_version")
        for place, version in tables.select("data_uri", "data_version").iter_rows():
            found[row["release"], place] = delta.scan(output / place, version).collect()
    return found


def assert_same(before: dict[Any, pl.DataFrame], after: dict[Any, pl.DataFrame]) -> None:
    assert before.keys() == after.keys()
    differ = [name for name, frame in before.items() if not frame.equals(after[name])]
    assert differ == []


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    """Two releases, a lake that has changed again, and what a killed run left of that."""
    made = Snapshots(tmp_path_factory.mktemp("maintain") / "work")
    recipe = small.build(made.folder)
    assert small.run(recipe).status == 0
    small.change(recipe)
    assert small.run(recipe).status == 0
    made.keep("finished")
    small.change(recipe)
    killed = small.run(recipe, "--at", str(small.CHANGED_SOURCES + 7))
    assert killed.status == -signal.SIGKILL
    assert orphans(recipe.parent / "out")
    made.keep("killed")
    return made


@pytest.fixture
def month_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(time=lambda: time.time() + 30 * 86_400)
    monkeypatch.setattr(maintain, "time", clock)


@pytest.mark.usefixtures("month_later")
def test_an_unchanged_lake_is_still_up_to_date(snapshots: Snapshots) -> None:
    recipe = snapshots.restore("finished")
    before = every_release(recipe)
    done = do(recipe)
    assert done.left_alone == []
    assert done.removed["run records"].files > 0
    assert_same(before, every_release(recipe))
    again = small.run(recipe)
    assert (again.status, again.changed, again.events) == (0, False, []), again.err
    do(recipe, keep_releases=1)
    last = release(recipe)["release"]
    kept = {name: frame for name, frame in before.items() if name[0] == last}
    for name, frame in kept.items():
        version = release(recipe)["versions"].get(name[1])
        if version is not None:
            assert delta.scan(recipe.parent / "out" / name[1], version).collect().equals(frame)
    again = small.run(recipe)
    assert (again.status, again.changed, again.events) == (0, False, []), again.err


@pytest.mark.usefixtures("month_later")
@pytest.mark.parametrize("keep", [None, 1])
def test_the_run_after_it_finishes_a_killed_one_as_without_it(
    snapshots: Snapshots, keep: int | None
) -> None:
    recipe = snapshots.restore("killed")
    plain = small.run(recipe)
    assert plain.status == 0, plain.err
    expected = contents(recipe)
    recipe = snapshots.restore("killed")
    output = recipe.parent / "out"
    lost = orphans(output)
    before = every_release(recipe)
    done = do(recipe, keep_releases=keep)
    assert done.removed["orphan files"].files == sum(len(files) for files in lost.values())
    assert orphans(output) == {}
    if keep is None:
        assert_same(before, every_release(recipe))
    after = small.run(recipe)
    assert after.status == 0, after.err
    assert_same(expected, contents(recipe))
    assert after.of("adopt") == plain.of("adopt"), "finished work was done again"
    assert after.of("compute") == plain.of("compute")


KILL = """
import os, pathlib, signal, sys, time, types
from resources import maintain
from tests.faults.test_maintain import do
clock = types.SimpleNamespace(time=lambda: time.time() + 30 * 86_400)
maintain.time = clock
left = int(sys.argv[2])
unlink = pathlib.Path.unlink
def counted(self, missing_ok=False):
    global left
    if self.suffix == ".parquet":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    unlink(self, missing_ok=missing_ok)
pathlib.Path.unlink = counted
do(pathlib.Path(sys.argv[1]), keep_releases=1)
"""


@pytest.mark.usefixtures("month_later")
def test_killed_in_the_middle_it_is_finished_by_the_next(snapshots: Snapshots) -> None:
    recipe = snapshots.restore("killed")
    former = contents(recipe)
    for removed in (1, 10):
        process = small.spawn(recipe, [sys.executable, "-c", KILL, str(recipe), str(removed)])
        _, err = process.communicate(timeout=100)
        assert process.returncode == -signal.SIGKILL, err
        assert_same(former, contents(recipe))
    done = do(recipe, keep_releases=1)
    assert done.stale_leases == 1
    assert_same(former, contents(recipe))
    after = small.run(recipe)
    assert after.status == 0, after.err
    assert release(recipe)["release"] == 3


def test_the_command_tells_what_it_did(snapshots: Snapshots) -> None:
    recipe = snapshots.restore("killed")

    def command(*options: str) -> tuple[int, str, str]:
        words = [sys.executable, "-m", "orchestration.cli", "maintain", *options]
        process = small.spawn(recipe, words)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    status, out, _ = command(str(recipe), "--dry-run", "--retention", "0h", "--force", "--json")
    told = json.loads(out)
    assert (status, told["dry_run"], told["kept"]) == (0, True, [1, 2])
    assert told["removed"]["orphan files"]["files"] > 0
    assert orphans(recipe.parent / "out")
    status, out, _ = command("--output", str(recipe.parent / "out"), "--retention", "0h", "--force")
    assert status == 0
    assert f"orphan files       {told['removed']['orphan files']['files']:>8,} files" in out
    assert orphans(recipe.parent / "out") == {}
    status, _, err = command(str(recipe), "--retention", "1h")
    assert (status, "--force" in err) == (2, True)
    status, _, err = command(str(recipe), "--retention", "soon")
    assert (status, "7d" in err) == (2, True)
    running = small.Child(recipe, "--at", "0", "--do", "wait")
    waiting = running.log.with_suffix(".waiting")
    while not waiting.exists() and running.process.poll() is None:
        time.sleep(0.1)
    status, _, err = command(str(recipe))
    running.log.with_suffix(".go").touch()
    assert (status, "is at work here" in err) == (4, True)
    assert running.end().status == 0
