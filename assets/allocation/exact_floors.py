"""Put floors of groups whose pools differ in cost inside the solve, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from assets.allocation.errors import InfeasibleFloors
from assets.allocation.fill import Fill
from assets.allocation.floor_paths import FloorPath, floor_path
from assets.allocation.roots import Floats
from assets.allocation.segments import Segments
from assets.allocation.solve import Division
from assets.allocation.stated import Stated

_ROUNDS = 4


def competing_floors(stated: Stated, floors: Floats) -> list[int]:
    """Return the groups that have a floor and pools of unequal cost."""
    cells, out = stated.cells, []
    for g in np.flatnonzero(floors > 0):
        cost = cells.cost[(cells.group == g) & (cells.unique > 0) & (cells.worth > 0)]
        if cost.size and np.ptp(cost) > 1e-12 * cost.max():
            out.append(int(g))
    return out


def divide_exactly(stated: Stated, floors: Floats) -> tuple[Stated, Division]:
    """Return the problem with its competing floors bought, and its optimum.

    What the cheapest way to the floors buys counts as held there and is taken from the budget;
    `Stated.samples` and `Stated.whole_budget` count it in again. Where pools have curved stretches
    the solve is repeated with finer cuts around its answer.

    Raises
    ------
    InfeasibleFloors
        With the least budget that would do.
    """
    groups = competing_floors(stated, floors)
    if not groups:
        return stated, stated.divide()
    near: list[Floats] = []
    curved = stated.cells.kind in ("exp", "power")
    for _ in range(_ROUNDS if curved else 1):
        solved = _bought(stated, floors, groups, near)
        division = solved.divide()
        near.append(solved.samples(division.effective))
    return solved, division


def _bought(stated: Stated, floors: Floats, groups: list[int], near: list[Floats]) -> Stated:
    cells = stated.cells
    pieces = cells.pieces(stated.budget)
    paths: dict[int, FloorPath] = {}
    for g in groups:
        rows = cells.group == g
        path = floor_path(cells, pieces, g, float(floors[g]), [x[rows] for x in near])
        if path is None:
            most = float(stated.fill.top_samples[g])
            msg = (
                f"group {stated.names[g]!r}, field floor: {floors[g]:.6g} samples, but its records "
                f"and passes give at most {most:.6g}; lower the floor or allow more passes"
            )
            raise InfeasibleFloors(msg)
        paths[g] = path
    spent = np.zeros(stated.fill.groups)
    held, floor_spend = stated.held.copy(), stated.floor_spend.copy()
    for g, path in paths.items():
        spent[g], floor_spend[g] = path.spend, 0.0
        held[g] += path.effective
    check_floors(stated, floor_spend + spent)
    fill = Fill(cells, stated.fill.groups, stated.budget, replaced=_segments(cells.group, paths))
    budget = None if stated.budget is None else max(stated.budget - float(spent.sum()), 0.0)
    return replace(
        stated, fill=fill, held=held, floor_spend=floor_spend, budget=budget, bought=paths
    )


def check_floors(stated: Stated, floor_spend: Floats) -> None:
    """Raise InfeasibleFloors where the floors cost more than the budget."""
    replace(stated, floor_spend=floor_spend, bought={}).check_floors()


def _segments(group: np.ndarray, paths: dict[int, FloorPath]) -> Segments:
    columns: list[list[Floats]] = [[] for _ in range(7)]
    for g, path in paths.items():
        spend, effective = np.diff(path.spend_knots), np.diff(path.effective_knots)
        gain = np.minimum.accumulate(effective / spend)
        rows = (
            np.full(spend.size, g),
            np.full(spend.size, int(path.cells[0])),
            gain,
            gain,
            np.diff(path.sample_knots.sum(axis=1)),
            effective,
            spend,
        )
        for column, values in zip(columns, rows, strict=True):
            column.append(values)
    joined = [np.concatenate(c) for c in columns]
    return Segments(joined[0].astype(int), joined[1].astype(int), *joined[2:])
