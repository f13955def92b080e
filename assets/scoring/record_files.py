"""Records of any files as score batches, without a lake or a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from assets.deduplication.files import POSITION
from assets.ingestion.model import RowStream, Source
from assets.ingestion.read import read
from assets.scoring.embedders import Embedder
from assets.scoring.protocol import Needs, ScoreBatch, ScoringError
from assets.scoring.record_columns import UniqueIds, record_ids, strings, tag_lists

__all__ = ["Columns", "RecordFiles", "UniqueIds", "record_ids", "strings", "tag_lists"]

BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file play which part; each is named by the option of the same name.

    Attributes
    ----------
    text, label, language, id
        Columns, or None. Without `id` a record is `path#position`, counted from 0.
    features
        Columns of numbers; a record's vector is made of them where it has no text.
    embedding
        A column of lists of numbers, taken as the record's vector instead of a computed one.
    stratum
        A column, named by --column or --stratum, that a batch has as its group instead of the language.
    cohort
        The column of the group that records are valued with, named by --group.
    tags
        A column of lists of tags, or of tags separated by commas.
    """

    text: str | None = None
    label: str | None = None
    features: tuple[str, ...] = ()
    embedding: str | None = None
    language: str | None = None
    id: str | None = None
    stratum: str | None = None
    cohort: str | None = None
    tags: str | None = None

    def __post_init__(self) -> None:
        if self.features and self.embedding:
            message = "--features and --embedding both say what a record's vector is; give one"
            raise ScoringError(message)

    @property
    def gives(self) -> Needs:
        """What scorers can have of such records, but for a target."""
        found = Needs.RANK
        if self.cohort or self.language:
            found |= Needs.GROUP
        if self.text:
            found |= Needs.TEXT
        if self.label:
            found |= Needs.LABEL
        if self.features:
            found |= Needs.FEATURES
        if self.text or self.features or self.embedding:
            found |= Needs.EMBEDDING
        return found


@dataclass
class RecordFiles:
    """Some files to be read more than once, in order.

    Parameters
    ----------
    sources
        From `assets.deduplication.files.file_source`.
    columns
        What their columns are.
    embedder
        Makes vectors of text or features where `columns` names no embedding; None for no vectors.
    role
        What the records are: ``train`` or ``target``.

    Attributes
    ----------
    set_aside
        Records that the reader could not read in the last pass, by source.
    """

    sources: Sequence[Source]
    columns: Columns
    embedder: Embedder | None = None
    role: str = "train"
    set_aside: dict[str, int] = field(default_factory=dict)
    _width: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        names = [source.table for source in self.sources]
        again = next((name for name in names if names.count(name) > 1), None)
        if again is not None:
            message = f"{again} is given twice; its records would have one id"
            raise ScoringError(message)

    def batches(self) -> Iterator[tuple[ScoreBatch, pa.RecordBatch]]:
        """Stream the records, each batch beside the columns that it was made of.

        Raises
        ------
        ScoringError
            A column is missing or of a type that it can't be, an id is null, a vector has another
            length than the first one, or a file breaks off.
        """
        for source in self.sources:
            stream = read(source, batch_rows=BATCH_ROWS)
            self._check(source, stream)
            aside = 0
            for rows in stream:
                aside += len(stream.take_rejects())
                yield self._batch(source, rows), rows
            self.set_aside[source.table] = aside + len(stream.take_rejects())
            if stream.error is not None:
                message = f"{source.path}: reading stopped: {stream.error}"
                raise ScoringError(message)

    def nothing(self) -> ScoreBatch:
        """Return no records, with the columns that a batch has."""
        given = self.columns
        none = pa.array([], pa.string())
        width = self.embedder.dim if self.embedder is not None else (self._width or (1, ""))[0]
        return ScoreBatch(
            pl.Series("id", [], dtype=pl.String),
            text=none if given.text else None,
            features=pa.array([], pa.list_(pa.float64())) if given.features else None,
            label=none if given.label else None,
            embedding=np.zeros((0, width), dtype=np.float32),
            group=none if given.language else None,
            role=self.role,
            cohort=none if given.cohort else None,
        )

    def _check(self, source: Source, stream: RowStream) -> None:
        names = [name for name in stream.schema.names if name != POSITION]
        given = self.columns
        wanted = [("text", given.text), ("label", given.label), ("embedding", given.embedding)]
        wanted += [
            ("language", given.language),
            ("id", given.id),
            ("column or --stratum", given.stratum),
        ]
        wanted += [("group", given.cohort), ("tags", given.tags)]
        wanted += [("features", name) for name in given.features]
        for option, column in wanted:
            if column is not None and column not in names:
                message = (
                    f"--{option}: {source.path} has no column {column!r}; "
                    f"it has {', '.join(names[:20])}"
                )
                raise ScoringError(message)

    def _batch(self, source: Source, rows: pa.RecordBatch) -> ScoreBatch:
        given = self.columns
        text = self._strings(source, rows, "text", given.text)
        features = self._features(source, rows) if given.features else None
        embedding = None
        group = (
            ("column or --stratum", given.stratum)
            if given.stratum
            else ("language", given.language)
        )
        if given.embedding is not None:
            embedding = self._vectors(source, rows, given.embedding)
        elif self.embedder is not None and (text is not None or features is not None):
            embedding = self.embedder.embed(text, features, list(given.features) or None)
        return ScoreBatch(
            record_ids(source, rows, given.id),
            text=text,
            features=features,
            label=self._strings(source, rows, "label", given.label),
            embedding=embedding,
            group=self._strings(source, rows, *group),
            role=self.role,
            cohort=self._strings(source, rows, "group", given.cohort),
        )

    def _strings(
        self, source: Source, rows: pa.RecordBatch, option: str, column: str | None
    ) -> pa.Array | None:
        return None if column is None else strings(source, rows, option, column)

    def _features(self, source: Source, rows: pa.RecordBatch) -> pa.Array:
        numbers = []
        for name in self.columns.features:
            try:
                numbers.append(rows.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                message = f"--features: column {name!r} of {source.path} is no number: {error}"
                raise ScoringError(message) from error
        table = np.column_stack(numbers)
        offsets = pa.array(np.arange(rows.num_rows + 1, dtype=np.int32) * table.shape[1])
        nothing = pa.array(np.isnan(table).all(axis=1))
        flat = pa.array(table.reshape(-1), pa.float64())
        return pa.ListArray.from_arrays(offsets, flat, mask=nothing)

    def _vectors(self, source: Source, rows: pa.RecordBatch, name: str) -> NDArray[np.float32]:
        column = rows.column(name)
        at = rows.column(POSITION)
        if not _is_list_of_numbers(column.type):
            message = (
                f"--embedding: column {name!r} of {source.path} is {column.type}, no list of "
                "numbers; store vectors as lists, in Parquet, Delta or JSON Lines"
            )
            raise ScoringError(message)
        lists = column.cast(pa.large_list(pa.float32()))
        sizes = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
        held = np.flatnonzero(np.asarray(lists.is_valid()))
        if len(held) and self._width is None:
            first = int(held[0])
            self._width = (int(sizes[first]), f"{source.path}#{at[first].as_py()}")
        width, where = self._width or (1, "")
        other = held[sizes[held] != width]
        if len(other) or width < 1:
            row = int(other[0]) if len(other) else int(held[0])
            message = (
                f"--embedding: {source.path}#{at[row].as_py()} has {int(sizes[row])} numbers and "
                f"{where} has {width}; vectors of different spaces can't be compared"
            )
            raise ScoringError(message)
        vectors = np.zeros((rows.num_rows, width), dtype=np.float32)
        values = lists.take(pa.array(held)).flatten().to_numpy(zero_copy_only=False)
        vectors[held] = values.reshape(len(held), width)
        return vectors


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(check(kind) for check in lists):
        return False
    inner = kind.value_type
    return bool(pa.types.is_floating(inner) or pa.types.is_integer(inner))
