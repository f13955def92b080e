"""Near duplicates of a stream of texts, without the texts in memory.

The first pass keeps the key of each text and where its set is (24 bytes), and of each distinct set of a
slice of texts its digest (16 bytes), its size (8) and its band keys (4 a band), which beyond a limit lie in
a scratch file: 48 bytes a text in memory where none is a copy. Equal sets are then collapsed, bands give
candidate pairs of distinct sets, and each pair is settled by exact Jaccard. The sets for that come from a
scratch file of the first pass (sets of words, 8 bytes a shingle); the texts of those that it does not hold
are read once more. Similarities are
therefore exact and precision is 1; recall at similarity s is 1 - (1 - s**rows)**bands, or 1 with
`exhaustive`.

Nothing depends on the order of texts, on batches or on threads: sets are numbered by a survivor
order, not by arrival.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.bands import (
    PAIR_BUDGET,
    BandKeys,
    Candidates,
    candidate_pairs,
    prefix_pairs,
)
from assets.deduplication.equal_sets import equal_sets, survivor_places, twins
from assets.deduplication.errors import SimilarityError
from assets.deduplication.first_pass import Sketches, distinct_sets, joined, no_sketches
from assets.deduplication.kept_bands import KeptBands
from assets.deduplication.kept_sets import SET_BYTES, KeptSets
from assets.deduplication.keys import Keys, format_keys, parse_keys
from assets.deduplication.minhash import (
    band_keys,
    choose_bands,
    collision_probability,
    permutations,
    sketch_texts,
)
from assets.deduplication.near_pairs import NearPairs, pair_frame
from assets.deduplication.order import order_ranks
from assets.deduplication.second_pass import ReadTexts, SecondPass
from assets.deduplication.set_cache import SetCache
from assets.deduplication.shingles import exact_sets, parse_shingle
from assets.deduplication.sketch_frames import read_sketches, sketch_frame
from assets.deduplication.text_spans import Texts, TextSpans, text_spans
from assets.deduplication.verify import exact_jaccard
from assets.kernels.freed_memory import GiveBack, give_back

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
TEXT_BYTES_A_SHINGLE = 4  # for which a slice of texts has room: a shingle of words has more, mostly
LEAST_ROOM = 4096  # shingles
WAITING = 4  # slices a worker; with two, a worker is idle for a tenth of the time, for the reader wakes too late
FREED_EVERY = (
    64 << 20
)  # bytes of texts: more often costs 6 % of the time and keeps no less in memory
BAND_BYTES = 128 << 20
SET_TEXT_BYTES = 1 << 23  # of texts at once whose sets are held beside what makes them


class NearDuplicates:
    """Find all pairs of texts whose shingle sets have at least a given Jaccard similarity.

    Parameters
    ----------
    similarity
        The threshold, above 0 and at most 1.
    shingle
        `word:N` or `char:N`.
    bands
        (bands, rows), or None for `choose_bands(similarity)`.
    seed
        Of the permutations, as datasketch's.
    exhaustive
        Miss nothing: every pair that can reach the threshold is verified. Sets stay in memory
        (8 bytes a distinct shingle) and the work can be quadratic.
    workers
        Threads; None for one a core. The answer does not depend on it.
    memory_bytes
        For the sets of the second pass; those that do not fit go to a scratch file.
    pair_budget
        About how many candidate pairs may be enumerated.
    scratch
        The folder of the scratch file; None: where the system keeps temporary files.
    sets
        Where the sets of texts that are added are kept, and found again in the second pass; instead of the
        scratch file of the first pass.
    set_bytes
        The most that the scratch file of the first pass may hold (see `KeptSets`); 0: no set is kept, and the
        texts of all candidates are read again.
    band_bytes
        Band keys that are held in memory; more go to a scratch file.

    Examples
    --------
    >>> near = NearDuplicates(0.5, "word:1")
    >>> ids = ["0" * 31 + "1", "0" * 31 + "2"]
    >>> near.add(["a b c", "a b d"], ids)
    >>> near.pairs(lambda: iter([(ids, ["a b c", "a b d"])]))["similarity"].to_list()
    [0.5]
    """

    def __init__(
        self,
        similarity: float,
        shingle: str,
        bands: tuple[int, int] | None = None,
        seed: int = 1,
        *,
        exhaustive: bool = False,
        workers: int | None = None,
        memory_bytes: int = 64 << 20,
        pair_budget: int = PAIR_BUDGET,
        scratch: Path | None = None,
        sets: SetCache | None = None,
        set_bytes: int = SET_BYTES,
        band_bytes: int = BAND_BYTES,
    ) -> None:
        if not 0.0 < similarity <= 1.0:
            message = f"similarity {similarity} must lie above 0 and be at most 1"
            raise SimilarityError(message)
        self.similarity = similarity
        self.rule = parse_shingle(shingle)
        self.bands = bands or choose_bands(similarity)
        if min(self.bands) < 1:
            message = f"bands {self.bands} must be two positive numbers: (bands, rows)"
            raise SimilarityError(message)
        self.exhaustive = exhaustive
        self.workers = workers or os.cpu_count() or 1
        self.memory_bytes = memory_bytes
        self.pair_budget = pair_budget
        self.scratch = scratch
        self._sets = sets
        # a text has one character shingle a letter: to write their sets costs more than to read again
        words = self.rule.kind == "word"
        self._kept = KeptSets(scratch, set_bytes if words and sets is None else 0)
        self._kept_bands = KeptBands(scratch, band_bytes)
        self._permutations = permutations(self.bands[0] * self.bands[1], seed=seed)
        self._freed = GiveBack(FREED_EVERY)
        self._rooms = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()
        self._parts: list[Sketches] = []
        self._known: set[int] = set()  # band parts of texts that came as sketches
        self._bare: list[tuple[U64, U64]] = []  # keys of texts without a shingle

    @property
    def scheme(self) -> str:
        """Name all that a sketch depends on beside its text."""
        shingle = f"{self.rule.kind}:{self.rule.length}"
        return f"{shingle}/{self.bands[0]}x{self.bands[1]}/{self._permutations.tag}"

    def add(self, texts: Texts, keys: Keys) -> None:
        """Take a batch of the first pass.

        Parameters
        ----------
        texts
            (n,) Arrow string array (or list); null is a text without shingles.
        keys
            (n,) keys of 32 hexadecimal digits. A key may come again with the same text.

        Notes
        -----
        Work goes to threads and may still run when this returns, so that reading and hashing
        overlap; at most `WAITING * workers` slices wait.
        """
        spans = text_spans(texts)
        high, low = parse_keys(keys)
        if len(high) != len(spans.starts):
            message = f"{len(spans.starts)} texts came with {len(high)} keys; give one key a text"
            raise ValueError(message)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers)
        self._freed.add(spans.size)
        for rows in spans.slices():
            part = spans.take(rows)
            self._waiting.append(self._pool.submit(self._sketch, part, high[rows], low[rows]))
            while len(self._waiting) > WAITING * self.workers:
                self._waiting.popleft().result()

    def _sketch(self, spans: TextSpans, high: U64, low: U64) -> None:
        wanted = self.exhaustive or self._sets is not None or self._kept.open
        room = self._room(spans.size) if wanted and spans.size <= SET_TEXT_BYTES else None
        done = sketch_texts(spans, self.rule, self._permutations, sets=room)
        some = np.flatnonzero(done.sizes > 0)
        none = np.flatnonzero(done.sizes == 0)
        self._bare.append((high[none], low[none]))
        rows, member = distinct_sets(done.digests[some], done.sizes[some])
        rows = some[rows]
        sizes = done.sizes[rows]
        flat, kept_at = done.sets_of(rows), -1
        if flat is None and (self.exhaustive or self._sets is not None):
            flat = exact_sets(spans.take(rows), self.rule, sizes)[0]
        if flat is not None and self._sets is not None:
            self._sets.add(done.digests[rows], sizes, flat)
        elif flat is not None and not self.exhaustive:
            kept_at = self._kept.add(flat)
        # a copy, because the room is used again
        flat = flat.copy() if flat is not None and self.exhaustive else np.empty(0, np.uint64)
        bands = band_keys(done.signatures[rows], *self.bands)
        digests = done.digests[rows]
        self._parts.append(
            Sketches(
                high[some],
                low[some],
                member,
                digests,
                sizes,
                (self._kept_bands.add(bands),),
                flat,
                (kept_at,),
            )
        )

    def _room(self, text_bytes: int) -> U64:
        """Return an array of this thread for the sets of so much text."""
        wanted = text_bytes // TEXT_BYTES_A_SHINGLE + LEAST_ROOM
        room: U64 = getattr(self._rooms, "room", np.empty(0, np.uint64))
        if len(room) < wanted:
            room = self._rooms.room = np.empty(wanted * 5 // 4, np.uint64)
        return room

    def sketches(self) -> Iterator[pl.DataFrame]:
        """Yield what was kept of each text that was given to `add`, slice by slice: key, digest, size, bands.

        A key that was added again may come again, with the same sketch.

        Raises
        ------
        SimilarityError
            With `exhaustive`: sets are kept then, not sketches.
        """
        if self.exhaustive:
            message = "an exhaustive search keeps sets, not sketches; search without it"
            raise SimilarityError(message)
        self._finish_first_pass()
        kept = self._sketches()
        ends = np.cumsum([part.shape[1] for part in kept.bands])
        texts = np.searchsorted(ends, kept.member, side="right")  # which part: in order
        for at, part in enumerate(kept.bands):
            if id(part) in self._known:
                continue
            some = slice(*np.searchsorted(texts, [at, at + 1]))
            row = kept.member[some]
            every = np.stack([part[band] for band in range(self.bands[0])], axis=1)
            bands = every[row - (ends[at] - part.shape[1])]
            yield sketch_frame(
                kept.high[some], kept.low[some], kept.digests[row], kept.sizes[row], bands
            )
        for high, low in self._bare:
            count = len(high)
            nothing = np.zeros((count, 2), np.uint64), np.zeros(count, np.int64)
            yield sketch_frame(high, low, *nothing, np.zeros((count, self.bands[0]), np.uint32))

    def add_sketches(self, sketches: pl.DataFrame) -> None:
        """Take what `sketches` returned for texts that are not given to `add`, under the same `scheme`."""
        high, low, digests, sizes, bands = read_sketches(sketches, self.bands[0])
        some = np.flatnonzero(sizes > 0)
        rows, member = distinct_sets(digests[some], sizes[some])
        rows = some[rows]
        part = self._kept_bands.add(bands[rows].T.copy())
        self._known.add(id(part))
        self._parts.append(
            Sketches(
                high[some],
                low[some],
                member,
                digests[rows],
                sizes[rows],
                (part,),
                np.empty(0, np.uint64),
            )
        )

    def _finish_first_pass(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            if self._sets is not None:
                self._sets.close()
            give_back()

    def shingled_keys(self) -> pl.Series:
        """Return the keys of all texts that have a shingle, sorted and distinct."""
        self._finish_first_pass()
        kept = self._sketches()
        return pl.Series("key", format_keys(kept.high, kept.low), dtype=pl.String).unique().sort()

    def pairs(self, read_texts: ReadTexts, order: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return every near-duplicate pair: left, right (keys, left < right), similarity.

        The same as `collapsed(...).expanded()`; see there for what n copies of a text cost.
        """
        return self.collapsed(read_texts, order).expanded()

    def collapsed(
        self,
        read_texts: ReadTexts,
        order: pl.DataFrame | None = None,
        on_stage: Callable[[str], None] | None = None,
    ) -> NearPairs:
        """Find the near duplicates among all texts added.

        Parameters
        ----------
        read_texts
            Opens a stream of (keys, texts) batches with the same texts as the first pass, in any
            order; called once, or never.
        order
            The survivor order, as `star_clusters` takes it; it decides which sets of a very large
            bucket are compared with all others. None: more shingles first, then the key.
        on_stage
            Called with the name of each stage as it ends: `bands`, `second pass` and
            `verification`.

        Raises
        ------
        ChangedTextError
            A text differs between the passes, or a key was added with two texts.
        """
        self._finish_first_pass()
        kept = self._sketches()
        high, low = kept.high, kept.low
        group, first, sample = equal_sets(kept.digests, kept.sizes, kept.member, high, low)
        twin_rows = twins(high, low, group, first)
        rank = order_ranks(format_keys(high, low), order) if order is not None else None
        place = survivor_places(
            group, len(first), kept.sizes[sample], high[first], low[first], rank
        )
        del group
        chosen = np.empty(len(first), np.int64)  # text of each place
        chosen[place] = first
        rows = np.empty(len(first), np.int64)  # set of each place
        rows[place] = sample
        set_sizes = kept.sizes[rows]
        ended = on_stage or (lambda _: None)
        if self.exhaustive:
            found, similarity = self._all_pairs(kept, rows)
        else:
            found = candidate_pairs(
                BandKeys(kept.bands, rows),
                set_sizes,
                self.similarity,
                budget=self.pair_budget,
                workers=self.workers,
            )
            give_back()
            ended("bands")

            def known(places: I64) -> Iterator[tuple[I64, U64, I64]]:
                if self._sets is None:
                    return self._kept.read(kept.set_places(rows[places]), set_sizes[places])
                return self._sets.read(kept.digests[rows[places]], set_sizes[places])

            second = SecondPass(
                self.rule,
                self.similarity,
                self.memory_bytes,
                self.workers,
                self.scratch,
                known,
            )
            similarity = second.settle(
                found.left,
                found.right,
                high[chosen],
                low[chosen],
                set_sizes,
                read_texts,
                ended,
            )
        good = similarity >= self.similarity
        pairs = pair_frame(
            high[chosen], low[chosen], found.left[good], found.right[good], similarity[good]
        )
        give_back()
        miss = 0.0 if self.exhaustive else 1.0 - collision_probability(self.similarity, *self.bands)
        return NearPairs(pairs, twin_rows, len(found.left), found.large_buckets, miss)

    def _sketches(self) -> Sketches:
        self._parts = [joined(self._parts) if self._parts else no_sketches(self.bands[0])]
        return self._parts[0]

    def _all_pairs(self, kept: Sketches, rows: I64) -> tuple[Candidates, npt.NDArray[np.float64]]:
        set_sizes = kept.sizes[rows]
        begins = (np.cumsum(kept.sizes) - kept.sizes)[rows]
        offsets = np.cumsum(set_sizes) - set_sizes
        where = np.repeat(begins - offsets, set_sizes) + np.arange(int(set_sizes.sum()))
        flat = kept.flat[where]
        found = prefix_pairs(flat, offsets, set_sizes, self.similarity)
        return found, exact_jaccard(
            flat, offsets, set_sizes, found.left, found.right, self.similarity, workers=self.workers
        )


__all__ = ["NearDuplicates", "NearPairs", "ReadTexts"]
