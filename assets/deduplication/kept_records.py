"""Records of tables that have not changed since the last release are taken over, file by file, not read again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import polars as pl

from resources import delta
from resources.run import Run
from resources.stage_spec import StageSpec

RECORDS, CONTAINED = "deduplication/records", "deduplication/contained"
TABLES = "ingestion/tables"
_CONTENT = ["table", "version", "fingerprint", "options"]


class Sink(Protocol):
    """What `resources.staged_table.StagedTable` offers here."""

    def keep(self, file: Path) -> None:
        """Take over a whole file."""

    def write(self, data: pl.DataFrame) -> None:
        """Append rows."""


@dataclass(frozen=True)
class KeptRecords:
    """Files of `deduplication/records` as the last release has them, and the tables in them that have not changed.

    Attributes
    ----------
    files
        The unchanged tables of each file, and whether there are others in it.
    outside
        By table, how many of its rows are outside the sample.
    tables
        All of the unchanged tables.
    """

    files: dict[Path, tuple[frozenset[str], bool]]
    outside: dict[str, int]

    @property
    def tables(self) -> frozenset[str]:
        """Every table whose records are taken over."""
        return frozenset().union(*(tables for tables, _ in self.files.values()))

    def write_to(self, sink: Sink) -> None:
        """Take over whole files as they are; of files that also hold changed tables, copy the rows that stand."""
        for file, (tables, mixed) in sorted(self.files.items()):
            if not mixed:
                sink.keep(file)
                continue
            rows = pl.scan_parquet(file).filter(pl.col("table").is_in(sorted(tables)))
            for batch in rows.collect_batches(chunk_size=20_000):
                sink.write(batch)


def kept_records(run: Run, spec: StageSpec, wanted: Collection[str]) -> KeptRecords:
    """Find the records that the last release holds of tables that have not changed since.

    Parameters
    ----------
    run
        The run.
    spec
        The stage of deduplication: its code and settings must be those of the release.
    wanted
        Tables that are to be read.
    """
    base = run.kept_settings(spec)
    if base is None or base.output != run.output:
        return KeptRecords({}, {})
    now = run.read(TABLES, _CONTENT)
    then = delta.scan(run.uri(TABLES), base.versions[TABLES]).select(_CONTENT).collect()
    same = set(now.join(then, on=_CONTENT, how="semi", nulls_equal=True)["table"]) & {*wanted}
    files: dict[Path, tuple[frozenset[str], bool]] = {}
    for file in delta.files(run.uri(RECORDS), base.versions[RECORDS]):
        held = set(pl.scan_parquet(file).select(pl.col("table").unique()).collect()["table"])
        if held & same:
            files[file] = (frozenset(held & same), not held <= same)
    kept = KeptRecords(files, {})
    unread = base.scan(CONTAINED)
    assert unread is not None  # `kept_settings` has found the stage's tables
    outside = unread.filter(pl.col("parent").is_null(), pl.col("table").is_in(sorted(kept.tables)))
    return replace(kept, outside=dict(outside.select("table", "rows").collect().iter_rows()))
