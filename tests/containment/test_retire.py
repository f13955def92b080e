"""A retired table comes back; what is not proven, damaged or needed by another is refused, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from assets.containment import prove_rebuild as proving
from assets.containment import rebuild as rebuilding
from assets.containment import retire as retiring
from assets.containment.prove_rebuild import Bounds
from assets.containment.rebuild import read_all
from assets.containment.rebuild_difference import delta_difference
from assets.containment.retired_checks import damaged, known_records, moved
from assets.deduplication.files import FileColumnError, file_source
from assets.ingestion.discover import discover
from assets.ingestion.source_changes import fingerprint
from orchestration.cli import main
from resources import held as holding
from resources.errors import EXIT_BAD_RECIPE, CheckError, RecipeError
from resources.held import faults
from resources.retired import held_leftovers, held_versions, read_tombstone, records, tombstone_of
from tests.containment.retire_lake import Lake, build, files_of, open_lake


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retire") / "built"
    build(folder)
    open_lake(folder / "lake", folder / "state")
    return folder


@pytest.fixture
def lake(built: Path, tmp_path: Path) -> Lake:
    """A lake of its own for each test, landed already."""
    shutil.copytree(built, tmp_path / "own")
    return open_lake(tmp_path / "own/lake", tmp_path / "own/state")


def sources(lake: Lake) -> set[str]:
    return {source.table for source in discover(lake.root).sources}


@pytest.mark.parametrize(
    ("child", "parent", "rows_are"),
    [
        ("sets/swahili.csv", "whole.csv", "language = 'sw'"),
        ("sets/english.csv.gz", "whole.csv", "language = 'en'"),
        ("sets/narrow.csv", "whole.csv", "id >= 50 and id <= 249"),
        ("sets/tabs.tsv", "whole.csv", "id <= 399"),
        ("sets/shuffled.csv", "whole.csv", "id >= 100 and id <= 299, in an order of its own"),
        ("sets/lines.jsonl", "lines.jsonl", "id >= 10100 and id <= 10299"),
        ("sets/stored.parquet", "stored.parquet", "id >= 20500 and id <= 22499"),
        ("parts", "stored.parquet", "1,600 rows by a bitmap of positions"),
    ],
)
def test_files_come_back_as_they_were(child: str, parent: str, rows_are: str, lake: Lake) -> None:
    place = lake.root / child
    before, was = files_of(place), {s.table: fingerprint(s) for s in discover(lake.root).sources}
    told = lake.retire(child, parent)
    stone = read_tombstone(tombstone_of(place)).told
    assert stone["rows_are"] == rows_are
    assert files_of(place) == before, "nothing is deleted before the second call"
    found = discover(lake.root)
    assert child not in {source.table for source in found.sources}
    assert [(r.table, r.parents, r.rows) for r in found.retired] == [
        (child, (parent,), told["rows"])
    ]
    lake.delete(child)
    assert not place.exists()
    assert [r.table for r in discover(lake.root).retired] == [child]
    done = lake.restore(child)
    promise = told["source"]["promise"]
    assert (done["how"], done["identical"]) == ("rebuilt", promise)
    if promise == "bytes":
        assert files_of(place) == before
        assert {s.table: fingerprint(s) for s in discover(lake.root).sources} == was
    else:
        assert promise == "rows"
        for name, content in before.items():
            assert (
                pl.read_parquet(place / name).equals(pl.read_parquet(content)) if content else True
            )
    assert not tombstone_of(place).exists()
    assert records(lake.state) == []
    assert held_leftovers(lake.state) == []
    assert not list((lake.state / "held/parents").iterdir()) if place.suffix == ".parquet" else True


def test_a_delta_table_comes_back_as_its_newest_version(lake: Lake) -> None:
    child = "sets/versioned"
    before = read_all(lake.sources[child])
    kept = lake.root.parent / "kept"
    shutil.copytree(lake.root / child, kept / child)
    lake.retire(child, "versioned")
    lake.delete(child)
    assert not (lake.root / child).exists()
    assert lake.restore(child)["identical"] == "rows"
    new = next(s for s in discover(lake.root).sources if s.table == child)
    old = next(s for s in discover(kept).sources if s.table == child)
    assert delta_difference(old, new, (before, read_all(new))) is None
    assert (new.version, new.partition_columns) == (0, ("language",))


def test_a_delta_table_that_lost_a_file_while_it_was_deleted_is_rebuilt_and_not_moved_back(
    lake: Lake,
) -> None:
    # a removal goes file by file, and the log may go last
    child = "sets/versioned"
    before = read_all(lake.sources[child])
    lake.retire(child, "versioned")
    away = rebuilding.beside(lake.root / child, rebuilding.DELETING)
    (lake.root / child).rename(away)
    next(p for p in sorted(away.rglob("*.parquet")) if "_delta_log" not in p.parts).unlink()
    assert lake.restore(child)["how"] == "rebuilt"
    new = next(s for s in discover(lake.root).sources if s.table == child)
    key = list(before.schema.names)
    assert pl.DataFrame(read_all(new)).sort(key).equals(pl.DataFrame(before).sort(key))


def test_a_table_is_rebuilt_from_two_parents_together(lake: Lake) -> None:
    before = files_of(lake.root / "sets/both.csv")
    with pytest.raises(CheckError, match="150 of its rows are in no parent"):
        lake.retire("sets/both.csv", "first.csv")
    told = lake.retire("sets/both.csv", "first.csv", "second.csv", equality="value")
    assert told["chosen"]["kind"] == "bitmap"
    lake.delete("sets/both.csv")
    lake.restore("sets/both.csv")
    assert files_of(lake.root / "sets/both.csv") == before


def test_renamed_columns_are_named_back(lake: Lake) -> None:
    frame = pl.read_csv(lake.root / "whole.csv")[40:340].rename({"id": "number", "text": "said"})
    frame.write_csv(lake.root / "other.csv")
    renamed = open_lake(lake.root, lake.state)
    before = files_of(lake.root / "other.csv")
    renamed.retire("other.csv", "whole.csv", number="id", said="text")
    renamed.delete("other.csv")
    renamed.restore("other.csv")
    assert files_of(lake.root / "other.csv") == before


def test_cells_that_are_equal_and_written_otherwise_come_back_as_written(lake: Lake) -> None:
    text = (lake.root / "sets/tabs.tsv").read_text().replace("\t1.0\t", "\t1.00\t")
    assert "\t1.00\t" in text
    (lake.root / "sets/tabs.tsv").write_text(text)
    other = open_lake(lake.root, lake.state)
    other.retire("sets/tabs.tsv", "whole.csv", equality="value")
    other.delete("sets/tabs.tsv")
    other.restore("sets/tabs.tsv")
    assert (lake.root / "sets/tabs.tsv").read_text() == text


def test_a_zero_of_another_sign_is_not_lost(lake: Lake) -> None:
    rows = pl.DataFrame({"id": range(3000), "x": [0.0] * 3000, "t": ["word" * 9] * 3000})
    rows.write_parquet(lake.root / "plus.parquet")
    rows[:2000].with_columns(x=pl.lit(-0.0)).write_parquet(lake.root / "minus.parquet")
    other = open_lake(lake.root, lake.state)
    with pytest.raises(CheckError, match="a trial rebuild differs in column 'x' in row group 0"):
        other.retire("minus.parquet", "plus.parquet")
    assert "minus.parquet" in sources(lake)


def test_a_trial_that_gives_other_rows_is_refused(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = proving.certify

    def shifted(*told: Any) -> Any:
        proof, positions = whole(*told)
        return proof, np.where(positions == positions[7], positions[8], positions)

    monkeypatch.setattr(proving, "certify", shifted)
    with pytest.raises(CheckError, match="a trial rebuild differs"):
        lake.retire("sets/stored.parquet", "stored.parquet")
    assert records(lake.state) == []
    assert held_leftovers(lake.state) == []


def test_a_dry_run_leaves_nothing(lake: Lake) -> None:
    before = {p: p.stat().st_mtime_ns for p in lake.root.rglob("*")}
    told = lake.retire("sets/stored.parquet", "stored.parquet", dry_run=True)
    assert told["saving"] > 0
    assert {p: p.stat().st_mtime_ns for p in lake.root.rglob("*")} == before
    assert not [p for p in (lake.state / "held").rglob("*") if p.is_file()]


def test_nothing_is_retired_that_saves_nothing(lake: Lake) -> None:
    with pytest.raises(CheckError, match=r"nothing would be saved.*--hold link"):
        lake.retire("parts", "stored.parquet", hold="auto")
    assert lake.retire("parts", "stored.parquet", hold="link")["held_bytes"] == 0


def test_a_copy_that_shares_its_blocks_costs_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shared(source: Path, target: Path) -> bool:
        target.write_bytes(source.read_bytes())
        return True

    monkeypatch.setattr(holding, "clone", shared)
    told = lake.retire("parts", "stored.parquet", hold="auto")
    assert told["held_bytes"] == 0 < told["saving"]
    (record,) = records(lake.state)
    assert record.faults() == []
    lake.delete("parts")
    assert lake.restore("parts")["how"] == "rebuilt"


def test_where_blocks_are_not_shared_a_whole_copy_is_made(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"abc" * 5000)
    done = holding._take(source, target, "copy")
    assert done in ("copy", None)  # None on a store that can share
    source.write_bytes(b"changed")
    assert target.read_bytes() == b"abc" * 5000
    assert not holding.clone(tmp_path / "none", tmp_path / "c")


def test_a_parent_is_held_once(lake: Lake) -> None:
    first = lake.retire("sets/stored.parquet", "stored.parquet")
    second = lake.retire("parts", "stored.parquet")
    assert (first["held_bytes"] > 0, second["held_bytes"]) == (True, 0)
    assert len(list((lake.state / "held/parents").iterdir())) == 1
    lake.restore("sets/stored.parquet")
    assert len(list((lake.state / "held/parents").iterdir())) == 1, "the other still needs it"
    lake.restore("parts")
    assert not list((lake.state / "held/parents").iterdir())


def test_a_parent_that_is_written_over_or_vacuumed_is_held_all_the_same(lake: Lake) -> None:
    before = files_of(lake.root / "sets/stored.parquet")
    lake.retire("sets/stored.parquet", "stored.parquet")
    lake.retire("sets/versioned", "versioned")
    for child in ("sets/stored.parquet", "sets/versioned"):
        lake.delete(child)
    with (lake.root / "stored.parquet").open("r+b") as file:  # in place: a hard link would follow
        file.write(b"\0" * 2000)
    table = DeltaTable(lake.root / "versioned")
    table.delete()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    lake.restore("sets/stored.parquet")
    assert files_of(lake.root / "sets/stored.parquet") == before
    assert lake.restore("sets/versioned")["rows"] == 1500


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("sets/stored.parquet", "stored.parquet"),
        ("sets/swahili.csv", "whole.csv"),
        ("sets/versioned", "versioned"),
    ],
)
def test_a_damaged_held_file_stops_delete_and_restore(child: str, parent: str, lake: Lake) -> None:
    lake.retire(child, parent)
    (record,) = records(lake.state)
    victim = next(f for f in record.told["parents"][0]["files"] if f["place"].endswith(".parquet"))
    path = lake.state / victim["place"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # the link, not what it leads to
    path.write_bytes(content)
    with pytest.raises(CheckError, match="fails its hash"):
        lake.delete(child)
    assert (lake.root / child).exists()
    shutil.move(lake.root / child, lake.root.parent / "aside")
    with pytest.raises(CheckError, match="fails its hash"):
        lake.restore(child)
    assert tombstone_of(lake.root / child).exists()
    assert damaged(records(lake.state))[child].endswith("fails its hash")
    path.unlink()
    assert "is gone" in damaged(records(lake.state))[child]


def test_a_damaged_or_missing_record_is_told(lake: Lake) -> None:
    lake.retire("sets/swahili.csv", "whole.csv")
    lake.delete("sets/swahili.csv")
    (record,) = records(lake.state)
    recipe = record.folder / "recipe.json"
    told = recipe.read_text()
    recipe.write_text(told.replace("'sw'", "'en'").replace('"sw"', '"en"'))
    with pytest.raises(CheckError, match="is not what the tombstone names"):
        lake.restore("sets/swahili.csv")
    recipe.write_text(told)
    shutil.move(record.folder, lake.state / "elsewhere")
    with pytest.raises(CheckError, match="has no record"):
        lake.restore("sets/swahili.csv")
    assert known_records(lake.state, ["sets/swahili.csv"])[1].keys() == {"sets/swahili.csv"}


def test_a_lost_tombstone_is_told_and_its_record_never_replaced(lake: Lake) -> None:
    child = "sets/swahili.csv"
    content = (lake.root / child).read_bytes()
    lake.retire(child, "whole.csv")
    lake.delete(child)
    tombstone_of(lake.root / child).unlink()
    assert known_records(lake.state, [], ["whole.csv"])[1].keys() == {child}
    pl.read_csv(lake.root / "whole.csv")[:100].write_csv(lake.root / child)
    other = open_lake(lake.root, lake.state)
    with pytest.raises(RecipeError, match="says how another table of this name"):
        other.retire(child, "whole.csv")
    (lake.root / child).unlink()
    assert lake.restore(child)["how"] == "rebuilt"
    assert (lake.root / child).read_bytes() == content


def test_other_content_at_the_place_is_never_replaced(lake: Lake) -> None:
    place = lake.root / "sets/swahili.csv"
    lake.retire("sets/swahili.csv", "whole.csv")
    original = place.read_bytes()
    place.write_bytes(b"id\n1\n")
    with pytest.raises(CheckError, match="is not the table that was retired"):
        lake.delete("sets/swahili.csv")
    with pytest.raises(RecipeError, match="other content is at the place"):
        lake.restore("sets/swahili.csv")
    assert place.read_bytes() == b"id\n1\n"
    (retired,) = discover(lake.root).retired
    assert "Something else is at its place" in retired.reason
    place.write_bytes(original)
    assert lake.restore("sets/swahili.csv")["how"] == "still there"


def test_a_table_that_others_are_rebuilt_from_stays(lake: Lake) -> None:
    lake.retire("sets/narrow.csv", "sets/tabs.tsv")
    with pytest.raises(RecipeError, match=r"sets/narrow\.csv is rebuilt from it"):
        lake.retire("sets/tabs.tsv", "whole.csv")
    lake.retire("sets/both.csv", "first.csv", "second.csv", equality="value")
    with pytest.raises(RecipeError, match=r"sets/both\.csv is rebuilt from it"):
        lake.retire("second.csv", "second.csv")


def test_of_equal_tables_one_stays(lake: Lake) -> None:
    shutil.copyfile(lake.root / "whole.csv", lake.root / "again.csv")
    equal = open_lake(lake.root, lake.state)
    assert equal.retire("again.csv", "whole.csv")["chosen"]["kind"] == "all"
    with pytest.raises(RecipeError, match=r"again\.csv is rebuilt from it"):
        equal.retire("whole.csv", "again.csv")
    equal.delete("again.csv")
    equal.restore("again.csv")
    assert (lake.root / "again.csv").read_bytes() == (lake.root / "whole.csv").read_bytes()


def test_nothing_is_deleted_before_the_grace_period_is_over(lake: Lake) -> None:
    place = lake.root / "sets/swahili.csv"
    bounds = Bounds(1 << 30, 24.0)
    retiring.retire(lake.state, lake.way("sets/swahili.csv", "whole.csv"), bounds)
    with pytest.raises(RecipeError, match="its grace period ends at"):
        lake.delete("sets/swahili.csv")
    with pytest.raises(RecipeError, match="is not retired"):
        lake.delete("whole.csv")
    after = read_tombstone(tombstone_of(place)).told["retired_at"]
    assert place.exists()
    later = retiring.dt.datetime.fromisoformat(after).timestamp() + 25 * 3600
    told = retiring.delete(lake.state, place, clock=lambda: later, dry_run=True)
    assert (told["bytes"], place.exists()) == (place.stat().st_size, True)
    retiring.delete(lake.state, place, clock=lambda: later)
    assert not place.exists()
    assert read_tombstone(tombstone_of(place)).told["deleted_at"] is not None


def test_set_aside_rows_links_and_foreign_files_are_refused(lake: Lake) -> None:
    with (lake.root / "sets/tabs.tsv").open("a") as file:
        file.write("1\t2\t3\t4\t5\t6\t7\n")
    other = open_lake(lake.root, lake.state)
    with pytest.raises(CheckError, match="some of its records were set aside"):
        other.retire("sets/tabs.tsv", "whole.csv")
    (lake.root / "parts/_notes.bin").write_bytes(b"n" * (1 << 20) + b"n")
    with pytest.raises(CheckError, match="holds other files than the table's"):
        lake.retire("parts", "stored.parquet")
    (lake.root / "parts/_notes.bin").unlink()
    (lake.root / "parts/_notes.bin").symlink_to("part-0.parquet")
    with pytest.raises(CheckError, match="symbolic link"):
        lake.retire("parts", "stored.parquet")


def test_a_table_larger_than_the_memory_allowed_is_refused(lake: Lake) -> None:
    with pytest.raises(CheckError, match=r"raise limits\.memory"):
        retiring.retire(lake.state, lake.way("sets/tabs.tsv", "whole.csv"), Bounds(30_000, 0.0))


def test_a_table_that_changes_while_it_is_looked_at_is_not_retired(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = proving.try_rebuild

    def touched(record: Any, source: Any, key: bytes) -> None:
        whole(record, source, key)
        with source.path.open("a") as file:
            file.write("new\n")

    monkeypatch.setattr(proving, "try_rebuild", touched)
    with pytest.raises(CheckError, match="changed while it was looked at"):
        lake.retire("sets/swahili.csv", "whole.csv")
    assert not tombstone_of(lake.root / "sets/swahili.csv").exists()


def test_landed_versions_that_are_needed_are_named(lake: Lake) -> None:
    lake.retire("sets/swahili.csv", "whole.csv")
    (pinned,) = held_versions(lake.state).items()
    assert pinned[0].name.startswith("whole.csv-")
    assert pinned[1] == {lake.tables["whole.csv"].data_version}


def test_a_parent_that_has_moved_is_told(lake: Lake) -> None:
    lake.retire("sets/swahili.csv", "whole.csv")
    now = {name: table.version for name, table in lake.tables.items()}
    known = records(lake.state)
    assert moved(known, now) == {}
    assert moved(known, {**now, "whole.csv": "other"}) == {
        "sets/swahili.csv": "whole.csv has changed"
    }
    del now["whole.csv"]
    assert moved(known, now) == {"sets/swahili.csv": "whole.csv is gone"}


def test_a_file_of_a_retired_table_is_refused_by_name(lake: Lake) -> None:
    lake.retire("sets/swahili.csv", "whole.csv")
    with pytest.raises(FileColumnError, match=r"retired on .* whole\.csv.*sluice restore"):
        file_source(lake.root / "sets/swahili.csv")


@pytest.mark.parametrize("command", ["duplicates", "score"])
def test_a_deleted_file_of_a_retired_table_is_no_wrong_name(lake: Lake, command: str) -> None:
    lake.retire("sets/swahili.csv", "whole.csv")
    lake.delete("sets/swahili.csv")
    gone = str(lake.root / "sets/swahili.csv")
    told = CliRunner().invoke(main, [command, gone, "--text", "text"])
    assert told.exit_code == EXIT_BAD_RECIPE
    assert "retired on" in told.output
    assert "sluice restore" in told.output
    assert "does not exist" in CliRunner().invoke(main, [command, gone + "x"]).output


def test_a_damaged_tombstone_hides_the_table_and_a_restore_does_without_it(lake: Lake) -> None:
    lake.retire("sets/swahili.csv", "whole.csv")
    lake.delete("sets/swahili.csv")
    stone = tombstone_of(lake.root / "sets/swahili.csv")
    stone.write_text("{")
    found = discover(lake.root)
    assert (
        "its tombstone is damaged"
        in {u.table: u.reason for u in found.unreadable}["sets/swahili.csv"]
    )
    lake.restore("sets/swahili.csv")
    assert "sets/swahili.csv" in sources(lake)


def test_retiring_one_of_two_files_makes_no_folder_table_of_the_rest(tmp_path: Path) -> None:
    (tmp_path / "lake/f").mkdir(parents=True)
    rows = pl.DataFrame({"id": range(4000), "t": [f"row {i * i}" for i in range(4000)]})
    rows.write_parquet(tmp_path / "lake/f/a.parquet")
    rows[:3000].select("id").write_parquet(tmp_path / "lake/f/b.parquet")
    lake = open_lake(tmp_path / "lake", tmp_path / "state")
    assert sources(lake) == {"f/a.parquet", "f/b.parquet"}
    lake.retire("f/b.parquet", "f/a.parquet", hold="link")
    lake.delete("f/b.parquet")
    assert sources(lake) == {"f/a.parquet"}


def test_hold_again_mends_a_damaged_copy(lake: Lake) -> None:
    lake.retire("sets/stored.parquet", "stored.parquet")
    (record,) = records(lake.state)
    files = record.told["parents"][0]["files"]
    (lake.state / files[0]["place"]).write_bytes(b"")
    assert faults(lake.state, files)
    lake.retire("parts", "stored.parquet")
    assert not faults(lake.state, files)


def test_the_tombstone_carries_the_proof(lake: Lake) -> None:
    told = lake.retire("sets/swahili.csv", "whole.csv")
    stone = json.loads(tombstone_of(lake.root / "sets/swahili.csv").read_text())
    assert stone["certificate"] == told["certificate"]
    assert stone["certificate"]["rows"] == 200
    assert (lake.state / stone["record"] / "recipe.json").is_file()
    assert stone["parents"][0]["version"] == lake.tables["whole.csv"].version


def test_what_is_rebuilt_wrongly_is_not_put_in_place(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.retire("sets/stored.parquet", "stored.parquet")
    lake.delete("sets/stored.parquet")
    gather = rebuilding.gather
    monkeypatch.setattr(
        rebuilding, "gather", lambda *told, **more: gather(*told, **more).take(pa.array([0] * 2000))
    )
    with pytest.raises(CheckError, match="what was rebuilt is not the table"):
        lake.restore("sets/stored.parquet")
    assert not (lake.root / "sets/stored.parquet").exists()
    monkeypatch.undo()
    lake.restore("sets/stored.parquet")
