"""Delta tables: pinned versions, partitions, added columns, deletion vectors, lost files."""

from __future__ import annotations

import base64
import json
import struct
import uuid

import polars as pl
import pytest
from deltalake import DeltaTable

from assets.ingestion.discover import discover
from assets.ingestion.metadata_bounds import from_delta_log
from assets.ingestion.model import SourceError
from assets.ingestion.read import read
from tests.ingestion.helpers import read_all, rows_of

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def delete_rows(table_path, deleted):
    """Write the next log entry by hand: the table's one file, with an inline deletion vector."""
    log = table_path / "_delta_log"
    actions = [json.loads(line) for line in (log / f"{0:020d}.json").read_text().splitlines()]
    add = next(action["add"] for action in actions if "add" in action)
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(deleted) - 1, 16)
    bitmap += struct.pack(f"<{len(deleted)}H", *deleted)
    content = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    size = len(content)
    content += b"\0" * (-size % 4)
    text = base64.b85encode(content).decode().translate(str.maketrans(B85, Z85))
    vector = {
        "storageType": "i", "pathOrInlineDv": text, "sizeInBytes": size,
        "cardinality": len(deleted),
    }  # fmt: skip
    features = ["deletionVectors"]
    protocol = {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features,
        "writerFeatures": features,
    }  # fmt: skip
    remove = {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}
    lines = [
        {"protocol": protocol},
        {"remove": remove},
        {"add": {**add, "deletionVector": vector}},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    (log / f"{1:020d}.json").write_text(text)


def test_deleted_rows_do_not_appear(tmp_path):
    pl.DataFrame({"x": range(100), "u": [str(uuid.UUID(int=i)) for i in range(100)]}).write_delta(
        tmp_path / "d"
    )
    delete_rows(tmp_path / "d", [0, 7, 99])
    (source,) = discover(tmp_path).sources
    assert source.version == 1
    rows, _ = read_all(source, batch_rows=10)
    assert [row["x"] for row in rows] == [i for i in range(100) if i not in (0, 7, 99)]
    count, bounds = from_delta_log(source)
    assert count == 97
    assert (bounds["x"].min, bounds["x"].max, bounds["x"].bounds_exact) == ("0", "99", False)
    assert bounds["x"].nulls is None


def test_version_is_pinned_and_columns_may_be_added(tmp_path):
    pl.DataFrame({"x": [1], "p": ["a/b c=%"]}).write_delta(
        tmp_path / "d", delta_write_options={"partition_by": ["p"]}
    )
    (old,) = discover(tmp_path).sources
    pl.DataFrame(
        {"x": [2], "p": [None], "z": [0.5]}, schema_overrides={"p": pl.String}
    ).write_delta(tmp_path / "d", mode="append", delta_write_options={"schema_mode": "merge"})
    (new,) = discover(tmp_path).sources
    assert (old.version, new.version) == (0, 1)
    assert read_all(old)[0] == [{"x": 1, "p": "a/b c=%"}]
    rows, _ = read_all(new)
    assert sorted(rows, key=lambda row: row["x"]) == [
        {"x": 1, "z": None, "p": "a/b c=%"},
        {"x": 2, "z": 0.5, "p": None},
    ]
    assert new.partition_columns == ("p",)


def test_a_lost_data_file_is_named(tmp_path):
    pl.DataFrame({"x": [1]}).write_delta(tmp_path / "d")
    (source,) = discover(tmp_path).sources
    (file,) = DeltaTable(str(tmp_path / "d")).file_uris()
    next((tmp_path / "d").glob("*.parquet")).unlink()
    with pytest.raises(SourceError, match=file.rsplit("/", 1)[-1]):
        rows_of(read(source))
