"""What the first pass over texts keeps: keys of texts, and one sketch for each distinct set of a slice.

A slice of copies of one text keeps one sketch and 24 bytes a copy, so that millions of copies do not cost
the memory of millions of sketches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.deduplication.kept_bands import BandPart
from assets.deduplication.order import sorted_rows

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Sketches:
    """Texts and their sets.

    `high`, `low`: (texts,) halves of keys; `member`: (texts,) the row of each text's set.
    `digests` (rows, 2), `sizes` (rows,), `bands` (parts of (bands, rows in it)), `flat`: of sets; only within
    a slice are they distinct. Bands stay in the parts that they came in, because they are the widest column
    and are read a band at a time. `flat` holds the elements of all sets one after another where sets are
    kept (exhaustive).
    """

    high: U64
    low: U64
    member: I64
    digests: U64
    sizes: I64
    bands: tuple[BandPart, ...]
    flat: U64
    kept_at: tuple[int, ...] = (-1,)

    def set_places(self, rows: I64) -> I64:
        """Return where in the file of sets those of some rows begin, or -1."""
        begins = np.concatenate([[0], np.cumsum([part.shape[1] for part in self.bands])])
        part = np.searchsorted(begins, rows, side="right") - 1
        before = np.concatenate([[0], np.cumsum(self.sizes)])
        kept = np.array(self.kept_at, np.int64)[part]
        return np.where(kept < 0, -1, kept + before[rows] - before[begins[part]])


def no_sketches(bands: int) -> Sketches:
    """Return sketches of no texts."""
    none, nothing = np.empty(0, np.uint64), np.empty(0, np.int64)
    return Sketches(
        none,
        none,
        nothing,
        np.empty((0, 2), np.uint64),
        nothing,
        (np.empty((bands, 0), np.uint32),),
        none,
    )


def distinct_sets(digests: U64, sizes: I64) -> tuple[I64, I64]:
    """Return a row of each distinct set, ascending, and for every row the place of its set among those."""
    from assets.deduplication.key_kernels import may_repeat

    first = np.ascontiguousarray(digests[:, 0])
    every = np.arange(len(first))
    doubtful = may_repeat(
        first.astype(np.uint32)
    )  # a digest is a sum of hashes: its low bits are as good as any
    if not len(doubtful):
        return every, every
    order = doubtful[sorted_rows(first[doubtful], digests[doubtful, 1], sizes[doubtful])]
    table = digests[order]
    new = np.ones(len(order), bool)
    new[1:] = (table[1:] != table[:-1]).any(axis=1) | (np.diff(sizes[order]) != 0)
    if new.all():
        return every, every
    leader = every.copy()  # of each row: the one that stands for its set
    leader[order] = order[new][np.cumsum(new) - 1]
    taken = leader == every
    return np.flatnonzero(taken), (np.cumsum(taken) - 1)[leader]


def joined(parts: list[Sketches]) -> Sketches:
    """Put sketches of slices together; empties the list, so that no column is held twice for long."""
    if len(parts) == 1:
        return parts[0]
    rows = np.cumsum([0, *(len(part.sizes) for part in parts)])
    members = [part.member + first for part, first in zip(parts, rows[:-1], strict=True)]
    columns = {
        name: [getattr(part, name) for part in parts]
        for name in ("high", "low", "digests", "sizes", "flat")
    }
    bands = tuple(block for part in parts for block in part.bands)
    kept_at = tuple(place for part in parts for place in part.kept_at)
    parts.clear()
    whole = {}
    for name, column in columns.items():
        whole[name] = np.concatenate(column)
        column.clear()
    member = np.concatenate(members)
    members.clear()
    return Sketches(member=member, bands=bands, kept_at=kept_at, **whole)
