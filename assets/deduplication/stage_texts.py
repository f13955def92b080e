"""The texts of the stage's records, one a content, as the searches read them: normalised as the recipe says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from assets.deduplication.normalise import normalised, parse_normalisation
from assets.kernels.identity import content_ids

BATCH = 20_000


@dataclass(frozen=True)
class StageTexts:
    """Distinct contents with a text.

    Attributes
    ----------
    rows
        at (row of the text), content_id, role, text, of every record with a text.
    firsts
        content_id, at: one row a distinct text.
    same
        content_id, same_as: contents that are equal to another as normalised, with the smallest of their ids.
    """

    rows: pl.LazyFrame
    firsts: pl.DataFrame
    same: pl.DataFrame

    @classmethod
    def of(cls, records: pl.LazyFrame, setting: str) -> StageTexts:
        """Find the distinct texts of records under a normalisation; texts are streamed."""
        rows = (
            records.filter(pl.col("text").is_not_null())
            .select("content_id", "role", "text")
            .with_row_index("at")
        )
        firsts = rows.group_by("content_id").agg(pl.col("at").min()).collect(engine="streaming")
        same = pl.DataFrame(schema={"content_id": pl.String, "same_as": pl.String})
        if parse_normalisation(setting):
            rows = rows.with_columns(text=normalised(pl.col("text"), setting))
            parts = [pl.DataFrame(schema={"content_id": pl.String, "after": pl.String})]
            for keys, texts in cls(rows, firsts, same).batches():
                after = content_ids("text", texts)
                parts.append(pl.DataFrame({"content_id": keys, "after": after}))
            same = (
                pl.concat(parts)
                .with_columns(same_as=pl.col("content_id").min().over("after"))
                .filter(pl.col("same_as") != pl.col("content_id"))
                .select("content_id", "same_as")
            )
            firsts = firsts.join(same, on="content_id", how="anti")
        return cls(rows, firsts, same)

    def batches(self, chosen: pl.DataFrame | None = None) -> Iterator[tuple[pa.Array, pa.Array]]:
        """Yield content ids and texts of some contents (all by default), as a pass of `NearDuplicates` reads them."""
        wanted = (self.firsts if chosen is None else chosen).lazy().select("at")
        rows = self.rows.join(wanted, on="at", how="semi")
        for batch in rows.collect_batches(chunk_size=BATCH):
            table = batch.to_arrow()
            texts = table.column("text").combine_chunks().cast(pa.large_string())
            yield table.column("content_id").combine_chunks(), texts

    def renamed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Put one content id in the place of all that are equal as normalised."""
        joined = frame.join(self.same, on="content_id", how="left", maintain_order="left")
        return joined.with_columns(content_id=pl.coalesce("same_as", "content_id")).drop("same_as")
