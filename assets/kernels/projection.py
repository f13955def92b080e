"""Random projections of long vectors, keyed: the same everywhere, and never stored.

Inner products survive in expectation, with a variance of at most ``2 norm(a)^2 norm(b)^2 / k`` for k numbers out.

* CountSketch (Charikar, Chen and Farach-Colton 2002): each number is added to one of k sums with a sign,
  O(dimensions) a row. Two large numbers that fall together are not told apart, so it is for vectors without a few
  giants.
* Rademacher (Achlioptas 2003): a matrix of signs over sqrt(k), O(dimensions x k) a row; made block by block.

Bucket and signs are hashes of (key, position), so that a projection is named by kind, sizes and key alone. A row's
numbers do not depend on the rows beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xxhash
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.kernels.keyed_random import hash_words
from assets.kernels.row_products import row_products

Kind = Literal["count_sketch", "rademacher"]
BLOCK_DIMENSIONS = 1024


class ProjectionError(ValueError):
    """A projection that cannot be made."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A projection from `dimensions` to `size` numbers.

    Parameters
    ----------
    dimensions, size
        At least 1.
    seed, purpose
        The key; another key is an independent projection.
    kind
        ``count_sketch`` or ``rademacher``.

    Examples
    --------
    >>> Projection(5, 3, seed=0, purpose="example").apply(np.eye(5)).shape
    (5, 3)
    """

    dimensions: int
    size: int
    seed: int
    purpose: str
    kind: Kind = "count_sketch"

    def __post_init__(self) -> None:
        if self.dimensions < 1 or self.size < 1 or self.kind not in get_args(Kind):
            message = (
                f"no projection {self.kind!r} from {self.dimensions} to {self.size} numbers; "
                "use count_sketch or rademacher, and sizes of 1 or more"
            )
            raise ProjectionError(message)

    def apply(self, vectors: NDArray[Any]) -> NDArray[np.float64]:
        """Project rows: float of shape (n, dimensions) to float64 of shape (n, size).

        Raises
        ------
        ProjectionError
            The rows have another length.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimensions:
            message = (
                f"vectors have shape {vectors.shape}; this projection takes (n, {self.dimensions})"
            )
            raise ProjectionError(message)
        rows = np.asarray(vectors, dtype=np.float64)
        out = np.zeros((len(rows), self.size))
        for start in range(0, self.dimensions, BLOCK_DIMENSIONS):
            stop = min(start + BLOCK_DIMENSIONS, self.dimensions)
            if self.kind == "count_sketch":
                self._sketch(rows, start, stop, out)
            else:
                out += row_products(rows[:, start:stop], self.signs(start, stop))
        return out

    def _sketch(
        self, rows: NDArray[np.float64], start: int, stop: int, out: NDArray[np.float64]
    ) -> None:
        bucket, sign = self._buckets(start, stop)
        _add_signed(np.ascontiguousarray(rows[:, start:stop]), bucket, sign, out)

    def _buckets(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        drawn = self._hashes(np.arange(start, stop, dtype=np.uint64), np.uint64(0))
        bucket = ((drawn >> np.uint64(1)) % np.uint64(self.size)).astype(np.int64)
        return bucket, np.where(drawn & np.uint64(1), 1.0, -1.0)

    def transposed(self, small: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a projected direction in the space of the vectors: (size,) to (dimensions,).

        Its inner product with a vector is that of `small` with the projected vector, so that vectors need not be
        projected to be compared with one direction.
        """
        if self.kind == "count_sketch":
            bucket, sign = self._buckets(0, self.dimensions)
            return np.asarray(small[bucket] * sign)
        starts = range(0, self.dimensions, BLOCK_DIMENSIONS)
        stops = [min(s + BLOCK_DIMENSIONS, self.dimensions) for s in starts]
        parts = [self.signs(a, b) @ small for a, b in zip(starts, stops, strict=True)]
        return np.concatenate(parts)

    def signs(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return rows `start` to `stop` of the Rademacher matrix: float64, shape (stop - start, size)."""
        words = (self.size + 63) // 64
        place = np.repeat(np.arange(start, stop, dtype=np.uint64), words)
        word = np.tile(np.arange(words, dtype=np.uint64), stop - start)
        drawn = self._hashes(place, word).reshape(stop - start, words)
        bits = np.unpackbits(drawn.astype("<u8").view(np.uint8), axis=1, bitorder="little")
        return np.asarray(
            (bits[:, : self.size].astype(np.float64) * 2.0 - 1.0) / np.sqrt(self.size)
        )

    def _hashes(
        self, place: NDArray[np.uint64], word: NDArray[np.uint64] | np.uint64
    ) -> NDArray[np.uint64]:
        pairs = np.column_stack([place, np.broadcast_to(word, place.shape)])
        key = xxhash.xxh3_64_intdigest(f"{self.kind}/{self.dimensions}/{self.size}".encode())
        return hash_words(pairs, self.seed ^ key, f"projection {self.purpose}")


@compiled
def _add_signed(
    rows: NDArray[np.float64],
    bucket: NDArray[np.int64],
    sign: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[i, bucket[j]] += sign[j] * rows[i, j]
