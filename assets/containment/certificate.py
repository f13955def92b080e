"""Prove with keyed 128-bit digests that every row of a table is in its parents, and at which positions.

Rows are found by their 64-bit hashes first, so that only those of the parents that may be rows of the
child are digested. The digest decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.ingestion.model import POSITION_COLUMN
from assets.kernels.cell_hash import DIGEST, DIGEST_SCHEME, Equality, row_digests, row_hashes

Positions = npt.NDArray[np.int64]
Digests = np.ndarray[Any, Any]
_WORD = 1 << 64


class UncertifiedError(ValueError):
    """Rows of the child are not in the parents; `row` is the first of them, counted from 0."""

    def __init__(self, lacking: int, row: int) -> None:
        super().__init__(f"{lacking:,} of its rows are in no parent, the first is row {row:,}")
        self.row = row


@dataclass(frozen=True)
class Parent:
    """One parent as it is streamed.

    Attributes
    ----------
    batches
        Its rows with their `sluice_position`.
    column_map
        Parent column by child column.
    base
        Added to its positions, so that the positions of several parents differ.
    """

    batches: Iterable[pa.Table]
    column_map: Mapping[str, str]
    base: int


def certify(
    child: pa.Table,
    columns: Sequence[str],
    parents: Sequence[Parent],
    equality: Equality,
    key: bytes,
) -> tuple[dict[str, Any], Positions]:
    """Certify that the rows of a child are rows of its parents.

    Parameters
    ----------
    child
        All n rows.
    columns
        Its columns, structs flattened.
    parents
        Each is streamed once.
    equality
        Which cells are equal.
    key
        Of the digests.

    Returns
    -------
    tuple
        The certificate (plain data: scheme, key, equality, columns, rows, distinct_rows, the sum of the
        digests modulo 2^128 as `multiset`, their hash in order as `sequence`), and n positions: where in
        the parents each row is. Increasing if the child's rows come in the order of the parents' at all;
        else the k-th of equal rows is the k-th of the parent's, counted anew when those run out.

    Raises
    ------
    UncertifiedError
        If a row is in no parent.

    Notes
    -----
    A row that is in no parent passes with probability (rows compared)/2^128, whoever made the data,
    as long as the key was drawn after it. Cost: the 64-bit hash of every parent row, and some 10
    microseconds for each digest.
    """
    digests = row_digests(child, columns, equality, key)
    hashes = np.unique(row_hashes(child, columns, equality))
    found, places = [np.empty(0, DIGEST)], [np.empty(0, np.int64)]
    for parent in parents:
        names = [parent.column_map[name] for name in columns]
        rename = {theirs: mine for mine, theirs in parent.column_map.items()}
        for batch in parent.batches:
            known = is_in(hashes, row_hashes(batch, names, equality, rename))
            rows = batch.filter(pa.array(known))
            found.append(row_digests(rows, names, equality, key, rename))
            places.append(rows.column(POSITION_COLUMN).to_numpy() + parent.base)
    positions = _match(digests, np.concatenate(found), np.concatenate(places))
    return certificate(digests, columns, equality, key), positions


def certificate(
    digests: Digests, columns: Sequence[str], equality: Equality, key: bytes
) -> dict[str, Any]:
    """Return the certificate of some rows, as `certify` does; see there."""
    total = sum(digests["high"].astype(object).tolist()) * _WORD
    total += sum(digests["low"].astype(object).tolist())
    return {
        "scheme": DIGEST_SCHEME,
        "key": key.hex(),
        "equality": equality,
        "columns": sorted(columns),
        "rows": int(digests.size),
        "distinct_rows": int(np.unique(digests).size),
        "multiset": f"{total % (_WORD * _WORD):032x}",
        "sequence": hashlib.blake2b(digests.tobytes(), digest_size=16).hexdigest(),
    }


def is_in(distinct: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which values are among some distinct ones that are sorted."""
    if not distinct.size:
        return np.zeros(values.size, np.bool_)
    at = np.searchsorted(distinct, values)
    at[at == distinct.size] = 0
    return np.asarray(distinct[at] == values, np.bool_)


def _match(child: Digests, parent: Digests, places: Positions) -> Positions:
    """Find a position for each digest of the child."""
    distinct, number = np.unique(child, return_inverse=True)
    held = is_in(distinct, parent)
    owner, places = np.searchsorted(distinct, parent[held]), places[held]
    order = np.lexsort((places, owner))
    places = places[order]
    ends = np.cumsum(np.bincount(owner, minlength=distinct.size))
    starts = np.concatenate([[0], ends[:-1]]) if ends.size else ends
    lacking = np.flatnonzero((ends - starts)[number] == 0)
    if lacking.size:
        raise UncertifiedError(int(lacking.size), int(lacking[0]))
    if places.size == distinct.size:  # no row of the parents has a twin
        return np.asarray(places[starts[number]], np.int64)
    rising = _rising(places, starts, ends, number)
    return rising if rising is not None else _kth(places, starts, ends, number)


def _rising(
    places: Positions, starts: Positions, ends: Positions, number: Positions
) -> Positions | None:
    """Take for each row the first place after that of the row before; None where there is none."""
    out = np.empty(number.size, np.int64)
    last = -1
    cursor = starts.copy()
    listed, until = places.tolist(), ends.tolist()
    for row, own in enumerate(number.tolist()):
        at = int(cursor[own])
        while at < until[own] and listed[at] <= last:
            at += 1
        if at == until[own]:
            return None
        last = out[row] = listed[at]
        cursor[own] = at + 1
    return out


def _kth(places: Positions, starts: Positions, ends: Positions, number: Positions) -> Positions:
    """Take the k-th place for the k-th of equal rows, and begin anew when they run out."""
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.arange(starts.size))
    nth = np.empty(number.size, np.int64)
    nth[order] = np.arange(number.size) - first[number[order]]
    taken: Positions = places[starts[number] + nth % (ends - starts)[number]]
    return taken
