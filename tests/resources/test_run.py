"""Runs: pinned reads, adoption by fingerprint, audit before commit, two layers, one lease a root."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources import delta
from resources.delta_types import frame_schema
from resources.errors import BusyError, CheckError, NotReadyError, StoreError
from resources.lease import Lease
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe
from resources.releases import RELEASES, last_release
from resources.run import Run
from resources.stage_spec import Committed, StageSpec, digest
from resources.staged_table import StagedTable

TABLES = StageSpec("ingestion", ("ingestion/tables", "ingestion/columns"), (), "1", "lake")
RECORDS = StageSpec(
    "deduplication",
    ("deduplication/records", "deduplication/duplicates"),
    ("ingestion/tables",),
    "1",
    "recipe",
    sections=("deduplication",),
)
SET = StageSpec(
    "publication",
    ("publication/training_set",),
    ("deduplication/records", "deduplication/duplicates"),
    "1",
    "recipe",
)
RELEASE = StageSpec(
    "publication/releases",
    (RELEASES,),
    ("publication/training_set",),
    "1",
    "recipe",
    append=True,
)
SPECS = (TABLES, RECORDS, SET, RELEASE)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return recipe_in(tmp_path)


def recipe_in(folder: Path, **changes: Any) -> Recipe:
    raw: dict[str, Any] = {
        "lake": "lake",
        "output": "out",
        "state": "state",
        "records": [{"tables": "*", "text": "text"}],
    }
    return parse_recipe({**raw, **changes}, base=folder)


def frame(value: int) -> pl.DataFrame:
    return pl.DataFrame({"v": [value]})


def write(run: Run, spec: StageSpec, value: int, **identities: str) -> list[Committed]:
    """Compute a stage, its tables holding `value`; never adopts."""
    stage = run.stage(spec)
    for table in spec.tables:
        stage.put(table, frame(value))
    stage.identities.update({f"{spec.name}/{name}": i for name, i in identities.items()})
    return stage.commit()


def publish(run: Run, tables: tuple[str, ...] = ()) -> None:
    number = 0 if run.release is None else run.release["release"] + 1
    kept = tables or tuple(table for spec in SPECS[:-1] for table in spec.tables)
    stage = run.stage(RELEASE)
    stage.put(
        RELEASES,
        pl.DataFrame(
            {
                "release": [number],
                "run_id": [run.run_id],
                "versions": [json.dumps({t: run.committed(t).version for t in kept})],
                "rows": ["{}"],
            }
        ),
    )
    stage.commit()


def run_of(recipe: Recipe, name: str, specs: tuple[StageSpec, ...] = SPECS, **more: Any) -> Run:
    return Run(recipe, name, specs=specs, **more)


def whole_run(recipe: Recipe, name: str, value: int) -> None:
    with run_of(recipe, name) as run:
        for spec in SPECS[:-1]:
            write(run, spec, value)
        publish(run)


def value_of(run: Run, table: str) -> int:
    return int(run.read(table, ["v"]).item())


# -- which version is read -------------------------------------------------------------------------


def test_a_stage_reads_what_its_own_run_wrote(recipe: Recipe) -> None:
    whole_run(recipe, "first", 1)
    with run_of(recipe, "second") as run:
        assert value_of(run, "ingestion/tables") == 1
        write(run, TABLES, 2)
        assert value_of(run, "ingestion/tables") == 2
        assert value_of(run, "deduplication/records") == 1, "of this the release still counts"


def test_the_latest_version_of_another_run_is_never_read(recipe: Recipe) -> None:
    whole_run(recipe, "first", 1)
    with run_of(recipe, "unfinished") as other:
        for spec in SPECS[:-1]:
            write(other, spec, 9)
    with run_of(recipe, "third") as run:
        for table in ("ingestion/tables", "deduplication/records", "publication/training_set"):
            newest = delta.open_table(run.uri(table))
            assert newest is not None
            assert newest.version() == 1
            assert run.committed(table).version == 0
            assert value_of(run, table) == 1
    latest = delta.scan(run.uri("ingestion/tables"), 1).collect()["v"].item()
    assert latest == 9, "a reader of the latest version would have seen another run's rows"


def test_a_release_is_pinned_for_the_whole_run(recipe: Recipe) -> None:
    whole_run(recipe, "first", 1)
    run = run_of(recipe, "reader")  # reads without a lease
    assert value_of(run, "publication/training_set") == 1
    whole_run(recipe, "second", 2)
    assert value_of(run, "publication/training_set") == 1
    assert value_of(run_of(recipe, "later"), "publication/training_set") == 2


def test_before_the_first_release_work_with_the_same_fingerprint_is_read(recipe: Recipe) -> None:
    with run_of(recipe, "killed") as run:
        write(run, TABLES, 1)
    with run_of(recipe, "next") as run:
        assert run.release is None
        assert value_of(run, "ingestion/tables") == 1
    other_code = (replace(TABLES, code_version="2"), *SPECS[1:])
    with run_of(recipe, "newer code", other_code) as run, pytest.raises(NotReadyError):
        run.committed("ingestion/tables")


def test_what_is_not_there_is_named_with_its_remedy(recipe: Recipe) -> None:
    with run_of(recipe, "first") as run:
        with pytest.raises(
            NotReadyError,
            match=r"ingestion/tables has not been written.*--select \+ingestion/tables",
        ):
            run.stage(RECORDS)
        assert NotReadyError.exit_status == 2
    whole_run(recipe, "partial", 1)
    with run_of(recipe, "second") as run, pytest.raises(NotReadyError, match="scoring/scores"):
        run.committed("scoring/scores")


def test_the_table_before_is_that_of_the_last_release(recipe: Recipe) -> None:
    with run_of(recipe, "none") as run:
        assert run.previous("ingestion/tables") is None
    whole_run(recipe, "first", 1)
    with run_of(recipe, "second") as run:
        write(run, TABLES, 2)
        before = run.previous("ingestion/tables")
        assert before is not None
        assert before.collect()["v"].item() == 1
        assert run.previous("scoring/scores") is None


def test_a_release_whose_version_is_gone_is_told(recipe: Recipe) -> None:
    whole_run(recipe, "first", 1)
    run = run_of(recipe, "second")
    assert run.release is not None
    run.release["versions"]["ingestion/tables"] = 40
    with pytest.raises(StoreError, match="version 40 of the last release"):
        run.committed("ingestion/tables")


def test_the_last_release_is_the_one_with_the_highest_number(tmp_path: Path) -> None:
    assert last_release(tmp_path) is None
    rows = {"release": [4, 11, 7], "versions": ["{}"] * 3, "rows": ['{"published": 1}'] * 3}
    staged = StagedTable(tmp_path / RELEASES, frame_schema(pl.DataFrame(rows)))
    staged.write(pl.DataFrame(rows))
    staged.close()
    staged.commit({})
    found = last_release(tmp_path)
    assert found is not None
    assert found["release"] == 11
    assert found["rows"] == {"published": 1}


# -- adoption ---------------------------------------------------------------------------------------


def test_finished_work_is_adopted_not_redone(recipe: Recipe) -> None:
    with run_of(recipe, "killed") as run:
        (first, _) = write(run, TABLES, 1)
    with run_of(recipe, "next") as run:
        adopted = run.stage(TABLES).adopt()
        assert adopted is not None
        assert [c.table for c in adopted] == list(TABLES.tables)
        assert all(c.adopted and c.version == 0 for c in adopted)
        assert adopted[0].identity == first.identity
        assert run.committed("ingestion/tables") == adopted[0]
        table = delta.open_table(run.uri("ingestion/tables"))
        assert table is not None
        assert table.version() == 0, "adopting commits nothing"


def test_an_older_version_with_the_fingerprint_is_adopted_over_a_newer_one(recipe: Recipe) -> None:
    settings = {"deduplication": {"similarity": 0.5}}
    other = recipe_in(Path(recipe.output).parent, **settings)
    with run_of(recipe, "a") as run:
        write(run, TABLES, 1)
        write(run, RECORDS, 1)
    with run_of(other, "b") as run:
        run.stage(TABLES).adopt()
        assert run.stage(RECORDS).adopt() is None, "other settings must not be adopted"
        write(run, RECORDS, 2)
    with run_of(recipe, "c") as run:
        run.stage(TABLES).adopt()
        adopted = run.stage(RECORDS).adopt()
        assert adopted is not None
        assert adopted[0].version == 0
        assert value_of(run, "deduplication/records") == 1


def test_a_stage_with_one_table_missing_is_computed_again(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = StagedTable.commit
    with run_of(recipe, "killed") as run:

        def die_at_the_second(self: StagedTable, *args: Any, **named: Any) -> int:
            if self.uri.name == "columns":
                raise KeyboardInterrupt
            return commit(self, *args, **named)

        monkeypatch.setattr(StagedTable, "commit", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            write(run, TABLES, 1)
        monkeypatch.undo()
    with run_of(recipe, "next") as run:
        assert run.stage(TABLES).adopt() is None


def test_an_append_is_adopted_only_while_it_is_the_newest(recipe: Recipe) -> None:
    whole_run(recipe, "a", 1)
    with run_of(recipe, "again") as run:
        assert run.find(RELEASES) is not None
    whole_run(recipe_in(Path(recipe.output).parent, deduplication={"similarity": 0.5}), "b", 2)
    with run_of(recipe, "back") as run:
        for spec in SPECS[:-1]:
            assert run.stage(spec).adopt() is not None
        assert run.stage(RELEASE).adopt() is None, "going back to old rows is a release of its own"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda folder: recipe_in(folder), True),
        (lambda folder: recipe_in(folder, limits={"workers": 7}), True),
        (lambda folder: recipe_in(folder, scoring={"dimensions": 8}), True),
        (lambda folder: recipe_in(folder, deduplication={"similarity": 0.5}), False),
        (lambda folder: recipe_in(folder, seed=1), False),
    ],
    ids=["nothing", "limits", "a section it does not read", "its section", "seed"],
)
def test_a_fingerprint_covers_what_the_stage_depends_on(
    recipe: Recipe, change: Callable[[Path], Recipe], same: bool
) -> None:
    with run_of(recipe, "a") as run:
        write(run, TABLES, 1)
        before = run.fingerprint(RECORDS), run.fingerprint(TABLES)
    other = run_of(change(Path(recipe.output).parent), "b")
    assert (other.fingerprint(RECORDS) == before[0]) is same
    assert other.fingerprint(TABLES) == before[1], "the lake layer knows no seed and no section"


def test_code_sample_and_extra_are_in_the_fingerprint(recipe: Recipe) -> None:
    with run_of(recipe, "a") as run:
        write(run, TABLES, 1)
        prints = {
            run.fingerprint(RECORDS),
            run.fingerprint(replace(RECORDS, code_version="2")),
            run.fingerprint(replace(RECORDS, name="deduplication/other")),
            run.fingerprint(replace(RECORDS, extra=lambda _run: {"a": 1})),
            run.fingerprint(replace(RECORDS, extra=lambda _run: {"a": 2})),
            run_of(recipe, "b", sample=0.5).fingerprint(RECORDS),
        }
    assert len(prints) == 6
    assert run_of(recipe, "b", sample=0.5).fingerprint(TABLES) == run.fingerprint(TABLES)


def test_identities_chain(recipe: Recipe) -> None:
    """Another identity upstream changes every fingerprint downstream; the same one changes none."""

    def chain(name: str, identity: str) -> tuple[str, str]:
        with run_of(recipe, name) as run:
            write(run, TABLES, 1, tables=identity)
            records = run.stage(RECORDS)
            if records.adopt() is None:
                write(run, RECORDS, 1)
            return records.fingerprint, run.fingerprint(SET)

    one = chain("a", "content 1")
    touched = chain("b", "content 1")
    assert one == touched, "a source written anew with the same content must change nothing"
    changed = chain("c", "content 2")
    assert changed[0] != one[0]
    assert changed[1] != one[1]


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})
    assert digest({"a": 1}) == "6903fb303cd60ccb0a2b9c2592fa773b"  # pinned: it is in every log


def go_through(recipe: Recipe, value: int, listing: str = "lake 1") -> list[bool]:
    """Do every stage of a run, adopting where possible; returns which were computed."""
    tables = replace(TABLES, extra=lambda run: run.listing)
    computed = []
    with Run(recipe, specs=(tables, *SPECS[1:])) as run:
        run.listing = listing
        for spec in (tables, RECORDS, SET):
            computed.append(run.stage(spec).adopt() is None)
            if computed[-1]:
                write(run, spec, value)
        computed.append(run.stage(RELEASE).adopt() is None)
        if computed[-1]:
            publish(run)
    return computed


def test_only_what_changed_and_what_stands_on_it_is_done_again(recipe: Recipe) -> None:
    assert go_through(recipe, 1) == [True, True, True, True]
    assert go_through(recipe, 2) == [False, False, False, False]
    loose = recipe_in(Path(recipe.output).parent, deduplication={"similarity": 0.5})
    assert go_through(loose, 2) == [False, True, True, True]
    assert go_through(recipe, 3, "lake 2") == [True, True, True, True]
    # back to the first state: all is there, and still a new release says that it stands again
    assert go_through(recipe, 4) == [False, False, False, True]
    release = last_release(Path(recipe.output))
    assert release is not None
    assert release["release"] == 3
    assert set(release["versions"].values()) == {0}


# -- audit before commit ---------------------------------------------------------------------------


def state_of(run: Run) -> tuple[dict[str, int | None], set[Path]]:
    versions = {}
    for spec in SPECS:
        for table in spec.tables:
            found = delta.open_table(run.uri(table))
            versions[table] = None if found is None else found.version()
    return versions, {*run.output.rglob("*.parquet"), *run.state.rglob("*.parquet")}


@pytest.mark.parametrize("released", [True, False])
def test_a_failed_blocking_check_leaves_every_table_at_its_version(
    recipe: Recipe, released: bool
) -> None:
    if released:
        whole_run(recipe, "first", 1)
    with run_of(recipe, "second") as run:
        before = state_of(run)
        stage = run.stage(TABLES)
        for table in TABLES.tables:
            stage.put(table, frame(2))
        assert stage.staged("ingestion/tables").collect()["v"].item() == 2
        assert stage.rows("ingestion/tables") == 1
        stage.check("complete", True, tables=1)
        stage.check("conserved", False, lost=3)
        with pytest.raises(CheckError, match=r"ingestion: nothing is committed.*conserved.*3") as e:
            stage.commit()
        assert "complete" not in str(e.value)
        assert e.value.exit_status == 3
        assert state_of(run) == before
        if released:
            assert value_of(run, "ingestion/tables") == 1


def test_a_check_that_only_warns_lets_the_commit_through(recipe: Recipe) -> None:
    with run_of(recipe, "first") as run:
        stage = run.stage(TABLES)
        for table in TABLES.tables:
            stage.put(table, frame(1))
        stage.check("tidy", False, blocking=False)
        assert len(stage.commit()) == 2
        assert [c.passed for c in stage.checks] == [False]


def test_a_stage_that_failed_half_way_keeps_what_it_committed(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second table's commit fails; discarding the stage must not pull files from under the first."""
    whole_run(recipe, "first", 1)
    with run_of(recipe, "second") as run:
        stage = run.stage(TABLES)
        for table in TABLES.tables:
            stage.put(table, frame(2))
        refused = stage._staged["ingestion/columns"]

        def refuse(*_: Any, **__: Any) -> int:
            message = "no space left"
            raise StoreError(message)

        monkeypatch.setattr(refused, "commit", refuse)
        with pytest.raises(StoreError, match="no space left"):
            stage.commit()
        stage.discard()
        assert value_of(run, "ingestion/tables") == 2
        assert not any(file.exists() for file in refused.files)
    with run_of(recipe, "third") as run:
        assert value_of(run, "ingestion/tables") == 1
        assert run.stage(TABLES).adopt() is not None, "what the first run wrote is still there"


def test_a_table_that_was_not_written_or_is_not_the_stages_own_is_an_error(recipe: Recipe) -> None:
    with run_of(recipe, "first") as run:
        stage = run.stage(TABLES)
        stage.put("ingestion/tables", frame(1))
        with pytest.raises(KeyError, match="ingestion/columns"):
            stage.commit()
        with pytest.raises(KeyError, match="no table of ingestion"):
            stage.put("scoring/scores", frame(1))
        assert delta.open_table(run.uri("ingestion/tables")) is None
        stage.discard()
        assert state_of(run)[1] == set()


def test_a_commit_says_who_wrote_it_from_what(recipe: Recipe) -> None:
    with run_of(recipe, "me") as run:
        write(run, TABLES, 1)
        write(run, TABLES, 2)
        (records, _) = write(run, RECORDS, 1)
        ((version, told),) = delta.commits(run.uri("deduplication/records"))
        assert version == records.version == 0
        assert told["run"] == "me"
        assert told["asset"] == "deduplication/records"
        assert told["recipe_hash"] == recipe.hash
        assert told["reads"] == {"ingestion/tables": 1}
        assert told["identity"] == records.identity
        assert told["fingerprint"] == run.fingerprint(RECORDS)
        assert told["code_version"].endswith("+1")


# -- layers and leases -----------------------------------------------------------------------------


def test_each_layer_lies_under_its_root(recipe: Recipe, tmp_path: Path) -> None:
    whole_run(recipe, "first", 1)
    found = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("_delta_log")}
    assert found == {
        "state/ingestion/tables",
        "state/ingestion/columns",
        "out/deduplication/records",
        "out/deduplication/duplicates",
        "out/publication/training_set",
        "out/publication/releases",
    }
    assert run_of(recipe, "x").scratch.is_relative_to(tmp_path / "state")


def test_recipes_that_share_a_lake_layer_share_its_work(recipe: Recipe, tmp_path: Path) -> None:
    whole_run(recipe, "first", 1)
    other = recipe_in(tmp_path, output="other", seed=5)
    with run_of(other, "second") as run:
        assert run.release is None
        adopted = run.stage(TABLES).adopt()
        assert adopted is not None
        assert run.stage(RECORDS).adopt() is None, "the recipe layer is its own"
        write(run, RECORDS, 7)
    assert value_of(run_of(recipe, "third"), "deduplication/records") == 1


@pytest.mark.parametrize("root", ["out", "state"])
def test_a_run_takes_both_roots_or_none(recipe: Recipe, tmp_path: Path, root: str) -> None:
    with Lease(tmp_path / root, "other"):
        with pytest.raises(BusyError, match="other"), run_of(recipe, "me"):
            pass
        free = tmp_path / ("state" if root == "out" else "out")
        with Lease(free, "a third"):
            pass
    with run_of(recipe, "me") as run:
        run.assert_held()
    assert not list(tmp_path.rglob("lease.json"))


def test_a_run_that_lost_its_lease_commits_nothing(recipe: Recipe, tmp_path: Path) -> None:
    with run_of(recipe, "me") as run:
        stage = run.stage(TABLES)
        for table in TABLES.tables:
            stage.put(table, frame(1))
        lease = tmp_path / "state" / "_sluice" / "lease.json"
        lease.write_text(json.dumps({"holder": "other", "token": "t"}), encoding="utf-8")
        with pytest.raises(BusyError, match="was lost"):
            stage.commit()
        stage.discard()
        assert state_of(run)[0]["ingestion/tables"] is None
        assert state_of(run)[1] == set()


def test_steps_of_one_run_in_other_processes_stand_on_the_same_versions(recipe: Recipe) -> None:
    with run_of(recipe, "same") as first:
        write(first, TABLES, 3)
        with run_of(recipe, "same") as second:
            assert second.committed("ingestion/tables") == first.committed("ingestion/tables")
            write(second, RECORDS, 4)
        assert value_of(first, "deduplication/records") == 4
        first.assert_held()


def test_one_root_for_both_layers_is_one_lease(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path, state=None)
    whole_run(recipe, "first", 1)
    with run_of(recipe, "second") as run:
        assert run.state == run.output == tmp_path / "out"
        assert len(list(tmp_path.rglob("lease.json"))) == 1
        assert value_of(run, "ingestion/tables") == 1
        assert run.uri("ingestion/tables") == tmp_path / "out" / "ingestion" / "tables"


def test_recipes_that_share_a_lake_layer_take_turns(recipe: Recipe, tmp_path: Path) -> None:
    other = recipe_in(tmp_path, output="other")
    with run_of(recipe, "first"):
        with pytest.raises(BusyError, match="first"), run_of(other, "second"):
            pass
        assert not (tmp_path / "other" / "_sluice" / "lease.json").exists(), "all or none"
    with run_of(other, "second") as run:
        run.assert_held()


def test_the_leases_are_given_back_when_a_stage_fails(recipe: Recipe, tmp_path: Path) -> None:
    def fail() -> None:
        with run_of(recipe, "first") as run:
            stage = run.stage(TABLES)
            stage.check("never", False)
            stage.commit()

    with pytest.raises(CheckError):
        fail()
    assert not list(tmp_path.rglob("lease.json"))


# -- audits, once more -----------------------------------------------------------------------------


def test_a_failed_audit_of_the_release_adds_no_release(recipe: Recipe) -> None:
    whole_run(recipe, "first", 1)
    other = recipe_in(Path(recipe.output).parent, deduplication={"similarity": 0.5})
    with run_of(other, "second") as run:
        for spec in SPECS[:-1]:
            write(run, spec, 2)
        stage = run.stage(RELEASE)
        stage.put(RELEASES, pl.DataFrame({"release": [1], "run_id": ["second"]}))
        stage.check("whole", False, missing=1)
        with pytest.raises(CheckError, match="publication/releases: nothing is committed"):
            stage.commit()
    release = last_release(Path(recipe.output))
    assert release is not None
    assert (release["release"], release["run_id"]) == (0, "first")
    assert value_of(run_of(recipe, "reader"), "publication/training_set") == 1


def test_a_failed_audit_downstream_leaves_finished_stages_to_the_next_run(recipe: Recipe) -> None:
    with run_of(recipe, "first") as run:
        write(run, TABLES, 1)
        stage = run.stage(RECORDS)
        for table in RECORDS.tables:
            stage.put(table, frame(1))
        stage.check("conserved", False)
        with pytest.raises(CheckError):
            stage.commit()
        with pytest.raises(NotReadyError):
            run.committed("deduplication/records")
    with run_of(recipe, "second") as run:
        assert run.stage(TABLES).adopt() is not None
        assert run.stage(RECORDS).adopt() is None


def test_every_failed_check_is_told_and_the_staged_rows_are_not(recipe: Recipe) -> None:
    with run_of(recipe, "first") as run:
        stage = run.stage(TABLES)
        for table in TABLES.tables:
            stage.put(table, pl.DataFrame({"v": ["a secret text"]}))
        stage.check("one", False, rows=3)
        stage.check("two", False, ids=["x"])
        stage.check("three", False, blocking=False)
        with pytest.raises(CheckError) as caught:
            stage.commit()
    assert str(caught.value).endswith("a check failed: one: {'rows': 3}; two: {'ids': ['x']}")


# -- any history of runs ---------------------------------------------------------------------------


class Killed(BaseException):
    """Ends a run where it stands, like a signal: no stage cleans up after it."""


def computed(run: Run, spec: StageSpec) -> str:
    """What the stage must hold: a function of the rows it read and of its part of the recipe."""
    read = [run.read(table, ["v"]).item() for table in spec.reads]
    own = run.listing if spec is TABLES or spec.name == "ingestion" else None
    return digest([spec.name, read, own, run.recipe.section(*spec.sections)])


def one_run(recipe: Recipe, listing: str, name: str) -> None:
    tables = replace(TABLES, extra=lambda run: run.listing)
    with Run(recipe, name, specs=(tables, *SPECS[1:])) as run:
        run.listing = listing
        for spec in (tables, RECORDS, SET):
            stage = run.stage(spec)
            if stage.adopt() is None:
                value = computed(run, spec)
                for table in spec.tables:
                    stage.put(table, pl.DataFrame({"v": [value]}))
                stage.commit()
        if run.stage(RELEASE).adopt() is None:
            publish(run)


def released(recipe: Recipe) -> dict[str, Any] | None:
    release = last_release(Path(recipe.output))
    if release is None:
        return None
    run = run_of(recipe, "reader")
    return {table: run.read(table, ["v"]).item() for table in release["versions"]}


History = list[
    tuple[float, str, int | None]
]  # similarity, the lake's listing, commits before the kill


def holds(history: History, folders: Callable[[str], Path], *patches: tuple[str, Any]) -> bool:
    """Tell whether every run that ended left the release of a first run, and a killed one left the former."""
    commit = StagedTable.commit
    folder = folders("history")
    expected: dict[tuple[float, str], Any] = {}
    last = None
    for number, (similarity, listing, kill_after) in enumerate(history):
        changes = {"deduplication": {"similarity": similarity}}
        if (similarity, listing) not in expected:
            fresh = recipe_in(folders("fresh"), **changes)
            one_run(fresh, listing, "only")
            expected[similarity, listing] = released(fresh)
        recipe = recipe_in(folder, **changes)
        left = [kill_after]

        def counted(
            self: StagedTable, *args: Any, left: list[int | None] = left, **named: Any
        ) -> int:
            if left[0] == 0:
                raise Killed
            left[0] = None if left[0] is None else left[0] - 1
            return commit(self, *args, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StagedTable, "commit", counted)
            for name, wrong in patches:
                patch.setattr(Run, name, wrong)
            try:
                one_run(recipe, listing, f"run {number}")
                last = expected[similarity, listing]
            except Killed:
                pass
        if released(recipe) != last:
            return False
    return True


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.5, 0.8]),
            st.sampled_from(["lake 1", "lake 2"]),
            st.none() | st.integers(0, 5),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=12)
def test_after_any_history_a_release_is_what_a_first_run_would_have_made(
    tmp_path_factory: pytest.TempPathFactory, history: History
) -> None:
    """Runs with changing settings and lakes, killed after any number of commits or not at all."""
    assert holds(history, tmp_path_factory.mktemp)


def _the_latest(self: Run, table: str) -> Committed:
    for version, told in delta.commits(self.uri(table)):
        return Committed(table, version, told["identity"], adopted=True)
    raise NotReadyError(table)


def _without_what_it_reads(self: Run, spec: StageSpec) -> str:
    extra = spec.extra(self) if spec.extra is not None else None
    return digest([spec.name, self.recipe.section(*spec.sections), extra])


def _without_its_settings(self: Run, spec: StageSpec) -> str:
    extra = spec.extra(self) if spec.extra is not None else None
    return digest([spec.name, {t: self.committed(t).identity for t in spec.reads}, extra])


def _append_of_any_age(self: Run, table: str, fingerprint: str) -> Committed | None:
    for version, told in delta.commits(self.uri(table)):
        if told.get("fingerprint") == fingerprint:
            return Committed(table, version, told["identity"], adopted=True)
    return None


THERE_AND_BACK: History = [
    (0.5, "lake 1", None),
    (0.8, "lake 1", 1),
    (0.8, "lake 2", None),
    (0.5, "lake 1", None),
]


def test_there_and_back_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert holds(THERE_AND_BACK, tmp_path_factory.mktemp)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("committed", _the_latest),
        ("fingerprint", _without_what_it_reads),
        ("fingerprint", _without_its_settings),
        ("find_version", _append_of_any_age),
    ],
    ids=["reads the latest", "no upstream", "no settings", "adopts an old release"],
)
def test_wrong_runs_are_caught(
    tmp_path_factory: pytest.TempPathFactory, name: str, wrong: Any
) -> None:
    assert not holds(THERE_AND_BACK, tmp_path_factory.mktemp, (name, wrong))
