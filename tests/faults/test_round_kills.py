"""Kill a study before each of its commits; the next call goes on, and ends up as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.allocation.round_spec import CURVES, RECORDS, ROUNDS, SPEC
from resources import delta
from tests.allocation import released_lake
from tests.allocation.released_lake import newest
from tests.faults.small import spawn

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

COMMITS = 3 * len(SPEC.tables)


def buy(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.rounds_child", str(folder), *options]
    process = spawn(folder / "recipe.yaml", command)
    process.communicate(timeout=150)
    return process


def contents(folder: Path) -> dict[str, pl.DataFrame]:
    keys = {RECORDS: "record_id", CURVES: "run_id", ROUNDS: "group"}
    return {name: newest(folder / "out", name).sort("round", key) for name, key in keys.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("undisturbed")
    released_lake.release(folder / "out")
    assert buy(folder).returncode == 0
    found = contents(folder)
    assert found[ROUNDS]["round"].n_unique() == 3
    return found


@pytest.mark.parametrize("kill_at", range(COMMITS))
def test_a_killed_study_goes_on_where_it_was(
    kill_at: int, tmp_path: Path, undisturbed: dict[str, pl.DataFrame]
) -> None:
    released_lake.release(tmp_path / "out")
    assert buy(tmp_path, "--at", str(kill_at)).returncode == -signal.SIGKILL
    rounds = delta.open_table(tmp_path / "out" / ROUNDS)
    done = kill_at // len(SPEC.tables)
    if done == 0:
        assert rounds is None, "a round showed before its last commit"
    else:
        before = newest(tmp_path / "out", ROUNDS)
        assert before["round"].n_unique() == done
        expected = undisturbed[ROUNDS].filter(pl.col("round") < done)
        assert_frame_equal(before.sort("round", "group"), expected, check_exact=True)
    assert buy(tmp_path).returncode == 0
    for name, frame in contents(tmp_path).items():
        assert_frame_equal(frame, undisturbed[name], check_exact=True)


def test_a_restart_that_is_killed_is_told_and_begun_again(
    tmp_path: Path, undisturbed: dict[str, pl.DataFrame]
) -> None:
    released_lake.release(tmp_path / "out")
    assert buy(tmp_path).returncode == 0
    assert buy(tmp_path, "--restart", "--at", "1").returncode == -signal.SIGKILL
    assert buy(tmp_path).returncode != 0
    assert buy(tmp_path, "--restart").returncode == 0
    for name, frame in contents(tmp_path).items():
        assert_frame_equal(frame, undisturbed[name], check_exact=True)
