"""The texts of any files, batch by batch, with an id and a content key each, as often as needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from assets.deduplication.errors import DeduplicationError
from assets.deduplication.normalise import content_text, parse_normalisation
from assets.ingestion.model import ReadOptions, Source
from assets.ingestion.read import read
from assets.kernels.identity import content_ids

POSITION = "sluice_position"


class FileColumnError(DeduplicationError):
    """A file lacks the named column, cannot be read, or repeats an id."""


@dataclass
class FileTexts:
    """The texts of a column of some files; can be iterated again and again.

    Parameters
    ----------
    sources
        From `files.file_source`.
    text
        The column with the text.
    id_column
        The column that identifies records over all files; None: `table#position`, counted from 0.
    normalise
        What counts as the same text (see `normalise`); texts come so normalised.
    options
        How to read the files.

    Attributes
    ----------
    rejected
        Rows that the reader set aside, or whose text is not UTF-8, in the last complete iteration.
    without_text
        Rows whose text was null, in the last complete iteration.
    """

    sources: Sequence[Source]
    text: str
    id_column: str | None = None
    normalise: str = "none"
    options: ReadOptions | None = None
    rejected: int = field(default=0, init=False)
    without_text: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._steps = parse_normalisation(self.normalise)

    def __iter__(self) -> Iterator[tuple[pl.DataFrame, pa.Array]]:
        """Yield frames with id and key, and their texts; records without text (null) are left out.

        Raises
        ------
        FileColumnError
            A column is missing or no text, or a file breaks off.
        """
        for frame, texts, _, _ in self.with_rows(()):
            yield frame, texts

    def with_rows(
        self, columns: Sequence[str]
    ) -> Iterator[tuple[pl.DataFrame, pa.Array, dict[str, pl.Series], int]]:
        """Yield as iteration does, and also some columns as strings, and the place of the source."""
        rejected = without_text = 0
        for place, source in enumerate(self.sources):
            stream = read(source, self.options)
            for batch in stream:
                texts, ids = self._columns(source, batch)
                whole = _utf8(texts)
                without_text += texts.null_count
                rejected += len(texts) - int(whole.true_count)
                some = pc.and_(whole, texts.is_valid())
                if some.true_count < len(texts):
                    texts, ids, batch = (
                        texts.filter(some),
                        ids.filter(pl.Series(some)),
                        batch.filter(some),
                    )
                if self._steps:
                    texts = _normalised(texts, self.normalise)
                keys = pl.Series("key", content_ids("text", texts), dtype=pl.String)
                more = {name: _strings(source, batch, name) for name in columns}
                yield pl.DataFrame({"id": ids, "key": keys}), texts, more, place
            rejected += len(stream.rejects)
            if stream.error is not None:
                message = f"{source.path}: reading stopped: {stream.error}"
                raise FileColumnError(message)
        self.rejected, self.without_text = rejected, without_text

    def contents(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        """Yield keys and texts, as a second pass of `NearDuplicates` reads them."""
        for frame, texts in self:
            yield frame["key"].to_arrow(), texts

    def refuse_repeated(self, ids: pl.Series) -> None:
        """Refuse ids that are null or occur twice."""
        if ids.null_count() or ids.n_unique() != len(ids):
            again = ids.to_frame("id").filter(pl.col("id").is_duplicated() | pl.col("id").is_null())
            message = (
                f"column {self.id_column!r}: id {again['id'][0]!r} is null or occurs twice; "
                "name another column"
            )
            raise FileColumnError(message)

    def _columns(self, source: Source, batch: pa.RecordBatch) -> tuple[pa.Array, pl.Series]:
        for column in (self.text, self.id_column):
            if column is not None:
                _demand(source, batch, column)
        held = batch.column(self.text)
        try:
            binary = pa.types.is_binary(held.type) or pa.types.is_large_binary(held.type)
            texts = _unchecked(held) if binary else held.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = f"{source.path}: column {self.text!r} is no text but {held.type}"
            raise FileColumnError(message) from error
        if self.id_column is not None:
            return texts, pl.Series("id", batch.column(self.id_column).cast(pa.string()))
        position = pl.Series("id", batch.column(POSITION)).cast(pl.String).to_frame()
        return texts, position.select(id=pl.lit(f"{source.table}#") + pl.col("id"))["id"]


def _unchecked(octets: pa.Array) -> pa.Array:
    """View binary values as text that nobody has looked at yet."""
    held = octets.cast(pa.binary())
    return pa.Array.from_buffers(
        pa.string(), len(held), held.buffers(), held.null_count, held.offset
    )


def _utf8(texts: pa.Array) -> pa.Array:
    """Say for each text whether it is UTF-8 (or null)."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array([_decodes(octets) for octets in texts.cast(pa.binary()).to_pylist()])
    return _all_true(len(texts))


def _all_true(count: int) -> pa.Array:
    """Return as many bits that are set; of a Python value, Arrow would import pandas to make them."""
    bits = pa.py_buffer(b"\xff" * ((count + 7) // 8))
    return pa.Array.from_buffers(pa.bool_(), count, [None, bits])


def _decodes(octets: bytes | None) -> bool:
    try:
        return octets is None or octets.decode() is not None
    except UnicodeDecodeError:
        return False


def _demand(source: Source, batch: pa.RecordBatch, column: str) -> None:
    if column not in batch.schema.names:
        names = [name for name in batch.schema.names if name != POSITION]
        message = f"{source.path} has no column {column!r}; it has {', '.join(names[:20])}"
        raise FileColumnError(message)


def _strings(source: Source, batch: pa.RecordBatch, column: str) -> pl.Series:
    _demand(source, batch, column)
    try:
        return pl.Series(column, batch.column(column).cast(pa.string()), dtype=pl.String)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = (
            f"{source.path}: column {column!r} can't be ordered: it is {batch.column(column).type}"
        )
        raise FileColumnError(message) from error


def _normalised(texts: pa.Array, setting: str) -> pa.Array:
    return content_text(pl.Series(texts, dtype=pl.String), setting).to_arrow().cast(pa.string())
