"""Semantic redundancy: the largest cosine of a record to any that precedes it.

Records stand in a total order by content (the survivor order). A record's redundancy is its largest
cosine to an earlier record, so keeping all records at or below a threshold keeps, for every dropped
record, an earlier one that is closer than the threshold; thresholds can be swept without computing
again (the idea of SemDeDup, Abbas et al. 2023, with "any earlier record" as its rule).

The search looks in the cells of a spherical k-means: a record is compared with the members of the
`probes` cells nearest to it. With `cells=1` it is exact. Cost: about ``n² d probes / cells`` at the
rate of a matrix product, against ``n² d / 2`` for all pairs; memory: one tile beside the vectors,
which may be a memory map. The recall is measured on a keyed sample against all pairs, and stated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids, hash64
from assets.kernels.kmeans import KMeansModel, fit_kmeans
from assets.kernels.unit_vectors import UNIT, to_grid, valid_rows
from assets.scoring.batches import ScoringError
from assets.scoring.protocol import reasons_from
from assets.scoring.redundancy_result import SEEK, Known, Redundancy
from assets.scoring.redundancy_tiles import exact_search, nearest_cells, search_tiles

EXACT_ROWS = 4096


def fit_cells(
    vectors: NDArray[Any],
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
        vectors,
        ids,
        cells,
        seed=seed,
        iterations=8,
        sample_rows=32_768,
        init_rows=int(np.clip(8 * cells, 1024, 8192)),
        device=device,
    )


def semantic_redundancy(
    vectors: NDArray[Any],
    rank: NDArray[np.integer[Any]],
    ids: Ids,
    model: KMeansModel,
    known: Known | None = None,
    *,
    probes: int = 4,
    check: int = 512,
    seed: int = 0,
    device: Any = "cpu",  # noqa: ANN401 a torch device or its name
    progress: Callable[[int], None] | None = None,
) -> Redundancy:
    """Find each record's largest cosine to any that precedes it.

    Parameters
    ----------
    vectors
        Float16 or float32, shape (n, d); zero or NaN rows are records without a vector.
    rank
        Integers, shape (n,), distinct: the survivor order, small comes first.
    ids
        n distinct ids; they key the sample on which recall is measured.
    model
        Cells from `fit_cells`.
    known
        Of an earlier search with these cells and probes. The answer is the same, the work is in proportion to
        what changed.
    probes
        Cells in which a record's neighbours are sought.
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
        When shapes disagree, ranks repeat, probes is below 1, or a fresh record is said to be known.
    """
    rank = np.asarray(rank)
    n = len(vectors)
    hashes = hash64(ids, seed, "redundancy recall")
    if vectors.ndim != 2 or rank.shape != (n,) or len(hashes) != n or probes < 1:
        message = (
            f"redundancy of vectors {vectors.shape} with ranks {rank.shape}, {len(hashes)} ids and "
            f"{probes} probes is not possible; give one rank and id a vector, and probes >= 1"
        )
        raise ScoringError(message)
    if len(np.unique(rank)) != n:
        message = (
            "redundancy ranks repeat; the survivor order must be total, a rank for each record"
        )
        raise ScoringError(message)
    grid = to_grid(vectors)
    usable = valid_rows(grid)
    rows = np.flatnonzero(usable)
    # work in rank order: then a tile is wholly earlier, wholly later or on the diagonal
    rows = rows[np.argsort(rank[rows], kind="stable")]
    ordered = grid[rows]
    best = np.full(len(rows), -UNIT, dtype=np.float32)
    where = np.full(len(rows), -1, dtype=np.int64)
    seek, fresh = np.ones(len(rows), dtype=bool), np.ones(len(rows), dtype=bool)
    if known is not None:
        if (known.nearest[known.fresh] != SEEK).any():
            message = "a fresh record can't have a known nearest one; mark it to be sought"
            raise ScoringError(message)
        place = np.full(n, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        nearest = known.nearest[rows]
        seek, fresh, at = nearest == SEEK, known.fresh[rows], np.flatnonzero(nearest >= 0)
        where[at] = place[nearest[at]]
        best[at] = np.einsum("nd,nd->n", ordered[at], ordered[where[at]])
    near_cells = nearest_cells(ordered, model, min(probes, len(model.centroids)), device)
    pairs = 0
    # every record belongs to one cell as a member, and to `probes` cells as a query
    by_cell = np.argsort(near_cells[:, 0], kind="stable")
    ends = np.searchsorted(near_cells[by_cell, 0], np.arange(len(model.centroids) + 1))
    flat = np.argsort(near_cells.ravel(), kind="stable")
    query_ends = np.searchsorted(near_cells.ravel()[flat], np.arange(len(model.centroids) + 1))
    for cell in range(len(model.centroids)):
        members = by_cell[ends[cell] : ends[cell + 1]]
        queries = np.sort(flat[query_ends[cell] : query_ends[cell + 1]] // near_cells.shape[1])
        sought = seek[queries]
        pairs += search_tiles(ordered, queries[sought], members, best, where, device)
        others = queries[~sought]
        pairs += search_tiles(ordered, others, members[fresh[members]], best, where, device)
        if progress is not None:
            progress(len(members))
    values = np.full(n, np.nan)
    neighbour = np.full(n, -1, dtype=np.int64)
    found = where >= 0
    values[rows] = np.where(found, best.astype(np.float64) / UNIT, -1.0)
    neighbour[rows[found]] = rows[where[found]]
    exact = near_cells.shape[1] == len(model.centroids)
    near = 0.8
    recall = recall_near = 1.0
    checked = 0
    if not exact:
        sample = np.sort(np.argsort(hashes[rows], kind="stable")[:check])
        truth, _ = exact_search(ordered, sample, device)
        same = truth == best[sample]
        close = truth >= near * UNIT
        checked = len(sample)
        recall = float(same.mean()) if checked else float("nan")
        recall_near = float(same[close].mean()) if close.any() else float("nan")
    reasons = reasons_from(n, [(~usable, "no embedding")])
    return Redundancy(
        values,
        neighbour,
        reasons,
        len(model.centroids),
        near_cells.shape[1],
        recall,
        recall_near,
        near,
        checked,
        pairs,
    )
