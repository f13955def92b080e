"""k-means in torch, spherical and Euclidean, free of order.

Rows are put on an integer grid before anything else, so that every dot product and every centroid
sum is exact (float32 for unit vectors, float64 for others). The fit therefore gives the same
centroids for any order of rows, number of threads and device, and its sums could be computed on
shards and added. Starts come from k-means++ with randomness keyed by id. The alternative,
scikit-learn's KMeans, is as fast and gives an equal inertia, but its result depends on row order.

Cost: O(n k d) a pass, at the rate of a matrix product; memory O(n d) for the rows that are fitted
(a keyed sample where there are more) plus a tile of rows by k for each core (or one of `BLOCK_ROWS`
on a card).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.kernels.core_threads import blocks, on_every_core
from assets.kernels.keyed_random import Ids, hash_words, id_words
from assets.kernels.kmeans_start import Metric, plus_plus
from assets.kernels.unit_vectors import SCALE, UNIT, to_grid, valid_rows

if TYPE_CHECKING:
    import torch

BLOCK_ROWS = 8192  # at a time on a card
CORE_ROWS = 512  # at a time on a core: their products with the centroids stay in its cache
_EUCLIDEAN_STEPS = 2.0**20  # squares of 2**20 sum exactly in float64 up to 8192 dimensions


class KMeansError(ValueError):
    """Rows, weights or settings that k-means cannot work with."""


@dataclass(frozen=True, slots=True)
class KMeansModel:
    """Fitted centroids.

    Attributes
    ----------
    centroids
        float32 grid units (spherical) or float64 steps of `unit` (euclidean), shape (k, d).
    metric
        ``spherical`` or ``euclidean``.
    unit
        Length of one grid step (1/4000 for spherical).
    inertia
        Sum over fitted rows of ``1 - cosine``, or of the squared distance.
    iterations
        Passes made.
    """

    centroids: NDArray[Any]
    metric: Metric
    unit: float
    inertia: float
    iterations: int

    def assign(
        self, vectors: NDArray[Any], device: str | torch.device = "cpu"
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Assign rows to their nearest centroid.

        Parameters
        ----------
        vectors
            Float, shape (n, d).
        device
            Where to multiply; the answer is the same everywhere.

        Returns
        -------
        cells : numpy.ndarray
            int32, shape (n,); the lowest number among equally near centroids, -1 for a row without
            a direction (spherical: zero or not finite; euclidean: not finite).
        distance : numpy.ndarray
            float64, shape (n,): ``1 - cosine``, or the squared distance; NaN where the cell is -1.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.centroids.shape[1]:
            message = (
                f"vectors have shape {vectors.shape} but the centroids have "
                f"{self.centroids.shape[1]} dimensions; was the embedder changed?"
            )
            raise KMeansError(message)
        grid, valid = _to_metric_grid(vectors, self.metric, self.unit)
        cells, distance = _nearest(grid, self.centroids, self.metric, device)
        cells[~valid] = -1
        scale = 1.0 if self.metric == "spherical" else self.unit**2
        return cells, np.where(valid, distance * scale, np.nan)


def fit_kmeans(
    vectors: NDArray[Any],
    ids: Ids,
    k: int,
    *,
    metric: Metric = "spherical",
    seed: int = 0,
    iterations: int = 25,
    sample_rows: int = 65_536,
    init_rows: int = 8192,
    device: str | torch.device = "cpu",
) -> KMeansModel:
    """Fit k centroids.

    Parameters
    ----------
    vectors
        Float, shape (n, d). Rows without a direction or with NaN take no part.
    ids
        n strings, distinct; they key the sample, the start and the ties.
    k
        Centroids wanted; fewer are returned when there are fewer distinct rows.
    metric
        ``spherical`` (cosine) or ``euclidean``.
    seed
        Key of the randomness.
    iterations
        Largest number of passes; stops when no row changes its cell.
    sample_rows
        Rows fitted at most: those with the smallest hash of their id.
    init_rows
        Rows of that sample on which k-means++ draws the start.
    device
        Where to multiply.

    Raises
    ------
    KMeansError
        When k is below 1, shapes disagree or no row can be used.

    Notes
    -----
    Lloyd's algorithm from a greedy k-means++ start (Arthur and Vassilvitskii 2007), with D²
    sampling done as an exponential race with a draw keyed by (seed, step, id). A cell left empty
    takes the row farthest from its centroid.
    """
    words = id_words(ids)
    if k < 1 or vectors.ndim != 2 or len(words) != len(vectors):
        message = (
            f"k-means of k={k} on vectors {vectors.shape} with {len(words)} ids is not possible"
        )
        raise KMeansError(message)
    unit = 1.0 / SCALE if metric == "spherical" else _euclidean_unit(vectors)
    chosen = sample_order(words, seed, sample_rows)
    grid, valid = _to_metric_grid(vectors[chosen], metric, unit)
    words = words[chosen]
    if not valid.all():
        grid, words = grid[valid], words[valid]
    if not len(grid):
        message = "no row has a usable vector; every one is zero or not finite"
        raise KMeansError(message)
    centroids = plus_plus(grid[:init_rows], words[:init_rows], k, metric, seed)
    cells = np.full(len(grid), -1, dtype=np.int32)
    passes = 0
    distance = np.zeros(len(grid))
    for passes in range(1, iterations + 1):  # noqa: B007 the count is reported
        previous = cells
        cells, distance = _nearest(grid, centroids, metric, device)
        if np.array_equal(previous, cells):
            break
        centroids = _update(grid, cells, distance, centroids, metric)
    else:
        cells, distance = _nearest(grid, centroids, metric, device)
    scale = 1.0 if metric == "spherical" else unit**2
    return KMeansModel(centroids, metric, unit, float(np.sort(distance).sum()) * scale, passes)


def sample_order(words: NDArray[np.uint64], seed: int, rows: int) -> NDArray[np.int64]:
    """Return the positions of the `rows` ids with the smallest hash, in the order of the hash."""
    order = np.lexsort((words[:, 1], words[:, 0], hash_words(words, seed, "k-means sample")))
    return order[:rows]


def _euclidean_unit(vectors: NDArray[Any]) -> float:
    finite = np.abs(np.asarray(vectors, dtype=np.float64))
    finite = finite[np.isfinite(finite).all(axis=1)]
    largest = float(finite.max(initial=0.0))
    # a power of two, so that scaling itself is exact
    return float(2.0 ** (np.ceil(np.log2(largest)) if largest > 0 else 0.0)) / _EUCLIDEAN_STEPS


def _to_metric_grid(
    vectors: NDArray[Any], metric: Metric, unit: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if metric == "spherical":
        grid = to_grid(vectors)
        return grid, valid_rows(grid)
    wide = np.asarray(vectors, dtype=np.float64)
    valid: NDArray[np.bool_] = np.asarray(np.isfinite(wide).all(axis=1))
    return np.where(valid[:, None], np.rint(wide / unit), 0.0), valid


def _nearest(
    grid: NDArray[Any], centroids: NDArray[Any], metric: Metric, device: str | torch.device
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    import torch

    centres = torch.from_numpy(np.ascontiguousarray(centroids)).to(device)
    cells = np.empty(len(grid), dtype=np.int32)
    distance = np.empty(len(grid), dtype=np.float64)
    half_square = (centres * centres).sum(dim=1) / 2
    rooms = threading.local()  # memory that is new for each block takes longer than what fills it

    def assign(rows: slice) -> None:
        block = torch.from_numpy(np.ascontiguousarray(grid[rows])).to(device)
        room = getattr(rooms, "room", None)
        if room is None or len(room) < len(block):
            room = rooms.room = torch.empty(
                (len(block), len(centres)), dtype=centres.dtype, device=device
            )
        score = torch.mm(block, centres.T, out=room[: len(block)])
        if metric == "euclidean":
            score -= half_square
        cells[rows], value = _best(score)
        if metric == "spherical":
            distance[rows] = 1.0 - value / UNIT
        else:
            squares = np.einsum("nd,nd->n", grid[rows], grid[rows])
            distance[rows] = np.maximum(squares - 2.0 * value, 0.0)

    if centres.device.type == "cpu":
        for _ in on_every_core(assign, blocks(len(grid), CORE_ROWS)):
            pass
    else:
        for rows in blocks(len(grid), BLOCK_ROWS):
            assign(rows)
    return cells, distance


def _best(score: torch.Tensor) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the lowest of each row's nearest cells, and its score."""
    # both return the first of equal maxima; numpy's runs on whole vectors, torch's on a CPU does not
    if score.device.type == "cpu":
        values = score.numpy()
        places = values.argmax(axis=1)
        return places.astype(np.int32), values[np.arange(len(places)), places].astype(np.float64)
    best = score.argmax(dim=1, keepdim=True)
    value = score.gather(1, best)[:, 0].cpu().numpy()
    return best[:, 0].cpu().numpy().astype(np.int32), value.astype(np.float64)


def _round_centroids(
    sums: NDArray[np.float64], counts: NDArray[Any], metric: Metric
) -> NDArray[Any]:
    if metric == "spherical":
        return to_grid(sums)
    return np.asarray(np.rint(sums / np.maximum(counts, 1)[:, None]))


def _update(
    grid: NDArray[Any],
    cells: NDArray[np.int32],
    distance: NDArray[np.float64],
    centroids: NDArray[Any],
    metric: Metric,
) -> NDArray[Any]:
    k = len(centroids)
    counts = np.bincount(cells, minlength=k)
    sums = np.zeros(centroids.shape, dtype=np.float64)
    _add_rows(grid, cells, sums)
    updated = _round_centroids(sums, counts, metric)
    lost = ~updated.any(axis=1) if metric == "spherical" else np.zeros(k, dtype=bool)
    empty = np.flatnonzero((counts == 0) | lost)
    if len(empty):
        # rows stand in the order of their hash, so a stable sort breaks ties by hash
        farthest = np.argsort(-distance, kind="stable")[: len(empty)]
        updated[empty[: len(farthest)]] = grid[farthest]
    return updated


# sums of whole numbers: exact in any order
@compiled
def _add_rows(grid: NDArray[Any], cells: NDArray[np.int32], sums: NDArray[np.float64]) -> None:
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            sums[cells[i], j] += grid[i, j]
