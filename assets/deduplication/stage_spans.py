"""Spans that the stage's texts share with protected records, and with one another."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from assets.deduplication.contamination import PROTECTED
from assets.deduplication.repeated_spans import MATCH_SCHEMA, matches
from assets.deduplication.shared_spans import shared_spans
from assets.deduplication.span_cuts import span_cuts
from assets.deduplication.span_partners import exact_partners
from assets.deduplication.stage_texts import StageTexts
from assets.deduplication.survivor_order import order_columns
from assets.deduplication.token_files import TokenFiles

SHARED_SCHEMA = pl.Schema(
    {
        "content_id": pl.String,
        "against": pl.String,
        "role": pl.String,
        "tokens": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,
        "against_start": pl.Int64,
        "against_end": pl.Int64,
    }
)
REPEATED_SCHEMA = pl.Schema(
    {
        "content_id": pl.String,
        "start": pl.Int64,
        "end": pl.Int64,
        "tokens": pl.Int64,
        "other": pl.String,
        "other_start": pl.Int64,
        "other_end": pl.Int64,
        "removable": pl.Boolean,
    }
)
CUTS_SCHEMA = pl.Schema(
    {
        "record_id": pl.String,
        "content_id": pl.String,
        "start": pl.Int64,
        "end": pl.Int64,
        "tokens": pl.Int64,
        "keeper": pl.String,
        "keeper_start": pl.Int64,
        "keeper_end": pl.Int64,
    }
)


def spans_with_protected(texts: StageTexts, records: pl.DataFrame, tokens: int) -> pl.DataFrame:
    """Find the spans of at least so many tokens that training texts share with protected ones.

    Parameters
    ----------
    texts
        The texts.
    records
        record_id, content_id (one for all equal texts), role.
    tokens
        The least length.

    Returns
    -------
    DataFrame
        content_id, against (the first protected record with that text), role (its), tokens, start, end,
        against_start, against_end (characters of the normalised texts); sorted.
    """
    roles = {role: place for place, role in enumerate(PROTECTED)}
    guarded = (
        records.filter(pl.col("role") != "train", pl.col("content_id").is_not_null())
        .with_columns(pl.col("role").cast(pl.String))
        .filter(pl.col("role").is_in(list(roles)))
        .with_columns(place=pl.col("role").replace_strict(roles, return_dtype=pl.Int64))
        .sort("place", "record_id")
        .unique("content_id", keep="first", maintain_order=True)
    )
    first = texts.firsts.join(guarded, on="content_id", how="semi")
    others = texts.firsts.join(guarded, on="content_id", how="anti")
    # the protected texts come in the order in which they are named, whatever the order of rows
    held = [
        pl.DataFrame({"content_id": keys, "text": values}, schema_overrides={"text": pl.String})
        for keys, values in texts.batches(first)
    ]
    if not held:
        return pl.DataFrame(schema=SHARED_SCHEMA)
    named = guarded.join(pl.concat(held), on="content_id", maintain_order="left")
    files = TokenFiles()
    files.add(named["text"].to_arrow())
    keys = [named["content_id"]]
    for some, values in texts.batches(others):
        keys.append(pl.Series("content_id", some, dtype=pl.String))
        files.add(values)
    content = pl.concat(keys)
    parts = shared_spans(files.close(), named.height, tokens)
    found = pl.concat([pl.DataFrame(schema=MATCH_SCHEMA), *parts])
    return found.select(
        content.gather(found["text"]).alias("content_id"),
        named["record_id"].gather(found["other"]).alias("against"),
        named["role"].gather(found["other"]).alias("role"),
        "tokens",
        "start",
        "end",
        against_start="other_start",
        against_end="other_end",
    ).sort("content_id", "start")


def spans_among(
    texts: StageTexts,
    records: pl.DataFrame,
    tokens: int,
    order: Sequence[str],
    memory_bytes: int,
    *,
    remove: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find the spans of at least so many tokens that the texts of records share, and which of them go.

    Parameters
    ----------
    texts
        The texts as they were read.
    records
        Those that go on: record_id, content_id, rule, length, since (smaller first, null last), whole (nothing is cut
        out of it) and the columns that `order` names.
    tokens
        The least length.
    order
        Which text keeps a span (see `survivor_order`); `since` goes before it, the content's hash ends ties.
    memory_bytes
        For sorting.
    remove
        Whether anything goes.

    Returns
    -------
    repeated
        As `matches`, by content id; `removable` where the other text comes first in the order.
    cuts
        `CUTS_SCHEMA`: what goes by `span_cuts`, of every record with such a text; sorted by record and start.
    """
    wishes = order_columns(records.with_columns(source="rule"), order)
    ranked = (
        records.select("record_id", "content_id", "whole", "since")
        .hstack(wishes)
        .filter(pl.col("content_id").is_not_null())
        .sort(["since", *wishes.columns, "content_id", "record_id"], nulls_last=True)
        .with_columns(whole=pl.col("whole").any().over("content_id"))
        .unique("content_id", keep="first", maintain_order=True)
        .select("content_id", "record_id", "whole")
        .with_row_index("place")
    )
    files, keys = TokenFiles(), [pl.Series("content_id", [], dtype=pl.String)]
    for some, values in texts.batches(texts.firsts.join(ranked, on="content_id", how="semi")):
        keys.append(pl.Series("content_id", some, dtype=pl.String))
        files.add(values)
    content = pl.concat(keys)
    named = content.to_frame().join(ranked, on="content_id", how="left", maintain_order="left")
    places = named["place"].to_numpy().astype("int64")
    held = files.close()
    none = pl.DataFrame(schema=MATCH_SCHEMA)
    with exact_partners(held, tokens, places, memory_bytes=memory_bytes) as partner:
        found = pl.concat([none, *matches(held, partner, tokens, places)])
        gone = none
        if remove:
            stays = named["whole"].to_numpy()
            gone = pl.concat([none, *span_cuts(held, partner, tokens, places, stays)])
    repeated = found.select(
        content.gather(found["text"]).alias("content_id"),
        "start",
        "end",
        "tokens",
        content.gather(found["other"]).alias("other"),
        "other_start",
        "other_end",
        removable="earlier",
    ).sort("content_id", "start")
    cuts = gone.select(
        content.gather(gone["text"]).alias("content_id"),
        "start",
        "end",
        "tokens",
        named["record_id"].gather(gone["other"]).alias("keeper"),
        keeper_start="other_start",
        keeper_end="other_end",
    )
    losers = records.select("record_id", "content_id")
    return repeated, cuts.join(losers, on="content_id").select(*CUTS_SCHEMA).sort(
        "record_id", "start"
    )
