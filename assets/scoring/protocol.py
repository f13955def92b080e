"""What a scorer, a combiner and a batch are: the small interface that every method keeps.

A scorer is fitted in three pure steps, so that shards can be summarised apart: `summarise` turns
batches into a summary, `merge` adds two summaries (commutative and associative), `finish` turns a
summary into the state of a calibration. `score` then looks at one row at a time. Methods whose
score needs the other rows (semantic redundancy) say ``row_local = False`` and offer `score_all`
instead.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

Direction = Literal["high", "low"]


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
        float32, shape (n, d); a zero or NaN row is a record without a vector.
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


@dataclass(frozen=True, slots=True)
class ScorerState:
    """A summary or a fitted state: named arrays and plain values, nothing else.

    Attributes
    ----------
    scorer, version
        Which scorer wrote it.
    meta
        JSON values.
    arrays
        numpy arrays without objects.
    """

    scorer: str
    version: int
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Serialise as an npz without pickles; equal states give equal bytes."""
        about = {"scorer": self.scorer, "version": self.version, "meta": self.meta}
        header = json.dumps(about, sort_keys=True, ensure_ascii=False).encode()
        named: dict[str, Any] = {f"array:{n}": self.arrays[n] for n in sorted(self.arrays)}
        file = io.BytesIO()
        np.savez_compressed(file, header=np.frombuffer(header, dtype=np.uint8), **named)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ScorerState:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            about = json.loads(file["header"].tobytes())
            arrays = {n.removeprefix("array:"): file[n] for n in file.files if n != "header"}
        return cls(about["scorer"], about["version"], about["meta"], arrays)

    def digest(self) -> str:
        """Return 32 hex digits that name this state."""
        hasher = xxhash.xxh3_128()
        about = {"scorer": self.scorer, "version": self.version, "meta": self.meta}
        hasher.update(json.dumps(about, sort_keys=True).encode())
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            hasher.update(f"{name}{array.dtype.str}{array.shape}".encode())
            hasher.update(array.tobytes())
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """The scores of a batch.

    Attributes
    ----------
    name, version
        Of the scorer.
    values
        float64, shape (n,); NaN means that the score does not apply.
    reasons
        String series of n: null where there is a value, else why there is none.
    direction
        Whether high or low is better.
    extras
        Further float64 columns (metrics behind the score).
    """

    name: str
    version: int
    values: NDArray[np.float64]
    reasons: pl.Series
    direction: Direction
    extras: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def reason_counts(self) -> Counter[str]:
        """Count the rows without a score by reason."""
        return Counter(value for value in self.reasons.to_list() if value is not None)

    def to_frame(self) -> pl.DataFrame:
        """Return columns `name` (null where it does not apply) and the extras."""
        columns = {self.name: self.values, **self.extras}
        return pl.DataFrame(columns).with_columns(pl.all().fill_nan(None))


def reasons_from(n: int, where: Iterable[tuple[NDArray[np.bool_], str]]) -> pl.Series:
    """Build a reason column; the first reason whose mask covers a row is taken."""
    result = np.full(n, None, dtype=object)
    for mask, reason in where:
        result[mask & (result == None)] = reason  # noqa: E711 elementwise
    return pl.Series("reason", result.tolist(), dtype=pl.String)


@runtime_checkable
class Scorer(Protocol):
    """A method that gives each record one number."""

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[Needs]
    row_local: ClassVar[bool]
    cost: ClassVar[str]
    source: ClassVar[str]

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Summarise rows; order-free."""
        ...

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Add two summaries."""
        ...

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Turn a summary into a state."""
        ...

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows one by one."""
        ...

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Tell whether high or low is better; may depend on the state."""
        ...


@runtime_checkable
class WholeScorer(Protocol):
    """A method that must see all records to give each its number."""

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[Needs]
    row_local: ClassVar[bool]
    cost: ClassVar[str]
    source: ClassVar[str]

    def score_all(
        self,
        batch: ScoreBatch,
        rank: NDArray[np.integer[Any]],
        context: ScoreContext,
        model: Any = None,  # noqa: ANN401 whatever the method calibrates
    ) -> tuple[ScoreColumn, dict[str, Any]]:
        """Score all records; returns the column and JSON values about the computation."""
        ...

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Tell whether high or low is better."""
        ...


AnyScorer: TypeAlias = Scorer | WholeScorer


class Combiner(Protocol):
    """A method that turns several score columns into one, higher better."""

    name: ClassVar[str]
    version: ClassVar[int]

    def fit_ranks(
        self,
        batches: Iterable[Mapping[str, NDArray[np.float64]]],
        directions: Mapping[str, Direction],
    ) -> ScorerState:
        """Summarise score columns into mergeable ranks."""
        ...

    def apply(
        self, columns: Mapping[str, NDArray[np.float64]], state: ScorerState
    ) -> NDArray[np.float64]:
        """Combine rows one by one: float64 in [0, 1], NaN where every score is missing."""
        ...


def fit(scorer: Scorer, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
    """Fit a scorer on one stream of batches."""
    return scorer.finish(scorer.summarise(batches, context), context)


class Stateless:
    """The three steps of a fit for scorers that have nothing to fit."""

    name: ClassVar[str]
    version: ClassVar[int]

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Return the settings; the rows are not looked at."""
        meta = {"seed": context.seed, **vars(self)}
        return ScorerState(self.name, self.version, meta)

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Return one of two equal summaries."""
        check_same(left, right)
        return left

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Return the summary."""
        return summary


def check_same(left: ScorerState, right: ScorerState) -> None:
    """Refuse to merge summaries of different scorers or settings."""
    if (left.scorer, left.version, left.meta) != (right.scorer, right.version, right.meta):
        message = (
            f"cannot merge summaries of {left.scorer}@{left.version} {left.meta} "
            f"and {right.scorer}@{right.version} {right.meta}; summarise both with one setting"
        )
        raise ScoringError(message)
