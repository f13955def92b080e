"""Candidate pairs: sets that share a band, found by one plain sort a band.

Only distinct sets come in here (copies are collapsed before), so many copies of one text cost
nothing. A bucket of m sets gives all m (m - 1) / 2 pairs as long as m is at most `full`, 2,048
unless the pair budget asks for less. In a larger bucket each set is paired with the `HUBS` sets
that come first in the survivor order and with its successor: linear, and what star clusters need,
because the set that will be kept is compared with all the others. How many buckets were treated
so is part of the answer. `full` depends on the bucket sizes alone, so on no order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.deduplication.kept_bands import BandPart

FULL_BUCKET = 2048
HUBS = 4
PAIR_BUDGET = 8_000_000
_LOW = np.uint64(0xFFFFFFFF)
_CHUNK = 4_000_000

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Candidate pairs (left < right, sorted, distinct) and how they were found.

    `left`, `right` (m,) int64 places of sets; `large_buckets`, how many buckets were not
    enumerated in full; `full`, the largest bucket that was.
    """

    left: I64
    right: I64
    large_buckets: int
    full: int


@dataclass(frozen=True)
class BandKeys:
    """Band keys of some texts, gathered a band at a time.

    `keys`: parts of (bands, texts in it), one after another; `chosen` (n,) texts.
    """

    keys: Sequence[BandPart]
    chosen: I64

    def __len__(self) -> int:
        """Return how many bands there are."""
        return int(self.keys[0].shape[0])

    def __getitem__(self, band: int) -> U32:
        """Return (n,) keys of a band."""
        row: U32 = np.concatenate([part[band] for part in self.keys])[self.chosen]
        return row


def buckets(keys: U32) -> tuple[I64, I64, I64]:
    """Group places by key; keep groups of two or more.

    Returns
    -------
    members, starts, sizes
        Places in order of (key, place), and where in them each bucket begins and how long it is.
        Some places that share their key with none are among `members`, in no bucket.
    """
    from assets.deduplication.key_kernels import may_repeat

    places = may_repeat(keys)
    packed = (keys[places].astype(np.uint64) << np.uint64(32)) | places.astype(np.uint64)
    packed.sort()
    key = packed >> np.uint64(32)
    begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else key
    starts = np.asarray(begins, dtype=np.int64)
    sizes = np.diff(np.append(starts, len(key)))
    several = sizes > 1
    return (packed & _LOW).astype(np.int64), starts[several], sizes[several]


def all_buckets(keys: U32 | BandKeys, workers: int) -> Iterator[tuple[I64, I64, I64]]:
    """Yield the buckets of each band in turn; at most `workers` bands are grouped at a time."""
    waiting: deque[Future[tuple[I64, I64, I64]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for band in range(len(keys)):
            waiting.append(pool.submit(lambda at: buckets(keys[at]), band))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def bucket_pairs(members: I64, starts: I64, sizes: I64) -> Iterator[U64]:
    """Yield all pairs within buckets as left << 32 | right, in pieces of bounded size."""
    if not len(starts):
        return
    within = (
        np.concatenate([np.arange(s, s + m) for s, m in zip(starts, sizes, strict=True)])
        if (len(starts) < 64)
        else np.repeat(starts - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
        + np.arange(int(sizes.sum()))
    )
    last = np.repeat(starts + sizes, sizes)
    held: list[U64] = []
    count, distance = 0, 1
    while len(within):
        partner = within + distance
        keep = partner < last
        within, last, partner = within[keep], last[keep], partner[keep]
        held.append(
            (members[within].astype(np.uint64) << np.uint64(32))
            | members[partner].astype(np.uint64)
        )
        count += len(within)
        distance += 1
        if count > _CHUNK:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)


def _hub_pairs(members: I64, starts: I64, sizes: I64) -> Iterator[U64]:
    for start, size in zip(starts, sizes, strict=True):
        group = members[start : start + size].astype(np.uint64)
        for hub in range(HUBS):
            yield (group[hub] << np.uint64(32)) | group[hub + 1 :]
        yield (group[HUBS:-1] << np.uint64(32)) | group[HUBS + 1 :]


def full_bucket_size(sizes: I64, *, budget: int, largest: int = FULL_BUCKET) -> int:
    """Return the largest bucket to enumerate in full so that all pairs stay near `budget`."""
    full = largest
    counts, how_many = np.unique(sizes, return_counts=True)
    while full > 16:
        small = counts <= full
        pairs = (counts[small] * (counts[small] - 1) // 2 * how_many[small]).sum()
        if int(pairs) <= budget:
            break
        full //= 2
    return full


def candidate_pairs(
    keys: U32 | BandKeys,
    set_sizes: I64,
    similarity: float,
    *,
    budget: int = PAIR_BUDGET,
    workers: int = 1,
) -> Candidates:
    """Find the pairs of sets that share a band and whose sizes allow the similarity.

    Parameters
    ----------
    keys
        (bands, n) uint32, the columns in the survivor order.
    set_sizes
        (n,) int64: J(A, B) >= t needs min(|A|, |B|) >= t max(|A|, |B|).
    similarity
        The threshold t.
    budget
        About how many pairs, counted once a band, may be enumerated; more lowers `full`.
    workers
        Bands that are grouped at the same time.

    Returns
    -------
    Candidates
        Cost: `bands` sorts of n keys; memory 8 bytes a distinct pair, twice while they are merged.
    """
    found = _enumerate(keys, set_sizes, similarity, FULL_BUCKET, budget, workers)
    if found is None:
        # rare: count all buckets first and enumerate only as large ones as the budget allows
        every = np.concatenate([sizes for _, _, sizes in all_buckets(keys, workers)])
        full = full_bucket_size(every, budget=budget)
        found = _enumerate(keys, set_sizes, similarity, full, None, workers)
        if found is None:
            raise AssertionError
    return found


def _enumerate(
    keys: U32 | BandKeys,
    set_sizes: I64,
    similarity: float,
    full: int,
    budget: int | None,
    workers: int,
) -> Candidates | None:
    """Enumerate buckets of at most `full`; None as soon as they hold more pairs than `budget`."""
    merged: U64 = np.empty(0, np.uint64)
    waiting: list[U64] = []
    count, large, enumerated = 0, 0, 0
    for members, starts, sizes in all_buckets(keys, workers):
        small = sizes <= full
        large += int((~small).sum())
        enumerated += int((sizes[small] * (sizes[small] - 1) // 2).sum())
        if budget is not None and enumerated > budget:
            return None
        for pieces in (
            bucket_pairs(members, starts[small], sizes[small]),
            _hub_pairs(members, starts[~small], sizes[~small]),
        ):
            for piece in pieces:
                kept = piece[size_allows(piece, set_sizes, similarity)]
                waiting.append(kept)
                count += len(kept)
                if count > _CHUNK + len(merged):
                    merged, waiting, count = _merge(merged, waiting), [], 0
    merged = _merge(merged, waiting)
    left, right = (merged >> np.uint64(32)).astype(np.int64), (merged & _LOW).astype(np.int64)
    return Candidates(left, right, large, full)


def size_allows(pairs: U64, set_sizes: I64, similarity: float) -> npt.NDArray[np.bool_]:
    """Say which packed pairs have sizes that allow the similarity."""
    one = set_sizes[(pairs >> np.uint64(32)).astype(np.int64)]
    two = set_sizes[(pairs & _LOW).astype(np.int64)]
    allowed = np.minimum(one, two) >= similarity * np.maximum(one, two) - 1e-9
    return np.asarray(allowed, dtype=np.bool_)


def prefix_pairs(flat: U64, offsets: I64, set_sizes: I64, similarity: float) -> Candidates:
    """Find every pair of sets that can reach the similarity: the exhaustive way.

    Sets whose elements are put in one global order (rarest first, then by hash) can only overlap
    in t |A| elements if their prefixes of |A| - ceil(t |A|) + 1 elements share one (Bayardo, Ma
    and Srikant 2007, section 3.1), so the prefixes serve as bands and recall is 1. Cost: a sort of
    all shingles, in memory, and a number of candidates that can be quadratic.
    """
    owner = np.repeat(np.arange(len(set_sizes)), set_sizes)
    _, place, seen = np.unique(flat, return_inverse=True, return_counts=True)
    rarity = np.argsort(np.argsort(seen, kind="stable"), kind="stable")[place]
    order = np.lexsort((rarity, owner))
    rank_in_set = np.arange(len(flat)) - np.repeat(offsets, set_sizes)
    allowed = set_sizes - np.ceil(similarity * set_sizes - 1e-9).astype(np.int64) + 1
    chosen = order[rank_in_set < np.repeat(allowed, set_sizes)]
    packed = (rarity[chosen].astype(np.uint64) << np.uint64(32)) | owner[chosen].astype(np.uint64)
    packed.sort()
    key = packed >> np.uint64(32)
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else owner
    sizes = np.diff(np.append(starts, len(key)))
    several = sizes > 1
    members = (packed & _LOW).astype(np.int64)
    merged: U64 = np.empty(0, np.uint64)
    waiting: list[U64] = []
    for piece in bucket_pairs(members, starts[several], sizes[several]):
        waiting.append(piece[size_allows(piece, set_sizes, similarity)])
        if sum(map(len, waiting)) > _CHUNK + len(merged):
            merged, waiting = _merge(merged, waiting), []
    merged = _merge(merged, waiting)
    largest = int(sizes.max(initial=0))
    return Candidates(
        (merged >> np.uint64(32)).astype(np.int64), (merged & _LOW).astype(np.int64), 0, largest
    )


def _merge(merged: U64, waiting: list[U64]) -> U64:
    every = np.concatenate([merged, *waiting])
    every.sort()
    if not len(every):
        return every
    distinct: U64 = every[np.concatenate([[True], every[1:] != every[:-1]])]
    return distinct
