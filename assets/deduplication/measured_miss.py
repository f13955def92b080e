"""How many near duplicates the bands really missed: a sample of texts compared with others without bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.deduplication.minhash import permutations, sketch_texts
from assets.deduplication.near_pairs import NearPairs
from assets.deduplication.overlaps import Overlaps
from assets.deduplication.set_cache import SetCache
from assets.deduplication.shingles import exact_sets, parse_shingle
from assets.deduplication.text_spans import text_spans

ASKED, AGAINST = 200, 50_000
MOST_ELEMENTS = 1 << 23
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class MeasuredMiss:
    """Pairs of the sample at or above the threshold, and how many of them had not been found."""

    pairs: int
    missed: int


@dataclass(frozen=True)
class SampleSets:
    """Sets of shingles: their keys, all elements one after another, and how many each set has."""

    keys: pl.Series
    flat: U64
    sizes: I64


def sampled(sketches: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """Choose which texts to ask about and which to compare with: the smallest keys, which are hashes of the content.

    Parameters
    ----------
    sketches
        `key`, `size` and whatever else, one row a text.

    Returns
    -------
    asked, chosen
        Keys, and the rows that they are compared with, their own among them, sorted by key: at most `AGAINST`, and
        `MOST_ELEMENTS` in all. Sets of more than a quarter of that are left out.
    """
    ordered = sketches.filter(pl.col("size") <= MOST_ELEMENTS // 4).sort("key")
    chosen = ordered.filter(pl.col("size").cum_sum() <= MOST_ELEMENTS).head(AGAINST)
    return chosen["key"].head(ASKED), chosen


def sample_sets(
    chosen: pl.DataFrame,
    cache: SetCache | None,
    shingle: str,
    texts: Callable[[pl.Series], Iterator[tuple[pa.Array, pa.Array]]],
) -> SampleSets:
    """Return the sets of the sample: those that the cache knows from there, others from their texts.

    Parameters
    ----------
    chosen
        `key`, `digest`, `size` of the texts, as sketches have them.
    cache
        Sets that are known.
    shingle
        What a shingle is.
    texts
        Opens a stream of keys and texts of some keys; not called where all sets are known.
    """
    rule, drawn = parse_shingle(shingle), permutations(1)
    size = chosen["size"].to_numpy().astype(np.int64)
    ends = np.cumsum(size)
    flat, known = np.empty(int(ends[-1]) if len(ends) else 0, np.uint64), size == 0

    def put(places: I64, elements: U64) -> None:
        flat[_spread(ends[places] - size[places], size[places])] = elements
        known[places] = True

    if cache is not None and len(size):
        digests = np.frombuffer(b"".join(chosen["digest"].to_list()), "<u8").reshape(-1, 2)
        distinct, first, of = np.unique(digests, axis=0, return_index=True, return_inverse=True)
        for found, elements, begins in cache.read(distinct.astype(np.uint64), size[first]):
            places = first[found]
            put(places, elements[_spread(begins, size[places])])
        # texts with one set have it from the first of them
        source = first[of.ravel()]
        others = np.flatnonzero((source != np.arange(len(size))) & known[source] & ~known)
        put(others, flat[_spread(ends[source[others]] - size[others], size[others])])
    missing = chosen["key"].filter(pl.Series(~known))
    if len(missing):
        where = {key: place for place, key in enumerate(chosen["key"])}
        for some, values in texts(missing):
            spans = text_spans(values)
            counts = sketch_texts(spans, rule, drawn).sizes
            put(
                np.array([where[k] for k in some.to_pylist()], np.int64),
                exact_sets(spans, rule, counts)[0],
            )
    return SampleSets(chosen["key"], flat, size)


def _spread(begins: I64, sizes: I64) -> I64:
    """Return the places of all elements of some sets."""
    return np.repeat(begins - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))


def measured_miss(
    sets: SampleSets, asked: pl.Series, near: NearPairs, similarity: float
) -> MeasuredMiss:
    """Compare the sample exactly, without bands, and look each pair up in what was found.

    Parameters
    ----------
    sets
        Of the sample.
    asked
        Keys to compare with all others.
    near
        What was found.
    similarity
        The threshold.
    """
    key, flat, size = sets.keys, sets.flat, sets.sizes
    if not len(key):
        return MeasuredMiss(0, 0)
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
