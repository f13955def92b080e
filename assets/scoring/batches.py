"""Records as a scorer meets them: batches of columns, what a method needs of them, and the context of a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


class ScoringError(ValueError):
    """A score that cannot be computed from what the recipe gives; names the setting."""


class Needs(Flag):
    """What a scorer needs of the records."""

    NONE = 0
    TEXT = auto()
    FEATURES = auto()
    EMBEDDING = auto()
    LABEL = auto()
    TARGET = auto()
    GROUP = auto()
    RANK = auto()


@dataclass(frozen=True, slots=True)
class ScoreBatch:
    """Some records, column by column; every column has n rows or is None.

    Attributes
    ----------
    ids
        n strings (record ids, or content ids where a cache by content is filled).
    text
        Arrow strings, nulls where a record has none.
    features
        Arrow list of float64, nulls where a record has none.
    label
        Arrow array.
    embedding
        float32, shape (n, d); a zero or NaN row is a record without a vector. All records together that a
        `WholeScorer` is given may have them as float16, also as rows of a `VectorStore`.
    group
        Arrow strings: the language where the recipe names one, else null.
    cohort
        Arrow strings: the group that a record is valued with (a recipe's allocation group, or --group); the language
        where there is none.
    role
        ``train``, ``target`` or ``evaluation``: one for all rows, or an Arrow array.
    """

    ids: pl.Series
    text: pa.Array | None = None
    features: pa.Array | None = None
    label: pa.Array | None = None
    embedding: NDArray[np.float32] | None = None
    group: pa.Array | None = None
    role: str | pa.Array = "train"
    cohort: pa.Array | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.ids, pl.Series):
            object.__setattr__(self, "ids", pl.Series("id", self.ids, dtype=pl.String))
        n = len(self.ids)
        for name in ("text", "features", "label", "group", "role", "cohort"):
            column = getattr(self, name)
            if isinstance(column, pl.Series):
                column = column.to_arrow()
                object.__setattr__(self, name, column)
            if isinstance(column, pa.ChunkedArray):
                column = column.combine_chunks()
                object.__setattr__(self, name, column)
            if isinstance(column, pa.Array) and len(column) != n:
                message = f"batch column {name} has {len(column)} rows but there are {n} ids"
                raise ScoringError(message)
        if self.embedding is not None and (self.embedding.ndim != 2 or len(self.embedding) != n):
            message = f"batch embedding has shape {self.embedding.shape} but there are {n} ids"
            raise ScoringError(message)

    def __len__(self) -> int:
        return len(self.ids)

    def has_role(self, role: str) -> NDArray[np.bool_]:
        """Tell which rows play a role (bool, shape (n,))."""
        if isinstance(self.role, str):
            return np.full(len(self), self.role == role)
        return np.array([value == role for value in self.role.to_pylist()], dtype=bool)

    def slice(self, start: int, stop: int) -> ScoreBatch:
        """Return rows start to stop, excluding stop."""
        return self.take(np.arange(start, min(stop, len(self))))

    def take(self, rows: NDArray[np.integer[Any]]) -> ScoreBatch:
        """Return the given rows in the given order."""

        def pick(column: pa.Array | None) -> pa.Array | None:
            return None if column is None else column.take(pa.array(rows, type=pa.int64()))

        embedding = None if self.embedding is None else self.embedding[rows]
        role = self.role if isinstance(self.role, str) else pick(self.role)
        return ScoreBatch(
            self.ids.gather(rows),
            pick(self.text),
            pick(self.features),
            pick(self.label),
            embedding,
            pick(self.group),
            role,
            pick(self.cohort),
        )


@dataclass(frozen=True, slots=True)
class ScoreContext:
    """What a fit may depend on beside the data.

    Attributes
    ----------
    seed
        The recipe's seed.
    device
        torch device; changes speed, never the answer.
    progress
        Called with the number of rows done, where a person is watching.
    """

    seed: int = 0
    device: Any = "cpu"
    progress: Callable[[int], None] | None = None
