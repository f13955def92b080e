"""Semantic redundancy as a score: the largest cosine of a record to any that precedes it; see `redundancy_search`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids
from assets.kernels.kmeans import KMeansModel
from assets.kernels.unit_vectors import SCALE
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
from assets.scoring.redundancy_result import SEEK, Known, Redundancy
from assets.scoring.redundancy_search import fit_cells, semantic_redundancy
from assets.scoring.vector_store import StoredRows, Vectors, usable_rows

__all__ = [
    "SEEK",
    "Known",
    "Redundancy",
    "RedundancyScorer",
    "fit_cells",
    "semantic_redundancy",
    "usable_vectors",
]


@dataclass(frozen=True)
class RedundancyScorer:
    """Largest cosine to any record that precedes it in the survivor order.

    Parameters
    ----------
    cells
        Cells of the search; 0 chooses by the number of records.
    probes
        Cells in which a record's neighbours are sought, at most.
    reach
        How near the border of a cell must be for that; see `redundancy_cells`.
    """

    cells: int = 0
    probes: int = 16
    reach: float = 0.15

    name: ClassVar[str] = "redundancy"
    version: ClassVar[int] = 2
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
            All records; its embedding may lie in a `VectorStore`.
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
            Of `Redundancy.about`.
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
        return self.fit_vectors(vectors, batch.ids, context)

    def fit_vectors(self, vectors: Vectors, ids: Ids, context: ScoreContext) -> KMeansModel:
        """Fit the cells of the search on vectors, some of which are usable."""
        return fit_cells(vectors, ids, cells=self.cells, seed=context.seed, device=context.device)

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
        given: Any = batch.embedding
        vectors = given if isinstance(given, StoredRows) else given.astype(np.float16)
        return self.search_vectors(vectors, rank, batch.ids, context, model, known)

    def search_vectors(
        self,
        vectors: Vectors,
        rank: NDArray[np.integer[Any]],
        ids: Ids,
        context: ScoreContext,
        model: KMeansModel,
        known: Known | None = None,
    ) -> Redundancy:
        """Search vectors, which may lie in a `VectorStore`; see `semantic_redundancy`."""
        return semantic_redundancy(
            vectors,
            rank,
            ids,
            model,
            known,
            probes=self.probes,
            reach=self.reach,
            seed=context.seed,
            device=context.device,
            progress=context.progress,
        )

    def to_state(self, model: KMeansModel) -> ScorerState:
        """Pack the cells as a state of the calibration."""
        meta = {"inertia": model.inertia, "iterations": model.iterations}
        meta |= {"probes": self.probes, "reach": self.reach}
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


def usable_vectors(batch: ScoreBatch) -> Vectors | None:
    """Return a batch's vectors as they are stored, or None where no record has one."""
    vectors: Any = batch.embedding
    if vectors is None or not usable_rows(vectors).any():
        return None
    return vectors if isinstance(vectors, StoredRows) else vectors.astype(np.float16)
