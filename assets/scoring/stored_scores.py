"""`scoring/scores` as it is stored: rows are added, never changed, and the newest row of a record counts.

A run that keeps the calibration writes the records that are new or whose row differs, and a tombstone (`gone`) for each
that is there no more; what stood before is taken over file by file, without being written again. `since` counts the
additions: 0 is the whole table, as a run writes it that has no base, a new calibration, or too many additions to keep.
So a run costs what it changes, and any version is read by `current`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

SINCE, GONE = "since", "gone"
MOST_ADDITIONS = 24
MOST_STALE = 0.5
"""Rows that don't count any more, as a share of those that do: beyond it the table is written whole."""


class Sink(Protocol):
    """What `resources.staged_table.StagedTable` offers here."""

    def keep(self, file: Path) -> None:
        """Take over a whole file."""

    def write(self, data: pl.DataFrame) -> None:
        """Append rows."""


def current(stored: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows that count: the newest of each record, without tombstones, `since` and `gone`.

    Notes
    -----
    Memory: the ids of the additions, which are few; the whole streams by.
    """
    later = stored.filter(pl.col(SINCE) > 0).group_by("record_id").agg(newest=pl.col(SINCE).max())
    joined = stored.join(later, on="record_id", how="left")
    counts = (pl.col(SINCE) == pl.col("newest").fill_null(0)) & ~pl.col(GONE)
    return joined.filter(counts).drop(SINCE, GONE, "newest")


def whole(frame: pl.DataFrame) -> pl.DataFrame:
    """Return scores as the first rows of a table."""
    return frame.with_columns(pl.lit(0, pl.Int64).alias(SINCE), pl.lit(value=False).alias(GONE))


@dataclass(frozen=True)
class Addition:
    """What is to be stored.

    Attributes
    ----------
    files
        Files that are taken over as they are.
    rows
        Rows that are written.
    changed, gone
        How many of them are scores, and how many tombstones.
    """

    files: Sequence[Path]
    rows: pl.DataFrame
    changed: int
    gone: int

    def write_to(self, sink: Sink) -> None:
        """Take over the files, and write the rows."""
        for file in self.files:
            sink.keep(file)
        sink.write(self.rows)


def anew(frame: pl.DataFrame) -> Addition:
    """Return the addition that writes everything."""
    return Addition((), whole(frame), frame.height, 0)


def addition(frame: pl.DataFrame, before: pl.LazyFrame, files: Sequence[Path]) -> Addition:
    """Tell what must be stored so that a table says what a frame says.

    Parameters
    ----------
    frame
        The scores of now, one row a record.
    before
        The table as it was stored.
    files
        Its files.
    """
    if set(before.collect_schema().names()) != {*frame.columns, SINCE, GONE}:
        return anew(frame)
    about = before.select(pl.len(), pl.col(SINCE).max()).collect(engine="streaming").row(0)
    stood = current(before).select(frame.columns).collect(engine="streaming")
    changed = frame.join(stood, on=frame.columns, how="anti", nulls_equal=True)
    gone = stood.select("record_id").join(frame, on="record_id", how="anti")
    stale = about[0] + changed.height + gone.height - frame.height
    if about[1] is None or about[1] + 1 > MOST_ADDITIONS or stale > MOST_STALE * frame.height:
        return anew(frame)
    number = pl.lit(about[1] + 1, pl.Int64).alias(SINCE)
    rows = [
        changed.with_columns(number, pl.lit(value=False).alias(GONE)),
        gone.with_columns(number, pl.lit(value=True).alias(GONE)),
    ]
    return Addition(files, pl.concat(rows, how="diagonal"), changed.height, gone.height)
