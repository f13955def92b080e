"""Delta tables are written again with their protocol, features, partitions and column mapping."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from assets.containment.delta_rebuild import delta_manner, partition_text, write_delta
from assets.containment.parquet_rebuild import UnwritableError
from assets.containment.rebuild import read_all
from assets.containment.rebuild_difference import delta_difference
from assets.ingestion.column_mapping import ColumnMapping
from assets.ingestion.discover import discover
from assets.ingestion.model import Source, SourceError
from tests.containment.retire_lake import open_lake, rows
from tests.ingestion.test_column_mapping import (
    PROTOCOL,
    add,
    commit,
    field,
    identified,
    metadata,
    struct,
)


def table_at(place: Path) -> Source:
    return next(s for s in discover(place.parent).sources if s.path == place)


def again(place: Path) -> tuple[Source, Source]:
    """Write a table again beside itself."""
    old = table_at(place)
    new = place.with_name("again")
    write_delta(new, read_all(old), delta_manner(old))
    return old, table_at(new)


def assert_same(old: Source, new: Source) -> None:
    assert delta_difference(old, new, (read_all(old), read_all(new))) is None


def mapped(root: Path, mode: str, table: pa.Table | None = None) -> None:
    """A table by column mapping: renamed, swapped and dropped columns, structs in lists and maps, a partition."""
    root.mkdir(parents=True)
    inner, other = struct(field("x y", 6, "long")), struct(field("x y", 10, "long"))
    fields = [
        field("second", 1, "long", physical="first"),
        field("first", 2, "string", physical="second"),
        field("the day", 3, "date"),
        field("s", 4, struct(field("x", 5, "long"))),
        field("l", 7, {"type": "array", "elementType": inner, "containsNull": True}),
        field(
            "m",
            8,
            {"type": "map", "keyType": "string", "valueType": other, "valueContainsNull": True},
        ),
    ]

    def own(name: str, number: int, kind: pa.DataType) -> pa.Field:
        return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})

    stored = table or pa.table(
        [
            [1, 2, 3],
            ["a", None, "c"],
            [{"col-5": 7}, None, {"col-5": None}],
            [[{"col-6": 1}, None], [], None],
            [[("k", {"col-10": 2})], None, []],
            ["dropped"] * 3,
        ],
        pa.schema(
            [
                own("first", 1, pa.int64()),
                own("second", 2, pa.string()),
                own("col-4", 4, pa.struct([own("col-5", 5, pa.int64())])),
                own("col-7", 7, pa.list_(pa.struct([own("col-6", 6, pa.int64())]))),
                own("col-8", 8, pa.map_(pa.string(), pa.struct([own("col-10", 10, pa.int64())]))),
                own("col-9", 9, pa.string()),
            ]
        ),
    )
    stats = {"numRecords": stored.num_rows}
    actions = [
        add(root, f"{i}.parquet", stored, stats, {"col-3": day})
        for i, day in enumerate(["2024-02-29", None])
    ]
    commit(root, 0, PROTOCOL, metadata(fields, mode, partitions=["the day"]), *actions)


@pytest.mark.parametrize("mode", ["name", "id"])
def test_column_mapping_comes_back_by_name_and_by_id(mode: str, tmp_path: Path) -> None:
    mapped(tmp_path / "t", mode)
    old, new = again(tmp_path / "t")
    assert_same(old, new)
    assert read_all(new).column("second").to_pylist() == [1, 2, 3] * 2
    told = DeltaTable(new.path)
    assert told.metadata().configuration["delta.columnMapping.mode"] == mode
    assert told.protocol().min_reader_version == 2
    (file, _) = sorted(new.path.glob("*.parquet"))
    schema = pq.read_schema(file)
    assert schema.names == ["first", "second", "col-4", "col-7", "col-8"]
    assert schema.field("second").metadata == {b"PARQUET:field_id": b"2"}
    kind = schema.field("col-4").type
    assert (kind.field(0).name, kind.field(0).metadata) == ("col-5", {b"PARQUET:field_id": b"5"})
    entry = json.loads((new.path / "_delta_log" / f"{0:020d}.json").read_text().splitlines()[-1])
    assert entry["add"]["partitionValues"] == {"col-3": None}
    assert set(json.loads(entry["add"]["stats"])["minValues"]) == {"first", "second"}


def test_files_under_the_table_s_own_names_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped(tmp_path / "t", "name")
    monkeypatch.setattr(ColumnMapping, "stored", lambda _, rows: rows)
    with pytest.raises(SourceError, match="as a scalar of type int64"):  # swapped columns
        assert_same(*again(tmp_path / "t"))


@pytest.mark.parametrize("parent", ["plain", "mapped"])
def test_a_mapped_table_is_retired_and_restored(parent: str, tmp_path: Path) -> None:
    lake, frame = tmp_path / "lake", rows(900).to_arrow()
    names = frame.schema.names
    kinds = ["long", "string", "string", "double", "date"]
    fields = [field(n, i + 1, k) for i, (n, k) in enumerate(zip(names, kinds, strict=True))]

    def write(place: str, part: pa.Table) -> None:
        (lake / place).mkdir(parents=True)
        stored = part.cast(
            pa.schema(
                [
                    pa.field(f.name, pa.string() if "string" in str(f.type) else f.type)
                    for f in part.schema
                ]
            )
        ).rename_columns([f"col-{i + 1}" for i in range(len(names))])
        action = add(
            lake / place,
            "1.parquet",
            identified(stored, range(1, 6)),
            {"numRecords": part.num_rows},
        )
        commit(lake / place, 0, PROTOCOL, metadata(fields, "id"), action)

    write("child", frame.slice(200, 500))
    if parent == "mapped":
        write("parent", frame)
    else:
        write_deltalake(lake / "parent", frame)
    opened = open_lake(lake, tmp_path / "state")
    before, old = read_all(opened.sources["child"]), delta_manner(opened.sources["child"])
    opened.retire("child", "parent")
    opened.delete("child")
    assert not (lake / "child").exists()
    opened.restore("child")
    now = open_lake(lake, tmp_path / "state").sources["child"]
    assert read_all(now).equals(before)
    again = delta_manner(now)
    assert json.loads(again["schema"]) == json.loads(old["schema"])
    assert (again["configuration"], again["protocol"]) == (old["configuration"], old["protocol"])


MOMENT = dt.datetime(2024, 2, 29, 23, 59, 58, 7)
PARTITIONS = {
    "boolean": pa.array([True, False, None]),
    "integer": pa.array([-1, 2, None], pa.int16()),
    "double": pa.array([1.5, -2.25, None]),
    "decimal": pa.array([Decimal("1E+2"), Decimal("7.25"), None], pa.decimal128(9, 2)),
    "date": pa.array([MOMENT.date(), dt.date(1, 1, 1), None]),
    "instant": pa.array([MOMENT, dt.datetime(1969, 1, 1), None], pa.timestamp("us", "UTC")),
    "local": pa.array([MOMENT, dt.datetime(1969, 1, 1), None], pa.timestamp("us")),
    "string": pa.array(["a=b/c%20 é", "x", None]),
}


@pytest.mark.parametrize("kind", PARTITIONS)
def test_partitions_of_every_type_come_back(kind: str, tmp_path: Path) -> None:
    table = pa.table({"p": PARTITIONS[kind], "n": [1, 2, 3]})
    write_deltalake(tmp_path / "t", table, partition_by=["p"])
    assert_same(*again(tmp_path / "t"))


def test_partition_values_are_written_as_the_protocol_says() -> None:
    zone = dt.timezone(dt.timedelta(hours=3))
    assert partition_text(MOMENT.replace(tzinfo=zone)) == "2024-02-29T20:59:58.000007Z"
    assert partition_text(MOMENT) == "2024-02-29 23:59:58.000007"
    assert partition_text(Decimal("1E+2")) == "100"
    with pytest.raises(UnwritableError, match="of type bytes"):
        partition_text(b"\xff")


def test_features_codec_and_names_stay(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2], "t": pa.array([MOMENT, None], pa.timestamp("us"))})
    settings = {"delta.enableDeletionVectors": "true", "delta.enableChangeDataFeed": "true"}
    write_deltalake(tmp_path / "t", table, configuration=settings, name="named")
    old, new = again(tmp_path / "t")
    assert_same(old, new)
    (was, now) = (DeltaTable(s.path).protocol() for s in (old, new))
    assert sorted(was.writer_features or ()) == sorted(now.writer_features or ())
    assert {"deletionVectors", "timestampNtz"} <= set(now.reader_features or ())
    (file,) = new.path.glob("*.parquet")
    assert pq.read_metadata(file).row_group(0).column(0).compression == "SNAPPY"
    write_deltalake(new.path, table, mode="append")  # a table like any other
    assert DeltaTable(new.path).version() == 1


@pytest.mark.parametrize("feature", ["rowTracking", "clustering", "domainMetadata", "unheardOf"])
def test_a_feature_that_would_be_lost_is_refused(feature: str, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"x": [1]}))
    old = table_at(tmp_path / "t")
    manner: dict[str, Any] = delta_manner(old)
    manner["protocol"] = {
        "minReaderVersion": 1,
        "minWriterVersion": 7,
        "writerFeatures": ["appendOnly", feature],
    }
    with pytest.raises(UnwritableError, match=f"uses {feature}, which would not come back"):
        write_delta(tmp_path / "b", pa.table({"x": [1]}), manner)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("part", ["schema", "partitions", "name", "configuration", "protocol"])
def test_what_differs_is_named(part: str, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"x": [1], "y": [2]}), name="a")
    old = table_at(tmp_path / "t")
    manner = delta_manner(old)
    changes: dict[str, Any] = {
        "schema": manner["schema"].replace('"nullable":true', '"nullable":false'),
        "partitions": ["y"],
        "name": "b",
        "configuration": {"delta.appendOnly": "true"},
        "protocol": {"minReaderVersion": 1, "minWriterVersion": 4},
    }
    files = [
        {**file, "partition": ["2"] if part == "partitions" else []} for file in manner["files"]
    ]
    write_delta(tmp_path / "b", read_all(old), {**manner, "files": files, part: changes[part]})
    new = table_at(tmp_path / "b")
    assert delta_difference(old, new, (read_all(old), read_all(new))) == f"the {part}"
