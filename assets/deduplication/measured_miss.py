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
from assets.deduplication.sketch_frames import SCHEMA
from assets.deduplication.text_spans import text_spans

ASKED, AGAINST = 200, 50_000
MOST_ELEMENTS = 1 << 22
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


class Sample:
    """The texts to ask about and those to compare with: the smallest keys, which are hashes of the content.

    Sketches come in any order and in any slices; some `2 * AGAINST` of them are held.
    """

    def __init__(self) -> None:
        self._held = pl.DataFrame(schema={name: SCHEMA[name] for name in ("key", "digest", "size")})

    def add(self, sketches: pl.DataFrame) -> None:
        """Take `key`, `digest`, `size` and whatever else, one row a text; a text may come again."""
        small = sketches.filter(pl.col("size") <= MOST_ELEMENTS // 4).select(self._held.columns)
        self._held = pl.concat([self._held, small])
        if self._held.height > 2 * AGAINST:
            self._held = self._smallest()

    def _smallest(self) -> pl.DataFrame:
        return self._held.unique("key", keep="any").sort("key").head(AGAINST)

    def chosen(self) -> tuple[pl.Series, pl.DataFrame]:
        """Return the keys to ask about, and the rows that they are compared with.

        Their own are among those; sorted by key; at most `AGAINST`, and `MOST_ELEMENTS` in all. Sets of more than a
        quarter of that are left out.
        """
        chosen = self._smallest().filter(pl.col("size").cum_sum() <= MOST_ELEMENTS)
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
    found = [pl.DataFrame(schema={"left": pl.String, "right": pl.String})]
    for left, right, common in Overlaps(flat, offsets[mine], size[mine]).common(flat, size):
        one = mine[left]
        alike = (common / (size[one] + size[right] - common) >= similarity) & (one != right)
        pair = pl.DataFrame({"left": key.gather(one[alike]), "right": key.gather(right[alike])})
        found.append(_ordered(pair))
    pairs = pl.concat(found).unique()
    groups = near.twins.filter(
        pl.col("key").is_in(pl.concat([pairs["left"], pairs["right"]]).implode())
    )
    named = _ordered(pairs.select(_group("left", groups), _group("right", groups)))
    missed = named.filter(pl.col("left") != pl.col("right")).join(
        near.pairs, on=["left", "right"], how="anti"
    )
    return MeasuredMiss(pairs.height, missed.height)


def _group(column: str, groups: pl.DataFrame) -> pl.Expr:
    """Return the key that stands for all texts with the set of a key."""
    return pl.col(column).replace(groups["key"], groups["representative"])


def _ordered(pairs: pl.DataFrame) -> pl.DataFrame:
    """Put the smaller key first."""
    return pairs.select(
        left=pl.min_horizontal("left", "right"), right=pl.max_horizontal("left", "right")
    )
