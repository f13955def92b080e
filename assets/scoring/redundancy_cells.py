"""In which cells a record's neighbours are sought: its own, and those whose border is near.

A record x of cell a is at the distance ``g = <x, a - b> / |a - b|`` from the plane between centroids a and b (all of
length 1). A neighbour in cell b lies beyond that plane, so its angle to x is at least asin(g). With all cells of
``g <= reach``, every neighbour at a cosine of ``sqrt(1 - reach²)`` or more is therefore found for certain; and most
further ones, because a neighbour rarely lies in just the direction of the plane: its part in that direction is
about ``sqrt(2 (1 - cosine) / d)`` long in d dimensions that matter.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.kernels.core_threads import blocks, on_every_core
from assets.kernels.kmeans import KMeansModel
from assets.kernels.unit_vectors import SCALE
from assets.scoring.redundancy_tiles import Task

BLOCK_ROWS = 8192
CORE_ROWS = 512
# of lengths on the grid, which are 1 only to 1e-4: what it may take from a cosine
GRID_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class Placement:
    """Where n records stand and are sought.

    Attributes
    ----------
    cells
        int32, shape (n, probes): cells in which a record is sought, nearest first, its own in front; then -1.
    capped
        bool, shape (n,): more cells were within reach than are looked into.
    """

    cells: NDArray[np.int32]
    capped: NDArray[np.bool_]

    def lists(self, of: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return for each of the cells the records that are sought in it and those that stand in it, ascending."""
        sought = _by_cell(self.cells, of)
        members = _by_cell(np.ascontiguousarray(self.cells[:, :1]), of)
        return list(zip(_parted(*sought), _parted(*members), strict=True))


def certain_from(reach: float) -> float:
    """Return the cosine from which on no neighbour is missed, but of capped records."""
    return min(float(np.sqrt(max(1.0 - reach * reach, 0.0))) + GRID_SLACK, 1.0)


def place(
    ordered: NDArray[np.float32],
    model: KMeansModel,
    probes: int,
    reach: float,
    device: Any,  # noqa: ANN401
) -> Placement:
    """Choose the cells of each row of a grid (n, d): those within reach, the nearest `probes` of them at most."""
    import torch

    n, k = len(ordered), len(model.centroids)
    cells = np.full((n, min(probes, k)), -1, dtype=np.int32)
    capped = np.zeros(n, dtype=bool)
    if k == 1:
        cells[:] = 0
        return Placement(cells, capped)
    centres = torch.from_numpy(np.ascontiguousarray(model.centroids, dtype=np.float32)).to(device)
    limits = _limits(model.centroids, reach)

    rooms = threading.local()  # memory that is new for each block takes longer than what fills it

    def choose(rows: slice) -> None:
        block = torch.from_numpy(ordered[rows]).to(device)
        room = getattr(rooms, "room", None)
        if room is None or len(room) < len(block):
            room = rooms.room = torch.empty((len(block), k), device=device)
        product = torch.mm(block, centres.T, out=room[: len(block)]).cpu().numpy()
        _choose(product, limits, cells[rows], capped[rows])

    if centres.device.type == "cpu":
        for _ in on_every_core(choose, blocks(n, CORE_ROWS)):
            pass
    else:
        for rows in blocks(n, BLOCK_ROWS):
            choose(rows)
    return Placement(cells, capped)


def tasks(
    placement: Placement, of: int, seek: NDArray[np.bool_], fresh: NDArray[np.bool_]
) -> list[Task]:
    """Return what must be compared: records to be sought with all members, the others with fresh ones."""
    found = []
    for queries, members in placement.lists(of):
        sought = seek[queries]
        pairs = [(queries[sought], members), (queries[~sought], members[fresh[members]])]
        found += [Task(*pair) for pair in pairs if len(pair[0]) and len(pair[1])]
    return found


def _limits(centroids: NDArray[Any], reach: float) -> NDArray[np.float32]:
    """Return by how much a product with each centroid may be below that with the own one: shape (k, k)."""
    wide = centroids.astype(np.float64)
    squares = np.einsum("kd,kd->k", wide, wide)
    # whole numbers: exact in any order
    apart = squares[:, None] + squares[None, :] - 2.0 * (wide @ wide.T)
    return np.asarray(reach * SCALE * np.sqrt(np.maximum(apart, 0.0)), dtype=np.float32)


# the largest is sought among int32, which hold a product's whole numbers: of floats it is not found on whole vectors
@compiled
def _choose(
    product: NDArray[np.float32],
    limits: NDArray[np.float32],
    cells: NDArray[np.int32],
    capped: NDArray[np.bool_],
) -> None:
    n, k = product.shape
    most_cells = cells.shape[1]
    for i in range(n):
        row = product[i]
        largest = np.int32(row[0])
        for j in range(k):
            largest = max(largest, np.int32(row[j]))
        most = np.float32(largest)
        own = 0
        while row[own] != most:
            own += 1
        limit = limits[own]
        within = 0
        for j in range(k):
            within += 1 if most - row[j] <= limit[j] else 0
        capped[i] = within > most_cells
        cells[i, 0] = own
        if within == 1:
            continue
        taken = 1
        for j in range(k):
            if j == own or most - row[j] > limit[j]:
                continue
            at = taken
            while at > 1 and row[j] > row[cells[i, at - 1]]:
                at -= 1
            if at == most_cells:
                continue
            taken = min(taken + 1, most_cells)
            for later in range(taken - 1, at, -1):
                cells[i, later] = cells[i, later - 1]
            cells[i, at] = j


@compiled
def _by_cell(cells: NDArray[np.int32], of: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort rows by the cells that they name; returns them and where each cell's end."""
    ends = np.zeros(of + 1, dtype=np.int64)
    for i in range(cells.shape[0]):
        for cell in cells[i]:
            if cell >= 0:
                ends[cell + 1] += 1
    ends = np.cumsum(ends)
    rows = np.empty(ends[-1], dtype=np.int64)
    at = ends[:-1].copy()
    for i in range(cells.shape[0]):
        for cell in cells[i]:
            if cell >= 0:
                rows[at[cell]] = i
                at[cell] += 1
    return rows, ends


def _parted(rows: NDArray[np.int64], ends: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[a:b] for a, b in pairwise(ends)]
