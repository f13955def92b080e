"""Single columns of files as what they are wanted for: text, ids, lists of tags."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assets.deduplication.files import POSITION
from assets.ingestion.model import Source
from assets.kernels.keyed_random import id_words
from assets.scoring.protocol import ScoringError


def strings(source: Source, rows: pa.RecordBatch, option: str, column: str) -> pa.Array:
    """Return a column as Arrow strings.

    Raises
    ------
    ScoringError
        It holds lists, structures, or bytes that are not UTF-8.
    """
    try:
        return rows.column(column).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = (
            f"--{option}: column {column!r} of {source.path} is no text but "
            f"{rows.column(column).type}; name a column of text or numbers"
        )
        raise ScoringError(message) from error


def tag_lists(rows: pa.RecordBatch, column: str) -> pl.Series:
    """Return a column of tags as lists of strings: lists as they are, text split at commas.

    Raises
    ------
    ScoringError
        It holds neither.
    """
    values = pl.Series("tags", rows.column(column))
    if values.dtype == pl.List(pl.String) or values.dtype == pl.List(pl.Null):
        return values.cast(pl.List(pl.String))
    if values.dtype not in (pl.String, pl.Null):
        message = f"--tags: column {column!r} is {values.dtype}; give lists of text, or text with commas between tags"
        raise ScoringError(message)
    parts = values.cast(pl.String).str.split(",").list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != ""))


def record_ids(source: Source, rows: pa.RecordBatch, column: str | None) -> pl.Series:
    """Return the ids of some rows: a column, or `path#position` counted from 0.

    Raises
    ------
    ScoringError
        An id is null.
    """
    if column is None:
        position = pl.Series("id", rows.column(POSITION)).cast(pl.String).to_frame()
        return position.select(id=pl.lit(f"{source.table}#") + pl.col("id"))["id"]
    ids = pl.Series("id", strings(source, rows, "id", column), dtype=pl.String)
    if ids.null_count():
        at = rows.column(POSITION)[int(ids.is_null().arg_true()[0])].as_py()
        message = f"--id: column {column!r} is null in {source.path}#{at}; name another column"
        raise ScoringError(message)
    return ids


class UniqueIds:
    """Sees to it that no id comes twice; 16 bytes a record."""

    def __init__(self, column: str | None) -> None:
        self.column = column
        self._words: list[NDArray[np.uint64]] = []

    def add(self, ids: pl.Series) -> None:
        """Take in the ids of a batch; `path#position` needs no check."""
        if self.column is not None:
            self._words.append(id_words(ids))

    def check(self) -> None:
        """Raise ScoringError if an id came twice."""
        if not self._words:
            return
        words = np.concatenate(self._words)
        ordered = words[np.lexsort((words[:, 1], words[:, 0]))]
        again = int((ordered[1:] == ordered[:-1]).all(axis=1).sum())
        if again:
            message = f"--id: column {self.column!r} repeats ids ({again:,} times); name another"
            raise ScoringError(message)
