"""How many elements each set of one side has in common with each of the other, without missing a pair."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
_CHUNK = 4_000_000
_BLOCK = 1 << 20  # elements that are looked up at once


class Overlaps:
    """An inverted index of some sets.

    Parameters
    ----------
    flat, offsets, sizes
        Distinct elements of all sets, where each set begins, and how many it has.
    """

    def __init__(self, flat: U64, offsets: I64, sizes: I64) -> None:
        where = np.repeat(offsets - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
        elements = flat[where]
        order = np.argsort(elements, kind="stable")
        self._elements = elements[order]
        self._owner = np.repeat(np.arange(len(sizes)), sizes)[order]

    def common(self, flat: U64, sizes: I64) -> Iterator[tuple[I64, I64, I64]]:
        """Yield (own set, other set, elements in common) of every pair with any in common.

        `flat`, `sizes`: the other sets, one after another. Cost: a search an element and eight bytes a
        meeting, in pieces of some four million meetings or the meetings of one set.
        """
        ends = np.cumsum(sizes)
        begin = 0
        while begin < len(sizes):
            start = int(ends[begin] - sizes[begin])
            stop = max(int(np.searchsorted(ends, start + _BLOCK, side="right")), begin + 1)
            for own, other, common in self._common(flat[start : ends[stop - 1]], sizes[begin:stop]):
                yield own, other + begin, common
            begin = stop

    def _common(self, flat: U64, sizes: I64) -> Iterator[tuple[I64, I64, I64]]:
        first = np.searchsorted(self._elements, flat, side="left")
        hits = np.searchsorted(self._elements, flat, side="right") - first
        filled = np.concatenate([[0], np.cumsum(hits)])
        ends = np.cumsum(sizes)
        begin = 0
        while begin < len(sizes):
            start = int(ends[begin] - sizes[begin])
            stop = int(np.searchsorted(filled[ends], filled[start] + _CHUNK, side="right"))
            stop = max(stop, begin + 1)
            span = slice(start, int(ends[stop - 1]))
            count = hits[span]
            total = int(count.sum())
            if total:
                place = np.repeat(first[span] - (np.cumsum(count) - count), count)
                own = self._owner[place + np.arange(total)]
                other = np.repeat(np.repeat(np.arange(begin, stop), sizes[begin:stop]), count)
                packed = (other.astype(np.uint64) << np.uint64(32)) | own.astype(np.uint64)
                pairs, common = np.unique(packed, return_counts=True)
                yield (
                    (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64),
                    (pairs >> np.uint64(32)).astype(np.int64),
                    common.astype(np.int64),
                )
            begin = stop
