"""Count exactly how many rows of a table are in another, for all pairs of a family at once.

Third stage of R2D2, but exact: all tables of a family (those compared on one set of columns) are
hashed once, and each further pair costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Protocol, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from assets.containment.pair_counts import (
    NONE_LACKING,
    Integers,
    count_parts,
    find_first,
    histogram,
    scatter,
)
from assets.containment.ranges import InPieces, as_ranged
from assets.containment.star_counts import count_star
from assets.kernels.cell_hash import Equality, Hashes, column_cells, find_column
from assets.kernels.xxh64 import avalanche_all

PART_ROWS = 8192
"""Rows a part of a few tables: its table of local ids and its bits fit the second-level cache."""

_PART_ROWS_OF_A_TABLE = 512
_MOST_PART_ROWS = 1 << 16

CHUNK_ROW_BYTES = 16
"""Memory for a row that is in work while pairs are counted."""

COUNTED_SCHEMA = {
    "child": pl.String,
    "parent": pl.String,
    "child_distinct": pl.Int64,
    "common": pl.Int64,
    "child_rows": pl.Int64,
    "common_multiset": pl.Int64,
    "parent_rows": pl.Int64,
    "parent_distinct": pl.Int64,
    "witness": pl.UInt64,
    "containment": pl.Float64,
    "multiset_containment": pl.Float64,
}
"""The columns of `contained_rows`."""


Column = str | tuple[str, str]
"""A column, or (column, name under which it is hashed)."""


class UnhashedTableError(ValueError):
    """A pair names a table whose hashes were not given."""


def contained_rows(
    hashes: Mapping[str, Hashes | InPieces],
    pairs: Iterable[tuple[str, str]],
    *,
    chunk_rows: int = 1 << 24,
    workers: int = 1,
    distinct: Mapping[str, int] | None = None,
) -> pl.DataFrame:
    """Count the rows that each child shares with its parent.

    Parameters
    ----------
    hashes : mapping of str to np.ndarray or InPieces
        Row hashes (uint64) by table, all over the same columns; those too large to hold in pieces.
    pairs : iterable of (str, str)
        (child, parent); repetitions count once.
    chunk_rows : int, default 2**24
        About how many rows are in work at once, at `CHUNK_ROW_BYTES` each, beside `hashes`.
    workers : int, default 1
        Threads.
    distinct : mapping of str to int, optional
        Distinct rows of tables that are known. If one table is in all pairs, and this has all others,
        they are only looked up in it.

    Returns
    -------
    pl.DataFrame
        A row for each pair, sorted: child, parent, child_distinct, common, child_rows,
        common_multiset, parent_rows, parent_distinct, witness, containment, multiset_containment.
        `common` counts distinct rows, `common_multiset` is the sum over rows of
        min(count in child, count in parent).
        containment = common / child_distinct; multiset_containment = common_multiset /
        child_rows; both null for a child without rows. `witness` is the least hash of a child's row
        that the parent lacks, null if there is none.

    Raises
    ------
    UnhashedTableError
        If a pair names a table that `hashes` lacks.

    Notes
    -----
    Exact up to collisions: a row that the parent lacks is found there with probability
    parent rows / 2^64. The result does not depend on `chunk_rows`, `workers` or any order.
    Cost: three passes over the hashes, and for a pair and part at most min(distinct rows of the
    child, distinct rows of the family / 64) operations.
    """
    wanted = sorted(set(pairs))
    names = sorted({table for pair in wanted for table in pair})
    missing = [name for name in names if name not in hashes]
    if missing:
        message = f"no row hashes for {missing[:5]}; hash these tables, or leave out their pairs"
        raise UnhashedTableError(message)
    number = {name: i for i, name in enumerate(names)}
    child = np.array([number[c] for c, _ in wanted], np.int64)
    parent = np.array([number[p] for _, p in wanted], np.int64)
    arrays = [hashes[name] for name in names]
    sizes = np.array([array.size for array in arrays], np.int64)
    # what a pair shares, it shares in both directions
    both = np.sort(np.stack([child, parent], axis=1), axis=1).reshape(-1, 2)
    once, place = np.unique(both, axis=0, return_inverse=True)
    left, right = once[:, 0].copy(), once[:, 1].copy()
    known = np.array([(distinct or {}).get(name, -1) for name in names], np.int64)
    hub = _hub(left, right, known)
    if hub is None:
        counts = _count(arrays, left, right, max(chunk_rows, PART_ROWS), max(workers, 1))
    else:
        counts = _count_star(arrays, left, right, known, hub, max(workers, 1))
    told = counts[0]
    place = place.reshape(-1)
    common, surplus = counts[1][place], counts[2][place]
    witness = np.where(child == left[place], counts[3][0][place], counts[3][1][place])
    frame = pl.DataFrame(
        {
            "child": pl.Series([c for c, _ in wanted], dtype=pl.String),
            "parent": pl.Series([p for _, p in wanted], dtype=pl.String),
            "child_distinct": told[child],
            "common": common,
            "child_rows": sizes[child],
            "common_multiset": common + surplus,
            "parent_rows": sizes[parent],
            "parent_distinct": told[parent],
            "witness": witness,
        }
    )
    return frame.with_columns(
        pl.col("witness").replace(int(NONE_LACKING), None),
        *[
            pl.when(pl.col("child_rows") > 0)
            .then(pl.col(part) / pl.col(whole))
            .otherwise(None)
            .alias(name)
            for part, whole, name in (
                ("common", "child_distinct", "containment"),
                ("common_multiset", "child_rows", "multiset_containment"),
            )
        ],
    )


def first_rows(hashes: Hashes | InPieces, wanted: Iterable[int]) -> dict[int, int]:
    """Find the first row of a table that has each of some hashes.

    Parameters
    ----------
    hashes : np.ndarray or InPieces
        Row hashes of the table.
    wanted : iterable of int
        Hashes.

    Returns
    -------
    dict of int to int
        Row, counted from 0, by hash; -1 where a hash does not occur.
    """
    sought = np.unique(np.array([*wanted], np.uint64))
    if not isinstance(hashes, np.ndarray):
        return hashes.first_rows(sought)
    found = np.full(sought.size, -1, np.int64)
    find_first(hashes, 0, sought, found)
    return dict(zip(sought.tolist(), found.tolist(), strict=True))


def _bits_for(total: int, size: int) -> int:
    """Say into how many bits' worth of pieces to divide `total`, so that each has about `size`."""
    return max(0, (max(total, 1) - 1) // size).bit_length()


def _hub(left: Integers, right: Integers, known: Integers) -> int | None:
    """Return the table that is in all pairs, if it is the only one whose distinct rows may be unknown."""
    unknown = np.flatnonzero(known < 0)
    if not left.size or unknown.size > 1:
        return None
    for hub in (left[0], right[0]):
        if (unknown == hub).all() and ((left == hub) | (right == hub)).all():
            return int(hub)
    return None


def _count_star(
    arrays: Sequence[Hashes | InPieces],
    left: Integers,
    right: Integers,
    known: Integers,
    hub: int,
    workers: int,
) -> tuple[Integers, Integers, Integers, Hashes]:
    """Count as `_count` does, where one table is in all pairs."""
    others = np.where(left == hub, right, left)
    found = count_star(
        as_ranged(arrays[hub]), [as_ranged(arrays[other]) for other in others], workers=workers
    )
    distinct = known.copy()
    distinct[hub] = found.distinct
    ours = left == hub
    lacking = np.stack(
        [
            np.where(ours, found.hub_lacking, found.other_lacking),
            np.where(ours, found.other_lacking, found.hub_lacking),
        ]
    )
    return distinct, found.common, found.surplus, lacking


def _count(
    arrays: Sequence[Hashes | InPieces],
    child: Integers,
    parent: Integers,
    chunk_rows: int,
    workers: int,
) -> tuple[Integers, Integers, Integers, Hashes]:
    total = sum(array.size for array in arrays)
    chunk_bits = _bits_for(total, chunk_rows)
    totals = [np.zeros(n, np.int64) for n in (len(arrays), child.size, child.size)]
    lacking = np.full((2, child.size), NONE_LACKING)
    # many tables make work by part and pair, so their parts are larger; with some ten thousand of them parts grow
    # on, so that what is noted by part and table stays less than the rows
    wide = min(_PART_ROWS_OF_A_TABLE * len(arrays), _MOST_PART_ROWS)
    part_rows = max(PART_ROWS, wide, 4 * len(arrays))
    part_bits = min(_bits_for(total >> chunk_bits, part_rows), 20)
    with ThreadPoolExecutor(workers) as pool:
        each = map if workers == 1 else pool.map
        for chunk in range(1 << chunk_bits):
            sizes = np.zeros((len(arrays), 1 << part_bits), np.int64)
            measure = partial(_table_sizes, chunk, chunk_bits, part_bits)
            for _ in each(measure, arrays, sizes):
                pass
            starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes.sum(axis=0))])
            cursors = starts[:-1] + np.cumsum(sizes, axis=0) - sizes
            out = np.empty(int(starts[-1]), np.uint64)
            put = partial(_put_table, out, chunk, chunk_bits, part_bits)
            for _ in each(put, arrays, cursors):
                pass
            by_part = np.ascontiguousarray(sizes.T)
            edges = np.linspace(0, by_part.shape[0], workers + 1).astype(np.int64)
            count = partial(_count_some, out, starts, by_part, child, parent)
            for result, least in each(count, *zip(*pairwise(edges), strict=True)):
                for whole, part in zip(totals, result, strict=True):
                    whole += part
                np.minimum(lacking, least, out=lacking)
    return totals[0], totals[1], totals[2], lacking


def _range(array: Hashes | InPieces, chunk: int, chunk_bits: int) -> Iterator[Hashes]:
    """Give the hashes of a chunk, of an array that is held perhaps among others."""
    if isinstance(array, np.ndarray):
        yield array
    else:
        with array.by_range(chunk_bits) as of:
            yield from of(chunk)


def _table_sizes(
    chunk: int, chunk_bits: int, part_bits: int, array: Hashes | InPieces, sizes: Integers
) -> None:
    for piece in _range(array, chunk, chunk_bits):
        histogram(piece, chunk, chunk_bits, part_bits, sizes)


def _put_table(
    out: Hashes,
    chunk: int,
    chunk_bits: int,
    part_bits: int,
    array: Hashes | InPieces,
    cursor: Integers,
) -> None:
    for piece in _range(array, chunk, chunk_bits):
        scatter(piece, chunk, chunk_bits, part_bits, cursor, out)


def _count_some(
    out: Hashes,
    starts: Integers,
    sizes: Integers,
    child: Integers,
    parent: Integers,
    first: int,
    stop: int,
) -> tuple[list[Integers], Hashes]:
    distinct = np.zeros(sizes.shape[1], np.int64)
    common, surplus = np.zeros((2, child.size), np.int64)
    lacking = np.full((2, child.size), NONE_LACKING)
    own = starts[first : stop + 1]
    count_parts(out, own, sizes[first:stop], child, parent, distinct, common, surplus, lacking)
    return [distinct, common, surplus], lacking


def hash_projections(
    batches: Iterable[pa.RecordBatch | pa.Table],
    column_sets: Sequence[Sequence[Column]],
    equality: Equality,
) -> list[Hashes]:
    """Hash the rows of a table on several sets of columns in one pass.

    Parameters
    ----------
    batches : iterable of pa.RecordBatch or pa.Table
        The table; each column that a set names must be in each batch.
    column_sets : sequence of sequence of str or (str, str)
        The projections; (column, name) hashes a column under another name.
    equality : {"typed", "value", "text"}
        Which cells are equal.

    Returns
    -------
    list of np.ndarray
        Row hashes (uint64) for each set, in row order: what
        `assets.kernels.cell_hash.row_hashes` gives, hashing each cell once.
    """
    parts: list[list[Hashes]] = [[] for _ in column_sets]
    for batch in batches:
        for own, hashes in zip(
            parts, hash_projections_of(batch, column_sets, equality), strict=True
        ):
            own.append(hashes)
    return [np.concatenate(own) if own else np.empty(0, np.uint64) for own in parts]


class CellAdder(Protocol):
    """Rows whose cells can be hashed without being held."""

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def add(self, column: str, name: str, equality: Equality, sums: Hashes) -> None:
        """Add the hashes of a column's cells to `sums`, one for each row."""


Rows: TypeAlias = pa.RecordBatch | pa.Table | CellAdder
"""Some rows of a table, to be hashed."""


def hash_projections_of(
    batch: Rows,
    column_sets: Sequence[Sequence[Column]],
    equality: Equality,
) -> list[Hashes]:
    """Hash the rows of one batch on several sets of columns; see `hash_projections`."""
    holders: dict[tuple[str, str], list[int]] = {}
    for number, columns in enumerate(column_sets):
        for column in columns:
            holders.setdefault(named(column), []).append(number)
    alike: dict[tuple[int, ...], Hashes] = {}  # sums of the columns that are in the same sets
    for (column, name), numbers in holders.items():
        sums = alike.get(tuple(numbers))
        if isinstance(batch, pa.RecordBatch | pa.Table):
            cells = column_cells(find_column(batch, column), name, equality)
            if sums is not None:
                sums += cells
                continue
            sums = cells
        else:
            sums = np.zeros(batch.num_rows, np.uint64) if sums is None else sums
            batch.add(column, name, equality, sums)
        alike[tuple(numbers)] = sums
    found = []
    for number in range(len(column_sets)):
        parts = [part for numbers, part in alike.items() if number in numbers]
        if len(parts) == 1 and (number,) in alike:
            found.append(parts[0])
            continue
        total = parts[0].copy() if parts else np.zeros(batch.num_rows, np.uint64)
        for part in parts[1:]:
            total += part
        found.append(total)
    for own in found:
        avalanche_all(own)
    return found


def named(column: Column) -> tuple[str, str]:
    """Return a column and the name under which it is hashed."""
    return (column, column) if isinstance(column, str) else column
