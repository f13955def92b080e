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
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from assets.kernels.row_hashes import hash_rows
from assets.kernels.unit_vectors import SCALE, to_grid, valid_rows
from assets.scoring.protocol import ScoringError

_WEIGHT_BITS = 26
_BLOCK_ROWS = 1024
_SMALL_CLASSES = 32  # products with up to so many are done before a second thread has begun
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
        from threadpoolctl import threadpool_limits

        small = len(self.classes) <= _SMALL_CLASSES
        with threadpool_limits(1) if small else nullcontext():
            return self._probabilities_of(grid)

    def _probabilities_of(self, grid: NDArray[np.float32]) -> NDArray[np.float64]:
        result = np.full((len(grid), len(self.classes)), np.nan)
        known = [np.flatnonzero(~np.isnan(head[:, 0])) for head in self.weights]
        heads = [head[some].T for head, some in zip(self.weights, known, strict=True)]
        for start in range(0, len(grid), _BLOCK_ROWS):  # in blocks: copies stay in cache
            block = grid[start : start + _BLOCK_ROWS]
            folds = vector_hashes(block) % np.uint64(len(self.units))
            usable = valid_rows(block)
            for fold, unit in enumerate(self.units):
                rows = np.flatnonzero(usable & (folds == fold))
                # whole numbers below 2**53: exact whatever the order of summation
                weights = heads[fold]
                logits = block[rows].astype(np.float64) @ weights[:-1] + SCALE * weights[-1]
                logits *= unit / SCALE
                logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
                odds = np.exp(logits, out=logits)
                odds /= odds.sum(axis=1, keepdims=True)
                if len(known[fold]) == len(self.classes):
                    result[start + rows] = odds
                else:
                    result[np.ix_(start + rows, known[fold])] = odds
        return result


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
    from threadpoolctl import threadpool_limits

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
