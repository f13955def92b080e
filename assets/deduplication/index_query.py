"""Is this already in the lake? Texts compared with an index, by exact similarity and without the indexed texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.deduplication.file_texts import FileTexts
from assets.deduplication.index import IndexReader, RowGroup
from assets.deduplication.minhash import (
    band_keys,
    choose_bands,
    collision_probability,
    sketch_texts,
)
from assets.deduplication.overlaps import Overlaps
from assets.deduplication.shingles import exact_sets
from assets.deduplication.text_spans import text_spans
from assets.deduplication.verify import exact_jaccard

Measure: TypeAlias = Literal["jaccard", "containment"]
ANSWER_SCHEMA = pl.Schema(
    {"id": pl.String, "match": pl.String, "similarity": pl.Float64, "matches": pl.Int64}
)
PAIR_SCHEMA = pl.Schema({"id1": pl.String, "id2": pl.String, "similarity": pl.Float64})
BLOCK_BYTES = 64 << 20
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IndexAnswer:
    """What `query_index` found.

    Attributes
    ----------
    answers
        id, match (the most similar record of the index; ties: the smallest content id; of copies the
        smallest id; null: none), similarity, matches (indexed records at or above the threshold); one row a
        record asked, sorted by id.
    pairs
        id1 (asked), id2 (indexed), similarity of every pair; empty unless asked for.
    expected_miss
        Expected share of pairs *at* the threshold that no band joins; 0 where all pairs are looked at.
    """

    answers: pl.DataFrame
    pairs: pl.DataFrame
    expected_miss: float


class _Block:
    """Some texts that are asked about, one a content, with their sets."""

    def __init__(self, reader: IndexReader, keys: pl.Series, texts: pa.Array) -> None:
        scheme = reader.scheme
        spans = text_spans(texts)
        done = sketch_texts(spans, scheme.rule, scheme.drawn)
        self.keys = keys
        self.sizes = done.sizes
        self.signatures = done.signatures
        self.flat, self.offsets = exact_sets(spans, scheme.rule, done.sizes)
        self.overlaps: Overlaps | None = None


def query_index(
    reader: IndexReader,
    texts: FileTexts,
    similarity: float,
    *,
    measure: Measure = "jaccard",
    exhaustive: bool = False,
    all_pairs: bool = False,
    block_bytes: int = BLOCK_BYTES,
) -> IndexAnswer:
    """Compare texts with an index.

    Parameters
    ----------
    reader
        The index; its scheme says how texts are cut and hashed.
    texts
        What is asked about, normalised as the index says.
    similarity
        The threshold.
    measure
        `jaccard`: |A & B| / |A | B|. `containment`: the share of the asked text's shingles that the
        indexed text has, for short texts inside long ones; no pair is missed.
    exhaustive
        Miss no pair under `jaccard` either: every indexed set that shares a shingle is compared.
    all_pairs
        Return every pair and not only the best.
    block_bytes
        The index is read once for so many bytes of asked text; memory is some ten times that and a
        row group of the index.

    Raises
    ------
    SimilarityError
        The signatures are too short for this similarity.
    """
    miss = 0.0
    bands = (1, 1)
    if measure == "jaccard" and not exhaustive:
        bands = choose_bands(similarity, max_hashes=reader.scheme.hashes)
        miss = 1.0 - collision_probability(similarity, *bands)
    asked: list[pl.DataFrame] = []
    best: list[pl.DataFrame] = []
    pairs: list[pl.DataFrame] = []
    for frame, keys, values in _blocks(texts, block_bytes):
        asked.append(frame)
        block = _Block(reader, keys, values)
        found = [pl.DataFrame(schema=_FOUND)]
        for group in reader.groups():
            if measure == "jaccard" and not exhaustive:
                found.append(_by_bands(block, group, bands, similarity))
            else:
                found.append(_by_overlap(block, group, similarity, measure))
        hits = _same_contents(reader, block.keys, pl.concat(found))
        ids = reader.ids(hits["other"]).rename({"key": "other", "id": "match"})
        named = hits.join(ids, on="other")
        best.append(
            named.sort(["similarity", "other"], descending=[True, False])
            .group_by("key", maintain_order=True)
            .agg(
                pl.col("match").first(),
                pl.col("similarity").first(),
                matches=pl.col("copies").sum(),
            )
        )
        if all_pairs:
            every = reader.records(hits["other"].unique()).rename({"key": "other", "id": "id2"})
            pairs.append(hits.join(every, on="other").join(frame.rename({"id": "id1"}), on="key"))
    everyone = pl.concat([pl.DataFrame(schema={"id": pl.String, "key": pl.String}), *asked])
    texts.refuse_repeated(everyone["id"])
    empty = pl.DataFrame(schema={"key": pl.String, **dict(list(ANSWER_SCHEMA.items())[1:])})
    answers = everyone.join(pl.concat([empty, *best]).unique("key"), on="key", how="left")
    return IndexAnswer(
        answers.with_columns(pl.col("matches").fill_null(0)).select(list(ANSWER_SCHEMA)).sort("id"),
        pl.concat([pl.DataFrame(schema=PAIR_SCHEMA), *(p.select(list(PAIR_SCHEMA)) for p in pairs)])
        .unique()
        .sort("id1", "id2"),
        miss,
    )


_FOUND = pl.Schema({"key": pl.String, "other": pl.String, "similarity": pl.Float64})


def _blocks(
    texts: FileTexts, block_bytes: int
) -> Iterator[tuple[pl.DataFrame, pl.Series, pa.Array]]:
    """Yield records (id, key) with their distinct contents, about `block_bytes` of text at a time."""
    frames: list[pl.DataFrame] = []
    held: list[pa.Array] = []
    filled = 0
    for frame, values in texts:
        frames.append(frame)
        held.append(values.cast(pa.large_string()))
        filled += values.nbytes
        if filled >= block_bytes:
            yield _block(frames, held)
            frames, held, filled = [], [], 0
    if frames:
        yield _block(frames, held)


def _block(
    frames: list[pl.DataFrame], held: list[pa.Array]
) -> tuple[pl.DataFrame, pl.Series, pa.Array]:
    frame = pl.concat(frames)
    first = frame["key"].is_first_distinct()
    return frame, frame["key"].filter(first), pa.concat_arrays(held).filter(pa.array(first))


def _by_bands(
    block: _Block, group: RowGroup, bands: tuple[int, int], similarity: float
) -> pl.DataFrame:
    width = bands[0] * bands[1]
    ours = band_keys(np.ascontiguousarray(block.signatures[:, :width]), *bands)
    theirs = band_keys(np.ascontiguousarray(group.signatures[:, :width]), *bands)
    some = np.flatnonzero(block.sizes > 0)
    packed = []
    for our, their in zip(ours[:, some], theirs, strict=True):
        order = np.argsort(our, kind="stable")
        first = np.searchsorted(our, their, side="left", sorter=order)
        count = np.searchsorted(our, their, side="right", sorter=order) - first
        place = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
        left = some[order[place]].astype(np.uint64)
        right = np.repeat(np.arange(len(their), dtype=np.uint64), count)
        one, two = block.sizes[left.astype(np.int64)], group.sizes[right.astype(np.int64)]
        near = np.minimum(one, two) >= similarity * np.maximum(one, two) - 1e-9
        packed.append(((left << np.uint64(32)) | right)[near])
    pairs = np.unique(np.concatenate(packed))
    lefts: I64 = (pairs >> np.uint64(32)).astype(np.int64)
    rights: I64 = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    chosen, place = np.unique(rights, return_inverse=True)
    if not len(chosen):
        return pl.DataFrame(schema=_FOUND)
    flat, offsets = group.sets(chosen)
    asked = len(block.sizes)
    similar = exact_jaccard(
        np.concatenate([block.flat, flat]),
        np.concatenate([block.offsets, offsets + len(block.flat)]),
        np.concatenate([block.sizes, group.sizes[chosen]]),
        lefts,
        place + asked,
        similarity,
    )
    good = similar >= similarity
    return _named(block, group, lefts[good], rights[good], similar[good])


def _by_overlap(
    block: _Block, group: RowGroup, similarity: float, measure: Measure
) -> pl.DataFrame:
    if block.overlaps is None:
        block.overlaps = Overlaps(block.flat, block.offsets, block.sizes)
    flat, _ = group.sets(np.arange(len(group.sizes)))
    found = [pl.DataFrame(schema=_FOUND)]
    for left, right, common in block.overlaps.common(flat, group.sizes):
        one, two = block.sizes[left], group.sizes[right]
        similar = common / (one + two - common if measure == "jaccard" else one)
        good = similar >= similarity
        found.append(_named(block, group, left[good], right[good], similar[good]))
    return pl.concat(found)


def _named(block: _Block, group: RowGroup, left: I64, right: I64, similar: F64) -> pl.DataFrame:
    return pl.DataFrame(
        {"key": block.keys.gather(left), "other": group.keys.gather(right), "similarity": similar},
        schema=_FOUND,
    )


def _same_contents(reader: IndexReader, keys: pl.Series, found: pl.DataFrame) -> pl.DataFrame:
    """Add the contents that are in the index as they are, texts without a shingle too."""
    there = reader.ids(keys)["key"]
    same = pl.DataFrame({"key": there, "other": there}).with_columns(similarity=pl.lit(1.0))
    return pl.concat([found, same.cast(_FOUND)]).unique(["key", "other"], keep="any")
