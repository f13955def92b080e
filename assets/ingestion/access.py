"""Read registered tables at the versions a run pinned: typed columns and the position of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from assets.ingestion.infer import typed
from assets.ingestion.model import POSITION_COLUMN, Source, SourceError
from assets.ingestion.read import read
from assets.ingestion.register import stays_in_place
from assets.ingestion.source_changes import fingerprint

_TYPES: dict[str, pa.DataType] = {
    str(kind): kind
    for kind in (
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("us"),
        pa.timestamp("us", tz="UTC"),
    )
}


@dataclass(frozen=True)
class RegisteredTable:
    """One readable table as `ingestion/tables` and `ingestion/columns` describe it.

    Attributes
    ----------
    types
        Column to Arrow type, as text, in the table's own order.
    """

    table: str
    format: str
    version: str
    rows: int
    bytes: int
    fingerprint: str
    data_uri: str
    data_version: int | None
    types: Mapping[str, str] = field(hash=False)

    @property
    def columns(self) -> list[str]:
        """The table's own columns, in order."""
        return list(self.types)


_PUT_BACK = "Put it back from a copy; without one, give the recipe another `output`, where every table is read anew."


def registered_tables(
    tables: pl.DataFrame, columns: pl.DataFrame, state: Path
) -> dict[str, RegisteredTable]:
    """Describe every readable table, sorted by name; landed ones lie below the state root."""
    by_table: dict[str, dict[str, str]] = {}
    for row in columns.sort("table", "ordinal").iter_rows(named=True):
        by_table.setdefault(row["table"], {})[row["column"]] = row["type"]
    return {
        row["table"]: RegisteredTable(
            table=row["table"],
            format=row["format"],
            version=row["version"],
            rows=row["rows"],
            bytes=row["bytes"],
            fingerprint=row["fingerprint"],
            # an absolute place stays as it is
            data_uri=str(state / row["data_uri"]),
            data_version=row["data_version"],
            types=by_table.get(row["table"], {}),
        )
        for row in tables.filter(pl.col("status") == "ok").sort("table").iter_rows(named=True)
    }


def read_table(
    table: RegisteredTable,
    sources: Mapping[str, Source],
    columns: Sequence[str] | None = None,
    *,
    as_written: bool = False,
    batch_rows: int = 8192,
) -> Iterator[pa.Table]:
    """Stream a registered table.

    Parameters
    ----------
    table
        What to read.
    sources
        The lake's listing, for what is read in place.
    columns
        Which columns; all by default.
    batch_rows
        Most rows a batch.
    as_written
        Leave landed cells as the text that was in the file.

    Yields
    ------
    pyarrow.Table
        The columns and last `sluice_position`.

    Raises
    ------
    SourceError
        When a file differs from what was pinned.
    """
    wanted = list(table.columns if columns is None else columns)
    if table.data_version is not None:
        yield from _landed(table, wanted, as_written=as_written, batch_rows=batch_rows)
        return
    source = sources.get(table.table)
    if source is None or not stays_in_place(source):
        reason, remedy = "was registered and is gone", "Run again: the next run registers it anew."
        raise SourceError(Path(table.data_uri), reason, remedy)
    if fingerprint(source) != table.fingerprint:
        reason = "changed since this run registered it"
        raise SourceError(source.path, reason, "Run again: the next run reads it anew.")
    for batch in read(source, batch_rows=batch_rows):
        yield pa.Table.from_batches([batch]).select([*wanted, POSITION_COLUMN])


def _landed(
    table: RegisteredTable, wanted: list[str], *, as_written: bool, batch_rows: int
) -> Iterator[pa.Table]:
    types = {}
    if not as_written and table.format in ("csv", "tsv"):
        types = {name: _TYPES[table.types[name]] for name in wanted if table.types[name] in _TYPES}
    for path in _landed_files(table):
        for rows in _batches(path, [*wanted, POSITION_COLUMN], batch_rows):
            if types:
                rows = typed(pl.DataFrame(rows), types).to_arrow()
            yield rows.select([*wanted, POSITION_COLUMN])


def _landed_files(table: RegisteredTable) -> list[Path]:
    try:
        found = DeltaTable(table.data_uri, version=table.data_version)
    except DeltaError as error:
        reason = f"version {table.data_version} of what was landed of {table.table} can't be read: {_told(error)}"
        raise SourceError(Path(table.data_uri), reason, _PUT_BACK) from error
    return [Path(uri.removeprefix("file://")) for uri in sorted(found.file_uris())]


def _batches(path: Path, columns: list[str], batch_rows: int) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_rows, columns=columns):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        reason = f"a file that ingestion had landed is damaged or gone: {_told(error)}"
        raise SourceError(path, reason, _PUT_BACK) from error


def _told(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
