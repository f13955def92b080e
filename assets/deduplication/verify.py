"""Exact Jaccard of candidate pairs, with no more sets in memory than a budget allows.

The sizes of all sets are known from the first pass, so the work is cut into rounds beforehand:
each round holds two blocks of sets (8 bytes a distinct shingle) and settles its pairs. Sets of
one connected component lie side by side, so that a round usually settles whole components; a
component above the budget is settled block against block.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]


def component_labels(count: int, left: I64, right: I64) -> I64:
    """Label the connected components of a graph of `count` nodes by their smallest node."""
    from assets.deduplication.graph_kernels import component_roots

    label = np.empty(count, np.int64)
    component_roots(left, right, label)
    return label


def node_blocks(left: I64, right: I64, sizes: I64, *, budget_bytes: int) -> I64:
    """Cut sets into blocks of half a budget.

    Parameters
    ----------
    left, right
        (m,) pairs of sets; each of the sets is in one.
    sizes
        (n,) elements of each set, 8 bytes each.
    budget_bytes
        For two blocks.

    Returns
    -------
    (n,) int64
        All 0 where everything fits the budget. Otherwise numbers without a gap: a block holds at most
        half the budget, or one set more. Sets of a connected component have blocks side by side.
    """
    if int(sizes.sum()) * 8 <= budget_bytes:
        return np.zeros(len(sizes), np.int64)
    label = component_labels(len(sizes), left, right)
    order = np.argsort(label, kind="stable")
    filled = (np.cumsum(sizes[order] * 8) - 1) // max(8, budget_bytes // 2)
    block = np.empty(len(sizes), np.int64)
    block[order] = np.concatenate([[0], np.cumsum(np.diff(filled) != 0)])
    return block


def rounds(left: I64, right: I64, block: I64) -> Iterator[tuple[I64, int, int]]:
    """Cut pairs into rounds that need two blocks each.

    Yields
    ------
    (k,) int64, int, int
        Places in `left` and `right`, ascending, each exactly once over all rounds; and the two blocks (twice the
        same where there is one). Rounds come sorted by their blocks, so that the first is seldom changed.
    """
    if not len(left):
        return
    count = int(block.max()) + 1
    if count == 1:
        yield np.arange(len(left)), 0, 0
        return
    one, two = np.minimum(block[left], block[right]), np.maximum(block[left], block[right])
    joint = (one >> 1) == (two >> 1)  # neighbours are settled together, whichever of both they need
    one[joint] &= ~1
    two[joint] = np.minimum(one[joint] | 1, count - 1)
    code = one * count + two
    del one, two, joint
    by_round = np.argsort(code.astype(np.min_scalar_type(count * count)), kind="stable")
    code = code[by_round]
    cuts = np.flatnonzero(np.diff(code)) + 1
    for part, number in zip(np.split(by_round, cuts), code[[0, *cuts]], strict=True):
        yield part, int(number) // count, int(number) % count


def exact_jaccard(
    flat: U64,
    offsets: I64,
    set_sizes: I64,
    left: I64,
    right: I64,
    similarity: float,
    *,
    workers: int = 1,
) -> F64:
    """Compute the exact Jaccard similarity of pairs of sets.

    Parameters
    ----------
    flat, offsets, set_sizes
        Distinct elements of all sets, where each set begins, and how many it has.
    left, right
        (m,) int64 places of sets, sorted by `left`.
    similarity
        Pairs below it are given up as soon as that is certain.
    workers
        Threads.

    Returns
    -------
    (m,) float64
        |A & B| / |A | B|, or -1 where that is below `similarity`.
    """
    from assets.deduplication import set_kernels as kernels

    out = np.empty(len(left), np.float64)
    cuts = np.linspace(0, len(left), max(1, min(workers * 4, len(left) // 256)) + 1).astype(int)

    def settle(part: int) -> None:
        span = slice(cuts[part], cuts[part + 1])
        kernels.jaccard(flat, offsets, set_sizes, left[span], right[span], similarity, out[span])

    if len(cuts) == 2:
        settle(0)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(settle, range(len(cuts) - 1)))
    return out
