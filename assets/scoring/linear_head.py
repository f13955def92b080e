"""A cross-fitted linear head: class probabilities of a record from models that have not seen it.

Multinomial logistic regression on the records' unit vectors. The records are parted into folds by a
hash of their vector, and a record is judged by the head that was fitted on the other folds; so equal
records are in one fold, and no copy of a record teaches the head that judges it. A record that was not
in the sample (or is new) is judged in the same way, by its vector alone.

Vectors and weights are put on grids of whole numbers (`unit_vectors`), so that logits are exact sums
and a record's probabilities don't depend on the batch. The fit itself is the solver's: equal for any
order of records and on one thread, but another BLAS may change it in the last digits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from assets.kernels.core_threads import blocks, on_every_core
from assets.kernels.row_hashes import hash_rows
from assets.kernels.unit_vectors import SCALE, to_grid, to_stored_grid, valid_rows
from assets.scoring.head_logits import divide_by_sums, log_odds
from assets.scoring.protocol import ScoringError

_WEIGHT_BITS = 26
_BLOCK_ROWS = 1024
_CORE_ROWS = 4096
_FEW_CLASSES = 32  # up to so many, a loop is faster than what a BLAS needs to begin
ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class Heads:
    """One linear head a fold.

    Attributes
    ----------
    classes
        Sorted hashes of labels, uint64, shape (c,).
    weights
        float64 whole numbers, shape (folds, c, d + 1), the last column the bias; NaN for a class that
        a fold's head has not seen.
    units
        What a whole number of weights is worth, shape (folds,).
    """

    classes: NDArray[np.uint64]
    weights: NDArray[np.float64]
    units: NDArray[np.float64]

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return class probabilities of n records: float64, shape (n, c).

        A row without a direction is NaN; so is, in any row, a class that its head has not seen.
        """
        return self.probabilities_of(to_grid(vectors))

    def probabilities_of(self, grid: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return class probabilities of n records on the grid (n, d); see `probabilities`."""
        result = np.full((len(grid), len(self.classes)), np.nan)
        self._fill(len(grid), lambda rows: grid[rows], result)
        return result

    def probabilities_as_stored(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return class probabilities of n vectors as they are once stored (`to_stored_grid`); see `probabilities`."""
        result = np.full((len(vectors), len(self.classes)), np.nan)
        self._fill(len(vectors), lambda rows: to_stored_grid(vectors[rows]), result)
        return result

    def _fill(
        self, n: int, grid_of: Callable[[slice], NDArray[np.float32]], result: NDArray[np.float64]
    ) -> None:
        """Fill in n rows, block by block on every core: copies stay in cache."""
        few = len(self.classes) <= _FEW_CLASSES and not np.isnan(self.weights).any()
        some = _few_classes if few else _many_classes

        def fill(rows: slice) -> None:
            for block in blocks(rows.stop - rows.start, _BLOCK_ROWS):
                here = slice(rows.start + block.start, rows.start + block.stop)
                some(self, grid_of(here), result[here])

        # looking for the BLAS takes longer than a small product
        with nullcontext() if few else threadpool_limits(1):
            for _ in on_every_core(fill, blocks(n, _CORE_ROWS)):
                pass


def _many_classes(heads: Heads, grid: NDArray[np.float32], result: NDArray[np.float64]) -> None:
    """Fill in probabilities, a matrix product a fold."""
    folds = vector_hashes(grid) % np.uint64(len(heads.units))
    usable = valid_rows(grid)
    for fold, (head, unit) in enumerate(zip(heads.weights, heads.units, strict=True)):
        known = np.flatnonzero(~np.isnan(head[:, 0]))
        rows = np.flatnonzero(usable & (folds == fold))
        # whole numbers below 2**53: exact whatever the order of summation
        weights = head[known].T
        logits = grid[rows].astype(np.float64) @ weights[:-1] + SCALE * weights[-1]
        logits *= unit / SCALE
        logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
        odds = np.exp(logits, out=logits)
        odds /= odds.sum(axis=1, keepdims=True)
        result[np.ix_(rows, known)] = odds


def _few_classes(heads: Heads, grid: NDArray[np.float32], result: NDArray[np.float64]) -> None:
    """Fill in the same probabilities, row by row, of classes that every head has seen."""
    folds = vector_hashes(grid) % np.uint64(len(heads.units))
    log_odds(grid, folds, heads.weights, heads.units / SCALE, result)
    np.exp(result, out=result)
    divide_by_sums(result)


def vector_hashes(grid: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Hash each row of a grid (XXH3, 64 bits, of its int16 cells); a record's fold is the remainder."""
    return hash_rows(np.ascontiguousarray(grid, dtype="<i2"))


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSample:
    """Vectors and labels, in an order of their own.

    Attributes
    ----------
    vectors
        Float, shape (n, d).
    labels
        Hashes of labels, uint64, shape (n,).
    """

    vectors: NDArray[Any]
    labels: NDArray[np.uint64]

    def _digest(self) -> int:
        hasher = xxhash.xxh3_128(np.ascontiguousarray(self.vectors).tobytes())
        hasher.update(self.labels.tobytes())
        return hasher.intdigest()

    def __hash__(self) -> int:
        return hash(self._digest())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LabelledSample)
            and np.array_equal(self.vectors, other.vectors)
            and np.array_equal(self.labels, other.labels)
        )


@lru_cache(maxsize=1)  # the scorers of one run share a head
def fit_heads(sample: LabelledSample, folds: int, strength: float) -> Heads:
    """Fit one head a fold.

    Parameters
    ----------
    sample
        At least two labels.
    folds
        2 or more.
    strength
        Inverse of the L2 penalty's weight (C of scikit-learn).

    Raises
    ------
    ScoringError
        The labels are of fewer than two classes, in all or without one fold.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes, codes = np.unique(sample.labels, return_inverse=True)
    if len(classes) < 2:
        message = (
            "the labels are of one class and a classifier needs two or more; "
            "name another column of labels, or leave these scorers out"
        )
        raise ScoringError(message)
    grid = to_grid(sample.vectors)
    hashes = vector_hashes(grid)
    order = np.lexsort((codes, hashes))  # the solver's last digits depend on the order of rows
    grid, codes, fold = grid[order], codes[order], hashes[order] % np.uint64(folds)
    weights = np.full((folds, len(classes), grid.shape[1] + 1), np.nan)
    units = np.ones(folds)
    for held_out in range(folds):
        rows = fold != held_out
        if len(np.unique(codes[rows])) < 2:
            message = (
                f"too few labelled records ({len(grid):,}) or too many equal ones: without fold "
                f"{held_out} of {folds} only one class is left"
            )
            raise ScoringError(message)
        head = LogisticRegression(C=strength, max_iter=ITERATIONS)
        # one thread: the matrices are small, and the sums don't depend on how many cores there are
        with threadpool_limits(1), warnings.catch_warnings():  # an unconverged head ranks as well
            warnings.simplefilter("ignore", ConvergenceWarning)
            head.fit(grid[rows].astype(np.float64) / SCALE, codes[rows])
        coefficients = np.column_stack([head.coef_, head.intercept_])
        if len(head.classes_) == 2:  # one row for the second class; the first has logit 0
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        units[held_out] = np.abs(coefficients).max() / 2**_WEIGHT_BITS or 1.0
        weights[held_out, head.classes_] = np.rint(coefficients / units[held_out])
    return Heads(classes, weights, units)
