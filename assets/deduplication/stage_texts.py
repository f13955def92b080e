"""The records of the stage without their texts, and their texts, one a content, as the searches read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.deduplication.normalise import content_text, parse_normalisation
from assets.deduplication.staged_rows import staged_batches
from assets.kernels.identity import content_ids

_WANTED = ["text", "features", "uri", "tokens"]
_FEW_VALUES = ["table", "role"]
_NO_TWIN = {"content_id": pl.String, "same_as": pl.String}


def narrow_records(files: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
    """Read what is decided on, and no text.

    Parameters
    ----------
    files
        Of `deduplication/records`, in order.
    columns
        Which of the record's columns are held, beside its identity.

    Returns
    -------
    DataFrame
        record_id, content_id, table, role (both Categorical), the columns, length (bytes of the text, or how many
        features), empty (there is nothing to learn from), texted (there is a text). Rows as in the files.
    """
    held = ["record_id", "content_id", *_FEW_VALUES, *columns]
    shown = [
        *(pl.col(name).cast(pl.Categorical) if name in _FEW_VALUES else name for name in held),
        pl.coalesce(pl.col("text").str.len_bytes().cast(pl.Int64), pl.col("tokens")).alias(
            "length"
        ),
        _nothing_to_learn().alias("empty"),
        pl.col("text").is_not_null().alias("texted"),
    ]
    parts = [_frame(batch).select(shown) for batch in staged_batches(files, [*held, *_WANTED])]
    return pl.concat(parts, rechunk=True) if parts else _no_records(held)


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    """Take columns one by one: a frame made of a whole batch holds all of it as long as any column is held."""
    return pl.DataFrame([pl.Series(field.name, batch.column(field.name)) for field in batch.schema])


def _no_records(held: Sequence[str]) -> pl.DataFrame:
    kinds: dict[str, type[pl.DataType]] = dict.fromkeys(held, pl.String)
    kinds |= dict.fromkeys(_FEW_VALUES, pl.Categorical)
    kinds |= {"rule": pl.Int32} if "rule" in kinds else {}
    return pl.DataFrame(
        schema={**kinds, "length": pl.Int64, "empty": pl.Boolean, "texted": pl.Boolean}
    )


def _nothing_to_learn() -> pl.Expr:
    text = pl.col("text").is_not_null() & (pl.col("text").str.strip_chars().str.len_bytes() > 0)
    features = pl.col("features").is_not_null() & (
        pl.col("features").list.drop_nulls().list.len() > 0
    )
    uri = pl.col("uri").is_not_null() & (pl.col("uri") != "")
    return ~(text | features | uri)


@dataclass(frozen=True)
class StageTexts:
    """Distinct contents with a text.

    Attributes
    ----------
    files
        Of `deduplication/records`.
    setting
        The normalisation that texts come in.
    firsts
        content_id, at: one row a distinct text, and the row in the files that it is read from; in order of rows.
    same
        content_id, same_as: contents that are equal to another as normalised, with the smallest of their ids.
    """

    files: Sequence[Path]
    setting: str
    firsts: pl.DataFrame
    same: pl.DataFrame

    @classmethod
    def of(cls, files: Sequence[Path], narrow: pl.DataFrame, setting: str) -> StageTexts:
        """Find the distinct texts of records under a normalisation; texts are streamed.

        Parameters
        ----------
        files
            Of `deduplication/records`.
        narrow
            `narrow_records` of them.
        setting
            See `normalise`.
        """
        firsts = (
            narrow.select("content_id", "texted")
            .with_row_index("at")
            .filter("texted", pl.col("content_id").is_first_distinct())
            .select("content_id", "at")
        )
        same = pl.DataFrame(schema=_NO_TWIN)
        texts = cls(files, setting, firsts, same)
        if not parse_normalisation(setting):
            return texts
        parts = [pl.DataFrame(schema={"content_id": pl.String, "after": pl.String})]
        for keys, values in texts.batches():
            after = content_ids("text", values)
            parts.append(pl.DataFrame({"content_id": keys, "after": after}))
        same = (
            pl.concat(parts)
            .with_columns(same_as=pl.col("content_id").min().over("after"))
            .filter(pl.col("same_as") != pl.col("content_id"))
            .select("content_id", "same_as")
        )
        firsts = firsts.join(same, on="content_id", how="anti", maintain_order="left")
        return cls(files, setting, firsts, same)

    def batches(self, chosen: pl.DataFrame | None = None) -> Iterator[tuple[pa.Array, pa.Array]]:
        """Yield content ids and texts of some contents (all by default), as a pass of `NearDuplicates` reads them.

        `chosen`: some rows of `firsts`. Files that hold none of them are still read through.
        """
        wanted = (self.firsts if chosen is None else chosen)["at"].sort().to_numpy()
        begin = 0
        for batch in staged_batches(self.files, ["content_id", "text"]):
            rows = _between(wanted, begin, begin + batch.num_rows)
            begin += batch.num_rows
            if not len(rows):
                continue
            if len(rows) < batch.num_rows:
                batch = batch.take(pa.array(rows))
            texts = batch.column("text")
            if parse_normalisation(self.setting):
                texts = content_text(pl.Series("text", texts), self.setting).to_arrow()
            yield batch.column("content_id"), texts.cast(pa.large_string())

    def renamed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Put one content id in the place of all that are equal as normalised."""
        if self.same.is_empty():
            return frame
        joined = frame.join(self.same, on="content_id", how="left", maintain_order="left")
        return joined.with_columns(content_id=pl.coalesce("same_as", "content_id")).drop("same_as")


def _between(sorted_rows: npt.NDArray[np.uint32], begin: int, end: int) -> npt.NDArray[np.int64]:
    """Return which rows lie in a range, counted from its begin."""
    first, last = np.searchsorted(sorted_rows, [begin, end])
    return sorted_rows[first:last].astype(np.int64) - begin
