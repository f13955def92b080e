"""Write the newest version of a Delta table again, as version 0 of a new one; its history is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.transaction import create_table_with_add_actions

from assets.containment.parquet_rebuild import Manner, UnwritableError, cast_rows
from assets.ingestion.column_mapping import MODE
from assets.ingestion.delta_files import snapshot
from assets.ingestion.model import Source
from resources.delta_actions import add_action


def delta_manner(source: Source) -> dict[str, Any]:
    """Return how the pinned version of a Delta table is written, as plain data for `write_delta`."""
    table = DeltaTable(str(source.path), version=source.version)
    metadata = table.metadata()
    snap = snapshot(source)
    files = []
    for file in snap.files:
        live = file.records if file.kept is None else int(file.kept.sum())
        if live is None or (file.kept is not None and file.records != file.kept.size):
            with pq.ParquetFile(file.path) as opened:
                total = opened.metadata.num_rows
            dropped = 0 if file.kept is None else int((~file.kept).sum())
            live = total - dropped
        values = [None if v is None else _partition_text(v) for v in file.partition]
        files.append({"rows": live, "partition": values})
    return {
        "schema": table.schema().to_json(),
        "partitions": list(snap.partition_columns),
        "files": files,
        "name": metadata.name,
        "description": metadata.description,
        "configuration": dict(metadata.configuration),
    }


def _partition_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def write_delta(path: Path, rows: pa.Table, manner: Manner) -> None:
    """Write a Delta table in a manner, a file for each of the old one's, so that rows keep their order.

    Raises
    ------
    UnwritableError
        If the table has a feature that can't be written.
    """
    if manner["configuration"].get(MODE, "none") != "none":
        message = "the Delta table uses column mapping, which can't be written again"
        raise UnwritableError(message)
    schema = Schema.from_json(manner["schema"])
    arrow = pa.schema(schema.to_arrow())
    stored = pa.schema([field for field in arrow if field.name not in manner["partitions"]])
    path.mkdir(parents=True)
    actions, start = [], 0
    for number, told in enumerate(manner["files"]):
        part = cast_rows(rows.slice(start, told["rows"]), stored)
        start += told["rows"]
        file = path / f"part-{number:05d}.zstd.parquet"
        pq.write_table(part, file, compression="zstd", store_schema=False)
        values = dict(zip(manner["partitions"], told["partition"], strict=True))
        actions.append(add_action(path, file, values))
    try:
        create_table_with_add_actions(
            str(path),
            schema,
            actions,
            mode="error",
            partition_by=manner["partitions"],
            name=manner["name"],
            description=manner["description"],
            configuration=manner["configuration"],
        )
    except Exception as error:  # deltalake raises several unrelated types, plain Exception included
        message = f"the Delta table can't be written again: {error}"
        raise UnwritableError(message) from error
