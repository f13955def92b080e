"""MIG: records whose tags, weighted by their quality, cover the space of tags evenly.

A record's worth at each tag is its quality where it has the tag, spread to tags of nearly the same meaning: with W the
cosines of the tags' vectors, 0 below `threshold`, and P its columns divided by their sums, ``z = quality * 1[tags] P``.
The list grows greedily to raise ``sum over tags of (x + a)^b``, x being the sum of z over the records taken and b
below 1, so that what a tag has already counts less and less (Chen et al. 2025).

The objective is monotone and submodular. ``gain="first_order"`` takes ``z . phi'(x)`` for the gain, as the paper does;
``gain="exact"`` what phi rises by, for which greedy reaches at least 1 - 1/e of the best. Gains only shrink as x grows,
so only records whose bound is largest are looked at again (lazy greedy); the picks are those of plain greedy.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from assets.kernels.nearest_rows import QUERY_ROWS
from assets.kernels.unit_vectors import UNIT, to_grid
from assets.scoring.hashed import HashedEmbedder
from assets.scoring.protocol import Direction
from assets.scoring.selectors.protocol import (
    Candidates,
    Picks,
    SelectionError,
    SelectorNeeds,
    tie_order,
)

Embed = Callable[[list[str]], NDArray[np.floating]]
OFFSET = 1e-6


@dataclass(frozen=True)
class Mig:
    """Records of good quality whose tags cover the space of tags.

    Parameters
    ----------
    power
        b, in (0, 1]; at 1 tags never saturate and the list goes by quality and number of tags.
    threshold
        Cosine of two tags' vectors below which they have nothing in common, in (0, 1].
    quality
        ``rank``: the score's average rank in (0, 1], so that its units don't matter; ``raw``: the score, which must
        be above 0 and better where it is high.
    gain
        ``first_order`` (the paper) or ``exact``.
    direction
        ``high`` or ``low``: which scores are better.
    """

    power: float = 0.8
    threshold: float = 0.9
    quality: Literal["rank", "raw"] = "rank"
    gain: Literal["first_order", "exact"] = "first_order"
    direction: Direction = "high"

    name: ClassVar[str] = "mig"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "a copy still adds to its tags, though less than before",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.VALUE | SelectorNeeds.TAGS
    cost: ClassVar[str] = "O(tags² x dim), and lazily O(picks x tags of a record)"
    source: ClassVar[str] = "Chen et al. 2025, arXiv 2504.13835 (MIG)"

    def __post_init__(self) -> None:
        fine = 0 < self.power <= 1 and 0 < self.threshold <= 1 and self.direction in {"high", "low"}
        if (
            not fine
            or self.quality not in {"rank", "raw"}
            or self.gain not in {"first_order", "exact"}
        ):
            message = (
                f"mig cannot use {vars(self)}; use power and threshold above 0 and at most 1, quality rank or raw, "
                "gain first_order or exact, direction high or low"
            )
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield one row at a time; the gain is by how much it raises the objective, to first order or exactly."""
        assert candidates.tags is not None
        order = tie_order(candidates.ids, seed, "mig ties")
        spread = spread_tags(candidates.tags.gather(order), self.threshold)
        worth = csr_matrix(spread.multiply(self._quality(candidates)[order][:, None]))
        worth.sort_indices()
        for at, gain in self._greedy(worth, most):
            yield order[at : at + 1], np.array([gain])

    def _quality(self, candidates: Candidates) -> NDArray[np.float64]:
        assert candidates.value is not None
        if self.quality == "rank":
            keys = candidates.value * (1 if self.direction == "high" else -1)
            return np.asarray(rankdata(keys) / len(keys))
        if self.direction == "low" or not (candidates.value > 0).all():
            message = "quality=raw multiplies scores: they must be above 0 and better where high; use quality=rank"
            raise SelectionError(message)
        return candidates.value

    def _greedy(self, worth: Any, most: int) -> Iterator[tuple[int, float]]:  # noqa: ANN401 scipy is untyped
        starts, tags, values = worth.indptr, worth.indices, worth.data
        held = np.zeros(worth.shape[1])

        def gain_of(row: int) -> float:
            own = slice(starts[row], starts[row + 1])
            x, z = held[tags[own]] + OFFSET, values[own]
            if self.gain == "exact":
                return float(((x + z) ** self.power - x**self.power).sum())
            return float((z * self.power * x ** (self.power - 1)).sum())

        # of equal bounds the first row stands in front, so ties are broken as plain greedy does
        heap = [(-gain_of(row), row) for row in range(worth.shape[0])]
        heapq.heapify(heap)
        for _ in range(min(most, worth.shape[0])):
            while True:
                _, row = heapq.heappop(heap)
                entry = (-gain_of(row), row)
                if not heap or entry <= heap[0]:
                    break
                heapq.heappush(heap, entry)
            yield row, -entry[0]
            own = slice(starts[row], starts[row + 1])
            held[tags[own]] += values[own]


def spread_tags(tags: pl.Series, threshold: float, embed: Embed | None = None) -> csr_matrix:
    """Return each record's tags spread to their like: shape (n, distinct tags), rows of the tags in their order.

    Parameters
    ----------
    tags
        n lists of strings.
    threshold
        Cosine below which two tags have nothing in common.
    embed
        From tags to vectors; hashed words and word pairs where None.
    """
    known = sorted(set(tags.explode().drop_nulls().to_list()))
    codes = {tag: code for code, tag in enumerate(known)}
    lists = [sorted({codes[t] for t in row if t is not None}) for row in tags.to_list()]
    ends = np.cumsum([0, *map(len, lists)])
    flat = np.array([code for row in lists for code in row], dtype=np.int64)
    has = csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(lists), len(known)))
    make = _hashed if embed is None else embed
    return csr_matrix(has @ _shares(to_grid(make(known)), threshold))


def _hashed(tags: list[str]) -> NDArray[np.floating]:
    return HashedEmbedder(256).embed(pa.array([tag.casefold() for tag in tags]))


def _shares(grid: NDArray[np.float32], threshold: float) -> csr_matrix:
    """Return the cosines of tags, 0 below the threshold and 1 of a tag with itself, over their columns' sums."""
    rows, columns, near = [], [], []
    for start in range(0, len(grid), QUERY_ROWS):
        products = (grid[start : start + QUERY_ROWS] @ grid.T).astype(np.float64) / UNIT
        at, to = np.nonzero(products >= threshold)
        rows.append(at + start)
        columns.append(to)
        near.append(np.minimum(products[at, to], 1.0))
    size = len(grid)
    found = csr_matrix(
        (np.concatenate(near), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
    )
    found.setdiag(1.0)  # also of a tag without a vector
    sums = np.asarray(found.sum(axis=0)).ravel()
    return csr_matrix(found.multiply(1.0 / sums[None, :]))
