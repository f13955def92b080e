"""Write the newest version of a Delta table again, as version 0 of a new one; its history is gone.

The log's one entry is written here, with the protocol, features and column mapping of the old table, since
no writer at hand takes those. A feature that asks for more than data files and metadata is a refusal.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema

from assets.containment.parquet_rebuild import Manner, UnwritableError, cast_rows, codec_of
from assets.ingestion.column_mapping import column_mapping
from assets.ingestion.delta_files import DeltaFile, snapshot
from assets.ingestion.model import Source
from resources.delta_actions import add_action

_NAMED_FEATURES = {"reader": 3, "writer": 7}
"""The protocol versions from which on features are listed by name."""
_KEPT_FEATURES = {
    "allowColumnDefaults",
    "appendOnly",
    "changeDataFeed",
    "checkConstraints",
    "columnMapping",
    "deletionVectors",
    "generatedColumns",
    "identityColumns",
    "inCommitTimestamp",
    "invariants",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "variantType",
    "variantType-preview",
}
"""Features that a table has again by its metadata and data files alone."""


def delta_manner(source: Source) -> dict[str, Any]:
    """Return how the pinned version of a Delta table is written, as plain data for `write_delta`."""
    table = DeltaTable(str(source.path), version=source.version)
    metadata, protocol = table.metadata(), table.protocol()
    snap = snapshot(source)
    features = {
        f"{side}Features": sorted(listed)
        for side, listed in (
            ("reader", protocol.reader_features),
            ("writer", protocol.writer_features),
        )
        if listed is not None and getattr(protocol, f"min_{side}_version") >= _NAMED_FEATURES[side]
    }
    return {
        "schema": table.schema().to_json(),
        "partitions": list(snap.partition_columns),
        "files": [_file_manner(file) for file in snap.files],
        "name": metadata.name,
        "description": metadata.description,
        "configuration": dict(metadata.configuration),
        "protocol": {
            "minReaderVersion": protocol.min_reader_version,
            "minWriterVersion": protocol.min_writer_version,
            **features,
        },
    }


def _file_manner(file: DeltaFile) -> dict[str, Any]:
    with pq.ParquetFile(file.path) as opened:
        metadata = opened.metadata
    dropped = 0 if file.kept is None else int((~file.kept).sum())
    stored = metadata.num_row_groups and metadata.num_columns
    return {
        "rows": metadata.num_rows - dropped,
        "partition": [partition_text(value) for value in file.partition],
        "codec": codec_of(metadata.row_group(0).column(0).compression) if stored else "snappy",
    }


def partition_text(value: object) -> str | None:
    """Write a partition value as the log does; source: the Delta protocol, "Partition Value Serialization"."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            return value.isoformat(sep=" ", timespec="microseconds")
        in_utc = value.astimezone(dt.UTC).replace(tzinfo=None)
        return in_utc.isoformat(timespec="microseconds") + "Z"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float | dt.date):
        return str(value)
    message = f"a partition value of type {type(value).__name__} can't be written again"
    raise UnwritableError(message)


def write_delta(path: Path, rows: pa.Table, manner: Manner) -> None:
    """Write a Delta table in a manner, a file for each of the old one's, so that rows keep their order.

    Raises
    ------
    UnwritableError
        If the table has a feature that can't be written.
    """
    protocol = manner["protocol"]
    other = set(protocol.get("writerFeatures", ())) - _KEPT_FEATURES
    if other:
        message = (
            f"the Delta table uses {', '.join(sorted(other))}, which would not come back; drop the feature, or keep "
            "the table"
        )
        raise UnwritableError(message)
    arrow = pa.schema(Schema.from_json(manner["schema"]).to_arrow())
    data = pa.schema([field for field in arrow if field.name not in manner["partitions"]])
    mapping = column_mapping(manner["schema"], manner["configuration"])
    keys = manner["partitions"] if mapping is None else mapping.physical(manner["partitions"])
    path.mkdir(parents=True)
    actions: list[dict[str, Any]] = []
    start = 0
    for number, told in enumerate(manner["files"]):
        part = cast_rows(rows.slice(start, told["rows"]), data)
        start += told["rows"]
        codec = told["codec"]
        file = path / f"part-{number:08d}.{codec}.parquet"
        stored = part if mapping is None else mapping.stored(part)
        pq.write_table(stored, file, compression=codec, store_schema=False)
        actions.append(_added(path, file, dict(zip(keys, told["partition"], strict=True))))
    log = path / "_delta_log"
    log.mkdir()
    timed = "inCommitTimestamp" in protocol.get("writerFeatures", ())
    entry = [_commit_info(timed=timed), {"protocol": protocol}, _metadata(manner), *actions]
    lines = "\n".join(json.dumps(action, ensure_ascii=False) for action in entry)
    (log / f"{0:020d}.json").write_text(lines + "\n", encoding="utf-8")


def _commit_info(*, timed: bool) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {
        "commitInfo": {
            "timestamp": now,
            **({"inCommitTimestamp": now} if timed else {}),
            "operation": "RESTORE",
            "operationParameters": {},
            "engineInfo": "sluice",
        }
    }


def _metadata(manner: Manner) -> dict[str, Any]:
    return {
        "metaData": {
            "id": str(uuid.uuid4()),
            "name": manner["name"],
            "description": manner["description"],
            "format": {"provider": "parquet", "options": {}},
            "schemaString": manner["schema"],
            "partitionColumns": manner["partitions"],
            "configuration": manner["configuration"],
            "createdTime": int(time.time() * 1000),
        }
    }


def _added(root: Path, file: Path, partition: Mapping[str, str | None]) -> dict[str, Any]:
    action = add_action(root, file, partition)
    return {
        "add": {
            "path": action.path,
            "partitionValues": action.partition_values,
            "size": action.size,
            "modificationTime": action.modification_time,
            "dataChange": action.data_change,
            "stats": action.stats,
        }
    }
