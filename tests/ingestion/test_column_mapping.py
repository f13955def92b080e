"""Delta tables whose columns were renamed, swapped or dropped without touching a data file."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.containment.folder import search_folder
from assets.ingestion.column_mapping import MODE, column_mapping
from assets.ingestion.discover import discover
from assets.ingestion.metadata_bounds import from_delta_log
from tests.ingestion.helpers import read_all


def field(name, number, kind, *, physical=None):
    metadata = {
        "delta.columnMapping.id": number,
        "delta.columnMapping.physicalName": physical or f"col-{number}",
    }
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


def struct(*fields):
    return {"type": "struct", "fields": list(fields)}


def metadata(fields, mode="name", partitions=()):
    configuration = {"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "20"}
    return {
        "metaData": {
            "id": "11111111-2222-3333-4444-555555555555",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps(struct(*fields)),
            "partitionColumns": list(partitions),
            "configuration": configuration,
            "createdTime": 0,
        }
    }


def add(root, name, table, stats, partition=None):
    pq.write_table(table, root / name)
    return {
        "add": {
            "path": name,
            "partitionValues": partition or {},
            "size": (root / name).stat().st_size,
            "modificationTime": 0,
            "dataChange": True,
            "stats": json.dumps(stats),
        }
    }


def commit(root, version, *actions):
    log = root / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    (log / f"{version:020d}.json").write_text("\n".join(map(json.dumps, actions)))


PROTOCOL = {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}


def identified(table, ids):
    """The same table with a field id for each column."""
    fields = [
        f.with_metadata({"PARQUET:field_id": str(i)})
        for f, i in zip(table.schema, ids, strict=True)
    ]
    return table.cast(pa.schema(fields))


@pytest.fixture
def nested(tmp_path):
    """A table with a partition and with structs by themselves, in a list and in a map."""
    root = tmp_path / "t"
    root.mkdir()
    inner, other = struct(field("x y", 6, "long")), struct(field("x y", 10, "long"))
    fields = [
        field("id", 1, "long"),
        field("my word", 2, "string"),
        field("day", 3, "string"),
        field("s", 4, struct(field("x", 5, "long"))),
        field("l", 7, {"type": "array", "elementType": inner, "containsNull": True}),
        field(
            "m",
            8,
            {"type": "map", "keyType": "string", "valueType": other, "valueContainsNull": True},
        ),
    ]
    kind = pa.list_(pa.struct([("col-6", pa.int64())]))
    pairs = pa.map_(pa.string(), pa.struct([("col-10", pa.int64())]))
    stored = pa.table(
        {
            "col-1": [1, 2, 3],
            "col-2": ["a", None, "c"],
            "col-4": [{"col-5": 7}, None, {"col-5": None}],
            "col-7": pa.array([[{"col-6": 1}, None], [], None], kind),
            "col-8": pa.array([[("k", {"col-10": 2})], None, []], pairs),
            "col-9": ["dropped"] * 3,
        }
    )
    stats = {
        "numRecords": 3,
        "minValues": {"col-1": 1, "col-2": "a", "col-9": "dropped"},
        "maxValues": {"col-1": 3, "col-2": "c", "col-9": "dropped"},
        "nullCount": {"col-1": 0, "col-2": 1, "col-4": {"col-5": 2}, "col-9": 0},
    }
    action = add(root, "1.parquet", stored, stats, {"col-3": "mon"})
    commit(root, 0, PROTOCOL, metadata(fields, partitions=["day"]), action)
    return tmp_path


def test_names_are_the_table_s_own_at_every_depth(nested):
    (source,) = discover(nested).sources
    rows, _ = read_all(source)
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert [row["my word"] for row in rows] == ["a", None, "c"]
    assert [row["day"] for row in rows] == ["mon"] * 3
    assert [row["s"] for row in rows] == [{"x": 7}, None, {"x": None}]
    assert [row["l"] for row in rows] == [[{"x y": 1}, None], [], None]
    assert [row["m"] for row in rows] == [[("k", {"x y": 2})], None, []]
    assert "dropped" not in str(rows)


def test_statistics_go_by_the_physical_name(nested):
    (source,) = discover(nested).sources
    rows, found = from_delta_log(source)
    assert rows == 3
    assert (found["id"].min, found["id"].max, found["id"].nulls) == ("1", "3", 0)
    assert (found["my word"].min, found["my word"].max, found["my word"].nulls) == ("a", "c", 1)
    assert (found["day"].min, found["day"].max) == ("mon", "mon")


def test_files_are_matched_by_id_where_the_mode_says_so(tmp_path):
    root = tmp_path / "t"
    root.mkdir()
    # the names in the files are those of the other column, which a reader by name would follow
    first = identified(pa.table({"b": [1, 2], "a": ["x", "y"]}), [1, 2])
    second = identified(pa.table({"a": ["z"], "zz": [3]}), [2, 1])
    fields = [field("a", 1, "long", physical="a"), field("b", 2, "string", physical="b")]
    parts = enumerate((first, second))
    actions = [add(root, f"{i}.parquet", t, {"numRecords": t.num_rows}) for i, t in parts]
    commit(root, 0, PROTOCOL, metadata(fields, "id"), *actions)
    (source,) = discover(tmp_path).sources
    rows, _ = read_all(source)
    assert rows == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}]


@pytest.mark.parametrize("mode", ["name", "id"])
def test_a_column_of_a_later_version_is_null_in_older_files(tmp_path, mode):
    root = tmp_path / "t"
    root.mkdir()
    old = identified(pa.table({"col-1": [1], "col-2": ["x"]}), [1, 2])
    new = identified(pa.table({"col-1": [2], "col-3": [5]}), [1, 3])
    # col-2 was dropped, and another column took its name
    fields = [field("k", 1, "long"), field("word", 3, "long")]
    actions = [add(root, f"{i}.parquet", t, {"numRecords": 1}) for i, t in enumerate((old, new))]
    commit(root, 0, PROTOCOL, metadata(fields, mode), *actions)
    (source,) = discover(tmp_path).sources
    rows, _ = read_all(source)
    assert rows == [{"k": 1, "word": None}, {"k": 2, "word": 5}]


def test_renamed_and_swapped_columns_share_files_but_not_rows(tmp_path):
    """The file is one; which of its columns is `a` is not: neither proof by file nor cached hash may mix them."""
    rows = pa.table({"col-1": np.arange(50), "col-2": np.arange(50) + 100})
    stats = {"numRecords": 50, "minValues": {}, "maxValues": {}, "nullCount": {}}
    names = {"plain": ("a", "b"), "again": ("a", "b"), "swapped": ("b", "a")}
    for name, (first, second) in names.items():
        root = tmp_path / name
        root.mkdir()
        action = add(root, "1.parquet", rows, stats)
        if name != "plain":
            (root / "1.parquet").unlink()
            action["add"]["path"] = (tmp_path / "plain" / "1.parquet").as_uri()
        fields = [field(first, 1, "long"), field(second, 2, "long")]
        commit(root, 0, PROTOCOL, metadata(fields), action)
    found = search_folder(tmp_path)
    assert not found.unreadable
    pairs = set(found.edges.select("child", "parent").rows())
    assert pairs == {("plain", "again"), ("again", "plain")}


def test_mapped_and_plain_tables_are_compared_by_their_own_names(tmp_path):
    root = tmp_path / "mapped"
    root.mkdir()
    names = [f"row number {i}" for i in range(40)]
    rows = pa.table({"col-1": np.arange(40), "col-2": names})
    stats = {
        "numRecords": 40,
        "minValues": {"col-1": 0, "col-2": min(names)},
        "maxValues": {"col-1": 39, "col-2": max(names)},
        "nullCount": {"col-1": 0, "col-2": 0},
    }
    fields = [field("id", 1, "long"), field("name", 2, "string")]
    commit(root, 0, PROTOCOL, metadata(fields), add(root, "1.parquet", rows, stats))
    pq.write_table(rows.rename_columns(["id", "name"]).slice(5, 20), tmp_path / "part.parquet")
    edges = search_folder(tmp_path).edges
    assert edges.select("child", "parent").rows() == [("part.parquet", "mapped")]


@pytest.mark.parametrize(
    ("mode", "broken", "told"),
    [
        ("odd", None, "unknown column mapping mode 'odd'"),
        ("name", "delta.columnMapping.physicalName", "column 'k' has no"),
        ("id", "delta.columnMapping.id", "column 'k' has no"),
    ],
)
def test_metadata_that_contradicts_itself_is_refused(mode, broken, told):
    own = field("k", 1, "long")
    if broken:
        del own["metadata"][broken]
    with pytest.raises(ValueError, match=told):
        column_mapping(json.dumps(struct(own)), {MODE: mode})
    if mode == "odd":
        return
    fine = column_mapping(json.dumps(struct(field("k", 1, "long"))), {MODE: mode})
    assert fine.logical_paths() == {"col-1": "k"}
    assert column_mapping(json.dumps(struct(own)), {}) is None
