"""Maintenance: what a kept release needs stays byte for byte, all else goes when it is old enough, and only that."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from resources import compaction, delta, maintain, outputs, pins, sweep
from resources.delta_types import frame_schema
from resources.errors import BusyError, RecipeError, StoreError
from resources.lease import Lease
from resources.maintain import Maintenance
from resources.recipe import Recipe
from resources.releases import RELEASES, releases
from resources.run import Run
from resources.stage_spec import Layer
from resources.staged_table import StagedTable
from resources.table_log import read_log
from tests.resources.test_run import (
    RECORDS,
    RELEASE,
    SET,
    SPECS,
    TABLES,
    publish,
    recipe_in,
    run_of,
    write,
)

LAYERS: dict[str, Layer] = {table: spec.layer for spec in SPECS for table in spec.tables}
LANDED = "ingestion/landed/a"
WEEK = 7 * 24.0


def land(run: Run, value: int) -> int:
    """Land a source of 3 rows and commit it, as ingestion does."""
    rows = pl.DataFrame({"cell": [value] * 3})
    staged = StagedTable(run.state / LANDED, frame_schema(rows))
    staged.write(rows)
    staged.close()
    return staged.commit({"run": run.run_id, "registered": {}})


def ingest(run: Run, value: int) -> None:
    stage = run.stage(TABLES)
    row = {"v": [value], "data_uri": [LANDED], "data_version": [land(run, value)]}
    stage.put("ingestion/tables", pl.DataFrame(row))
    stage.put("ingestion/columns", pl.DataFrame({"v": [value]}))
    stage.commit()


def whole_run(recipe: Recipe, name: str, value: int) -> None:
    with run_of(recipe, name) as run:
        ingest(run, value)
        write(run, RECORDS, value)
        write(run, SET, value)
        publish(run)


def do(recipe: Recipe, *, hours: float = WEEK, **more: Any) -> Maintenance:
    roots = Path(recipe.output), Path(recipe.state_root)
    return maintain.maintain(*roots, LAYERS, retention_hours=hours, **more)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return recipe_in(tmp_path)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let maintenance look at the store some days from now."""

    def set_clock(days: float) -> None:
        clock = SimpleNamespace(time=lambda: time.time() + days * 86_400)
        monkeypatch.setattr(maintain, "time", clock)

    return set_clock


def content(recipe: Recipe, numbers: list[int] | None = None) -> dict[tuple[int, str], str]:
    """Hash every table of the releases, landed ones that they refer to included."""
    output, state = Path(recipe.output), Path(recipe.state_root)
    found = {}
    for row in releases(output):
        if numbers is not None and row["release"] not in numbers:
            continue
        for table, version in row["versions"].items():
            uri = (state if LAYERS[table] == "lake" else output) / table
            frame = delta.scan(uri, version).collect()
            found[row["release"], table] = _hash(frame)
            if table == "ingestion/tables":
                for place, number in frame.select("data_uri", "data_version").iter_rows():
                    found[row["release"], place] = _hash(
                        delta.scan(state / place, number).collect()
                    )
    return found


def _hash(frame: pl.DataFrame) -> str:
    return hashlib.sha256(frame.write_json().encode()).hexdigest()


def files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def counts(done: Maintenance) -> dict[str, int]:
    return {kind: tally.files for kind, tally in done.removed.items() if tally.files}


def orphan(uri: Path) -> Path:
    """Stage a file and let nobody come back for it."""
    staged = StagedTable(uri, frame_schema(pl.DataFrame({"v": [0]})))
    staged.write(pl.DataFrame({"v": [0]}))
    staged.close()
    return staged.files[0]


# -- what goes and what stays ----------------------------------------------------------------------


def test_orphans_go_when_they_are_old_and_nothing_else_does(
    recipe: Recipe, tmp_path: Path, later: Callable[[float], None]
) -> None:
    whole_run(recipe, "first", 1)
    whole_run(recipe, "second", 2)
    before, said = files(tmp_path), content(recipe)
    places = [tmp_path / "out/publication/training_set", tmp_path / "state" / LANDED]
    places += [tmp_path / "state/ingestion/tables", tmp_path / "out/deduplication/new"]
    lost = [orphan(place) for place in places]
    size = sum(file.stat().st_size for file in lost[:3])
    done = do(recipe)
    assert counts(done) == {}
    assert all(file.exists() for file in lost), "a young orphan may still be committed"
    later(8)
    done = do(recipe)
    assert [file.exists() for file in lost] == [False, False, False, True], "not a table of ours"
    assert done.removed["orphan files"] == sweep.Tally(3, size)
    assert content(recipe) == said
    # all else that may go are the records of runs that ended long ago
    left = {name: data for name, data in files(tmp_path).items() if "deduplication/new" not in name}
    gone = {name for name in before if name not in left}
    assert {name.split("/")[2] for name in gone} == {"runs"}
    assert all(left[name] == before[name] for name in left)


def test_a_first_run_that_was_killed_leaves_nothing_that_stays(
    recipe: Recipe, tmp_path: Path, later: Callable[[float], None]
) -> None:
    with run_of(recipe, "killed") as run:
        land(run, 1)
        lost = [orphan(run.uri("ingestion/tables")), orphan(run.state / "ingestion/landed/b")]
    later(8)
    done = do(recipe)
    assert not any(file.exists() for file in lost)
    assert counts(done)["superseded files"] == 1, "a landed table that nothing refers to"
    whole_run(recipe, "second", 1)
    assert len(content(recipe)) == 6


def test_what_the_next_run_would_adopt_stays(
    recipe: Recipe, later: Callable[[float], None]
) -> None:
    whole_run(recipe, "first", 1)
    with run_of(recipe, "killed", accept_shrink=True) as run:
        ingest(run, 2)
        write(run, RECORDS, 2)
    later(30)
    do(recipe)
    with run_of(recipe, "second") as run:
        assert run.stage(TABLES).adopt() is not None
        assert run.stage(RECORDS).adopt() is not None
        assert run.read("deduplication/records")["v"].to_list() == [2]


@pytest.fixture
def five(recipe: Recipe) -> Recipe:
    """Five releases, and unreleased versions between them."""
    for value in range(5):
        whole_run(recipe, f"run {value}", value)
        with run_of(recipe, f"killed {value}") as run:
            ingest(run, 100 + value)
            write(run, RECORDS, 100 + value)
    whole_run(recipe, "run 5", 5)
    return recipe


def test_every_release_is_kept_unless_said_otherwise(
    five: Recipe, later: Callable[[float], None]
) -> None:
    said = content(five)
    later(400)
    done = do(five)
    # five killed runs: four tables and a landed one each
    assert counts(done)["superseded files"] == 25
    assert done.kept == [0, 1, 2, 3, 4, 5]
    assert content(five) == said
    assert counts(do(five)) == {}


def test_only_the_last_releases_stay_where_that_is_said(
    five: Recipe, later: Callable[[float], None]
) -> None:
    said = content(five)
    later(400)
    done = do(five, keep_releases=2)
    assert (done.kept, done.dropped) == ([4, 5], [0, 1, 2, 3])
    assert content(five, [4, 5]) == {key: told for key, told in said.items() if key[0] >= 4}
    for number in range(4):
        versions = releases(Path(five.output))[number]["versions"]
        for table in ("ingestion/tables", "publication/training_set"):
            uri = Path(five.state_root if LAYERS[table] == "lake" else five.output) / table
            assert not delta.is_whole(uri, versions[table])
    assert len(releases(Path(five.output))) == 6, "the rows of releases stay"
    # what was let go of is remembered
    assert (done := do(five)).kept == [4, 5]
    assert counts(done) == {}


def test_what_was_let_go_of_lately_may_still_be_read(
    recipe: Recipe, later: Callable[[float], None]
) -> None:
    for value in range(3):
        whole_run(recipe, f"run {value}", value)
    said = content(recipe)
    later(6.9)
    do(recipe, keep_releases=1)
    assert content(recipe) == said


@pytest.mark.parametrize("keep", [None, 1, 3])
def test_the_library_would_remove_the_same_data_files(
    five: Recipe, later: Callable[[float], None], keep: int | None
) -> None:
    uri = Path(five.output) / "publication" / "training_set"
    orphan(uri)
    kept = [row["versions"]["publication/training_set"] for row in releases(Path(five.output))]
    kept = kept if keep is None else kept[-keep:]
    expected = set(
        DeltaTable(str(uri)).vacuum(
            0, dry_run=True, enforce_retention_duration=False, full=True, keep_versions=kept
        )
    )
    before = {file.name for file in uri.glob("*.parquet")}
    later(400)
    do(five, keep_releases=keep)
    gone = before - {file.name for file in uri.glob("*.parquet")}
    assert gone == {Path(name).name for name in expected}
    assert gone


# -- these tests would catch a wrong one -----------------------------------------------------------


def _plain_vacuum(self: sweep.Sweep, uri: Path, *_: Any) -> frozenset[str]:
    table = delta.open_table(uri)
    if table is not None:
        table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    return frozenset(file.name for file in uri.glob("*.parquet"))


def _own_releases_only(output: Path, state: Path) -> list[Path]:
    return []


def _nothing_landed(*_: Any) -> pins.Pins:
    return {}


def _the_newest_only(_: Any, layers: Any, layer: str, root: Path) -> pins.Pins:
    return {root / table: set() for table, kind in layers.items() if kind == layer}


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (sweep.Sweep, "table", _plain_vacuum),
        (pins, "_other_outputs", _own_releases_only),
        (maintain, "landed_pins", _nothing_landed),
        (maintain, "release_pins", _the_newest_only),
    ],
    ids=["plain vacuum", "forgets the others", "forgets landed tables", "keeps the newest only"],
)
def test_wrong_sweeps_are_caught(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    later: Callable[[float], None],
    owner: Any,
    name: str,
    wrong: Any,
) -> None:
    recipe, other = recipe_in(tmp_path), recipe_in(tmp_path, output="other")
    whole_run(other, "other", 0)
    for value in (1, 2):
        whole_run(recipe, f"run {value}", value)
    said, others = content(recipe), content(other)
    later(30)

    def still_the_same() -> bool:
        try:
            return content(recipe) == said and content(other) == others
        except (OSError, StoreError, pl.exceptions.PolarsError):
            return False

    do(recipe)
    assert still_the_same()
    monkeypatch.setattr(owner, name, wrong)
    do(recipe)
    assert not still_the_same()


def test_a_version_that_was_swept_is_not_adopted(
    recipe: Recipe, later: Callable[[float], None]
) -> None:
    other = recipe_in(Path(recipe.output).parent, deduplication={"similarity": 0.5})
    for value, which in enumerate([recipe, other, recipe, other]):
        with run_of(which, f"run {value}") as run:
            if value == 0:
                ingest(run, 0)
            if run.stage(RECORDS).adopt() is None:
                write(run, RECORDS, value)
            write(run, SET, value)
            publish(run)
    with run_of(recipe, "reader") as run:
        assert run.stage(RECORDS).adopt() is not None
    later(30)
    do(recipe, keep_releases=1)
    with run_of(recipe, "after") as run:
        assert run.stage(TABLES).adopt() is not None
        assert run.stage(RECORDS).adopt() is None, "the log names it, but its rows are gone"
        write(run, RECORDS, 9)
        assert run.read("deduplication/records")["v"].to_list() == [9]


# -- recipes that share a lake layer ---------------------------------------------------------------


def test_caches_are_pruned_by_what_the_kept_releases_of_every_recipe_hold(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    one, two = recipe_in(tmp_path, output="one"), recipe_in(tmp_path, output="two")
    for value, which in enumerate([one, two, one, one]):
        whole_run(which, f"run {value}", value)
    later(30)
    held: list[set[int]] = []

    def prune(state: Path, needed: pins.Pins, _sweep: sweep.Sweep) -> None:
        assert state == tmp_path / "state"
        rows = [
            delta.scan(uri, version).collect()
            for uri, versions in needed.items()
            for version in versions
            if uri.name == "records"
        ]
        held.append({value for frame in rows for value in frame["v"].to_list()})

    do(one, prune=prune)
    do(one, keep_releases=1, prune=prune)
    do(two, prune=prune)
    # what the other lets go of is free for good
    assert held == [{0, 1, 2, 3}, {1, 3}, {1, 3}]
    shutil.rmtree(tmp_path / "two")
    done = do(one, prune=prune)
    assert len(held) == 3, "nobody knows what the other needs"
    assert "the caches" in [item["place"] for item in done.left_alone]


def test_the_releases_of_every_recipe_hold_the_lake_layer(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    one, two = recipe_in(tmp_path, output="one"), recipe_in(tmp_path, output="two")
    whole_run(one, "a", 1)
    whole_run(two, "b", 2)
    whole_run(one, "c", 3)
    said = content(two)
    later(30)
    do(one, keep_releases=1)
    assert content(two) == said
    assert content(one, [1])
    # what the other lets go of is free then
    whole_run(two, "d", 4)
    do(two, keep_releases=1)
    assert not delta.is_whole(tmp_path / "state/ingestion/tables", 1)
    assert content(one, [1])
    assert content(two, [1])


def test_roots_that_moved_together_still_know_each_other(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    (tmp_path / "old").mkdir()
    whole_run(recipe_in(tmp_path / "old", output="two"), "b", 2)
    whole_run(recipe_in(tmp_path / "old", output="one"), "a", 1)
    (tmp_path / "old").rename(tmp_path / "new")
    one = recipe_in(tmp_path / "new", output="one")
    two = recipe_in(tmp_path / "new", output="two")
    whole_run(one, "c", 3)
    said = content(two)
    later(30)
    done = do(one, keep_releases=1)
    assert done.left_alone == []
    assert counts(done)["superseded files"] > 0
    assert content(two) == said


def _taken_away(output: Path, _: Path) -> None:
    output.rename(output.with_name("elsewhere"))


def _an_empty_mount(output: Path, _: Path) -> None:
    output.rename(output.with_name("elsewhere"))
    output.mkdir()


def _a_damaged_log(output: Path, _: Path) -> None:
    (output / RELEASES / "_delta_log" / f"{0:020d}.json").write_text("no log", encoding="utf-8")


def _rows_gone(output: Path, _: Path) -> None:
    for file in (output / RELEASES).glob("*.parquet"):
        file.unlink()


def _a_damaged_note(_: Path, state: Path) -> None:
    for file in (state / outputs.REGISTRY).glob("*.json"):
        file.write_text("{", encoding="utf-8")


@pytest.mark.parametrize(
    "accident", [_taken_away, _an_empty_mount, _a_damaged_log, _rows_gone, _a_damaged_note]
)
def test_while_an_output_cannot_be_read_nothing_of_the_lake_layer_goes(
    tmp_path: Path, later: Callable[[float], None], accident: Callable[[Path, Path], None]
) -> None:
    one, two = recipe_in(tmp_path, output="one"), recipe_in(tmp_path, output="two")
    whole_run(two, "b", 2)
    whole_run(one, "a", 1)
    whole_run(one, "c", 3)
    lost = orphan(tmp_path / "state/ingestion/tables")
    accident(tmp_path / "two", tmp_path / "state")
    data = {name for name in files(tmp_path / "state") if name.endswith(".parquet")}
    later(30)
    done = do(one, keep_releases=1)
    assert [item["place"] for item in done.left_alone] == ["the lake layer"]
    assert done.left_alone[0]["reason"]
    assert data == {name for name in files(tmp_path / "state") if name.endswith(".parquet")}
    assert lost.exists()
    assert counts(done)["superseded files"] == 3, "its own layer is swept all the same"


# -- notes -----------------------------------------------------------------------------------------


def test_stale_notes_go_and_young_ones_stay(
    recipe: Recipe, tmp_path: Path, later: Callable[[float], None]
) -> None:
    whole_run(recipe, "first", 1)
    stale = [
        tmp_path / "state/_sluice/cache/footers.aa.new",
        tmp_path / "state/_sluice/cache/proxy_runs/x.new",
        tmp_path / "out/_sluice/lease.aa.expired",
        tmp_path / "out/publication/cards/release-0001.new",
        tmp_path / "out/publication/training_set/_delta_log/00000000000000000001.json#1",
    ]
    kept = [
        tmp_path / "state/_sluice/cache/footers.json",
        tmp_path / "out/publication/cards/a.html",
    ]
    for file in [*stale, *kept]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345", encoding="utf-8")
    records = len(list(tmp_path.rglob("runs/first/*.json")))
    assert records == 6
    assert counts(do(recipe)) == {}
    later(8)
    done = do(recipe)
    assert done.removed["temporary files"] == sweep.Tally(5, 25)
    assert counts(done)["run records"] == records
    assert not any(file.exists() for file in stale)
    assert all(file.exists() for file in kept)
    assert not list(tmp_path.rglob("runs/first"))


def test_the_lease_of_a_run_that_died_is_taken_over_and_given_back(
    recipe: Recipe, tmp_path: Path
) -> None:
    whole_run(recipe, "first", 1)
    lease = tmp_path / "out/_sluice/lease.json"
    dead = {"holder": "dead", "token": "t", "host": "elsewhere", "pid": 1, "expires": 0}
    lease.write_text(json.dumps(dead), encoding="utf-8")
    assert do(recipe).stale_leases == 1
    assert not lease.exists()


@pytest.mark.parametrize("root", ["out", "state"])
def test_it_waits_for_no_run_and_touches_nothing_while_one_is_at_work(
    recipe: Recipe, tmp_path: Path, root: str, later: Callable[[float], None]
) -> None:
    whole_run(recipe, "first", 1)
    lost = orphan(tmp_path / "out/publication/training_set")
    later(30)
    with Lease(tmp_path / root, "other"), pytest.raises(BusyError, match="other"):
        do(recipe)
    assert lost.exists()
    assert not list(tmp_path.rglob("lease.json"))


def test_whoever_loses_the_lease_removes_nothing_more(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
) -> None:
    whole_run(recipe, "first", 1)
    lost = orphan(tmp_path / "out/publication/training_set")

    def steal(*_: Any) -> None:
        other = json.dumps({"holder": "other", "token": "t"})
        (tmp_path / "out/_sluice/lease.json").write_text(other, encoding="utf-8")

    monkeypatch.setattr(maintain, "sweep_notes", steal)
    later(30)
    with pytest.raises(BusyError, match="was lost"):
        do(recipe)
    assert lost.exists()
    assert [file.name for file in tmp_path.rglob("lease.json")] == ["lease.json"], "it is another's"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"hours": 23.9}, "below 24.*--force"),
        ({"keep_releases": 0}, "at least the last release"),
        ({"keep_releases": -1}, "at least the last release"),
    ],
)
def test_dangerous_settings_are_refused(recipe: Recipe, more: Any, told: str) -> None:
    whole_run(recipe, "first", 1)
    with pytest.raises(RecipeError, match=told):
        do(recipe, **more)
    do(recipe, hours=0, force=True)
    assert content(recipe)


def test_a_folder_without_runs_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.parquet").write_text("x", encoding="utf-8")
    with pytest.raises(RecipeError, match="no run has ever written here"):
        do(recipe_in(tmp_path, output="mine", state=None), hours=0, force=True)
    assert list(files(tmp_path)) == ["mine/a.parquet"]


def test_a_file_that_the_store_does_not_let_go_is_named(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
) -> None:
    whole_run(recipe, "first", 1)
    lost = orphan(tmp_path / "out/publication/training_set")
    unlink = Path.unlink

    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        if self.suffix == ".parquet":
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    later(30)
    with pytest.raises(StoreError, match=f"{lost}: can't be removed: Permission denied"):
        do(recipe)


def test_a_table_with_a_damaged_log_is_left_alone_and_told(
    five: Recipe, later: Callable[[float], None]
) -> None:
    uri = Path(five.output) / "publication" / "training_set"
    DeltaTable(str(uri)).create_checkpoint()
    (uri / "_delta_log" / f"{2:020d}.json").unlink()
    before = files(uri)
    later(400)
    done = do(five, keep_releases=1)
    assert [item["place"] for item in done.left_alone] == ["publication/training_set"]
    assert "no entry for version 2" in done.left_alone[0]["reason"]
    assert files(uri) == before
    assert counts(done)["superseded files"] > 0


# -- killed in the middle, and dry -----------------------------------------------------------------


class Killed(BaseException):
    """Ends maintenance where it stands, like a signal."""


def test_killed_anywhere_it_can_be_run_again(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    later: Callable[[float], None],
) -> None:
    later(400)

    def made() -> Recipe:
        recipe = recipe_in(tmp_path_factory.mktemp("killed"))
        for value in range(3):
            whole_run(recipe, f"run {value}", value)
        orphan(Path(recipe.output) / "publication" / "training_set")
        return recipe

    monkeypatch.setattr(compaction, "LEAST_FILES", 2)
    whole = made()
    said = content(whole, [2])
    total = sum(counts(do(whole, keep_releases=1)).values())
    assert total > 15
    assert content(whole, [2]) == said
    unlink = Path.unlink
    for stop in range(0, total, 3):
        recipe = made()
        left = stop

        def counted(self: Path, *, missing_ok: bool = False) -> None:
            nonlocal left
            if self.name.startswith("lease") or self.name.endswith(".new"):
                unlink(self, missing_ok=missing_ok)
                return
            if left == 0:
                raise Killed
            left -= 1
            unlink(self, missing_ok=missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", counted)
            with pytest.raises(Killed):
                do(recipe, keep_releases=1)
        assert content(recipe, [2]) == said
        with run_of(recipe, "between") as run:
            assert run.stage(TABLES).adopt() is not None
            assert run.read("publication/training_set")["v"].to_list() == [2]
        again = do(recipe, keep_releases=1)
        assert again.kept == [2]
        assert content(recipe, [2]) == said
        assert stop + sum(counts(again).values()) == total + 2, "and the records of the run between"


def test_a_dry_run_tells_what_would_go_and_does_nothing(
    five: Recipe, tmp_path: Path, later: Callable[[float], None]
) -> None:
    orphan(tmp_path / "out/publication/training_set")
    before = files(tmp_path)
    later(400)
    told = do(five, keep_releases=2, dry_run=True)
    assert files(tmp_path) == before
    with Lease(tmp_path / "out", "other"):
        do(five, keep_releases=2, dry_run=True)
    done = do(five, keep_releases=2)
    assert told.removed == done.removed
    assert (told.kept, told.dropped) == (done.kept, done.dropped)
    missing = set(before) - set(files(tmp_path))
    assert len(missing) == sum(counts(done).values())
    assert sum(len(before[name]) for name in missing) == sum(t.bytes for t in done.removed.values())


# -- compaction ------------------------------------------------------------------------------------


@pytest.fixture
def many(recipe: Recipe) -> Recipe:
    """Nine releases: nine files of one row each."""
    for value in range(9):
        whole_run(recipe, f"run {value}", value)
    return recipe


def release_files(recipe: Recipe) -> set[Path]:
    return set((Path(recipe.output) / RELEASES).glob("*.parquet"))


def test_many_small_files_become_one_and_the_rows_stay(
    many: Recipe, later: Callable[[float], None]
) -> None:
    before, said = releases(Path(many.output)), content(many)
    done = do(many)
    uri = Path(many.output) / RELEASES
    assert [(c["table"], c["files"], c["version"]) for c in done.compacted] == [(RELEASES, 9, 9)]
    table = delta.open_table(uri)
    assert table is not None
    assert len(delta.file_names(table)) == 1
    assert releases(Path(many.output)) == before
    assert content(many) == said
    assert len(release_files(many)) == 10, "who reads the old version may go on"
    assert do(many).compacted == []
    later(8)
    do(many)
    assert len(release_files(many)) == 10, "a stage's newest version stays until another follows"
    whole_run(many, "tenth", 9)
    assert counts(do(many))["superseded files"] == 9
    assert len(release_files(many)) == 2
    assert releases(Path(many.output))[:9] == before


def test_a_compaction_is_no_version_of_a_stage_and_hides_none(many: Recipe) -> None:
    uri = Path(many.output) / RELEASES
    with run_of(many, "before") as run:
        found = run.find(RELEASES)
        own = list(delta.commits(uri))
    do(many)
    assert list(delta.commits(uri)) == own
    assert next(delta.commits(uri, 1)) == own[0]
    with run_of(many, "after") as run:
        assert found is not None
        assert run.find(RELEASES) == found
        assert run.stage(RELEASE).adopt() is not None, "a run on the same lake would release again"
    assert len(releases(Path(many.output))) == 9


def test_an_append_follows_the_compaction_and_one_from_before_it_is_refused(many: Recipe) -> None:
    frozen = run_of(many, "frozen")
    stage = frozen.stage(RELEASE)
    row = {"release": [9], "run_id": ["frozen"], "versions": ["{}"], "rows": ["{}"]}
    stage.put(RELEASES, pl.DataFrame(row))
    do(many)
    (staged,) = stage._staged.values()
    with pytest.raises(StoreError, match="another writer committed"):
        staged.commit({"run": "frozen"}, mode="append")
    whole_run(many, "tenth", 9)
    rows = releases(Path(many.output))
    assert [row["release"] for row in rows] == list(range(10))
    assert rows[-1]["run_id"] == "tenth"


def test_a_compaction_that_changes_rows_is_not_committed(
    many: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = releases(Path(many.output))
    count = len(release_files(many))
    write_rows = StagedTable.write

    def lose(self: StagedTable, data: Any) -> None:
        write_rows(self, data.head(data.height - 1))

    monkeypatch.setattr(StagedTable, "write", lose)
    with pytest.raises(StoreError, match="don't hold the same rows"):
        do(many)
    assert releases(Path(many.output)) == before
    assert len(release_files(many)) == count


def test_rows_of_every_type_are_compacted_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [
        pl.DataFrame(
            {
                "s": [f"text {i}", None],
                "x": [float(i), float("nan")],
                "l": [[i, None], []],
                "n": [{"a": [str(i)]}, None],
                "b": [bytes([i]), b""],
            }
        )
        for i in range(10)
    ]
    for number, part in enumerate(parts):
        if number >= 5:
            part = part.with_columns(late=pl.lit(number))
        staged = StagedTable(tmp_path / "t", frame_schema(part))
        staged.write(part)
        staged.close()
        version = staged.commit({"n": number}, mode="append")
    before = delta.scan(tmp_path / "t", version).collect()
    # one file is too large to be touched
    monkeypatch.setattr(compaction, "SMALL_BYTES", 100_000)
    large = before.head(1).with_columns(s=pl.lit("".join(map(str, range(60_000)))))
    staged = StagedTable(tmp_path / "t", frame_schema(large))
    staged.write(large)
    staged.close()
    version = staged.commit({"n": 10}, mode="append")
    before = delta.scan(tmp_path / "t", version).collect()
    made = compaction.compact(tmp_path / "t", {})
    assert made is not None
    assert (made.files, made.version) == (10, version + 1)
    after = delta.scan(tmp_path / "t", version + 1).collect()
    key = ["s", "x", "late"]
    assert after.sort(key).equals(before.sort(key))
    for predicate in (pl.col("x") > 3, pl.col("x").is_nan(), pl.col("late") == 7):
        skipping = delta.scan(tmp_path / "t", version + 1).filter(predicate).collect()
        assert skipping.sort(key).equals(before.filter(predicate).sort(key))
    assert delta.scan(tmp_path / "t", version).collect().equals(before)
    live = read_log(tmp_path / "t").live
    for number in range(len(live)):
        table = delta.open_table(tmp_path / "t", number)
        assert table is not None
        assert live[number] == set(delta.file_names(table))


def test_a_long_log_gets_a_checkpoint_and_keeps_every_entry(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "CHECKPOINT_ENTRIES", 3)
    for value in range(4):
        whole_run(recipe, f"run {value}", value)
    said = content(recipe)
    assert RELEASES in do(recipe).checkpoints
    for log in Path(recipe.output).rglob("_delta_log"):
        assert (log / "_last_checkpoint").exists()
        assert len(list(log.glob("*.json"))) == 4
    assert content(recipe) == said
    assert do(recipe).checkpoints == []
