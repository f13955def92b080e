"""Round robin: the records of the target take turns, each its own nearest record that is still there.

The selection rule of RDS+ (Ivison et al. 2025). Taking the records with the largest cosine to any target record instead
lets one crowded corner of the target spend the whole budget. Who has the nearest record comes first in a round; copies
of one target vector take one turn, and of equally near records the one with the smaller keyed hash is taken.

Cost: O(targets x rows x dim) and a few candidates' queue a target, refilled with twice as many when it runs dry.
Cosines are exact whole numbers (`unit_vectors`), so the order of rows and of the target changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.unit_vectors import UNIT, to_grid, valid_rows
from assets.scoring.selectors.protocol import (
    Candidates,
    Picks,
    SelectionError,
    SelectorNeeds,
    tie_order,
)

FIRST_QUEUE = 16
_TIE = 2.0**24  # more than any product on the grid


@dataclass(frozen=True)
class RoundRobin:
    """Each record of the target takes its nearest in turn."""

    name: ClassVar[str] = "round_robin"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "copies are equally near to the target, which takes both",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.EMBEDDING | SelectorNeeds.TARGET
    cost: ClassVar[str] = "O(targets x rows x dim)"
    source: ClassVar[str] = "Ivison et al. 2025, arXiv 2503.01807 (RDS+)"

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield one row at a time; the gain is its cosine to the target record that took it.

        Raises
        ------
        SelectionError
            No target record has a vector.
        """
        assert candidates.embedding is not None
        queries = _distinct(candidates.target)
        if not len(queries):
            message = f"--method {self.name} found no record of the target with a vector; give --target FILE"
            raise SelectionError(message)
        order = tie_order(candidates.ids, seed, "round robin ties")
        grid = to_grid(candidates.embedding[order])
        queues = [
            _Queue(grid, query, math.ceil(2 * most / len(queries)) + FIRST_QUEUE)
            for query in queries
        ]
        queues.sort(key=lambda queue: (-queue.products[0], queue.rows[0]))
        free = np.ones(len(grid), dtype=bool)
        given = 0
        while given < min(most, len(grid)):
            for queue in queues:
                at, product = queue.next(free)
                free[at] = False
                yield order[at : at + 1], np.array([product / UNIT])
                given += 1
                if given == min(most, len(grid)):
                    return


class _Queue:
    """The nearest rows to one query, nearest first, as far as they were asked for."""

    def __init__(self, grid: NDArray[np.float32], query: NDArray[np.float32], length: int) -> None:
        self.grid = grid
        self.query = query
        self.length = length
        self.rows, self.products = self._nearest()
        self.place = 0

    def _nearest(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        products = (self.grid @ self.query).astype(np.float64)
        # one number for product and place, so that a partial sort breaks ties like a whole one
        keys = products * _TIE - np.arange(len(products))
        few = min(self.length, len(keys))
        rows = np.argpartition(-keys, few - 1)[:few]
        rows = rows[np.argsort(-keys[rows])]
        return rows.astype(np.int64), products[rows]

    def next(self, free: NDArray[np.bool_]) -> tuple[int, float]:
        """Return the nearest free row and its product; there must be one."""
        while True:
            while self.place < len(self.rows):
                at = int(self.rows[self.place])
                self.place += 1
                if free[at]:
                    return at, float(self.products[self.place - 1])
            self.length *= 2
            self.rows, self.products = self._nearest()


def _distinct(target: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return the target's directions once each: grid rows (q, d)."""
    if target is None:
        return np.empty((0, 0), dtype=np.float32)
    grid = to_grid(target)
    return np.unique(grid[valid_rows(grid)], axis=0)
