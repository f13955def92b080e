"""k-means in torch, spherical and Euclidean, free of order.

Rows are put on an integer grid before anything else, so that every dot product and every centroid
sum is exact (float32 for unit vectors, float64 for others). The fit therefore gives the same
centroids for any order of rows, number of threads and device, and its sums could be computed on
shards and added. Starts come from k-means++ with randomness keyed by id. The alternative,
scikit-learn's KMeans, is as fast and gives an equal inertia, but its result depends on row order.

Cost: O(n k d) a pass, at the rate of a matrix product; memory O(n d) for the rows that are fitted
(a keyed sample where there are more) plus one tile of `BLOCK_ROWS` by k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids, hash_words, id_words, uniform_from_hash
from assets.kernels.unit_vectors import SCALE, UNIT, to_grid, valid_rows

if TYPE_CHECKING:
    import torch

Metric = Literal["spherical", "euclidean"]
BLOCK_ROWS = 8192
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
    grid, words = grid[valid], words[chosen][valid]
    if not len(grid):
        message = "no row has a usable vector; every one is zero or not finite"
        raise KMeansError(message)
    centroids = _plus_plus(grid[:init_rows], words[:init_rows], k, metric, seed)
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
    for start in range(0, len(grid), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        block = torch.from_numpy(np.ascontiguousarray(grid[rows])).to(device)
        score = block @ centres.T
        if metric == "euclidean":
            score -= half_square
        # argmax returns the first of equal maxima, which is the lowest cell
        best = score.argmax(dim=1, keepdim=True)
        value = score.gather(1, best)[:, 0].cpu().numpy().astype(np.float64)
        cells[rows] = best[:, 0].cpu().numpy()
        if metric == "spherical":
            distance[rows] = 1.0 - value / UNIT
        else:
            squares = np.einsum("nd,nd->n", grid[rows], grid[rows])
            distance[rows] = np.maximum(squares - 2.0 * value, 0.0)
    return cells, distance


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
    order = np.argsort(cells, kind="stable")
    filled = np.flatnonzero(counts)
    starts = np.concatenate([[0], np.cumsum(counts[filled])[:-1]])
    sums = np.zeros(centroids.shape, dtype=np.float64)
    sums[filled] = np.add.reduceat(grid[order].astype(np.float64), starts, axis=0)
    updated = _round_centroids(sums, counts, metric)
    lost = ~updated.any(axis=1) if metric == "spherical" else np.zeros(k, dtype=bool)
    empty = np.flatnonzero((counts == 0) | lost)
    if len(empty):
        # rows stand in the order of their hash, so a stable sort breaks ties by hash
        farthest = np.argsort(-distance, kind="stable")[: len(empty)]
        updated[empty[: len(farthest)]] = grid[farthest]
    return updated


def _plus_plus(
    grid: NDArray[Any], words: NDArray[np.uint64], k: int, metric: Metric, seed: int
) -> NDArray[Any]:
    first = int(np.argmin(hash_words(words, seed, "k-means++ 0")))
    picks = [first]
    nearest = _gap(grid, grid[first : first + 1], metric)[:, 0]
    trials = 2 + int(np.log(k))
    for step in range(1, min(k, len(grid))):
        if not nearest.any():
            break  # every row coincides with a pick
        clock = -np.log(uniform_from_hash(hash_words(words, seed, f"k-means++ {step}")))
        with np.errstate(divide="ignore"):
            race = np.where(nearest > 0, clock / nearest, np.inf)
        # of several draws by D², the one that lowers the potential most
        drawn = np.argsort(race, kind="stable")[:trials]
        drawn = drawn[np.isfinite(race[drawn])]
        after = np.minimum(nearest[:, None], _gap(grid, grid[drawn], metric))
        best = int(np.argmin(after.sum(axis=0)))
        picks.append(int(drawn[best]))
        nearest = after[:, best]
    return grid[picks].copy()


def _gap(grid: NDArray[Any], rows: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    product = (grid @ rows.T).astype(np.float64)
    if metric == "spherical":
        # D² of unit vectors is 2 - 2 cos; the factor does not matter to the sampling
        gap = 1.0 - product / UNIT
        for column, row in enumerate(rows):
            # the grid's norm is one only to 1e-4, and a row must be at no distance from its twin
            close = np.flatnonzero(gap[:, column] < 0.01)
            gap[close[(grid[close] == row).all(axis=1)], column] = 0.0
        return np.asarray(np.maximum(gap, 0.0))
    squares = np.einsum("nd,nd->n", grid, grid)
    own = np.einsum("nd,nd->n", rows, rows)
    return np.asarray(np.maximum(squares[:, None] - 2.0 * product + own, 0.0))
