"""Facility location: keep the records that together are most similar to all of them.

Maximises ``F(S) = sum over records i of max over kept j of (1 + cos(i, j)) / 2`` greedily, which
reaches at least 1 - 1/e of the optimum because F is monotone and submodular (Nemhauser, Wolsey and
Fisher 1978). Gains only shrink as S grows, so a gain that was computed earlier is a bound, and only
candidates whose bound is largest are looked at again (lazy greedy, Minoux 1978); the picks are those
of plain greedy.

Cost: O(rows² x dim) for the first gains, then a block of candidates times all rows a few times a
pick. Memory: the vectors as float32 and one tile, or all products of up to 4,096 rows (64 MB). 1,000
picks of 10,003 rows at 256 dimensions took 14 s on one core. For more rows, `candidates` looks at so many
a pick, drawn by a key (stochastic greedy, Mirzasoleiman et al. 2015): O(picks x candidates x rows x dim),
and 1 - 1/e - e of the optimum in expectation for every budget of ``rows / candidates * log(1 / e)``
picks or more. Cosines are exact whole numbers (`unit_vectors`), so gains are too, and the order of
rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled_with
from assets.kernels.keyed_random import id_words
from assets.kernels.stochastic_greedy import stochastic_greedy
from assets.kernels.unit_vectors import UNIT, to_grid
from assets.scoring.selectors.protocol import (
    Candidates,
    Picks,
    SelectionError,
    SelectorNeeds,
    tie_order,
)

BLOCK_CANDIDATES = 64
TILE_ROWS = 8192
WHOLE_ROWS = 4096  # up to so many, all products are held: 64 MB


@dataclass(frozen=True)
class FacilityLocation:
    """The records that represent all records best.

    Parameters
    ----------
    candidates
        Rows looked at for a pick, drawn anew each time by a key; 0 looks at all (lazily, the picks of plain greedy).
    """

    candidates: int = 0

    name: ClassVar[str] = "facility_location"
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.EMBEDDING
    cost: ClassVar[str] = "O(rows² x dim)"
    source: ClassVar[str] = "Nemhauser et al. 1978; Minoux 1978 (lazy greedy)"

    def __post_init__(self) -> None:
        if self.candidates < 0:
            message = (
                f"facility_location cannot use candidates={self.candidates}; use 0 (all) or more"
            )
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield one row at a time; the gain is by how much it raises F."""
        assert candidates.embedding is not None
        if self.candidates:
            words, grid = id_words(candidates.ids), to_grid(candidates.embedding)
            for at, gain in drawn_greedy(grid, words, most, self.candidates, seed):
                yield np.array([at]), np.array([gain])
            return
        order = tie_order(candidates.ids, seed, "facility location ties")
        for at, gain in lazy_greedy(to_grid(candidates.embedding[order]), most):
            yield order[at : at + 1], np.array([gain])


def lazy_greedy(
    grid: NDArray[np.float32], most: int, bonus: NDArray[np.float64] | None = None
) -> Iterator[tuple[int, float]]:
    """Yield (row, gain) of greedy facility location; of equal gains the first row wins.

    Parameters
    ----------
    grid
        From `to_grid`, shape (n, d).
    most
        Rows wanted at most.
    bonus
        What a row adds to F by itself, float64 of shape (n,), at least 0; nothing where None.
    """
    n = len(grid)
    whole = grid @ grid.T if n <= WHOLE_ROWS else None
    own = np.zeros(n) if bonus is None else bonus * (2 * UNIT)
    covered = np.full(
        n, -UNIT, dtype=np.float32
    )  # the largest product with a kept row; -UNIT is similarity 0
    bound = own + np.concatenate([_gains(grid, rows, covered, whole) for rows in _blocks(n)])
    fresh = np.ones(n, dtype=bool)
    for _ in range(min(most, n)):
        at = int(np.argmax(bound))
        while not fresh[at]:
            rows = _stale(bound, fresh, at)
            bound[rows] = own[rows] + _gains(grid, rows, covered, whole)
            fresh[rows] = True
            at = int(np.argmax(bound))
        yield at, float(bound[at]) / (2 * UNIT)
        np.maximum(covered, grid @ grid[at] if whole is None else whole[at], out=covered)
        bound[at] = -np.inf
        fresh[:] = False


def drawn_greedy(
    grid: NDArray[np.float32], words: NDArray[np.uint64], most: int, candidates: int, seed: int
) -> Iterator[tuple[int, float]]:
    """Yield (row, gain) of stochastic greedy facility location; draws are keyed by the rows' `id_words` (n, 2)."""
    covered = np.full(len(grid), -UNIT, dtype=np.float32)

    def gains(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return _gains(grid, rows, covered, None)

    def add(row: int) -> None:
        np.maximum(covered, grid @ grid[row], out=covered)

    for at, gain in stochastic_greedy(words, gains, add, most, candidates, seed):
        yield at, gain / (2 * UNIT)


def _blocks(n: int) -> list[NDArray[np.int64]]:
    starts = range(0, n, BLOCK_CANDIDATES)
    return [np.arange(s, min(s + BLOCK_CANDIDATES, n)) for s in starts] or [np.arange(0)]


def _stale(bound: NDArray[np.float64], fresh: NDArray[Any], at: int) -> NDArray[np.int64]:
    """Return the best candidate and others with large bounds that must be looked at again."""
    wanted = np.where(fresh, -np.inf, bound)
    few = min(BLOCK_CANDIDATES, len(bound))
    largest = np.argpartition(-wanted, few - 1)[:few]
    largest = largest[np.isfinite(wanted[largest])]
    return np.union1d(largest, [at])


def _gains(
    grid: NDArray[np.float32],
    rows: NDArray[np.int64],
    covered: NDArray[np.float32],
    whole: NDArray[np.float32] | None,
) -> NDArray[np.float64]:
    """Return by how much each candidate would raise the sum of products, exactly."""
    total = np.zeros(len(rows))
    if whole is not None:
        _add_excess(whole[rows], covered, total)
        return total
    for start in range(0, len(grid), TILE_ROWS):
        tile = slice(start, start + TILE_ROWS)
        _add_excess(grid[rows] @ grid[tile].T, covered[tile], total)
    return total


# sums of whole numbers are exact in any order, so the compiler may choose one that is vectorised
@compiled_with("reassoc", "nnan", "nsz")
def _add_excess(
    products: NDArray[np.float32], covered: NDArray[np.float32], total: NDArray[np.float64]
) -> None:
    for i in range(products.shape[0]):
        excess = 0.0
        for j in range(products.shape[1]):
            # both below 2**24, so their difference is below 2**25 and not always a float32
            excess += max(np.float64(products[i, j]) - np.float64(covered[j]), 0.0)
        total[i] += excess
