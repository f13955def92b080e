"""Find tables that no single parent holds, but two or three together do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.kernels.cell_hash import Hashes

UNION_SCHEMA = {
    "child": pl.String(),
    "parents": pl.List(pl.String),
    "containment": pl.Float64(),
    "multiset_containment": pl.Float64(),
    "child_rows": pl.Int64(),
    "child_distinct": pl.Int64(),
    "proven_smallest": pl.Boolean(),
}

SEARCH_NODES = 20_000
"""How many partial covers are tried for a child before the greedy one is taken."""


def union_covers(
    hashes: Mapping[str, Hashes],
    single_edges: Iterable[tuple[str, str]],
    max_parents: int = 3,
    *,
    children: Iterable[str] | None = None,
) -> pl.DataFrame:
    """Find, for each table that no other holds, the fewest tables that hold it together.

    Parameters
    ----------
    hashes : mapping of str to np.ndarray
        Row hashes (uint64) by table, all on the columns of the children.
    single_edges : iterable of (str, str)
        (child, parent) pairs that are wholly contained; their children are left out.
    max_parents : int, default 3
        The largest number of parents.
    children : iterable of str, optional
        The tables to cover; default all. In a family that was projected on some columns these
        are the tables that have no other columns.

    Returns
    -------
    pl.DataFrame
        A row for each child that is covered, sorted: child, parents (sorted), containment (1.0:
        every distinct row is in a parent), multiset_containment (the sum over rows of
        min(count in child, sum of counts in parents), over the child's rows), child_rows,
        child_distinct, proven_smallest.

    Notes
    -----
    Exact on the given hashes. The search branches on the row that fewest tables hold, by
    increasing number of parents, and so finds a smallest cover; among equals the one that
    prefers tables with more of the child's rows, then by name. After `SEARCH_NODES` steps it
    falls back to the greedy cover (proven_smallest False), which may miss a cover. Cost: a
    look-up of the child's rows in each table of the family, 1 bit each.
    """
    single = {child for child, _ in single_edges}
    names = sorted(hashes)
    rows = []
    for child in sorted(set(names if children is None else children) - single):
        distinct, counts = np.unique(hashes[child], return_counts=True)
        if distinct.size:
            found = _cover(distinct, {n: hashes[n] for n in names if n != child}, max_parents)
            if found is not None:
                parents, proven = found
                multiset = _multiset(distinct, counts, [hashes[parent] for parent in parents])
                size = int(counts.sum())
                rows.append((child, parents, 1.0, multiset / size, size, distinct.size, proven))
    return pl.DataFrame(rows, schema=UNION_SCHEMA, orient="row")


def _held(distinct: Hashes, table: Hashes) -> npt.NDArray[np.int64]:
    """Find the positions in sorted `distinct` of the rows of a table."""
    at = np.searchsorted(distinct, table)
    at[at == distinct.size] = 0
    found: npt.NDArray[np.int64] = at[distinct[at] == table].astype(np.int64)
    return found


def _multiset(distinct: Hashes, counts: npt.NDArray[np.int64], parents: Sequence[Hashes]) -> int:
    there = np.zeros(distinct.size, np.int64)
    for parent in parents:
        there += np.bincount(_held(distinct, parent), minlength=distinct.size)
    return int(np.minimum(there, counts).sum())


def _cover(
    distinct: Hashes, others: Mapping[str, Hashes], max_parents: int
) -> tuple[list[str], bool] | None:
    bits: dict[str, int] = {}
    holders = np.zeros(distinct.size, np.int64)
    for name, table in others.items():
        mask = np.zeros(distinct.size, np.bool_)
        mask[_held(distinct, table)] = True
        holders += mask
        packed = int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")
        if packed:
            bits[name] = packed
    if not bits or holders.min() == 0:
        return None
    order = sorted(bits, key=lambda name: (-bits[name].bit_count(), name))
    rarest = np.argsort(holders, kind="stable")
    search = _CoverSearch(bits, order, rarest.tolist(), (1 << distinct.size) - 1)
    for size in range(2, max_parents + 1):
        found = search.of_size(size)
        if found is not None:
            return sorted(found), True
        if search.exhausted:
            greedy = search.greedy(max_parents)
            return None if greedy is None else (sorted(greedy), False)
    return None


class _CoverSearch:
    def __init__(
        self, bits: dict[str, int], order: list[str], rarest: list[int], all_rows: int
    ) -> None:
        self.bits, self.order, self.rarest, self.all_rows = bits, order, rarest, all_rows
        self.nodes = 0

    @property
    def exhausted(self) -> bool:
        return self.nodes > SEARCH_NODES

    def of_size(self, size: int) -> list[str] | None:
        return self._extend([], self.all_rows, size, 0)

    def _extend(self, chosen: list[str], left: int, more: int, at: int) -> list[str] | None:
        if not left:
            return chosen
        self.nodes += 1
        if more == 0 or self.exhausted:
            return None
        largest = self.bits[self.order[0]].bit_count()
        if left.bit_count() > more * largest:
            return None
        while not (left >> self.rarest[at]) & 1:  # the rarest row that is not covered yet
            at += 1
        row = self.rarest[at]
        for name in self.order:
            if (self.bits[name] >> row) & 1:
                found = self._extend([*chosen, name], left & ~self.bits[name], more - 1, at)
                if found is not None:
                    return found
        return None

    def greedy(self, max_parents: int) -> list[str] | None:
        chosen: list[str] = []
        left = self.all_rows
        while left and len(chosen) < max_parents:
            gain = max(self.order, key=lambda name: (self.bits[name] & left).bit_count())
            chosen.append(gain)
            left &= ~self.bits[gain]
        return None if left else chosen
