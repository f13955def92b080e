"""Selection by clusters of the vectors: k-means-quality, and SemDeDup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.kmeans import fit_kmeans
from assets.kernels.topk import gumbel_keys
from assets.kernels.unit_vectors import UNIT, to_grid
from assets.scoring.selectors.protocol import (
    Candidates,
    Picks,
    SelectionError,
    SelectorNeeds,
    tie_order,
)

BLOCK_ROWS = 1024


def _cells(
    candidates: Candidates, k: int, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return each record's cell of a spherical k-means, and its cosine distance to the centre."""
    assert candidates.embedding is not None
    n = len(candidates)
    wanted = min(k or int(np.clip(np.sqrt(n / 2), 1, 1024)), n)
    model = fit_kmeans(candidates.embedding, candidates.ids, wanted, seed=seed)
    return model.assign(candidates.embedding)


def _check_k(k: int) -> None:
    if k < 0:
        message = f"k is {k}; use 0 (automatic) or a number of clusters"
        raise SelectionError(message)


@dataclass(frozen=True)
class KMeansQuality:
    """A sample weighted by the score from each cluster, in proportion to the clusters' sizes.

    The first round of diversify-and-conquer (Yu et al. 2024): within a cluster records are drawn without replacement
    with weights exp(score / temperature), and every beginning of the list is in proportion, by the divisor method
    of Webster.

    Parameters
    ----------
    k
        Clusters; 0 takes the square root of half the records, 1 to 1024.
    temperature
        Above 0.
    """

    k: int = 0
    temperature: float = 1.0

    name: ClassVar[str] = "kmeans_quality"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "each copy is drawn by itself, whatever it says",
        "direction": "it is a sample, where the best is likely and not certain",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.EMBEDDING | SelectorNeeds.VALUE
    cost: ClassVar[str] = "O(rows x k x dim)"
    source: ClassVar[str] = "Yu et al. 2024, arXiv 2409.11378 (kMQ)"

    def __post_init__(self) -> None:
        _check_k(self.k)
        if not 0 < self.temperature < float("inf"):
            message = f"--temperature is {self.temperature}; it must be above 0 and finite"
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield rows in proportion; the gain is the perturbed log weight within the cluster."""
        assert candidates.value is not None
        cells, _ = _cells(candidates, self.k, seed)
        keys = gumbel_keys(
            candidates.value, candidates.ids, seed, "k-means-quality", self.temperature
        )
        order = tie_order(candidates.ids, seed, "k-means-quality ties")
        ranked = order[np.lexsort((-keys[order], cells[order]))]
        sizes = np.bincount(cells)
        start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        place = np.arange(len(ranked)) - start[cells[ranked]] + 1
        share = (place - 0.5) / sizes[cells[ranked]]
        tie = np.empty(len(order), dtype=np.int64)
        tie[order] = np.arange(len(order))
        rows = ranked[np.lexsort((tie[ranked], share))][:most]
        yield rows, keys[rows]


@dataclass(frozen=True)
class SemDeDup:
    """Records that are least like an earlier one of their cluster.

    Within a cluster of a spherical k-means records stand from the farthest from the centre to the nearest
    (``keep="hard"``) or the other way. A record's redundancy is its largest cosine to an earlier one; the list goes
    by redundancy, so every threshold of the paper is a beginning of it. ``mode="paper"`` compares with any
    earlier record, so that chains collapse to one; ``mode="greedy"`` first lists the records that a pass at
    `threshold` keeps, each compared with kept ones only: no two of those are closer than the threshold, and
    everything after them is close to one of them.

    Parameters
    ----------
    k
        Clusters; 0 takes the square root of half the records, 1 to 1024. Duplicates in two clusters are missed.
    keep
        ``hard`` or ``easy`` records precede.
    mode
        ``paper`` or ``greedy``.
    threshold
        Cosine above which a record is redundant, for ``greedy``.
    """

    k: int = 0
    keep: Literal["hard", "easy"] = "hard"
    mode: Literal["paper", "greedy"] = "paper"
    threshold: float = 0.95

    name: ClassVar[str] = "semdedup"
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.EMBEDDING
    cost: ClassVar[str] = "O(rows x k x dim), and rows of a cluster in pairs"
    source: ClassVar[str] = "Abbas et al. 2023, arXiv 2303.09540"

    def __post_init__(self) -> None:
        _check_k(self.k)
        if self.keep not in {"hard", "easy"} or self.mode not in {"paper", "greedy"}:
            message = f"semdedup has keep {self.keep!r} and mode {self.mode!r}; use hard or easy, paper or greedy"
            raise SelectionError(message)
        if not -1 <= self.threshold <= 1:
            message = f"threshold is {self.threshold}; it is a cosine, from -1 to 1"
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield the least redundant rows first; the gain is 1 less the largest cosine to an earlier one."""
        assert candidates.embedding is not None
        cells, distance = _cells(candidates, self.k, seed)
        order = tie_order(candidates.ids, seed, "semdedup ties")
        hardness = -distance if self.keep == "hard" else distance
        order = order[np.lexsort((hardness[order], cells[order]))]
        grid = to_grid(candidates.embedding)
        redundancy = np.full(len(order), -1.0)
        kept = np.ones(len(order), dtype=bool)
        bounds = np.flatnonzero(np.diff(cells[order], prepend=-1, append=-1))
        for start, stop in pairwise(bounds):
            rows = order[start:stop]
            if self.mode == "greedy":
                redundancy[rows], kept[rows] = _greedy(grid[rows], self.threshold)
            else:
                redundancy[rows] = _to_earlier(grid[rows])
        ranked = order[np.lexsort((redundancy[order], ~kept[order]))][:most]
        yield ranked, 1.0 - redundancy[ranked]


def _to_earlier(grid: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each row's largest cosine to a row before it, -1 for the first."""
    best = np.full(len(grid), -1.0)
    for start in range(0, len(grid), BLOCK_ROWS):
        block = grid[start : start + BLOCK_ROWS]
        products = block @ grid[: start + len(block)].T
        earlier = np.arange(start + len(block)) < start + np.arange(len(block))[:, None]
        products = np.where(earlier, products, -UNIT)
        best[start : start + len(block)] = products.max(axis=1).astype(np.float64) / UNIT
    return best


def _greedy(
    grid: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each row's largest cosine to a kept row before it, and which rows are kept."""
    nearest = np.full(len(grid), -UNIT)
    kept = np.zeros(len(grid), dtype=bool)
    found = np.empty(len(grid))
    for at in range(len(grid)):
        found[at] = nearest[at] / UNIT
        if found[at] <= threshold:
            kept[at] = True
            np.maximum(nearest[at:], grid[at:] @ grid[at], out=nearest[at:])
    return found, kept
