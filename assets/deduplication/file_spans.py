"""Spans that records of any files share: reported with their offsets, or cut out of all but the first record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assets.deduplication.file_texts import FileTexts
from assets.deduplication.repeated_spans import matches
from assets.deduplication.span_cuts import CUT_SCHEMA, cut_text, merged, span_cuts
from assets.deduplication.span_partners import exact_partners
from assets.deduplication.survivor_order import DEFAULT_ORDER, order_columns, wanted_columns
from assets.deduplication.token_files import TokenFiles
from assets.kernels.identity import content_ids

SPAN_SCHEMA = pl.Schema(
    {
        "id": pl.String,
        "start": pl.Int64,
        "end": pl.Int64,
        "tokens": pl.Int64,
        "other": pl.String,
        "other_start": pl.Int64,
        "other_end": pl.Int64,
        "removable": pl.Boolean,
    }
)
_CUT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("content_id", pa.string()),
        ("characters_removed", pa.int64()),
    ]
)


@dataclass(frozen=True)
class FileSpans:
    """What `spans_of_files` found.

    Attributes
    ----------
    spans
        id, start, end (characters of the text), tokens, other, other_start, other_end, removable (whether the
        other record comes first in the survivor order); sorted by id and start. Of copies of a text only the
        record that comes first is listed: copies are exact duplicates.
    cuts
        key (content id), start, end: what goes when spans are removed; merged, sorted.
    records, distinct
        Records read, and distinct texts among them.
    """

    spans: pl.DataFrame
    cuts: pl.DataFrame
    records: int
    distinct: int


def spans_of_files(
    texts: FileTexts,
    tokens: int,
    *,
    order: Sequence[str] = DEFAULT_ORDER,
    memory_bytes: int = 256 << 20,
) -> FileSpans:
    """Find all spans of at least so many tokens that records with different texts share.

    Parameters
    ----------
    texts
        The records; offsets are those of the texts as normalised.
    tokens
        The least length.
    order
        Which record keeps a span (see `survivor_order`).
    memory_bytes
        For sorting; the answer also holds what was found, and about 300 bytes a record.

    Raises
    ------
    FileColumnError
        As `FileTexts`, and for ids that repeat.
    """
    named = wanted_columns(order)
    schema = {"id": pl.String, "key": pl.String, "length": pl.Int64, "source": pl.Int64}
    parts = [pl.DataFrame(schema={**schema, **dict.fromkeys(named, pl.String)})]
    numbers: dict[str, int] = {}
    files = TokenFiles()
    for frame, values, more, place in texts.with_rows(named):
        length = pl.Series(values, dtype=pl.String).str.len_chars().cast(pl.Int64)
        parts.append(frame.with_columns(length=length, source=pl.lit(place, pl.Int64), **more))
        files.add(values.filter(pa.array(_numbered(frame["key"], numbers), pa.bool_())))
    records = pl.concat(parts)
    texts.refuse_repeated(records["id"])
    ordered = order_columns(records, order)
    ranked = (
        records.select("id", "key")
        .hstack(ordered)
        .sort([*ordered.columns, "key", "id"], nulls_last=True)
        .unique("key", keep="first", maintain_order=True)
        .select("id", "key")
        .with_row_index("place")
    )
    known = pl.DataFrame({"key": list(numbers)}, schema={"key": pl.String})
    by_number = known.join(ranked, on="key", how="left", maintain_order="left")
    places = by_number["place"].to_numpy().astype(np.int64)
    spans, cuts = [pl.DataFrame(schema=SPAN_SCHEMA)], [pl.DataFrame(schema=CUT_SCHEMA)]
    held = files.close()
    with exact_partners(held, tokens, places, memory_bytes=memory_bytes) as partner:
        spans += [
            found.select(
                pl.Series("id", by_number["id"].gather(found["text"])),
                "start",
                "end",
                "tokens",
                pl.Series("other", by_number["id"].gather(found["other"])),
                "other_start",
                "other_end",
                removable="earlier",
            )
            for found in matches(held, partner, tokens, places)
        ]
        for gone in span_cuts(held, partner, tokens, places):
            keys = pl.Series("key", by_number["key"].gather(gone["text"]))
            cuts.append(gone.select(keys, "start", "end"))
    return FileSpans(
        pl.concat(spans).sort("id", "start"),
        merged(pl.concat(cuts)),
        records.height,
        len(numbers),
    )


def _numbered(keys: pl.Series, numbers: dict[str, int]) -> list[bool]:
    """Give new keys the next numbers, and say which are new."""
    fresh = []
    for key in keys:
        fresh.append(key not in numbers)
        numbers.setdefault(key, len(numbers))
    return fresh


def without_spans(texts: FileTexts, cuts: pl.DataFrame) -> Iterator[pa.Table]:
    """Yield id, text, content_id and characters_removed of every record, in the order of the files.

    A text that is cut is another content, so its content id is that of what is left. No two tokens
    are joined by a cut, because spans end between tokens.

    Raises
    ------
    ValueError
        A cut lies outside its text.
    """
    spans = cuts.group_by("key", maintain_order=True).agg("start", "end")
    by_key = {key: list(zip(start, end, strict=True)) for key, start, end in spans.iter_rows()}
    for frame, values in texts:
        left: list[str] = []
        for key, text in zip(frame["key"], values.to_pylist(), strict=True):
            left.append(cut_text(text, by_key[key]) if key in by_key else text)
        kept = pa.array(left, pa.string())
        lengths = [pl.Series(v, dtype=pl.String).str.len_chars() for v in (values, kept)]
        yield pa.table(
            {
                "id": frame["id"].to_arrow(),
                "text": kept,
                "content_id": pa.array(content_ids("text", kept), pa.string()),
                "characters_removed": (lengths[0] - lengths[1]).cast(pl.Int64).to_arrow(),
            }
        ).cast(_CUT_SCHEMA)


def write_without_spans(path: Path, texts: FileTexts, cuts: pl.DataFrame) -> int:
    """Write what `without_spans` yields as Parquet; returns how many characters went."""
    gone = 0
    partial = path.with_name(f".{path.name}.partial")
    with pq.ParquetWriter(partial, _CUT_SCHEMA, compression="zstd") as writer:
        for table in without_spans(texts, cuts):
            writer.write_table(table)
            gone += int(pl.Series(table.column("characters_removed")).sum())
    partial.replace(path)
    return gone
