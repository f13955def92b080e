"""KNN-Shapley: what each record adds to a nearest-neighbour classifier of the target, exactly.

The Shapley value of a training record in the game whose worth is the share of the K nearest records
with the target record's label, averaged over target records. With the records sorted by distance to one of
them, nearest first, m being 1 where the labels agree (Jia et al. 2019, "Efficient task-specific data
valuation for nearest neighbor algorithms", theorem 1):

``s_N = m_N / max(N, K)``, ``s_i = s_{i+1} + (m_i - m_{i+1}) / K * min(K, i) / i``.

The values of all records add up to the worth of all. Distance is by cosine, on whole numbers (`unit_vectors`);
records that are equally near are sorted by the survivor order. Cost: O(targets x rows x (log rows + dim));
memory: the vectors as float32 (or a tile of them,
where they lie in a `VectorStore`) and one block of targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.unit_vectors import to_grid
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
from assets.scoring.vector_store import GridRows, StoredRows, Vectors, usable_rows

BLOCK_CELLS = 1 << 22
TILE_ROWS = 8192


def shapley_values(matches: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """Return the values for rows of matches sorted nearest first.

    Parameters
    ----------
    matches
        bool, shape (targets, n): whether the labels agree.
    k
        Neighbours, at least 1.

    Returns
    -------
    numpy.ndarray
        float64, shape (targets, n).
    """
    n = matches.shape[1]
    m = matches.astype(np.float64)
    place = np.arange(1, n)
    steps = np.empty_like(m)
    steps[:, -1] = m[:, -1] / max(n, k)
    steps[:, :-1] = (m[:, :-1] - m[:, 1:]) / k * (np.minimum(k, place) / place)
    return np.asarray(np.cumsum(steps[:, ::-1], axis=1)[:, ::-1])


@dataclass(frozen=True)
class KnnShapley:
    """What a record adds to a nearest-neighbour classifier of the target.

    Parameters
    ----------
    k
        Neighbours that vote.
    """

    k: int = 10

    name: ClassVar[str] = "knn_shapley"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL | Needs.TARGET | Needs.RANK
    row_local: ClassVar[bool] = False
    cost: ClassVar[str] = "O(targets x rows x (log rows + dim))"
    source: ClassVar[str] = "Jia et al. 2019, arXiv 1908.08619, theorem 1"

    def __post_init__(self) -> None:
        if self.k < 1:
            message = f"knn_shapley cannot use k={self.k}; use 1 or more"
            raise ScoringError(message)

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is better."""
        return "high"

    def score_all(
        self,
        batch: ScoreBatch,
        rank: NDArray[np.integer[Any]],
        context: ScoreContext,
        model: Any = None,  # noqa: ANN401 nothing is calibrated
    ) -> tuple[ScoreColumn, dict[str, Any]]:
        """Value all train rows by all target rows; see `WholeScorer`.

        Raises
        ------
        ScoringError
            No target row has a vector and a label, or the train labels are of one class.
        """
        n = len(batch)
        train, target = batch.has_role("train"), batch.has_role("target")
        labelled = np.zeros(n, dtype=bool)
        if batch.label is not None:
            labelled = np.asarray(batch.label.is_valid())
        vectors: Vectors = np.zeros((n, 1), dtype=np.float32)
        if batch.embedding is not None:
            vectors = batch.embedding
        usable = usable_rows(vectors)
        values = np.full(n, np.nan)
        facts: dict[str, Any] = {"rows": 0, "targets": 0, "worth": None}
        if n:
            order = np.argsort(rank, kind="stable")
            rows = order[(train & labelled & usable)[order]]
            aims = order[(target & labelled & usable)[order]]
            codes = _codes(batch)
            _check(codes[rows], len(aims))
            values[rows] = self._values(vectors, codes, rows, aims)
            facts = {"rows": len(rows), "targets": len(aims), "worth": float(values[rows].sum())}
        reasons = [
            (~train, "not a train record"),
            (~usable, "no embedding"),
            (~labelled, "no label"),
        ]
        column = ScoreColumn(self.name, self.version, values, reasons_from(n, reasons), "high")
        return column, facts

    def _values(
        self,
        vectors: Vectors,
        codes: NDArray[np.int64],
        rows: NDArray[np.int64],
        aims: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        total = np.zeros(len(rows))
        goals = to_grid(vectors[aims])
        # of stored vectors the grid is made anew for each block of targets
        grid: Any = GridRows(vectors, rows) if isinstance(vectors, StoredRows) else to_grid(vectors[rows])  # fmt: skip
        block = max(1, BLOCK_CELLS // len(rows))
        for start in range(0, len(aims), block):
            near = np.empty((len(goals[start : start + block]), len(rows)), dtype=np.float32)
            for low in range(0, len(rows), TILE_ROWS):
                tile = grid[low : low + TILE_ROWS]
                near[:, low : low + TILE_ROWS] = goals[start : start + block] @ tile.T
            nearest = np.argsort(-near, axis=1, kind="stable")
            some = aims[start : start + block]
            matches = codes[rows][nearest] == codes[some][:, None]
            for place, found in zip(nearest, shapley_values(matches, self.k), strict=True):
                total[place] += found  # one target after the other: sums don't depend on the block
        return total / len(aims)


def _codes(batch: ScoreBatch) -> NDArray[np.int64]:
    labels = pl.Series(batch.label).cast(pl.String).rank("dense")
    return labels.fill_null(0).to_numpy().astype(np.int64)


def _check(codes: NDArray[np.int64], targets: int) -> None:
    if not targets:
        message = (
            "knn_shapley found no target record with a vector and a label; "
            "give --target a file that has both"
        )
        raise ScoringError(message)
    if len(np.unique(codes)) < 2:
        message = (
            "knn_shapley: the labels of the records are of one class or missing; "
            "name another column with --label"
        )
        raise ScoringError(message)
