"""Short texts inside long ones: the pairs of which one set of shingles lies, by a share of it, in the other.

Of sets A and B, A the smaller, C = |A & B| / |A|. No pair is missed: if |A & B| >= t |A|, B holds one of
any |A| - ceil(t |A|) + 1 elements of A, because only |A| - ceil(t |A|) may be missing. Of each set so many
elements, the rarest, are put into one sorted list, and every set looks its elements up in it.
Rarity is counted in hashed counters; a wrong count costs time and never a pair.

Only where an element would join more than `FULL_BUCKET` squared pairs is each set that has it compared with
the first `HUBS` sets in the survivor order that hold it: `large_buckets` says how often, as for bands.

Sets lie in a scratch file (8 bytes a distinct shingle), mapped and not read into memory.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.bands import FULL_BUCKET, HUBS
from assets.deduplication.equal_sets import equal_sets, survivor_places, twins
from assets.deduplication.errors import SimilarityError
from assets.deduplication.keys import Keys, format_keys, parse_keys
from assets.deduplication.minhash import permutations, sketch_texts
from assets.deduplication.near_pairs import NearPairs
from assets.deduplication.order import order_ranks
from assets.deduplication.shingles import exact_sets, parse_shingle
from assets.deduplication.text_spans import Texts, text_spans
from assets.deduplication.verify import exact_jaccard

COUNTERS = 1 << 22
CHUNK = 1 << 21
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
_LOW = np.uint64(0xFFFFFFFF)


class ContainedTexts:
    """Find all pairs of texts of which one holds at least a given share of the other's shingles.

    Parameters
    ----------
    similarity
        The least share, above 0 and at most 1.
    shingle
        `word:N` or `char:N`. A text of fewer than N words is one shingle of its own, so it lies in no longer one.
    workers
        Threads of the verification; None for one a core.
    """

    def __init__(self, similarity: float, shingle: str, *, workers: int | None = None) -> None:
        if not 0.0 < similarity <= 1.0:
            message = f"similarity {similarity} must lie above 0 and be at most 1"
            raise SimilarityError(message)
        self.similarity = similarity
        self.rule = parse_shingle(shingle)
        self.workers = workers or os.cpu_count() or 1
        self._drawn = permutations(1)
        self._file = tempfile.TemporaryFile(prefix="sluice-sets-")  # noqa: SIM115 - lives as long as this
        self._counts = np.zeros(COUNTERS, np.int64)
        self._parts: list[tuple[U64, U64, U64, I64]] = []
        self._seen: set[tuple[int, int]] = set()

    def add(self, texts: Texts, keys: Keys) -> None:
        """Take a batch of texts with their keys; a key that comes again is passed over."""
        high, low = parse_keys(keys)
        both = zip(high.tolist(), low.tolist(), strict=True)
        fresh = [place for place, key in enumerate(both) if self._is_new(key)]
        rows = np.array(fresh, np.int64)
        spans = text_spans(texts).take(rows)
        done = sketch_texts(spans, self.rule, self._drawn)
        some = np.flatnonzero(done.sizes > 0)
        flat, _ = exact_sets(spans.take(some), self.rule, done.sizes[some])
        flat.tofile(self._file)
        self._counts += np.bincount(_counter(flat), minlength=COUNTERS)
        self._parts.append(
            (high[rows][some], low[rows][some], done.digests[some], done.sizes[some])
        )

    def _is_new(self, key: tuple[int, int]) -> bool:
        before = len(self._seen)
        self._seen.add(key)
        return len(self._seen) > before

    def _columns(self) -> tuple[U64, U64, U64, I64]:
        none = np.empty(0, np.uint64)
        parts = [
            (none, none, np.empty((0, 2), np.uint64), np.empty(0, np.int64)),
            *self._parts,
        ]
        high, low, digests, sizes = (np.concatenate([p[i] for p in parts]) for i in range(4))
        return high, low, digests, sizes

    def shingled_keys(self) -> pl.Series:
        """Return the keys of all texts that have a shingle, sorted."""
        return self.set_sizes()["key"]

    def set_sizes(self) -> pl.DataFrame:
        """Return key and size (distinct shingles) of all texts that have a shingle, sorted."""
        high, low, _, sizes = self._columns()
        keys = pl.Series("key", format_keys(high, low), dtype=pl.String)
        return pl.DataFrame({"key": keys, "size": sizes}).sort("key")

    def collapsed(self, _read_texts: Any = None, order: pl.DataFrame | None = None) -> NearPairs:  # noqa: ANN401
        """Find the pairs among all texts added; they are not read again.

        `order`: as for `NearDuplicates.collapsed`. The similarity of a pair is the share of the smaller set.
        """
        high, low, digests, sizes = self._columns()
        each = np.arange(len(sizes))
        group, first, _ = equal_sets(digests, sizes, each, high, low)
        rank = order_ranks(format_keys(high, low), order) if order is not None else None
        place = survivor_places(group, len(first), sizes[first], high[first], low[first], rank)
        chosen = np.empty(len(first), np.int64)
        chosen[place] = first
        self._file.flush()
        mapped = np.memmap(self._file, np.uint64, "r") if sizes.sum() else np.empty(0, np.uint64)
        flat = np.asarray(mapped)
        offsets = (np.cumsum(sizes) - sizes)[chosen]
        set_sizes = sizes[chosen]
        left, right, heavy = self._candidates(flat, offsets, set_sizes)
        near = exact_jaccard(
            flat, offsets, set_sizes, left, right, 1e-12, workers=self.workers
        ).clip(0.0)
        one, two = set_sizes[left], set_sizes[right]
        common = np.rint(near * (one + two) / (1.0 + near))
        share = common / np.minimum(one, two)
        good = share >= self.similarity
        a, b = chosen[left[good]], chosen[right[good]]
        names = [pl.Series(format_keys(high[x], low[x]), dtype=pl.String) for x in (a, b)]
        pairs = (
            pl.DataFrame({"a": names[0], "b": names[1], "similarity": share[good]})
            .select(
                left=pl.min_horizontal("a", "b"),
                right=pl.max_horizontal("a", "b"),
                similarity="similarity",
            )
            .sort("left", "right")
        )
        return NearPairs(pairs, twins(high, low, group, first), len(left), heavy, 0.0)

    def _candidates(self, flat: U64, offsets: I64, sizes: I64) -> tuple[I64, I64, int]:
        """Return (smaller, larger) places of sets to compare, sorted, and the number of heavy elements."""
        elements, owner = self._prefixes(flat, offsets, sizes)
        heavy: dict[int, int] = {}
        found: list[U64] = [np.empty(0, np.uint64)]
        for rows in _chunks(sizes):
            part, holder = _gather(flat, offsets[rows], sizes[rows])
            begin = np.searchsorted(elements, part, side="left")
            count = np.searchsorted(elements, part, side="right") - begin
            some = np.flatnonzero(count)
            many = count[some] * self._counts[_counter(part[some])] > FULL_BUCKET**2
            drop = np.zeros(len(some), bool)
            for place in np.flatnonzero(many).tolist():
                used = heavy.get(int(part[some[place]]), 0)
                heavy[int(part[some[place]])] = used + 1
                drop[place] = used >= HUBS
            some = some[~drop]
            count, begin = count[some], begin[some]
            holds = holder[some] + rows.start
            # a piece at a time: meetings can be many more than elements
            for cut in np.split(
                np.arange(len(some)), np.flatnonzero(np.diff(np.cumsum(count) // CHUNK)) + 1
            ):
                total = int(count[cut].sum())
                shift = begin[cut] - (np.cumsum(count[cut]) - count[cut])
                small = owner[np.repeat(shift, count[cut]) + np.arange(total)]
                large = np.repeat(holds[cut], count[cut])
                lesser = (sizes[small] < sizes[large]) | (
                    (sizes[small] == sizes[large]) & (small != large)
                )
                one, two = small[lesser], large[lesser]
                equal = sizes[one] == sizes[two]
                one, two = (
                    np.where(equal, np.minimum(one, two), one),
                    np.where(equal, np.maximum(one, two), two),
                )
                found.append(
                    np.unique((one.astype(np.uint64) << np.uint64(32)) | two.astype(np.uint64))
                )
            if sum(map(len, found)) > 4 * CHUNK:
                found = [np.unique(np.concatenate(found))]
        pairs = np.unique(np.concatenate(found))
        left, right = (pairs >> np.uint64(32)).astype(np.int64), (pairs & _LOW).astype(np.int64)
        return left, right, len(heavy)

    def _prefixes(self, flat: U64, offsets: I64, sizes: I64) -> tuple[U64, I64]:
        """Return the rarest elements of each set, as many as the theorem asks for, sorted, and whose they are."""
        elements, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for rows in _chunks(sizes):
            part, holder = _gather(flat, offsets[rows], sizes[rows])
            order = np.lexsort((part, self._counts[_counter(part)], holder))
            begins = np.cumsum(sizes[rows]) - sizes[rows]
            place = np.arange(len(part)) - np.repeat(begins, sizes[rows])
            length = sizes[rows] - np.ceil(self.similarity * sizes[rows] - 1e-9) + 1
            kept = order[place < np.repeat(length, sizes[rows])]
            elements.append(part[kept])
            owners.append(holder[kept] + rows.start)
        every, owner = np.concatenate(elements), np.concatenate(owners)
        order = np.argsort(every, kind="stable")
        return every[order], owner[order]


def _counter(flat: U64) -> I64:
    return (flat & np.uint64(COUNTERS - 1)).astype(np.int64)


def _chunks(sizes: I64) -> list[slice]:
    """Cut sets into runs of about `CHUNK` elements."""
    if not len(sizes):
        return []
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // CHUNK)) + 1
    bounds = [0, *cuts.tolist(), len(sizes)]
    return [slice(a, b) for a, b in itertools.pairwise(bounds)]


def _gather(flat: U64, offsets: I64, sizes: I64) -> tuple[U64, I64]:
    where = np.repeat(offsets - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
    return flat[where], np.repeat(np.arange(len(sizes)), sizes)
