"""Delta tables written in two steps: stage the files, look at them, then commit.

Staging writes Parquet files into the table's folder without telling the log. A reader sees nothing of them until
`commit` adds them in one atomic entry, so whatever is checked is exactly what becomes visible, and it is written once.
A commit carries its provenance (run, asset, code, recipe, versions read) as commit metadata, so the lineage travels
with the table. Files of a stage that failed are removed; files of a killed process are orphans, which
`resources.maintain` finds. Log entries are kept for good, because releases are read at their versions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import (
    CommitProperties,
    DeltaTable,
    Field,
    PostCommitHookProperties,
    Schema,
    Transaction,
)
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from resources.delta import METADATA_KEY, open_table
from resources.delta_actions import add_action
from resources.delta_types import as_table, storable_schema
from resources.errors import StoreError

UPKEEP_KEY = "sluice_upkeep"
"""Carried by commits that change how a table is stored and not what it says: no stage's version."""
# a release is read at its version for ever, and a version can't be read without its log
_KEEP_LOG = PostCommitHookProperties(cleanup_expired_logs=False)
_KEEP_LOG_SETTING = {"delta.enableExpiredLogCleanup": "false"}
_ROLL_BYTES = 128 * 1024 * 1024
_GROUP_ROWS = 65_536


class StagedTable:
    """Files of one table that are written and not yet committed.

    Parameters
    ----------
    uri
        Folder of the Delta table.
    schema
        Arrow schema; unsigned, dictionary and large types are stored as the Delta types that hold them.

    Attributes
    ----------
    follows
        Version that the commit must directly follow (-1: none at all), or None where any will do.
    """

    def __init__(self, uri: Path, schema: pa.Schema) -> None:
        self.uri = uri
        self.schema = storable_schema(schema)
        self.rows = 0
        self.files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._buffer: list[pa.Table] = []
        self._buffered = 0
        self._committed = False
        self.follows: int | None = None

    def write(self, data: pa.Table | pa.RecordBatch | pl.DataFrame) -> None:
        """Append rows; columns are matched by name and cast to the schema."""
        table = as_table(data, self.schema, self.uri)
        if table.num_rows == 0:
            return
        self.rows += table.num_rows
        self._buffer.append(table)
        self._buffered += table.num_rows
        if self._buffered >= _GROUP_ROWS or sum(t.nbytes for t in self._buffer) >= 32 * 1024 * 1024:
            self._flush()

    def _flush(self) -> None:
        if not self._buffer:
            return
        table = pa.concat_tables(self._buffer)
        self._buffer, self._buffered = [], 0
        try:
            if self._writer is None:
                self.uri.mkdir(parents=True, exist_ok=True)
                self.files.append(self.uri / f"part-{uuid.uuid4().hex}.zstd.parquet")
                self._writer = pq.ParquetWriter(
                    self.files[-1],
                    self.schema,
                    compression="zstd",
                    compression_level=3,
                    store_schema=False,
                )
            self._writer.write_table(table, row_group_size=_GROUP_ROWS)
            if self.files[-1].stat().st_size >= _ROLL_BYTES:
                self._close_writer()
        except OSError as error:
            self.discard()
            message = f"{self.uri}: can't be written: {error}"
            raise StoreError(message) from error

    def _close_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def close(self) -> None:
        """Finish writing; reading and committing come after."""
        self._flush()
        try:
            self._close_writer()
        except OSError as error:
            self.discard()
            message = f"{self.uri}: can't be written: {error}"
            raise StoreError(message) from error

    def keep(self, file: Path) -> None:
        """Take over a file of an earlier version of this table, by a link where the store has links.

        The file gets a name of its own, so that each version can be cleaned up apart.
        """
        fresh = self.uri / f"part-{uuid.uuid4().hex}.zstd.parquet"
        try:
            try:
                os.link(file, fresh)
            except OSError:
                shutil.copyfile(file, fresh)
        except OSError as error:
            self.discard()
            message = f"{fresh}: can't be written: {error}"
            raise StoreError(message) from error
        self.files.append(fresh)
        self.rows += pq.read_metadata(fresh).num_rows

    def scan(self) -> pl.LazyFrame:
        """Read what is staged, as it will be read once committed."""
        if not self.files:
            return pl.LazyFrame(self.schema.empty_table())
        return pl.scan_parquet(self.files)

    def discard(self) -> None:
        """Remove the staged files, unless they are committed: then the log refers to them."""
        if self._committed:
            return
        with contextlib.suppress(Exception):
            self._close_writer()
        for file in self.files:
            with contextlib.suppress(OSError):
                file.unlink()
        self.files = []

    def commit(
        self, metadata: dict[str, Any], *, mode: Literal["overwrite", "append"] = "overwrite"
    ) -> int:
        """Make the staged files the table's content (or add them to it) in one atomic entry.

        Returns
        -------
        int
            The Delta version that holds exactly this.

        Raises
        ------
        StoreError
            When another writer committed meanwhile, or the store refused.
        """
        schema = Schema.from_arrow(self.schema)
        try:
            actions = [add_action(self.uri, file) for file in self.files]
            version = self._commit(actions, schema, metadata, mode)
        except (DeltaError, OSError) as error:
            # the entry may be there all the same: a checkpoint after it failed, or the answer was lost
            landed = self._landed()
            if landed is None:
                self.discard()
                message = f"{self.uri}: the commit failed: {error}"
                if isinstance(error, CommitFailedError):
                    message = f"{self.uri}: another writer committed at the same time; run again"
                raise StoreError(message) from error
            version = landed
        self._committed = True
        return version

    def commit_instead_of(
        self, version: int, names: Sequence[str], told: dict[str, Any], *, upkeep: bool = True
    ) -> int:
        """Put the staged files in the place of some files of version `version`.

        The commit carries `told` and must directly follow that version. With `upkeep` the staged files hold the same
        rows as those, and the commit is no stage's.

        Returns
        -------
        int
            The Delta version with the new files.

        Raises
        ------
        StoreError
            When another writer committed meanwhile, or the store refused; the staged files are removed.
        """
        now = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [
            RemoveAction(name, data_change=not upkeep, deletion_timestamp=now) for name in names
        ]
        try:
            for file in self.files:
                action = add_action(self.uri, file)
                action.data_change = not upkeep
                actions.append(action)
            table = open_table(self.uri)
            if table is None or table.version() != version:
                message = f"version {version} is not the newest any more"
                raise CommitFailedError(message)
            properties = _properties(UPKEEP_KEY if upkeep else METADATA_KEY, told, version + 1)
            table.create_write_transaction(
                actions,
                "append",
                Schema.from_arrow(self.schema),
                commit_properties=properties,
                post_commithook_properties=_KEEP_LOG,
            )
        except (DeltaError, OSError) as error:
            if self._landed() is None:
                self.discard()
                message = f"{self.uri}: the commit failed: {error}"
                raise StoreError(message) from error
        self._committed = True
        return version + 1

    def _commit(
        self,
        actions: list[AddAction],
        schema: Schema,
        metadata: dict[str, Any],
        mode: Literal["overwrite", "append"],
    ) -> int:
        table = open_table(self.uri)
        # the transaction makes two writers from one snapshot conflict, even if neither removes a file
        number = (table.version() + 1) if table is not None else 0
        if self.follows is not None and number != self.follows + 1:
            message = f"version {number - 1} was committed since version {self.follows} was read"
            raise CommitFailedError(message)
        if table is None:
            self.uri.mkdir(parents=True, exist_ok=True)
            create_table_with_add_actions(
                str(self.uri),
                schema,
                actions,
                mode="error",
                configuration=_KEEP_LOG_SETTING,
                commit_properties=_properties(METADATA_KEY, metadata, number),
                post_commithook_properties=_KEEP_LOG,
            )
            return 0
        if mode == "append":
            number += _add_columns(table, self.schema, self.uri)
        table.create_write_transaction(
            actions,
            mode,
            schema,
            commit_properties=_properties(METADATA_KEY, metadata, number),
            post_commithook_properties=_KEEP_LOG,
        )
        return table.version() if table.version() == number else number

    def _landed(self) -> int | None:
        """Return the newest version if it holds the staged files; what can't be looked up is kept and told."""
        try:
            table = open_table(self.uri)
        except StoreError:
            self._committed = True  # unknown: an orphan does no harm, a missing file does
            raise
        if table is None or not self.files:
            return None
        held = {Path(uri).name for uri in table.file_uris()}
        return table.version() if all(file.name in held for file in self.files) else None


def _properties(key: str, metadata: dict[str, Any], number: int) -> CommitProperties:
    """Metadata of a commit, and the transaction that makes two writers of one version conflict."""
    return CommitProperties(
        custom_metadata={key: metadata}, app_transactions=[Transaction("sluice", number)]
    )


def _add_columns(table: DeltaTable, schema: pa.Schema, uri: Path) -> int:
    """Give a table the columns that an append brings; returns the number of commits this took.

    Raises
    ------
    StoreError
        When a column is there with another type: nothing is committed.
    """
    there = storable_schema(pa.schema(table.schema().to_arrow()))
    for field in schema:
        if field.name in there.names and there.field(field.name).type != field.type:
            message = (
                f"{uri}: column {field.name!r} is {there.field(field.name).type} in the table and can't be appended "
                f"as {field.type}; give the new column another name"
            )
            raise StoreError(message)
    new = [field for field in Schema.from_arrow(schema).fields if field.name not in there.names]
    if not new:
        return 0
    fields = [Field(f.name, f.type, nullable=True) for f in new]
    told = _properties(UPKEEP_KEY, {"adds": [f.name for f in new]}, table.version() + 1)
    table.alter.add_columns(fields, commit_properties=told, post_commithook_properties=_KEEP_LOG)
    return 1


def total_rows(frames: Iterable[StagedTable]) -> int:
    """Sum the rows of staged tables."""
    return sum(f.rows for f in frames)
