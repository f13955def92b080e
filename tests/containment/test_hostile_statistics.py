"""Whole searches over hostile files: no true edge is lost, and pruning that trusts statistics is caught."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from unittest import mock

import deltalake
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.containment.bounds import ColumnBounds, TableStatistics
from assets.containment.folder import search_folder
from assets.containment.source_tables import SourceTable
from tests.containment.delta_lakes import delete_rows, rewrite_stats
from tests.containment.test_min_max import HOSTILE

D = decimal.Decimal
ROWS = 16


def padded(values: pa.Array) -> pa.Table:
    """Sixteen rows that no coincidence explains, four distinct cells of the hostile column among them."""
    names = [f"row number {i} of a hostile table" for i in range(ROWS)]
    return pa.table({"c": pa.concat_arrays([values] * (ROWS // len(values))), "name": names})


def by_pyarrow(place, table, files):
    place.mkdir(parents=True)
    size = -(-table.num_rows // files)
    for i in range(files):
        pq.write_table(table.slice(i * size, size), place / f"{i}.parquet", row_group_size=5)


def by_int96(place, table, files):
    place.mkdir(parents=True)
    pq.write_table(table, place / "0.parquet", use_deprecated_int96_timestamps=True)
    assert files


def by_deltalake(place, table, files):
    size = -(-table.num_rows // files)
    for i in range(files):
        deltalake.write_deltalake(place, table.slice(i * size, size), mode="append")


def by_polars(place, table, files):
    place.mkdir(parents=True)
    size = -(-table.num_rows // files)
    for i in range(files):
        pl.DataFrame(table.slice(i * size, size)).write_parquet(place / f"{i}.parquet")


def lake_of(tmp_path, table, *, int96=True):
    """Write every table twice by every writer: whole in two files, and its last ten rows in one."""
    writers = {"pyarrow": by_pyarrow, "delta": by_deltalake}
    if not pa.types.is_nested(table.schema.field("c").type):
        writers["polars"] = by_polars
    if int96 and pa.types.is_timestamp(table.schema.field("c").type):
        writers["int96"] = by_int96
    for name, write in writers.items():
        write(tmp_path / f"whole-{name}", table, 2)
        write(tmp_path / f"part-{name}", table.slice(ROWS - 10), 1)
    return {(f"part-{a}", f"whole-{b}") for a in writers for b in writers}


def edges(lake, **settings):
    found = search_folder(lake, min_containment=1.0, **settings)
    assert found.unreadable == {}
    return set(found.edges.filter(pl.col("containment") == 1).select("child", "parent").rows())


@pytest.mark.parametrize("case", HOSTILE)
def test_every_true_edge_is_found_whoever_wrote_which_side(tmp_path, case):
    expected = lake_of(tmp_path, padded(HOSTILE[case]))
    assert expected - edges(tmp_path) == set()


@pytest.mark.parametrize("case", ["long text", "microseconds"])
def test_trusting_table_level_statistics_is_caught(tmp_path, case):
    """With bounds taken at their word, as log and footer state them, true edges are lost."""
    expected = lake_of(tmp_path, padded(HOSTILE[case]), int96=False)
    assert expected <= edges(tmp_path)
    assert expected - edges_as_published(tmp_path)


def edges_as_published(lake):
    def raw(table, source):
        if source.format == "delta":
            log = pl.DataFrame(
                deltalake.DeltaTable(source.path, source.version).get_add_actions(flatten=True)
            )
            low, high = log["min.c"].min(), log["max.c"].max()
        else:
            groups = [
                pq.read_metadata(file.path).row_group(i).column(0).statistics
                for file in source.files
                for i in range(pq.read_metadata(file.path).num_row_groups)
            ]
            low, high = min(g.min for g in groups), max(g.max for g in groups)
        plain = [v.replace(tzinfo=None) if isinstance(v, dt.datetime) else v for v in (low, high)]
        family = "timestamp" if isinstance(low, dt.datetime) else "string"
        return TableStatistics(table.rows, {"c": ColumnBounds.exact(family, *plain)})

    honest = SourceTable.statistics

    def published(self, *, by_file):
        return raw(self, self.source) if by_file else honest(self, by_file=False)

    with mock.patch.object(SourceTable, "statistics", published):
        return edges(lake)


def test_columns_beyond_the_first_32_have_no_statistics(tmp_path):
    wide = pa.table({f"c{i:02}": [f"{i} and {j}" for j in range(ROWS)] for i in range(40)})
    expected = lake_of(tmp_path, wide.append_column("c", pa.array(range(ROWS))))
    assert expected - edges(tmp_path) == set()


def test_deleted_rows_do_not_speak_for_the_child(tmp_path):
    table = padded(pa.array([1, 2, 3, 900]))
    by_deltalake(tmp_path / "child", table, 1)
    delete_rows(tmp_path / "child", [3, 7, 11, 15])
    live = table.filter(pa.compute.less(table["c"], 900))
    by_pyarrow(tmp_path / "parent", live, 1)
    by_deltalake(tmp_path / "logged", live, 2)
    found = edges(tmp_path)
    assert {("child", "parent"), ("child", "logged"), ("parent", "child")} <= found


def test_statistics_that_are_not_tight_do_not_speak_for_the_child(tmp_path):
    table = padded(pa.array([1, 2, 3, 4]))
    for loose in (False, True):
        lake = tmp_path / str(loose)
        by_deltalake(lake / "child", table, 1)
        told = {"maxValues": {"c": 900, "name": "z"}, "nullCount": {"c": 1, "name": 0}}
        rewrite_stats(lake / "child", 0, **told, **({"tightBounds": False} if loose else {}))
        by_pyarrow(lake / "parent", table, 1)
        assert (("child", "parent") in edges(lake)) == loose


def test_not_tight_is_known_from_a_checkpoint_too(tmp_path):
    table = padded(pa.array([1, 2, 3, 4]))
    by_deltalake(tmp_path / "child", table, 1)
    told = {"maxValues": {"c": 900, "name": "z"}, "nullCount": {"c": 0, "name": 0}}
    rewrite_stats(tmp_path / "child", 0, **told)
    deltalake.DeltaTable(tmp_path / "child").create_checkpoint()
    (file,) = (tmp_path / "child" / "_delta_log").glob("*.checkpoint.parquet")
    stored = pq.read_table(file)
    actions = stored.to_pylist()
    for action in actions:
        if action["add"]:
            stats = {**json.loads(action["add"]["stats"]), "tightBounds": False}
            action["add"]["stats"] = json.dumps(stats)
    pq.write_table(pa.Table.from_pylist(actions, stored.schema), file)
    (tmp_path / "child" / "_delta_log" / f"{0:020d}.json").unlink()
    by_pyarrow(tmp_path / "parent", table, 1)
    assert ("child", "parent") in edges(tmp_path)


def test_large_decimals_equal_integers_that_no_float_holds(tmp_path):
    numbers = [2**53 + 1, 2**53 + 3, 10**15, 7]
    by_pyarrow(tmp_path / "integers", padded(pa.array(numbers)), 1)
    by_pyarrow(
        tmp_path / "decimals", padded(pa.array([D(n) for n in numbers], pa.decimal128(20, 2))), 1
    )
    by_deltalake(
        tmp_path / "logged", padded(pa.array([D(n) for n in numbers], pa.decimal128(20, 0))), 1
    )
    names = ["integers", "decimals", "logged"]
    assert edges(tmp_path) == {(a, b) for a in names for b in names if a != b}


def test_instants_of_other_zones_and_units_are_equal(tmp_path):
    noon = dt.datetime(2024, 2, 29, 12, 0, 0, 999_999)
    local = [noon + dt.timedelta(hours=i) for i in range(4)]
    by_pyarrow(tmp_path / "utc", padded(pa.array(local, pa.timestamp("us", "UTC"))), 1)
    zoned = pa.array(local, pa.timestamp("us", "UTC")).cast(
        pa.timestamp("ns", "Africa/Addis_Ababa")
    )
    by_pyarrow(tmp_path / "zone", padded(zoned), 1)
    by_deltalake(tmp_path / "logged", padded(pa.array(local, pa.timestamp("us", "UTC"))), 1)
    by_int96(tmp_path / "int96", padded(pa.array(local, pa.timestamp("ns"))), 1)
    found = edges(tmp_path)
    names = ["utc", "zone", "logged"]
    assert found >= {(a, b) for a in names for b in names if a != b}
    assert ("int96", "utc") in found


def test_composed_and_decomposed_text_are_two_texts(tmp_path):
    by_pyarrow(tmp_path / "nfc", padded(pa.array(["é", "ü", "x", "y"])), 1)
    by_deltalake(tmp_path / "nfd", padded(pa.array(["e\u0301", "u\u0308", "x", "y"])), 1)
    found = search_folder(tmp_path, min_containment=0.1).edges
    shares = {(c, p): s for c, p, s in found.select("child", "parent", "containment").rows()}
    assert shares == {("nfc", "nfd"): 0.5, ("nfd", "nfc"): 0.5}


def test_partition_values_and_file_points_refute_before_a_row_is_read(tmp_path):
    def table(days):
        names = [f"row number {i}" for i in range(4 * len(days))]
        return pa.table({"day": [d for d in days for _ in range(4)], "name": names})

    deltalake.write_deltalake(tmp_path / "parent", table(["a", "b", "d"]), partition_by=["day"])
    deltalake.write_deltalake(tmp_path / "child", table(["c"]), partition_by=["day"])
    for i, days in enumerate(([1], [9])):
        (tmp_path / "spread").mkdir(exist_ok=True)
        pq.write_table(table(days), tmp_path / "spread" / f"{i}.parquet")
    (tmp_path / "point").mkdir()
    pq.write_table(table([5]), tmp_path / "point" / "0.parquet")
    found = search_folder(tmp_path, min_containment=1.0)
    assert found.edges.is_empty()
    assert found.stages["bytes_read"].sum() == 0
    assert found.stages.row(2, named=True)["candidates_in"] == 4
    assert found.stages.row(2, named=True)["candidates_out"] == 0


def test_a_column_of_the_file_wins_over_the_folder_s_name(tmp_path):
    table = padded(pa.array([5, 6, 7, 8])).rename_columns(["day", "name"])
    for name, day in (("parent", 1), ("child", 2)):
        (tmp_path / name / f"day={day}").mkdir(parents=True)
    pq.write_table(table, tmp_path / "parent" / "day=1" / "x.parquet")
    pq.write_table(table.slice(3, 12), tmp_path / "child" / "day=2" / "x.parquet")
    assert ("child", "parent") in edges(tmp_path)
