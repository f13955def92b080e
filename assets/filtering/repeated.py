"""Put evaluations of one design together: what many of them say of a sum of squares, a few numbers say.

A law predicts one value for all evaluations of one pool, pool size, sample count and model. Their total
weight, weighted mean and scatter about it give sum w (y - f)^2 exactly, so that a fit to 100,000
evaluations at a hundred designs costs what a fit to a hundred does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.filtering.decay import Array

#: put together where it leaves at most one evaluation in this many
WORTH = 4


@dataclass(frozen=True)
class Repeated:
    """Hold which evaluations are of one design.

    ``distinct`` marks the first evaluation of each design, ``cell`` numbers the design of each
    evaluation in the order of the first ones; ``order`` and ``starts`` are rows by design.
    """

    distinct: npt.NDArray[np.bool_]
    cell: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def sums(self, values: Array) -> Array:
        """Return sums by design, shape (draws, evaluations) to (draws, designs)."""
        return np.asarray(np.add.reduceat(values[:, self.order], self.starts, axis=1))

    def together(self, weight: Array, target: Array) -> tuple[Array, Array, Array]:
        """Return weights and targets by design, and what the scatter adds to each sum of squares.

        ``weight`` and ``target``: shape (draws, evaluations). A design of weight zero has target zero.
        """
        total = self.sums(weight)
        mean = self.sums(weight * target) / np.maximum(total, 1e-300)
        scatter = np.sum(weight * (target - mean[:, self.cell]) ** 2, axis=1)
        return total, mean, scatter


def repeated_designs(*design: npt.NDArray[np.generic]) -> Repeated | None:
    """Group evaluations by the columns of their design, shape (evaluations,) each.

    None where putting them together would leave more than a quarter. Cost O(n log n).
    """
    table = np.stack(design, axis=1)
    _, first, cell = np.unique(table, axis=0, return_index=True, return_inverse=True)
    if WORTH * len(first) > len(table):
        return None
    distinct = np.zeros(len(table), dtype=bool)
    distinct[first] = True
    # `unique` sorts by design; a table that is cut to the first ones keeps the order of its rows
    place = np.argsort(np.argsort(first))[cell.ravel()]
    order = np.argsort(place, kind="stable")
    return Repeated(distinct, place, order, np.flatnonzero(np.diff(place[order], prepend=-1)))
