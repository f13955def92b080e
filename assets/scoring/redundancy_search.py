"""Semantic redundancy: the largest cosine of a record to any that precedes it.

Records stand in a total order by content (the survivor order). A record's redundancy is its largest
cosine to an earlier record, so keeping all records at or below a threshold keeps, for every dropped
record, an earlier one that is closer than the threshold; thresholds can be swept without computing
again (the idea of SemDeDup, Abbas et al. 2023, with "any earlier record" as its rule).

The search looks in the cells of a spherical k-means: a record is compared with the members of its own
cell and of those whose border is within `reach` of it, `probes` at most (`redundancy_cells`, which
says from what cosine on no neighbour is missed). With `cells=1` it is exact. Cost: about ``n² d probes
/ cells`` at the rate of a matrix product, probes being the cells that a record is sought in on
average, against ``n² d / 2`` for all pairs; memory: one tile a core beside the vectors, which are on the grid
as float32; those of a `VectorStore` are put there tile by tile, as often as they are compared. The recall
is measured on a keyed sample against all pairs, and stated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from assets.kernels.core_threads import blocks, on_every_core
from assets.kernels.keyed_random import Ids, hash64
from assets.kernels.kmeans import KMeansModel, fit_kmeans
from assets.kernels.unit_vectors import UNIT, to_grid, valid_rows
from assets.scoring.batches import ScoringError
from assets.scoring.protocol import reasons_from
from assets.scoring.redundancy_cells import certain_from, place, tasks
from assets.scoring.redundancy_result import SEEK, Known, Redundancy
from assets.scoring.redundancy_tiles import Nearest, Task, exact_search, search_tasks
from assets.scoring.vector_store import GridRows, StoredRows, Vectors

EXACT_ROWS = 4096
GRID_ROWS = 2048
NEAR = 0.8


def fit_cells(
    vectors: Vectors,
    ids: Ids,
    *,
    cells: int = 0,
    seed: int = 0,
    device: Any = "cpu",  # noqa: ANN401 a torch device or its name
) -> KMeansModel:
    """Fit the cells of the search: part of a calibration, to be stored and used again.

    Parameters
    ----------
    vectors
        Float, shape (n, d).
    ids
        n distinct ids.
    cells
        How many; 0 takes one for up to 4096 rows (exact), then one for each 400 rows, at most 1024.
    seed
        Key of the start.
    device
        Where to multiply.
    """
    n = len(vectors)
    if cells < 0:
        message = f"redundancy cells is {cells}; use 0 (automatic) or more"
        raise ScoringError(message)
    if not cells:
        cells = 1 if n <= EXACT_ROWS else int(np.clip(n // 400, 16, 1024))
    return fit_kmeans(
        cast("Any", vectors),  # what is sliced of it are arrays
        ids,
        cells,
        seed=seed,
        iterations=4,  # more makes the cells no better for a search
        sample_rows=int(np.clip(64 * cells, 16_384, 65_536)),
        init_rows=int(np.clip(4 * cells, 1024, 4096)),
        device=device,
    )


def semantic_redundancy(
    vectors: Vectors,
    rank: NDArray[np.integer[Any]],
    ids: Ids,
    model: KMeansModel,
    known: Known | None = None,
    *,
    probes: int = 16,
    reach: float = 0.15,
    check: int = 512,
    seed: int = 0,
    device: Any = "cpu",  # noqa: ANN401 a torch device or its name
    progress: Callable[[int], None] | None = None,
) -> Redundancy:
    """Find each record's largest cosine to any that precedes it.

    Parameters
    ----------
    vectors
        Float16 or float32, shape (n, d), or rows of a `VectorStore`; zero or NaN rows are records without a vector.
    rank
        Integers, shape (n,), distinct: the survivor order, small comes first.
    ids
        n distinct ids; they key the sample on which recall is measured.
    model
        Cells from `fit_cells`.
    known
        Of an earlier search with these cells, probes and reach. The answer is the same, the work is in proportion to
        what changed.
    probes
        Cells in which a record's neighbours are sought, at most.
    reach
        A cell is looked into where its border is so near, in (0, 1]: the sine of an angle.
    check
        Records compared with all others to measure recall (0 leaves it NaN).
    seed
        Key of that sample.
    device
        Where to multiply; the answer is the same everywhere, since cosines are exact on the grid.
    progress
        Called with the number of records whose cell is finished.

    Raises
    ------
    ScoringError
        When shapes disagree, ranks repeat, probes is below 1, reach is not in (0, 1], or a fresh record is said to
        be known.
    """
    rank = np.asarray(rank)
    n, count = len(vectors), len(ids)
    if vectors.ndim != 2 or rank.shape != (n,) or count != n or probes < 1 or not 0 < reach <= 1:
        message = (
            f"redundancy of vectors {vectors.shape} with ranks {rank.shape}, {count} ids, {probes} probes and "
            f"reach {reach} is not possible; give one rank and id a vector, probes >= 1, and reach in (0, 1]"
        )
        raise ScoringError(message)
    if len(np.unique(rank)) != n:
        message = (
            "redundancy ranks repeat; the survivor order must be total, a rank for each record"
        )
        raise ScoringError(message)
    # work in rank order: then what precedes a record is a prefix
    rows = np.argsort(rank, kind="stable")
    ordered: Any
    if isinstance(vectors, StoredRows):
        rows = rows[vectors.usable()[rows]]
        ordered = GridRows(vectors, rows)
    else:
        ordered = _gridded(vectors, rows)
        usable = valid_rows(ordered)
        if not usable.all():
            rows, ordered = rows[usable], ordered[usable]
    nearest = Nearest(len(rows))
    seek, fresh = np.ones(len(rows), dtype=bool), np.ones(len(rows), dtype=bool)
    if known is not None:
        seek, fresh = _begin(nearest, ordered, rows, known, n)
    k = len(model.centroids)
    placement = place(ordered, model, probes, reach, device)
    own, told = placement.cells[:, 0], 0

    def done(task: Task) -> None:
        nonlocal told
        if progress is not None:
            here = int((own[task.queries] == own[task.members[0]]).sum())
            told += here
            progress(here)

    search_tasks(ordered, tasks(placement, k, seek, fresh), nearest, device, done)
    if progress is not None:
        progress(len(rows) - told)  # those that there was nothing to compare with
    values = np.full(n, np.nan)
    neighbour = np.full(n, -1, dtype=np.int64)
    found = nearest.where >= 0
    values[rows] = np.where(found, nearest.best.astype(np.float64) / UNIT, -1.0)
    neighbour[rows[found]] = rows[nearest.where[found]]
    exact = placement.cells.shape[1] == k and bool((placement.cells >= 0).all())
    recall, recall_near, checked = 1.0, 1.0, 0
    if not exact:
        sample = np.argsort(hash64(ids, seed, "redundancy recall")[rows], kind="stable")[:check]
        recall, recall_near, checked = _recall(ordered, nearest, np.sort(sample), device)
    without = np.ones(n, dtype=bool)
    without[rows] = False
    return Redundancy(
        values,
        neighbour,
        reasons_from(n, [(without, "no embedding")]),
        k,
        placement.cells.shape[1],
        float((placement.cells >= 0).sum() / max(len(rows), 1)),
        certain_from(reach) if not exact else -1.0,
        float(placement.capped.mean()) if len(rows) else 0.0,
        recall,
        recall_near,
        NEAR,
        checked,
        nearest.pairs,
    )


def _gridded(vectors: NDArray[Any], order: NDArray[np.int64]) -> NDArray[np.float32]:
    """Put rows on the grid in an order, on every core."""
    grid = np.empty(vectors.shape, dtype=np.float32)

    def fill(rows: slice) -> None:
        grid[rows] = to_grid(vectors[order[rows]])

    for _ in on_every_core(fill, blocks(len(order), GRID_ROWS)):
        pass
    return grid


def _begin(
    nearest: Nearest,
    ordered: NDArray[np.float32],
    rows: NDArray[np.int64],
    known: Known,
    n: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Note what is known; returns which rows must be sought among all, and which no other was compared with."""
    if (known.nearest[known.fresh] != SEEK).any():
        message = "a fresh record can't have a known nearest one; mark it to be sought"
        raise ScoringError(message)
    place_of = np.full(n, -1, dtype=np.int64)
    place_of[rows] = np.arange(len(rows))
    before = known.nearest[rows]
    at = np.flatnonzero(before >= 0)
    nearest.where[at] = place_of[before[at]]
    for part in blocks(len(at), GRID_ROWS):
        some = at[part]
        nearest.best[some] = np.einsum("nd,nd->n", ordered[some], ordered[nearest.where[some]])
    return before == SEEK, known.fresh[rows]


def _recall(
    ordered: NDArray[np.float32],
    nearest: Nearest,
    sample: NDArray[np.int64],
    device: Any,  # noqa: ANN401
) -> tuple[float, float, int]:
    """Compare sampled rows with all pairs: share of right values, the same among near ones, rows."""
    truth, _ = exact_search(ordered, sample, device)
    same = truth == nearest.best[sample]
    close = truth >= NEAR * UNIT
    recall = float(same.mean()) if len(sample) else float("nan")
    return recall, float(same[close].mean()) if close.any() else float("nan"), len(sample)
