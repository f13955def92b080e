"""Exact Jaccard of candidate pairs, with no more sets in memory than a budget allows.

The sizes of all sets are known from the first pass, so the work is cut into rounds beforehand:
each round re-reads the texts that it needs, holds their sets (8 bytes a distinct shingle) and
settles its pairs. Sets of one connected component lie side by side, so that a round usually
settles whole components; a component above the budget is settled block against block.
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


def rounds(left: I64, right: I64, set_sizes: I64, *, budget_bytes: int) -> Iterator[I64]:
    """Cut pairs into rounds whose sets fit the budget.

    Yields
    ------
    (k,) int64
        Places in `left` and `right`, each exactly once over all rounds. A round holds at most two
        blocks of `budget_bytes / 2`, or a single set more where one set is larger than that.
    """
    if not len(left):
        return
    nodes = np.unique(np.concatenate([left, right]))
    total = int(set_sizes[nodes].sum()) * 8
    if total <= budget_bytes:
        yield np.arange(len(left))
        return
    label = component_labels(
        len(nodes), np.searchsorted(nodes, left), np.searchsorted(nodes, right)
    )
    order = np.lexsort((nodes, label))
    filled = np.cumsum(set_sizes[nodes[order]] * 8) - 1
    block = np.empty(len(nodes), np.int64)
    block[order] = filled // max(8, budget_bytes // 2)
    one = block[np.searchsorted(nodes, left)]
    two = block[np.searchsorted(nodes, right)]
    one, two = np.minimum(one, two), np.maximum(one, two)
    joint = (one >> 1) == (two >> 1)
    one, two = np.where(joint, one & ~1, one), np.where(joint, one & ~1, two)
    by_round = np.lexsort((two, one))
    change = (np.diff(one[by_round]) != 0) | (np.diff(two[by_round]) != 0)
    yield from (np.sort(part) for part in np.split(by_round, np.flatnonzero(change) + 1))


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
    from assets.deduplication import shingle_kernels as kernels

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
