"""Follow a group's best fill where a floor on its draws competes with pools of unequal cost.

Without a floor a group takes its pools by worth per cost. A floor on the number of draws can force
another order: first the cheapest draws, whatever they are worth, then swaps to dearer and worthier
ones, then the usual order. For straight stretches that is a linear programme with one equality
besides the bounds, whose efficient frontier in (spend, effective samples) moves along edges that
change two pools; so the best swap, or the best added draw, is always the next step and the path is
concave. Curved stretches are cut into straight ones, ever finer around the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assets.allocation.repetition import Cells, Pieces, worth_of_passes
from assets.allocation.roots import Floats

_CUTS = 48


@dataclass(frozen=True)
class FloorPath:
    """The path of one group beyond its floor.

    `cells` are the group's cells. The floor's cheapest draws `samples` cost `spend` and give
    `effective`; from there `effective_knots` (K,) and `spend_knots` (K,), both from 0, and
    `sample_knots` (K, cells) follow the best fill.
    """

    cells: np.ndarray
    floor: float
    spend: float
    effective: float
    spend_knots: Floats
    effective_knots: Floats
    sample_knots: Floats

    def samples_at(self, more: float) -> Floats:
        """Return the draws of the group's cells at `more` effective samples beyond the floor's."""
        columns = [np.interp(more, self.effective_knots, c) for c in self.sample_knots.T]
        return np.array(columns)


@dataclass
class _Slice:
    size: float
    gain: float
    taken: float = 0.0


def floor_path(
    cells: Cells, pieces: Pieces, group: int, floor: float, near: Sequence[Floats] = ()
) -> FloorPath | None:
    """Return the path of `group`, or None where its records and passes don't reach the floor.

    Parameters
    ----------
    cells, pieces
        All cells and their stretches.
    group
        The group's position.
    floor
        Least draws of the group.
    near
        Draws per cell of the group from rougher answers, around which curved stretches are cut
        finer, each 24 times finer than the one before.

    Notes
    -----
    Cost O(slices * pools^2). Exact for straight stretches; for curved ones the loss is of the
    order of the square of the finest cut.
    """
    index = np.flatnonzero(cells.group == group)
    book = [_slices(cells, pieces, int(c), [x[i] for x in near]) for i, c in enumerate(index)]
    cost = cells.cost[index]
    x = _cheapest(book, cost, floor)
    if x is None:
        return None
    effective = float(sum(s.taken * s.gain for line in book for s in line))
    knots = [(0.0, 0.0, x.copy())]
    while (step := _next(book, cost)) is not None:
        source, target, size = step
        gain = _move(book[target], size)
        spend = size * float(cost[target])
        x[target] += size
        if source is not None:
            gain -= _move(book[source], -size)
            spend -= size * float(cost[source])
            x[source] -= size
        s, e, _ = knots[-1]
        knots.append((s + spend, e + gain, x.copy()))
    spends, gains, draws = zip(*knots, strict=True)
    return FloorPath(
        index,
        floor,
        float(knots[0][2] @ cost),
        effective,
        np.array(spends),
        np.array(gains),
        np.array(draws),
    )


def _slices(cells: Cells, pieces: Pieces, cell: int, near: list[float]) -> list[_Slice]:
    rows = np.flatnonzero(pieces.cell == cell)
    unique = float(cells.unique[cell])
    marks: list[Floats] = []
    for row in rows:
        r0, r1 = float(pieces.r0[row]), float(pieces.r1[row])
        if pieces.curve[row] == 0:
            marks.append(np.array([r0, r1]))
            continue
        width = (r1 - r0) / _CUTS
        grid = [np.linspace(r0, r1, _CUTS + 1)]
        for draws in near:
            around = draws / unique + np.linspace(-width, width, _CUTS + 1)
            grid.append(around[(around > r0) & (around < r1)])
            width *= 2.0 / _CUTS
        marks.append(np.concatenate(grid))
    if not marks:
        return []
    r = np.unique(np.concatenate(marks))
    r = r[np.append(np.diff(r) > 1e-8 * r[-1], True)]  # too close for a difference quotient
    r = r if r[0] == 0 else np.insert(r, 0, 0.0)
    phi = worth_of_passes(cells.kind, r, float(cells.parameter[cell]))
    size = np.diff(r) * unique
    gain = np.minimum.accumulate(np.diff(phi) / np.diff(r) * cells.worth[cell])
    return [_Slice(*pair) for pair in zip(size.tolist(), gain.tolist(), strict=True) if pair[0] > 0]


def _cheapest(book: list[list[_Slice]], cost: Floats, floor: float) -> Floats | None:
    """Take the cheapest draws up to the floor, the worthier first among equally dear ones."""
    order = sorted(
        ((float(cost[q]), -s.gain, q, i) for q, line in enumerate(book) for i, s in enumerate(line))
    )
    x, left = np.zeros(cost.size), floor
    for _, _, q, i in order:
        taken = min(left, book[q][i].size)
        book[q][i].taken = taken
        x[q] += taken
        left -= taken
        if left <= 0:
            return x
    return x if left <= 1e-12 * floor else None


def _first_open(line: list[_Slice]) -> _Slice | None:
    return next((s for s in line if s.taken < s.size), None)


def _last_taken(line: list[_Slice]) -> _Slice | None:
    return next((s for s in reversed(line) if s.taken > 0), None)


def _next(book: list[list[_Slice]], cost: Floats) -> tuple[int | None, int, float] | None:
    """Return (pool to take from or None, pool to draw from, draws) with the most gain per spend."""
    best = 0.0
    choice: tuple[int | None, int, float] | None = None
    lasts = [_last_taken(line) for line in book]
    for target, line in enumerate(book):
        wanted = _first_open(line)
        if wanted is None:
            continue
        room = wanted.size - wanted.taken
        if wanted.gain / cost[target] > best:
            best, choice = float(wanted.gain / cost[target]), (None, target, room)
        for source, last in enumerate(lasts):
            if last is None or cost[source] >= cost[target]:
                continue
            ratio = (wanted.gain - last.gain) / (cost[target] - cost[source])
            if ratio > best * (1 + 1e-12):
                best, choice = float(ratio), (source, target, min(room, last.taken))
    return choice


def _move(line: list[_Slice], size: float) -> float:
    """Take `size` draws more (or give them back); return their effective samples, unsigned."""
    chosen = _first_open(line) if size > 0 else _last_taken(line)
    if chosen is None:
        return 0.0
    chosen.taken = chosen.taken + size
    if abs(chosen.taken) <= 1e-12 * chosen.size:
        chosen.taken = 0.0
    elif chosen.taken >= chosen.size * (1 - 1e-12):
        chosen.taken = chosen.size
    return abs(size) * chosen.gain
