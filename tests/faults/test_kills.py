"""Kill a run before each of its commits; the next run must finish it, and nothing half-done may show."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from orchestration.stages import SPECS
from resources import delta
from resources.releases import last_release
from tests.faults import small
from tests.faults.small import End, Snapshots, contents, orphans, release

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

TABLES = sum(len(spec.tables) for spec in SPECS)
FIRST = small.SOURCES + TABLES
SECOND = small.CHANGED_SOURCES + TABLES


@dataclass(frozen=True)
class Undisturbed:
    """A folder in three states, and what runs that nobody disturbs make of it."""

    snapshots: Snapshots
    first: tuple[End, dict[str, pl.DataFrame]]
    second: tuple[End, dict[str, pl.DataFrame]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    snapshots = Snapshots(tmp_path_factory.mktemp("kills") / "work")
    recipe = small.build(snapshots.folder)
    snapshots.keep("new")
    first = small.run(recipe)
    assert first.status == 0, first.err
    before = contents(recipe)
    small.change(recipe)
    snapshots.keep("changed")
    second = small.run(recipe)
    assert second.status == 0, second.err
    after = contents(recipe)
    assert len(first.of("commit")) == FIRST
    assert len(second.of("commit")) == SECOND
    assert after["ingestion/quarantine"].height == before["ingestion/quarantine"].height + 1
    snapshots.keep("finished")
    return Undisturbed(snapshots, (first, before), (second, after))


def assert_same(expected: Mapping[str, pl.DataFrame], found: Mapping[str, pl.DataFrame]) -> None:
    assert expected.keys() == found.keys()
    for name, frame in expected.items():
        try:
            assert_frame_equal(frame, found[name], check_exact=True)
        except AssertionError as error:
            error.add_note(name)
            raise


def assert_only_the_rest_is_done(whole: End, killed: End, resumed: End) -> None:
    """Stages that the killed run finished are adopted, all others are computed, none twice."""
    committed = set(killed.of("commit"))
    finished = {
        spec.name
        for spec in SPECS
        if spec.name in killed.of("compute") and committed.issuperset(spec.tables)
    }
    rest = [stage for stage in whole.of("compute") if stage not in finished]
    assert sorted(resumed.of("compute")) == sorted(rest)
    assert set(resumed.of("adopt")) == {spec.name for spec in SPECS} - set(rest)
    named = {table for spec in SPECS if spec.name in rest for table in spec.tables}
    tables = [name for name in resumed.of("commit") if not name.startswith("landed/")]
    assert sorted(tables) == sorted(named)


# the first release differs from later ones only in what a run stands on: every third commit will do
@pytest.mark.parametrize("kill_at", range(0, FIRST, 3))
def test_a_killed_first_run_is_finished_by_the_next(kill_at: int, undisturbed: Undisturbed) -> None:
    recipe = undisturbed.snapshots.restore("new")
    whole, expected = undisturbed.first
    killed = small.run(recipe, "--at", str(kill_at))
    assert killed.status == -signal.SIGKILL, killed.err
    assert len(killed.of("commit")) == kill_at
    assert last_release(recipe.parent / "out") is None, "a release showed before its commit"
    resumed = small.run(recipe)
    assert resumed.status == 0, resumed.err
    assert_same(expected, contents(recipe))
    assert_only_the_rest_is_done(whole, killed, resumed)


@pytest.mark.parametrize("kill_at", range(SECOND))
def test_a_killed_run_leaves_the_former_release_and_is_finished_by_the_next(
    kill_at: int, undisturbed: Undisturbed
) -> None:
    recipe = undisturbed.snapshots.restore("changed")
    former = release(recipe)
    whole, expected = undisturbed.second
    killed = small.run(recipe, "--at", str(kill_at))
    assert killed.status == -signal.SIGKILL, killed.err
    assert len(killed.of("commit")) == kill_at
    assert release(recipe) == former
    assert_same(undisturbed.first[1], contents(recipe))
    resumed = small.run(recipe)
    assert resumed.status == 0, resumed.err
    assert_same(expected, contents(recipe))
    assert_only_the_rest_is_done(whole, killed, resumed)
    now = release(recipe)
    assert now["release"] == former["release"] + 1
    rows = delta.scan(recipe.parent / "out" / "publication/releases", 1).collect()
    assert sorted(rows["release"]) == [1, 2]


def test_a_run_killed_thrice_in_a_row_is_finished(undisturbed: Undisturbed) -> None:
    recipe = undisturbed.snapshots.restore("changed")
    whole, expected = undisturbed.second
    # each gets a little further: what it adopts makes no commit
    ends = [small.run(recipe, "--at", str(number)) for number in (8, 5, 7)]
    assert [end.status for end in ends] == [-signal.SIGKILL] * 3
    assert_same(undisturbed.first[1], contents(recipe))
    resumed = small.run(recipe)
    assert resumed.status == 0, resumed.err
    assert_same(expected, contents(recipe))
    finished = {
        spec.name
        for spec in SPECS
        for end in ends
        if spec.name in end.of("compute") and set(end.of("commit")).issuperset(spec.tables)
    }
    rest = [stage for stage in whole.of("compute") if stage not in finished]
    assert finished
    assert sorted(resumed.of("compute")) == sorted(rest)


def test_orphans_of_a_killed_run_never_show(undisturbed: Undisturbed) -> None:
    recipe = undisturbed.snapshots.restore("changed")
    output = recipe.parent / "out"
    assert orphans(output) == {}
    whole, expected = undisturbed.second
    tables = whole.of("commit")
    killed = small.run(recipe, "--at", str(tables.index("deduplication/records")))
    assert killed.status == -signal.SIGKILL
    left = orphans(output)
    assert "deduplication/records" in left, "the accident left nothing that could show"
    newest = delta.open_table(output / "deduplication/records")
    assert newest is not None
    assert not {f.name for f in left["deduplication/records"]} & {
        Path(uri).name for uri in newest.file_uris()
    }
    assert_same(undisturbed.first[1], contents(recipe))
    assert small.run(recipe).status == 0
    assert_same(expected, contents(recipe))
    assert orphans(output) == left, (
        "files of a killed run wait for `sluice maintain`; no run touches them"
    )


def test_a_finished_run_asks_no_stage_again(undisturbed: Undisturbed) -> None:
    recipe = undisturbed.snapshots.restore("finished")
    before = release(recipe)
    again = small.run(recipe)
    assert (again.status, again.changed, again.events) == (0, False, [])
    assert release(recipe) == before
