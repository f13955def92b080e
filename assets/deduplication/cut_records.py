"""Records without the spans that others keep: what is left of them, and which of them go then.

A record keeps its `record_id`, which names a row. Its `content_id` is that of what is left, because content is what is
learned from: so a cache by content can't take a cut text for the whole one, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from assets.deduplication.records import text_tokens
from assets.deduplication.span_cuts import cut_text, merged
from assets.deduplication.staged_rows import staged_batches
from assets.deduplication.tables import CUT_RECORDS, RECORDS
from assets.kernels.identity import content_ids
from resources.base import Base

LEFT_SCHEMA = pl.Schema({"record_id": pl.String, "left_id": pl.String, "nothing": pl.Boolean})
LATE_SCHEMA = pl.Schema(
    {"record_id": pl.String, "fate": pl.String, "reason": pl.String, "by": pl.String}
)
NOTHING = "no word is left of it: its text stands in records that are kept"


def cut_records(
    files: Sequence[Path], columns: Sequence[str], cuts: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """Yield the records that lose spans, with what is left of text, content_id and tokens; other columns as they are.

    Parameters
    ----------
    files, columns
        Of `deduplication/records`.
    cuts
        record_id, start, end (characters); they may overlap.
    """
    joined = merged(cuts.select("start", "end", key="record_id"))
    spans = joined.group_by(record_id="key", maintain_order=True).agg("start", "end")
    for records in staged_batches(files, columns):
        batch = pl.DataFrame(records).join(spans, on="record_id", maintain_order="left")
        if batch.is_empty():
            continue
        parts = zip(batch["text"], batch["start"].to_list(), batch["end"].to_list(), strict=True)
        left = [cut_text(text, [*zip(a, b, strict=True)]) for text, a, b in parts]
        texts = pa.array(left, pa.string())
        yield batch.drop("start", "end").with_columns(
            content_id=pl.Series(content_ids("text", texts), dtype=pl.String),
            text=pl.Series(left, dtype=pl.String),
            tokens=pl.Series(text_tokens(texts)),
        )


def what_is_left(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `LEFT_SCHEMA` of records that were cut: `nothing` where no word is left."""
    word = pl.col("text").str.contains(r"\w")
    return rows.select("record_id", left_id="content_id", nothing=~word).cast(LEFT_SCHEMA)


def late_fates(left: pl.DataFrame, cuts: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Say which records go because of what is left of them.

    Parameters
    ----------
    left
        `LEFT_SCHEMA`.
    cuts
        record_id, keeper, tokens.
    records
        All that are not dropped so far: record_id, content_id (as read), role, label, held (held out).

    Returns
    -------
    DataFrame
        `LATE_SCHEMA`, sorted by record. In this order: no word is left; what is left is the content of an evaluation
        or target record (`contaminated`), of a held-out one, or of another of the same label that goes on
        (`duplicate`). Of several that are left with one content those stay that were not cut or that keep a span
        of others, else that with the smallest id.
    """
    longest = (
        cuts.sort(["tokens", "keeper"], descending=[True, False])
        .unique("record_id", keep="first", maintain_order=True)
        .select("record_id", by="keeper")
    )
    empty = left.filter("nothing").join(longest, on="record_id", how="left")
    gone = empty.select(
        "record_id", fate=pl.lit("filtered"), reason=pl.lit(NOTHING, pl.String), by="by"
    )
    words = left.filter(~pl.col("nothing"))
    keepers = cuts["keeper"].unique()
    now = (
        records.join(empty, on="record_id", how="anti")
        .join(words.select("record_id", "left_id"), on="record_id", how="left")
        .with_columns(
            cut=pl.col("left_id").is_not_null(),
            content_id=pl.coalesce("left_id", "content_id"),
            keeps=pl.col("record_id").is_in(keepers.implode()),
            rank=pl.when(pl.col("role") != "train").then(0).when("held").then(1).otherwise(2),
        )
        .join(words.select(content_id="left_id").unique(), on="content_id", how="semi")
        .sort("rank", "cut", ~pl.col("keeps"), "record_id")
    )
    parts = [gone]
    for at, fate, what, on in (
        (0, "contaminated", "an evaluation or target record", ["content_id"]),
        (1, "duplicate", "a held-out record", ["content_id"]),
        (2, "duplicate", "another record", ["content_id", "label"]),
    ):
        first = (
            now.filter(pl.col("rank") == at)
            .unique(on, keep="first", maintain_order=True)
            .select(*on, by="record_id")
        )
        # a record that keeps a span goes only where it may not stay
        open_ = now.filter(pl.col("cut") & (~pl.col("keeps") if at == 2 else pl.lit(value=True)))
        found = open_.join(first, on=on, nulls_equal=True).filter(
            pl.col("record_id") != pl.col("by")
        )
        reason = f"what is left of it without repeated spans is the content of {what}"
        parts.append(found.select("record_id", fate=pl.lit(fate), reason=pl.lit(reason), by="by"))
        now = now.join(found, on="record_id", how="anti")
    return pl.concat([part.cast(LATE_SCHEMA) for part in parts]).sort("record_id")


def went_on(base: Base) -> pl.LazyFrame | None:
    """Scan the records of a base release as they went on, or None where it has none."""
    if base.scan(RECORDS) is None:
        return None
    if base.scan(CUT_RECORDS) is None:  # a release of before records were cut
        return base.scan(RECORDS)

    def scan(table: str) -> pl.LazyFrame:
        found = base.scan(table)
        assert found is not None
        return found

    return going_on(scan)


def going_on(scan: Callable[[str], pl.LazyFrame]) -> pl.LazyFrame:
    """Scan the records as they go on to later stages: those that spans were cut out of as they are left.

    Parameters
    ----------
    scan
        Scans a table of the run or release.

    Returns
    -------
    LazyFrame
        The columns of `deduplication/records`. Where nothing was cut it is that table.
    """
    records, cut = scan(RECORDS), scan(CUT_RECORDS)
    if cut.select("record_id").head(1).collect().is_empty():
        return records
    whole = records.join(cut.select("record_id"), on="record_id", how="anti")
    return pl.concat([whole, cut.select(records.collect_schema().names())])
