"""Shared files and logs prove containment without a data byte; what they don't prove stays open."""

from __future__ import annotations

import shutil
from pathlib import Path

import deltalake
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.containment.delta_history import Commit, read_commits, version_holds
from assets.containment.folder import search_folder
from assets.containment.shared_files import FileProofs
from assets.containment.table_versions import with_versions
from assets.ingestion.discover import discover
from tests.containment.delta_lakes import clone, commit, delete_rows, entries, hard_link


def rows(start: int, count: int) -> pa.Table:
    return pa.table(
        {
            "n": range(start, start + count),
            "text": [f"the text of row {i}" for i in range(start, start + count)],
        }
    )


def append(place: Path, table: pa.Table, **settings) -> None:
    deltalake.write_deltalake(place, table, mode="append", **settings)


def without_data(lake: Path) -> None:
    """Remove every data file: whoever opens one fails."""
    for file in lake.rglob("*.parquet"):
        if file.parent.name != "_delta_log":
            file.unlink()


def proofs_of(sources, **more: str) -> FileProofs:
    types = {"n": "int64", "text": "string", **more}
    return FileProofs(sources, dict.fromkeys(sources, types))


def stages(found) -> dict[str, dict]:
    return {row["stage"]: row for row in found.stages.iter_rows(named=True)}


def shares(found) -> dict[tuple[str, str], float]:
    return {(c, p): s for c, p, s in found.edges.select("child", "parent", "containment").rows()}


@pytest.mark.parametrize("equality", ["value", "typed"])
def test_versions_of_a_table_that_grew_are_proven_with_its_data_gone(tmp_path, equality):
    for i in range(5):
        append(tmp_path / "t", rows(10 * i, 10))
    without_data(tmp_path)
    found = search_folder(tmp_path, equality=equality, versions=True, min_containment=1.0)
    names = ["t@0", "t@1", "t@2", "t@3", "t"]
    assert shares(found) == {(a, b): 1.0 for i, a in enumerate(names) for b in names[i + 1 :]}
    told = found.edges.filter((pl.col("child") == "t@1") & (pl.col("parent") == "t"))
    row = told.row(0, named=True)
    assert (row["child_rows"], row["parent_rows"], row["exact"]) == (20, 50, True)
    assert (row["equality"], row["witness"]) == ("typed", None)
    assert found.stages["bytes_read"].sum() == 0
    assert found.unreadable == {}
    assert stages(found)["files"]["candidates_in"] == 10  # the other way round bounds refute
    assert stages(found)["files"]["candidates_out"] == 0


def test_shallow_clones_and_hard_links_are_the_same_files(tmp_path):
    lake = tmp_path / "lake"
    append(lake / "t", rows(0, 10))
    append(lake / "t", rows(10, 10))
    clone(lake / "t", lake / "old", 1)
    clone(lake / "t", lake / "all", 2)
    hard_link(lake / "t", lake / "linked")
    (lake / "p").mkdir()
    pq.write_table(rows(0, 10), lake / "p" / "1.parquet")
    hard_link(lake / "p", lake / "q")
    pq.write_table(rows(10, 5), lake / "q" / "2.parquet")
    sources = {source.table: source for source in discover(lake).sources}
    proofs = proofs_of(sources)
    whole = ["t", "all", "linked"]
    expected = {(a, b) for a in whole for b in whole if a != b}
    expected |= {("old", b) for b in whole} | {("p", "q")}
    pairs = {(a, b) for a in sources for b in sources if a != b}
    assert {pair for pair in pairs if proofs.how(*pair)} == expected
    found = shares(search_folder(lake, min_containment=1.0))
    assert found.keys() >= expected  # and the copies that only rows show
    assert found["old", "p"] == 1.0


def test_a_rewritten_table_is_proven_by_its_log_only(tmp_path):
    append(tmp_path / "t", rows(0, 10))
    append(tmp_path / "t", rows(10, 10))
    deltalake.DeltaTable(tmp_path / "t").optimize.compact()
    without_data(tmp_path)
    found = search_folder(tmp_path, versions=True, min_containment=1.0)
    assert shares(found).keys() >= {("t@1", "t"), ("t", "t@1"), ("t@0", "t"), ("t@0", "t@1")}
    assert found.stages["bytes_read"].sum() == 0


def test_deleted_rows_are_proven_gone_one_way(tmp_path):
    append(tmp_path / "t", rows(0, 100))
    delete_rows(tmp_path / "t", [0, 7, 99])
    sources = {s.table: s for s in with_versions(discover(tmp_path)).sources}
    proofs = proofs_of(sources)
    assert proofs.how("t", "t@0") == "files"
    assert proofs.how("t@0", "t") is None
    found = search_folder(tmp_path, versions=True, min_containment=0.5)
    assert shares(found) == {("t", "t@0"): 1.0, ("t@0", "t"): 0.97}


@pytest.mark.parametrize("event", ["overwrite", "delete", "cut"])
def test_versions_that_lost_rows_are_not_proven(tmp_path, event):
    append(tmp_path / "t", rows(0, 10))
    append(tmp_path / "t", rows(10, 10))
    if event == "overwrite":
        deltalake.write_deltalake(tmp_path / "t", rows(0, 20), mode="overwrite")
    elif event == "delete":
        deltalake.DeltaTable(tmp_path / "t").delete("n < 3")
    else:
        (tmp_path / "t" / "_delta_log" / f"{1:020d}.json").write_text("{")
    sources = {s.table: s for s in with_versions(discover(tmp_path)).sources}
    proofs = proofs_of(sources)
    if event == "cut":
        assert not any(proofs.how(a, b) for a in sources for b in sources if a != b)
    else:
        assert proofs.how("t@0", "t") is None
        assert proofs.how("t@0", "t@1") == "files"


def test_a_removal_that_does_not_say_whether_it_changes_data_counts_as_one(tmp_path):
    for version, told in ((0, {}), (1, {"dataChange": False}), (2, {"dataChange": True})):
        commit(tmp_path, version, [{"remove": {"path": "x", **told}}])
    assert [c.removes_rows for c in read_commits(tmp_path).values()] == [True, False, True]


def test_a_commit_that_is_gone_proves_nothing():
    first = Commit(adds_rows=True, removes_rows=False, metadata={"schemaString": "{}"})
    more = Commit(adds_rows=True, removes_rows=False, metadata=None)
    commits = {0: first, 1: more, 2: more}
    assert version_holds(commits, 0, 2, ["n"])
    assert not version_holds({0: first, 2: more}, 0, 2, ["n"])
    assert not version_holds(commits, 2, 0, ["n"])


def test_another_type_is_no_proof_and_an_added_column_does_not_matter(tmp_path):
    append(tmp_path / "t", rows(0, 10))
    more = rows(10, 10).append_column("more", pa.array(range(10)))
    append(tmp_path / "t", more, schema_mode="merge")
    deltalake.DeltaTable(tmp_path / "t").optimize.compact()
    found = search_folder(tmp_path, versions=True, min_containment=1.0)
    assert ("t@0", "t") in shares(found)
    assert stages(found)["files"]["candidates_out"] < stages(found)["files"]["candidates_in"]
    first = entries(tmp_path / "t", 1)
    for action in first:
        if "metaData" in action:
            text = action["metaData"]["schemaString"]
            action["metaData"]["schemaString"] = text.replace('"long"', '"integer"', 1)
    commit(tmp_path / "t", 1, first)
    sources = {s.table: s for s in with_versions(discover(tmp_path)).sources}
    proofs = proofs_of(sources)
    assert proofs.how("t@0", "t") is None


def test_partition_values_belong_to_the_file(tmp_path):
    for name, day in (("a", "1"), ("b", "2")):
        (tmp_path / name / f"day={day}").mkdir(parents=True)
    pq.write_table(rows(0, 10), tmp_path / "a" / "day=1" / "x.parquet")
    (tmp_path / "b" / "day=2" / "x.parquet").hardlink_to(tmp_path / "a" / "day=1" / "x.parquet")
    shutil.copytree(
        tmp_path / "a", tmp_path / "c", copy_function=lambda x, y: Path(y).hardlink_to(x)
    )
    sources = {s.table: s for s in discover(tmp_path).sources}
    proofs = proofs_of(sources, day="int64")
    assert proofs.how("a", "c") == "files"
    assert proofs.how("a", "b") is None
    found = shares(search_folder(tmp_path, min_containment=0.1))
    assert set(found) == {("a", "c"), ("c", "a")}


def test_a_version_that_cannot_be_restored_is_told(tmp_path):
    for i in range(3):
        append(tmp_path / "t", rows(10 * i, 10))
    (tmp_path / "t@0").mkdir()
    pq.write_table(rows(0, 3), tmp_path / "t@0" / "x.parquet")
    deltalake.DeltaTable(tmp_path / "t").create_checkpoint()
    (tmp_path / "t" / "_delta_log" / f"{0:020d}.json").unlink()
    found = search_folder(tmp_path, versions=True, min_containment=1.0)
    assert "unreadable Delta log" in found.unreadable["t@1"]
    assert ("t@0", "t") in shares(found)
