"""MinHash signatures, equal bit for bit to datasketch 2's default permutations.

Datasketch's scheme `affine32`: with `a`, `b` drawn from `numpy.random.RandomState(seed)`, a 32-bit
hash is mixed once by MurmurHash3's finalizer and permuted by `(a * h + b) mod 2**32`; the
signature holds the minima. Two sets agree in one place with probability close to their Jaccard
similarity (Broder 1997). Given our `hashfunc`, datasketch computes the same signature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.deduplication.errors import SimilarityError
from assets.deduplication.set_copies import gathered_sets
from assets.deduplication.shingles import SHINGLE_TAG, Shingle, lower_table
from assets.deduplication.text_spans import TextSpans, lowered

HALF_SIMILARITY_LIMIT = 0.15


@dataclass(frozen=True)
class Permutations:
    """The permutations of a signature: `factors` (odd) and `addends`, (hashes,) uint32."""

    factors: npt.NDArray[np.uint32]
    addends: npt.NDArray[np.uint32]
    seed: int

    @property
    def tag(self) -> str:
        """Name everything that must be equal before signatures may be compared."""
        return f"affine32/{len(self.factors)}/seed-{self.seed}/{SHINGLE_TAG}"


@dataclass(frozen=True)
class Sketch:
    """What one pass over texts keeps of each.

    `signatures` (n, hashes) uint32, all ones where a text has no shingle; `sizes` (n,) int64, the
    number of distinct shingles; `digests` (n, 2) uint64, equal for equal sets of shingles. `flat` uint64
    holds the sets themselves, each from its place in `begins` (n,) on; None where they had no room.
    """

    signatures: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]
    begins: npt.NDArray[np.int64]
    flat: npt.NDArray[np.uint64] | None

    def sets_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64] | None:
        """Return the sets of some texts one after another, or None; a part of `flat` where they lie so in it."""
        if self.flat is None:
            return None
        sizes, begins = self.sizes[rows], self.begins[rows]
        ends = np.cumsum(sizes)
        if bool((begins == ends - sizes).all()):
            return self.flat[: int(ends[-1]) if len(ends) else 0]
        return gathered_sets(self.flat, begins, sizes)


def permutations(hashes: int, *, seed: int = 1) -> Permutations:
    """Draw the permutations that datasketch 2 draws for `num_perm=hashes` and `seed`."""
    state = np.random.RandomState(seed)
    factors = state.randint(0, 1 << 31, hashes, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    addends = state.randint(0, 1 << 32, hashes, dtype=np.uint32)
    return Permutations(factors, addends, seed)


def sketch_texts(
    spans: TextSpans,
    rule: Shingle,
    drawn: Permutations,
    *,
    sets: npt.NDArray[np.uint64] | None = None,
) -> Sketch:
    """Compute signature, set size and set digest of each text.

    Parameters
    ----------
    spans, rule, drawn
        The texts, what a shingle is, and the permutations.
    sets
        An array for the sets themselves; `flat` of what is returned is a part of it. None: no sets are returned.

    Cost: one pass over the bytes and `hashes` multiplications a distinct shingle; about 16 bytes
    of scratch a distinct shingle of the largest text.
    """
    from assets.deduplication import shingle_kernels as kernels

    count = len(spans.starts)
    signatures = np.empty((count, len(drawn.factors)), np.uint32)
    sizes = np.empty(count, np.int64)
    digests = np.empty((count, 2), np.uint64)
    begins = np.empty(count, np.int64)
    room = sets if sets is not None else np.empty(0, np.uint64)
    table = lower_table(rule.kind)
    written = kernels.sketch(
        spans.data,
        spans.starts,
        spans.ends,
        rule.code,
        rule.length,
        table,
        drawn.factors,
        drawn.addends,
        signatures,
        sizes,
        digests,
        begins,
        room,
    )
    flat = sets[:written] if sets is not None and written >= 0 else None
    again = np.flatnonzero(sizes == -1)
    if again.size:
        rest = None if sets is None or flat is None else sets[written:]
        part = sketch_texts(lowered(spans, again), rule, drawn, sets=rest)
        signatures[again], sizes[again], digests[again] = part.signatures, part.sizes, part.digests
        begins[again] = part.begins + written
        if flat is not None and sets is not None:
            flat = None if part.flat is None else sets[: written + len(part.flat)]
    return Sketch(signatures, sizes, digests, begins, flat)


def band_keys(signatures: npt.NDArray[np.uint32], bands: int, rows: int) -> npt.NDArray[np.uint32]:
    """Hash each band of each signature to 32 bits, salted by the band's number.

    Returns
    -------
    (bands, n) uint32
        Equal bands have equal keys; a chance agreement costs one verification and no more.
    """
    from assets.deduplication import shingle_kernels as kernels

    keys = np.empty((bands, len(signatures)), np.uint32)
    kernels.band_keys(signatures, bands, rows, keys)
    return keys


def collision_probability(similarity: float, bands: int, rows: int) -> float:
    """Return the probability that two sets share a band: 1 - (1 - s**rows)**bands."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def choose_bands(similarity: float, max_hashes: int = 256, miss: float = 0.005) -> tuple[int, int]:
    """Choose the banding with the fewest hashes that finds nearly all pairs and little else.

    Parameters
    ----------
    similarity
        The asked Jaccard similarity, above 0 and at most 1.
    max_hashes
        The most hashes a signature may have.
    miss
        The largest share of pairs *at* `similarity` that no band may join; pairs above it are
        missed less often.

    Returns
    -------
    (bands, rows)
        The fewest hashes among those that keep to `miss` and make a candidate of at most 15 % of
        the pairs at half the similarity (few rows alone would be cheapest, and would make
        candidates of everything). Where `max_hashes` does not allow that, the most rows that
        keep to `miss`.

    Raises
    ------
    SimilarityError
        A value lies outside its range, or no banding keeps to `miss` with `max_hashes`.

    Examples
    --------
    >>> choose_bands(0.7)
    (29, 5)
    """
    if not 0.0 < similarity <= 1.0 or not 0.0 < miss < 1.0:
        message = (
            f"similarity {similarity} and miss {miss} must lie above 0, similarity at most 1 and "
            "miss below 1"
        )
        raise SimilarityError(message)
    feasible: list[tuple[int, int]] = []
    for rows in range(1, max_hashes + 1):
        caught = similarity**rows
        if caught * max_hashes < miss:  # a band catches too little, and more rows catch less
            break
        bands = 1 if caught >= 1.0 - miss else math.ceil(math.log(miss) / math.log1p(-caught))
        if bands * rows <= max_hashes:
            feasible.append((bands, rows))
    if not feasible:
        message = (
            f"no banding of {max_hashes} hashes misses at most {miss:.2%} of pairs at similarity "
            f"{similarity}; ask for a higher similarity or allow more hashes"
        )
        raise SimilarityError(message)
    selective = [
        (bands, rows)
        for bands, rows in feasible
        if collision_probability(similarity / 2, bands, rows) <= HALF_SIMILARITY_LIMIT
    ]
    if selective:
        return min(selective, key=lambda banding: (banding[0] * banding[1], -banding[1]))
    return max(feasible, key=lambda banding: banding[1])
