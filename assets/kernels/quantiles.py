"""Ranks and cuts of a stream of floats, mergeable and free of order.

`QuantileState` counts distinct values. While there are at most `limit` of them it is exact. Past
that it drops the lowest bits of the (order-preserving) bit pattern of float64, one more at a time,
until the distinct patterns fit: a histogram whose bins are as fine as the data allow. How many bits
are dropped depends on the set of values alone, so the state is the same for any order, batching or
merge tree. Memory: 16 bytes a distinct pattern, at most ``32 * limit`` bytes while a batch is taken
in. The alternative, a t-digest or KLL sketch, depends on the order of merging.

Cuts need a second rule where one bin holds the boundary (ties, or a coarse bin): rows of that bin
are ordered by a hash of their id. `Cuts` do this by a fraction of the hash space, right in
expectation after one pass; `BoundaryState` is a second pass over the rows of boundary bins that
makes the counts exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids, hash_words, id_words

DEFAULT_LIMIT = 65_536
_SIGN = np.uint64(1 << 63)
_PURPOSE = "quantile cut"


class QuantileError(ValueError):
    """Ranks or cuts that cannot be computed from what was given."""


def ordered_bits(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Map finite or infinite float64 to uint64 so that the order is kept (-0.0 counts as 0.0)."""
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _aggregate(
    keys: NDArray[np.uint64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    unique, inverse = np.unique(keys, return_inverse=True)
    totals = np.zeros(len(unique), dtype=np.int64)
    np.add.at(totals, inverse, counts)
    return unique, totals


@dataclass(frozen=True, slots=True)
class QuantileState:
    """Counts of distinct values, coarsened only as far as `limit` demands.

    Attributes
    ----------
    limit
        Distinct patterns that are kept.
    shift
        Low bits dropped; 0 means exact.
    keys, counts
        uint64 and int64, ascending keys.
    missing
        Number of NaN values seen; they take no part in ranks.
    """

    limit: int = DEFAULT_LIMIT
    shift: int = 0
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    missing: int = 0

    def __post_init__(self) -> None:
        if self.limit < 2:
            message = f"limit is {self.limit}; a quantile state needs room for 2 patterns or more"
            raise QuantileError(message)

    @property
    def total(self) -> int:
        """Number of values that are not NaN."""
        return int(self.counts.sum())

    @property
    def exact(self) -> bool:
        """Whether every distinct value is told apart."""
        return self.shift == 0

    @property
    def rank_error(self) -> float:
        """Largest error of a normalised rank: half the mass of the fullest bin, 0 while exact."""
        return 0.0 if self.exact or not self.total else float(self.counts.max()) / self.total / 2

    def update(self, values: NDArray[np.float64]) -> QuantileState:
        """Return the state after a batch of float64 values; NaN is counted as missing."""
        values = np.asarray(values, dtype=np.float64).ravel()
        absent = np.isnan(values)
        keys, counts = np.unique(ordered_bits(values[~absent]), return_counts=True)
        batch = QuantileState(self.limit, 0, keys, counts.astype(np.int64), int(absent.sum()))
        return self.merge(batch)

    def merge(self, other: QuantileState) -> QuantileState:
        """Return the state of both streams; commutative and associative, bit for bit."""
        if self.limit != other.limit:
            message = f"cannot merge quantile states of limits {self.limit} and {other.limit}"
            raise QuantileError(message)
        shift = max(self.shift, other.shift)
        keys = np.concatenate([s.keys >> np.uint64(shift - s.shift) for s in (self, other)])
        keys, counts = _aggregate(keys, np.concatenate([self.counts, other.counts]))
        while len(keys) > self.limit:
            keys, counts = _aggregate(keys >> np.uint64(1), counts)
            shift += 1
        return QuantileState(self.limit, shift, keys, counts, self.missing + other.missing)

    def bins(self, values: NDArray[np.float64]) -> NDArray[np.uint64]:
        """Return the bin pattern of each value."""
        return ordered_bits(values) >> np.uint64(self.shift)

    def rank(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return normalised average ranks in (0, 1): (values below + half of those equal) / total.

        Values that the state has not seen take the rank of their place; NaN and an empty state give
        NaN.
        """
        values = np.asarray(values, dtype=np.float64)
        ranks = np.full(values.shape, np.nan)
        present = ~np.isnan(values)
        if not self.total or not present.any():
            return ranks
        wanted = self.bins(values[present])
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        below = ends[np.searchsorted(self.keys, wanted, side="left")]
        upto = ends[np.searchsorted(self.keys, wanted, side="right")]
        ranks[present] = (below + upto) / (2.0 * self.total)
        return ranks

    def distance(self, other: QuantileState) -> float:
        """Return the largest difference between the two distribution functions (Kolmogorov and Smirnov), 0 to 1.

        Exact while both states are; else at the resolution of the coarser one. An empty state is at
        distance 0 from an empty one and at 1 from any other.
        """
        if not self.total or not other.total:
            return float(self.total != other.total)
        shift = max(self.shift, other.shift)
        mine, theirs = (s.keys >> np.uint64(shift - s.shift) for s in (self, other))
        places = np.union1d(mine, theirs)
        gaps = _distribution(mine, self.counts, places) - _distribution(
            theirs, other.counts, places
        )
        return float(np.abs(gaps).max())

    def cuts(self, shares: Sequence[float], seed: int = 0) -> Cuts:
        """Cut the values, from the smallest up, into parts of the given shares.

        Parameters
        ----------
        shares
            Positive, summing to 1; part i receives ``shares[i]`` of the rows.
        seed
            Decides which of equal rows fall below a cut.

        Returns
        -------
        Cuts
            One boundary less than there are shares.
        """
        sizes = np.asarray(shares, dtype=np.float64)
        if len(sizes) < 1 or (sizes <= 0).any() or not np.isclose(sizes.sum(), 1.0):
            message = f"shares {list(shares)} must be positive and sum to 1"
            raise QuantileError(message)
        total = self.total
        wanted = np.rint(np.cumsum(sizes)[:-1] * total).astype(np.int64)
        if total == 0:
            empty = np.empty(0, dtype=np.uint64)
            return Cuts(self.shift, empty, np.empty(0), np.empty(0, dtype=np.int64), seed)
        ends = np.cumsum(self.counts)
        at = np.minimum(np.searchsorted(ends, wanted, side="left"), len(ends) - 1)
        inside = wanted - (ends[at] - self.counts[at])
        return Cuts(self.shift, self.keys[at], inside / self.counts[at], inside, seed)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state as named arrays for storage."""
        about = np.array([self.limit, self.shift, self.missing], dtype=np.int64)
        return {"about": about, "keys": self.keys, "counts": self.counts}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, NDArray[np.int64] | NDArray[np.uint64]]
    ) -> QuantileState:
        """Read what `to_arrays` wrote."""
        limit, shift, missing = (int(x) for x in arrays["about"])
        keys, counts = arrays["keys"].astype(np.uint64), arrays["counts"].astype(np.int64)
        return cls(limit, shift, keys, counts, missing)


def _distribution(
    keys: NDArray[np.uint64], counts: NDArray[np.int64], places: NDArray[np.uint64]
) -> NDArray[np.float64]:
    ends = np.concatenate([[0], np.cumsum(counts)])
    share: NDArray[np.float64] = ends[np.searchsorted(keys, places, side="right")] / ends[-1]
    return share


@dataclass(frozen=True, slots=True)
class Cuts:
    """Boundaries that assign a row to a part by its own value and id alone.

    Attributes
    ----------
    shift
        Of the state that made them.
    bins
        uint64, bin of each boundary.
    fractions
        float64, share of the boundary bin's hash space that falls below.
    inside
        int64, rows of the boundary bin that should fall below.
    seed
        Key of the hash.
    """

    shift: int
    bins: NDArray[np.uint64]
    fractions: NDArray[np.float64]
    inside: NDArray[np.int64]
    seed: int

    def assign(self, values: NDArray[np.float64], ids: Ids) -> NDArray[np.int32]:
        """Return the part of each row, 0 for the smallest values; -1 where the value is NaN."""
        values = np.asarray(values, dtype=np.float64)
        wanted = ordered_bits(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf))
        wanted = wanted >> np.uint64(self.shift)
        hashes = _fractions(ids, self.seed)
        part = np.zeros(len(values), dtype=np.int32)
        for boundary, fraction in zip(self.bins, self.fractions, strict=True):
            above = (wanted > boundary) | ((wanted == boundary) & (hashes >= fraction))
            part += above
        part[np.isnan(values)] = -1
        return part


def _fractions(ids: Ids, seed: int) -> NDArray[np.float64]:
    # 53 bits, [0, 1): a fraction of 0 puts the whole bin above, a fraction of 1 the whole bin below
    return (hash_words(id_words(ids), seed, _PURPOSE) >> np.uint64(11)).astype(
        np.float64
    ) * 2.0**-53


class BoundaryState:
    """The second pass: ranks rows of boundary bins by hash, so that parts get exact sizes.

    Exact while no boundary bin holds more than `limit` rows; past that the error is the resolution
    of the hash histogram, about one row in `limit`. Bounded memory: 16 bytes for each of `limit`
    patterns a boundary.
    """

    def __init__(self, cuts: Cuts, limit: int = DEFAULT_LIMIT) -> None:
        self.cuts = cuts
        self.limit = limit
        self._bins = np.unique(cuts.bins)
        self._states = [QuantileState(limit) for _ in self._bins]

    def update(self, values: NDArray[np.float64], ids: Ids) -> BoundaryState:
        """Take in a batch (float64 values and ids, n rows each). Returns itself."""
        values = np.asarray(values, dtype=np.float64)
        present = ~np.isnan(values)
        wanted = ordered_bits(np.where(present, values, 0.0)) >> np.uint64(self.cuts.shift)
        hashes = _fractions(ids, self.cuts.seed)
        for i, boundary in enumerate(self._bins):
            rows = present & (wanted == boundary)
            if rows.any():
                self._states[i] = self._states[i].update(hashes[rows])
        return self

    def merge(self, other: BoundaryState) -> BoundaryState:
        """Return the state of both streams."""
        if not np.array_equal(self._bins, other._bins) or self.limit != other.limit:
            message = "cannot merge boundary states of different cuts"
            raise QuantileError(message)
        both = BoundaryState(self.cuts, self.limit)
        both._states = [a.merge(b) for a, b in zip(self._states, other._states, strict=True)]
        return both

    def finish(self) -> Cuts:
        """Return cuts whose fractions put the wanted number of rows of each boundary bin below."""
        fractions = self.cuts.fractions.copy()
        for i, (boundary, inside) in enumerate(zip(self.cuts.bins, self.cuts.inside, strict=True)):
            state = self._states[int(np.searchsorted(self._bins, boundary))]
            ends = np.cumsum(state.counts)
            if inside >= (ends[-1] if len(ends) else 0):
                fractions[i] = 1.0
                continue
            # the first pattern that must stay above; values below its lower edge are the wanted
            # rows
            at = int(np.searchsorted(ends, inside, side="right"))
            fractions[i] = _float_of(state.keys[at] << np.uint64(state.shift))
        return Cuts(self.cuts.shift, self.cuts.bins, fractions, self.cuts.inside, self.cuts.seed)


def _float_of(bits: np.uint64) -> float:
    pattern = np.array([bits], dtype=np.uint64)
    restored = np.where(pattern & _SIGN, pattern ^ _SIGN, ~pattern)
    return float(restored.view(np.float64)[0])
