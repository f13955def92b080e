"""Chain the stretches of a group's cells into one path of falling gain per unit of spend."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from assets.allocation.repetition import Cells, Pieces, drawn_at
from assets.allocation.roots import Floats


@dataclass(frozen=True)
class Segments:
    """Segments as columns, sorted by group and falling gain; `cell` is -1 on smooth ones."""

    group: np.ndarray
    cell: np.ndarray  # -1 on smooth segments
    high: Floats
    low: Floats
    samples: Floats
    effective: Floats
    spend: Floats

    def joined_with(self, more: Segments) -> Segments:
        """Return both, sorted by group; within a group the given order stands."""
        names = list(Segments.__dataclass_fields__)
        both = {n: np.concatenate([getattr(self, n), getattr(more, n)]) for n in names}
        order = np.argsort(both["group"], kind="stable")
        return Segments(**{n: v[order] for n, v in both.items()})


def chain(cells: Cells, pieces: Pieces) -> Segments:
    """Return the segments of all groups."""
    group = cells.group[pieces.cell]
    curved = pieces.curve > 0
    sizes = np.bincount(cells.group)
    mixed = np.zeros(sizes.size, bool)
    if curved.any():
        mixed[np.unique(group[curved])] = True
        mixed &= sizes > 1
    simple = np.flatnonzero(~mixed[group])
    parts = [
        Segments(
            group[simple],
            np.where(curved[simple], -1, pieces.cell[simple]),
            pieces.high[simple],
            pieces.low[simple],
            pieces.samples[simple],
            pieces.effective[simple],
            pieces.spend[simple],
        )
    ]
    rest = np.flatnonzero(mixed[group])
    rest = rest[np.argsort(group[rest], kind="stable")]
    cuts = np.flatnonzero(np.diff(group[rest])) + 1
    parts += [
        _merge(cells, pieces.take(rows), group[rows[0]])
        for rows in np.split(rest, cuts)
        if rows.size
    ]
    names = list(Segments.__dataclass_fields__)
    joined = {n: np.concatenate([getattr(q, n) for q in parts]) for n in names}
    order = np.lexsort((joined["cell"], -joined["low"], -joined["high"], joined["group"]))
    return Segments(**{n: v[order] for n, v in joined.items()})


def _merge(cells: Cells, pieces: Pieces, group: int) -> Segments:
    """Interleave flat and curved stretches of several cells of one group by falling gain."""
    curved = pieces.take(np.flatnonzero(pieces.curve > 0))
    straight = pieces.take(np.flatnonzero(pieces.curve == 0))
    marks = np.unique(np.concatenate([straight.high, curved.high, curved.low]))[::-1]
    rows = [
        (int(c), k, k, x, e, s)
        for c, k, x, e, s in zip(
            straight.cell,
            straight.high,
            straight.samples,
            straight.effective,
            straight.spend,
            strict=True,
        )
    ]
    for high, low in itertools.pairwise(marks.tolist()):
        active = np.flatnonzero((curved.high >= high) & (curved.low <= low))
        if not active.size:
            continue
        part = curved.take(active)
        (r1, e1), (r0, e0) = (drawn_at(part, np.full(active.size, m)) for m in (low, high))
        x = (r1 - r0) * cells.unique[part.cell]
        rows.append(
            (
                -1,
                high,
                low,
                float(x.sum()),
                float((e1 - e0).sum()),
                float((x * cells.cost[part.cell]).sum()),
            )
        )
    columns = [np.array(c, float) for c in zip(*rows, strict=True)]
    size = len(rows)
    return Segments(np.full(size, group), columns[0].astype(int), *columns[1:])
