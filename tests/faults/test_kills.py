"""Kill a run before each of its commits; the next run must finish it, and nothing half-done may show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from orchestration.stages import SPECS
from resources.run import last_release
from tests.faults.small import build, contents, run, runs_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

# four landed tables, then every table of every stage
COMMITS = 4 + sum(len(spec.tables) for spec in SPECS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = build(tmp_path_factory.mktemp("undisturbed"))
    status, out, err = run(recipe)
    assert status == 0, err
    assert int(re.search(r"commits=(\d+)", out)[1]) == COMMITS  # type: ignore[index]
    return recipe


@pytest.mark.parametrize("kill_at", range(COMMITS))
def test_a_killed_run_is_finished_by_the_next(
    kill_at: int, undisturbed: Path, tmp_path: Path
) -> None:
    recipe = build(tmp_path)
    status, _, _ = run(recipe, kill_at)
    assert status == -9
    assert last_release(tmp_path / "out") is None, "a release showed before its last commit"
    status, out, err = run(recipe)
    assert status == 0, err
    done_again = int(re.search(r"commits=(\d+)", out)[1])  # type: ignore[index]
    # finished stages are adopted: at most the stage that was cut short is committed again
    largest = max(len(spec.tables) for spec in SPECS)
    assert done_again <= COMMITS - kill_at + largest
    expected, found = contents(undisturbed), contents(recipe)
    assert expected.keys() == found.keys()
    for name, frame in expected.items():
        places = [c for c in ("uri", "data_uri", "fingerprint") if c in frame.columns]
        assert_frame_equal(
            frame.drop(places), found[name].drop(places), check_row_order=False, check_exact=True
        )


def test_finished_stages_keep_the_commits_of_the_killed_run(tmp_path: Path) -> None:
    recipe = build(tmp_path)
    run(recipe, COMMITS - 1)
    status, _, err = run(recipe)
    assert status == 0, err
    assert len(set(runs_of(recipe).values())) == 1, "something finished was done again"


def test_a_release_stays_readable_while_the_next_is_cut_short(tmp_path: Path) -> None:
    recipe = build(tmp_path)
    assert run(recipe)[0] == 0
    before = contents(recipe)
    with (tmp_path / "lake" / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write(
            '{"text": "one more line of words that nobody wrote before", "language": "en"}\n'
        )
    assert run(recipe, 12)[0] == -9
    after = contents(recipe)
    for name, frame in before.items():
        assert_frame_equal(frame, after[name])
    assert run(recipe)[0] == 0
    release = last_release(tmp_path / "out")
    assert release is not None
    assert release["release"] == 2
