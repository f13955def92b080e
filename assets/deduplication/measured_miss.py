"""How many near duplicates the bands really missed: a sample of texts compared with others without bands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from assets.deduplication.minhash import permutations, sketch_texts
from assets.deduplication.near_pairs import NearPairs
from assets.deduplication.overlaps import Overlaps
from assets.deduplication.shingles import exact_sets, parse_shingle
from assets.deduplication.text_spans import text_spans

ASKED, AGAINST = 200, 50_000


@dataclass(frozen=True)
class MeasuredMiss:
    """Pairs of the sample at or above the threshold, and how many of them had not been found."""

    pairs: int
    missed: int


def sample_keys(keys: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Choose keys to ask about and keys to compare with: the smallest, which are hashes of the content."""
    ordered = keys.unique().sort()
    return ordered.head(ASKED), ordered.head(AGAINST)


def measured_miss(
    texts: Iterator[tuple[pa.Array, pa.Array]],
    asked: pl.Series,
    near: NearPairs,
    similarity: float,
    shingle: str,
) -> MeasuredMiss:
    """Compare the sample exactly with every text given, and look each pair up in what was found.

    Parameters
    ----------
    texts
        Keys and texts, those of `asked` among them.
    asked
        Keys to compare with all others.
    near
        What was found.
    similarity, shingle
        The threshold, and the shingles.

    Returns
    -------
    MeasuredMiss
        Memory: the sets of the texts given (at most `AGAINST` by `sample_keys`).
    """
    rule, drawn = parse_shingle(shingle), permutations(1)
    keys, flats, sizes = [], [], []
    for some, values in texts:
        spans = text_spans(values)
        counts = sketch_texts(spans, rule, drawn).sizes
        keys.append(pl.Series("key", some, dtype=pl.String))
        flats.append(exact_sets(spans, rule, counts)[0])
        sizes.append(counts)
    if not keys:
        return MeasuredMiss(0, 0)
    key, flat, size = pl.concat(keys), np.concatenate(flats), np.concatenate(sizes)
    offsets = np.cumsum(size) - size
    mine = np.flatnonzero(key.is_in(asked.implode()).to_numpy())
    groups = dict(near.twins.select("key", "representative").iter_rows())
    known = set(near.pairs.select("left", "right").iter_rows())
    pairs: set[tuple[str, str]] = set()
    for left, right, common in Overlaps(flat, offsets[mine], size[mine]).common(flat, size):
        one = mine[left]
        alike = common / (size[one] + size[right] - common)
        for a, b in zip(one[alike >= similarity], right[alike >= similarity], strict=True):
            if a != b:
                x, y = sorted((key[int(a)], key[int(b)]))
                pairs.add((x, y))
    missed = 0
    for a, b in pairs:
        x, y = sorted((groups.get(a, a), groups.get(b, b)))
        missed += x != y and (x, y) not in known
    return MeasuredMiss(len(pairs), missed)
