"""Two runs at once on one root: one works, the other is told who is at work, and a run that slept is fenced out."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from orchestration.stages import SPECS
from resources import delta
from tests.faults import small
from tests.faults.small import Child, contents, release

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def await_that(condition: Callable[[], bool], child: Child) -> None:
    """Wait for something that a child does; fail if it ends without."""
    while not condition():
        assert child.process.poll() is None, child.end()
        time.sleep(0.05)


def frozen(child: Child) -> bool:
    status = Path(f"/proc/{child.process.pid}/stat").read_text(encoding="utf-8")
    return status.rpartition(")")[2].split()[0] == "T"


def test_two_that_start_together_make_one_release(tmp_path: Path) -> None:
    recipe = small.build(tmp_path)
    ends = [child.end() for child in [Child(recipe), Child(recipe)]]
    assert sorted(end.status for end in ends) in ([0, 4], [0, 0]), ends
    told = [end.err for end in ends if end.status == 4]
    if told:
        assert "is at work here" in told[0]
    else:  # one had ended before the other asked
        assert sorted(end.changed for end in ends) == [False, True]
    assert release(recipe)["release"] == 1


def test_the_second_is_told_who_works_or_waits_and_finds_nothing_to_do(tmp_path: Path) -> None:
    recipe = small.build(tmp_path)
    child = Child(recipe, "--at", "6", "--do", "wait")
    await_that(child.log.with_suffix(".waiting").exists, child)
    busy = small.command(recipe, "--json")
    out, err = busy.communicate(timeout=100)
    assert busy.returncode == 4, err
    told = json.loads(out)
    assert told["exit_status"] == 4
    assert f"process {child.process.pid} on" in told["error"]
    assert "is at work here" in err
    patient = small.command(recipe, "--json", "--wait", "200")
    child.log.with_suffix(".go").touch()
    end = child.end()
    assert end.status == 0, end.err
    out, err = patient.communicate(timeout=200)
    assert patient.returncode == 0, err
    assert json.loads(out)["changed"] is False
    rows = delta.scan(tmp_path / "out" / "publication/releases", 0).collect()
    assert rows.height == 1
    assert release(recipe)["release"] == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="sees frozen processes by /proc")
@pytest.mark.parametrize("where", ["fence", "commit"])
def test_a_run_that_slept_past_its_lease_changes_nothing_any_more(
    where: str, tmp_path: Path
) -> None:
    """Frozen before the fence it writes nothing; frozen just behind it, nothing that a release names."""
    recipe = small.build(tmp_path)
    options = ["--at", "12", "--do", "stop", "--where", where, "--lease-seconds", "2"]
    sleeper = Child(recipe, *options)
    try:
        await_that(lambda: frozen(sleeper), sleeper)
        time.sleep(2.5)  # its lease runs out
        other = small.run(recipe)
    finally:
        os.kill(sleeper.process.pid, signal.SIGCONT)
    assert other.status == 0, other.err
    before, standing = release(recipe), contents(recipe)
    end = sleeper.end()
    assert end.status == 4, end
    assert "was lost" in end.err
    assert len(end.of("commit")) == (12 if where == "fence" else 13)
    assert release(recipe) == before
    for name, frame in contents(recipe).items():
        assert_frame_equal(frame, standing[name])
    again = small.run(recipe)
    assert (again.status, again.changed) == (0, False)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="sees frozen processes by /proc")
def test_a_run_that_slept_behind_the_last_fence_makes_no_second_release(tmp_path: Path) -> None:
    recipe = small.build(tmp_path)
    last = str(small.SOURCES + sum(len(spec.tables) for spec in SPECS) - 1)
    sleeper = Child(recipe, "--at", last, "--do", "stop", "--lease-seconds", "2")
    try:
        await_that(lambda: frozen(sleeper), sleeper)
        time.sleep(2.5)
        other = small.run(recipe)
    finally:
        os.kill(sleeper.process.pid, signal.SIGCONT)
    assert other.status == 0, other.err
    assert other.of("commit") == ["publication/releases"]
    before = release(recipe)
    end = sleeper.end()
    # what a store refused is tried once more, and by then the other's release is the answer
    assert end.status == 0, end
    assert end.of("adopt") == ["publication/releases"]
    assert "publication/releases" not in end.of("commit")
    assert release(recipe) == before
    newest = delta.open_table(tmp_path / "out" / "publication/releases")
    assert newest is not None
    assert newest.version() == 0


def test_another_recipe_on_the_same_lake_layer_waits_its_turn(tmp_path: Path) -> None:
    recipe = small.build(tmp_path)
    other = tmp_path / "other.yaml"
    text = recipe.read_text(encoding="utf-8").replace("output: out", "output: out2\nstate: out")
    other.write_text(text, encoding="utf-8")
    child = Child(recipe, "--at", "0", "--do", "wait")
    await_that(child.log.with_suffix(".waiting").exists, child)
    end = small.run(other)
    child.process.kill()
    child.end()
    assert end.status == 4, end
    assert "is at work here" in end.err
    assert not (tmp_path / "out2" / "_sluice" / "lease.json").exists(), "a lease was left behind"
