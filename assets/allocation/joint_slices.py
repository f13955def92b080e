"""Cut the cells of a joint problem in slices of passes, whose worth on every draw is a straight line.

Worth and decay differ by draw, so no single order of pools is best, and the plan is sought in samples of
slices. Step repetition is straight on whole passes, so slices lose nothing there (to 40 passes); exp and
power are cut in eighths of a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assets.allocation.joint_effective import Effective
from assets.allocation.repetition import worth_of_passes
from assets.allocation.roots import Floats

_MOST, _FINE = 40.0, 12.0


@dataclass(frozen=True)
class Slices:
    """S slices of cells on D draws.

    `cell`, `group`, `start` (samples of the cell before it), `size` (samples), `cost` (of a sample)
    shape (S,); `gain` effective samples of a sample, shape (D, S).
    """

    cell: np.ndarray
    group: np.ndarray
    start: Floats
    size: Floats
    cost: Floats
    gain: Floats
    cells: int

    def fill(self, x: Floats) -> Floats:
        """Return the samples of every slice (S,) for samples `x` of the cells."""
        return np.asarray(np.clip(x[self.cell] - self.start, 0.0, self.size))

    def samples(self, y: Floats) -> Floats:
        """Return the samples of the cells for samples `y` of the slices."""
        return np.bincount(self.cell, y, minlength=self.cells).astype(float)


def slices_of(drawn: Sequence[Effective]) -> Slices:
    """Return the slices of one problem solved on several draws."""
    cells, budget = drawn[0].cells, drawn[0].stated.budget
    columns: list[tuple[int, Floats]] = []
    for i, unique in enumerate(cells.unique.tolist()):
        if unique <= 0:
            continue
        reach = float(cells.max_passes[i])
        if budget is not None:
            reach = min(reach, max(budget / (float(cells.cost[i]) * unique), 1.0))
        columns.append((i, _edges(cells.kind, min(reach, 1e6))))
    gain = [
        [
            d.cells.worth[i]
            * np.diff(worth_of_passes(cells.kind, edges, float(d.cells.parameter[i])))
            / np.diff(edges)
            for i, edges in columns
        ]
        for d in drawn
    ]
    cell = np.concatenate([np.full(e.size - 1, i) for i, e in columns])
    return Slices(
        cell,
        cells.group[cell],
        np.concatenate([e[:-1] * cells.unique[i] for i, e in columns]),
        np.concatenate([np.diff(e) * cells.unique[i] for i, e in columns]),
        cells.cost[cell],
        np.array([np.concatenate(row) for row in gain]),
        cells.unique.size,
    )


def _edges(kind: str, reach: float) -> Floats:
    if kind == "none":
        return np.array([0.0, 1.0])
    whole = np.arange(0.0, _MOST + 1)
    if kind != "step":
        whole = np.union1d(whole, np.arange(1.0, _FINE, 0.125))
    return np.append(whole[whole < reach * (1 - 1e-12)], reach)
