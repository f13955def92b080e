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
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids, hash64
from assets.kernels.kmeans import KMeansModel, fit_kmeans
from assets.kernels.unit_vectors import SCALE, UNIT, to_grid, valid_rows
from assets.scoring.protocol import (
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScoreContext,
    ScorerState,
    ScoringError,
    reasons_from,
)

QUERY_ROWS = 1024
MEMBER_ROWS = 4096
EXACT_ROWS = 4096
SEEK = -2


@dataclass(frozen=True, slots=True)
class Redundancy:
    """The result of a search.

    Attributes
    ----------
    values
        float64, shape (n,): largest cosine to an earlier record among those compared; -1 for
        records with none; NaN for records without a vector.
    neighbour
        int64, shape (n,): the earlier record's position, the earliest of equally near; -1 if none.
    reasons
        String series: why a value is null.
    cells, probes
        What was searched.
    recall
        Share of sampled records whose value equals the exact one; 1.0 where the search is exact.
    recall_near
        The same among sampled records whose exact value is at least `near`; NaN where none is.
    near
        0.8.
    checked
        Records sampled.
    pairs
        Cosines computed, times.
    """

    values: NDArray[np.float64]
    neighbour: NDArray[np.int64]
    reasons: pl.Series
    cells: int
    probes: int
    recall: float
    recall_near: float
    near: float
    checked: int
    pairs: int

    def about(self) -> dict[str, Any]:
        """Return cells, probes, recall, recall_near, near, checked and pairs as JSON values."""
        names = ("cells", "probes", "recall", "recall_near", "near", "checked", "pairs")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier search under the same cells found, so that only what changed is searched.

    Attributes
    ----------
    nearest
        int64, shape (n,): position of each record's nearest earlier one; -1 where it has none; `SEEK` where
        it must be sought among all, because the record is new or its nearest is gone.
    fresh
        bool, shape (n,): records that no other was compared with. All of them must be sought.
    """

    nearest: NDArray[np.int64]
    fresh: NDArray[np.bool_]


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
    near_cells = _nearest_cells(ordered, model, min(probes, len(model.centroids)), device)
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
        pairs += _search(ordered, queries[sought], members, best, where, device)
        others = queries[~sought]
        pairs += _search(ordered, others, members[fresh[members]], best, where, device)
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
        truth, _ = _exact(ordered, sample, device)
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


def _nearest_cells(
    ordered: NDArray[np.float32],
    model: KMeansModel,
    probes: int,
    device: Any,  # noqa: ANN401
) -> NDArray[np.int32]:
    import torch

    k = len(model.centroids)
    cells = np.zeros((len(ordered), probes), dtype=np.int32)
    if k == 1:
        return cells
    centres = torch.from_numpy(np.ascontiguousarray(model.centroids, dtype=np.float32)).to(device)
    for start in range(0, len(ordered), 4096):
        block = torch.from_numpy(ordered[start : start + 4096]).to(device)
        product = block @ centres.T
        for probe in range(probes):
            # argmax by argmax: it names the first of equal maxima, topk does not promise to
            nearest = product.argmax(dim=1, keepdim=True)
            cells[start : start + 4096, probe] = nearest[:, 0].cpu().numpy()
            product.scatter_(1, nearest, -float("inf"))
    return cells


def _search(
    ordered: NDArray[np.float32],
    queries: NDArray[np.int64],
    members: NDArray[np.int64],
    best: NDArray[np.float32],
    where: NDArray[np.int64],
    device: Any,  # noqa: ANN401
) -> int:
    import torch

    pairs = 0
    for low in range(0, len(members), MEMBER_ROWS):
        block_members = members[low : low + MEMBER_ROWS]
        first = np.searchsorted(queries, block_members[0], side="right")
        member_rows = None
        for start in range(int(first), len(queries), QUERY_ROWS):
            block_queries = queries[start : start + QUERY_ROWS]
            if member_rows is None:
                member_rows = torch.from_numpy(ordered[block_members]).to(device)
            # members are in rank order, so those before the last query are a prefix
            upto = int(np.searchsorted(block_members, block_queries[-1], side="left"))
            product = torch.from_numpy(ordered[block_queries]).to(device) @ member_rows[:upto].T
            pairs += len(block_queries) * upto
            before = np.searchsorted(block_members, block_queries[0], side="left")
            if before < upto:
                # the diagonal: hide members that do not precede the query
                positions = torch.from_numpy(block_members[before:upto]).to(device)
                limit = torch.from_numpy(block_queries).to(device)[:, None]
                product[:, before:].masked_fill_(positions[None, :] >= limit, -float("inf"))
            value, at = product.max(dim=1)
            values = value.cpu().numpy()
            found = block_members[at.cpu().numpy()]
            old, old_at = best[block_queries], where[block_queries]
            better = (values > -np.inf) & (
                (old_at < 0) | (values > old) | ((values == old) & (found < old_at))
            )
            best[block_queries[better]] = values[better]
            where[block_queries[better]] = found[better]
    return pairs


def _exact(
    ordered: NDArray[np.float32],
    sample: NDArray[np.int64],
    device: Any,  # noqa: ANN401
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    best = np.full(len(ordered), -UNIT, dtype=np.float32)
    where = np.full(len(ordered), -1, dtype=np.int64)
    _search(ordered, sample, np.arange(len(ordered)), best, where, device)
    return best[sample], where[sample]


@dataclass(frozen=True)
class RedundancyScorer:
    """Largest cosine to any record that precedes it in the survivor order.

    Parameters
    ----------
    cells
        Cells of the search; 0 chooses by the number of records.
    probes
        Cells in which a record's neighbours are sought.
    """

    cells: int = 0
    probes: int = 4

    name: ClassVar[str] = "redundancy"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.RANK
    row_local: ClassVar[bool] = False
    cost: ClassVar[str] = "O(rows² x dim x probes / cells)"
    source: ClassVar[str] = "after Abbas et al. 2023, arXiv 2303.09540"

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Low is better."""
        return "low"

    def score_all(
        self,
        batch: ScoreBatch,
        rank: NDArray[np.integer[Any]],
        context: ScoreContext,
        model: KMeansModel | None = None,
    ) -> tuple[ScoreColumn, dict[str, Any]]:
        """Score all records at once; see `search`.

        Parameters
        ----------
        batch
            All records; its embedding may be a memory map.
        rank
            Survivor order, distinct integers of shape (n,).
        context
            Seed, device and progress.
        model
            Cells of the calibration; fitted here when None.

        Returns
        -------
        column : ScoreColumn
        about : dict
            cells, probes, recall, recall_near, near, checked, pairs; JSON values.
        """
        n = len(batch)
        vectors = usable_vectors(batch)
        if vectors is None:
            reasons = reasons_from(n, [(np.ones(n, dtype=bool), "no embedding")])
            column = ScoreColumn(self.name, self.version, np.full(n, np.nan), reasons, "low")
            return column, {"cells": 0, "probes": 0, "checked": 0, "pairs": 0}
        if model is None:
            model = self.fit(batch, context)
        found = self.search(batch, rank, context, model)
        column = ScoreColumn(self.name, self.version, found.values, found.reasons, "low")
        return column, found.about()

    def fit(self, batch: ScoreBatch, context: ScoreContext) -> KMeansModel:
        """Fit the cells of the search on all records of a batch that has vectors."""
        vectors = usable_vectors(batch)
        if vectors is None:
            message = (
                "redundancy found no record with an embedding; give the records text or features"
            )
            raise ScoringError(message)
        return fit_cells(
            vectors, batch.ids, cells=self.cells, seed=context.seed, device=context.device
        )

    def search(
        self,
        batch: ScoreBatch,
        rank: NDArray[np.integer[Any]],
        context: ScoreContext,
        model: KMeansModel,
        known: Known | None = None,
    ) -> Redundancy:
        """Search all records of a batch that has vectors; see `semantic_redundancy`."""
        assert batch.embedding is not None
        return semantic_redundancy(
            batch.embedding.astype(np.float16),
            rank,
            batch.ids,
            model,
            known,
            probes=self.probes,
            seed=context.seed,
            device=context.device,
            progress=context.progress,
        )

    def to_state(self, model: KMeansModel) -> ScorerState:
        """Pack the cells as a state of the calibration."""
        meta = {"inertia": model.inertia, "iterations": model.iterations, "probes": self.probes}
        return ScorerState(self.name, self.version, meta, {"centroids": model.centroids})

    def from_state(self, state: ScorerState) -> KMeansModel:
        """Unpack the cells."""
        about = state.meta
        return KMeansModel(
            state.arrays["centroids"],
            "spherical",
            1.0 / SCALE,
            about["inertia"],
            about["iterations"],
        )


def usable_vectors(batch: ScoreBatch) -> NDArray[np.float16] | None:
    """Return a batch's vectors as they are stored, or None where no record has one."""
    if batch.embedding is None:
        return None
    usable = np.isfinite(batch.embedding).all(axis=1) & batch.embedding.any(axis=1)
    return batch.embedding.astype(np.float16) if usable.any() else None
