"""Runs: what a stage reads, what it adopts, and what a failed audit leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from resources import delta
from resources.errors import CheckError, NotReadyError
from resources.recipe import parse_recipe
from resources.run import RELEASES, Run, StageSpec, last_release

A = StageSpec("a", ("a/one", "a/two"), (), "1", "lake", extra=lambda run: run.listing)
B = StageSpec("b", ("b/three",), ("a/one",), "1", "recipe", ("holdout",))
R = StageSpec("r", (RELEASES,), ("a/one", "a/two", "b/three"), "1", "recipe", append=True)
SPECS = (A, B, R)


def opened(folder: Path, listing: object = "lake 1", specs: Any = SPECS, **changes: Any) -> Run:
    recipe = parse_recipe(
        {
            "lake": "lake",
            "output": "out",
            "state": "state",
            "records": [{"tables": "*", "text": "t"}],
            **changes,
        },
        base=folder,
    )
    run = Run(recipe, specs=specs)
    run.listing = listing
    return run


def do(run: Run, spec: StageSpec, value: int = 0, *, passed: bool = True) -> bool:
    """Do one stage; returns whether it was computed rather than adopted."""
    stage = run.stage(spec)
    if stage.adopt() is not None:
        return False
    for table in spec.tables:
        if table == RELEASES:
            import json

            versions = {name: run.committed(name).version for name in spec.reads}
            number = run.release["release"] + 1 if run.release else 1
            row = {"release": number, "versions": json.dumps(versions), "rows": "{}"}
            stage.put(table, pl.DataFrame([row]))
        else:
            stage.put(table, pl.DataFrame({"v": [value]}))
    stage.check("fine", passed)
    stage.commit()
    return True


def everything(folder: Path, value: int, **changes: Any) -> list[bool]:
    with opened(folder, **changes) as run:
        return [do(run, spec, value) for spec in SPECS]


def test_a_run_on_the_same_inputs_adopts_all_and_commits_nothing(tmp_path: Path) -> None:
    assert everything(tmp_path, 1) == [True, True, True]
    assert everything(tmp_path, 2) == [False, False, False]
    assert last_release(tmp_path / "out")["release"] == 1  # type: ignore[index]


def test_layers_lie_under_their_own_roots(tmp_path: Path) -> None:
    everything(tmp_path, 1)
    assert (tmp_path / "state" / "a" / "one" / "_delta_log").is_dir()
    assert (tmp_path / "out" / "b" / "three" / "_delta_log").is_dir()
    assert not (tmp_path / "out" / "a").exists()


def test_what_changed_is_done_again_and_what_stands_on_it(tmp_path: Path) -> None:
    everything(tmp_path, 1)
    assert everything(tmp_path, 2, holdout={"share": 0.5}) == [False, True, True]
    assert everything(tmp_path, 3, listing="lake 2") == [True, True, True]
    # back to the first state: all is there, and still a new release says that it stands again
    assert everything(tmp_path, 4) == [False, False, True]
    release = last_release(tmp_path / "out")
    assert release is not None
    assert release["release"] == 4
    assert release["versions"] == {"a/one": 0, "a/two": 0, "b/three": 0}


def test_code_that_changed_is_done_again(tmp_path: Path) -> None:
    everything(tmp_path, 1)
    newer = StageSpec("b", ("b/three",), ("a/one",), "2", "recipe", ("holdout",))
    with opened(tmp_path, specs=(A, newer, R)) as run:
        assert do(run, newer)


def test_a_stage_never_reads_just_the_newest(tmp_path: Path) -> None:
    everything(tmp_path, 1)
    with opened(tmp_path, listing="lake 2") as run:
        do(run, A, 2)  # a run that goes no further
    with opened(tmp_path) as run:
        assert run.read("a/one")["v"].to_list() == [1], "the release's version, not the newest"
    with opened(tmp_path, listing="lake 2") as run:
        assert not do(run, A), "and the other run's work is adopted by a run on the same lake"
        assert run.read("a/one")["v"].to_list() == [2], "its own version before the release's"


def test_before_the_first_release_only_what_this_run_would_write_is_read(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        do(run, A, 1)
    with opened(tmp_path) as run:
        assert do(run, B), "a stage of its own can follow"
    with (
        opened(tmp_path, listing="lake 2") as run,
        pytest.raises(NotReadyError, match=r"--select \+a/one"),
    ):
        run.stage(B)


def test_a_failed_check_leaves_every_table_as_it_was(tmp_path: Path) -> None:
    everything(tmp_path, 1)
    files = sorted(tmp_path.rglob("*.parquet"))
    with opened(tmp_path, listing="lake 2") as run, pytest.raises(CheckError, match="fine"):
        do(run, A, 2, passed=False)
    for table in A.tables:
        assert delta.open_table(tmp_path / "state" / table).version() == 0  # type: ignore[union-attr]
    assert sorted(tmp_path.rglob("*.parquet")) == files


def test_an_identity_of_content_stops_a_change_from_spreading(tmp_path: Path) -> None:
    def same(run: Run) -> None:
        stage = run.stage(A)
        if stage.adopt() is None:
            for table in A.tables:
                stage.put(table, pl.DataFrame({"v": [1]}))
            stage.identities = dict.fromkeys(A.tables, "the same content")
            stage.commit()

    with opened(tmp_path) as run:
        same(run)
        assert do(run, B)
    with opened(tmp_path, listing="touched") as run:
        same(run)
        assert not do(run, B)


def test_every_commit_says_where_it_comes_from(tmp_path: Path) -> None:
    everything(tmp_path, 1)
    ((_, told),) = list(delta.commits(tmp_path / "out" / "b" / "three"))
    assert told["asset"] == "b/three"
    assert told["reads"] == {"a/one": 0}
    assert told["recipe_hash"] == opened(tmp_path).recipe.hash
    assert {"run", "code_version", "fingerprint", "identity"} <= told.keys()
