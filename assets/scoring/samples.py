"""Keyed samples of records with vectors: mergeable, free of order, and stored as they are embedded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.kernels.keyed_random import hash64, hash_words, id_words
from assets.kernels.unit_vectors import HALF_INFINITE, HALF_ZERO, to_stored_grid
from assets.scoring.protocol import ScoreBatch, ScoringError

Arrays = dict[str, NDArray[Any]]
NO_LABEL = np.uint64(0)


def empty_sample(*, grouped: bool = False) -> Arrays:
    """Return the sample of no records: `vectors` float16 (0, 0), `words` uint64 (0, 2), `labels` uint64 (0,).

    One with groups has `groups` uint64 (0,) too.
    """
    found: Arrays = {
        "vectors": np.empty((0, 0), dtype=np.float16),
        "words": np.empty((0, 2), dtype=np.uint64),
        "labels": np.empty(0, dtype=np.uint64),
    }
    return {**found, "groups": np.empty(0, dtype=np.uint64)} if grouped else found


def usable(batch: ScoreBatch) -> NDArray[np.bool_]:
    """Tell which rows have a vector with a direction once it is stored (bool, shape (n,))."""
    if batch.embedding is None:
        return np.zeros(len(batch), dtype=bool)
    return usable_vectors(batch.embedding)


def usable_vectors(vectors: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Tell which vectors have a direction once they are stored (bool, shape (n,))."""
    if vectors.dtype == np.float32:
        largest = _largest(np.ascontiguousarray(vectors).view(np.uint32))
        return np.asarray((largest > HALF_ZERO) & (largest < HALF_INFINITE))
    with np.errstate(over="ignore", invalid="ignore"):
        stored = vectors.astype(np.float16)
    return np.asarray(np.isfinite(stored).all(axis=1) & stored.any(axis=1))


@compiled
def _largest(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the bits of each row's largest magnitude; those of NaN are above all."""
    found = np.zeros(len(bits), dtype=np.uint32)
    for i in range(bits.shape[0]):
        most = np.uint32(0)
        for j in range(bits.shape[1]):
            most = max(most, bits[i, j] & np.uint32(0x7FFFFFFF))
        found[i] = most
    return found


def stored_grid(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Put vectors on the grid as they are once stored, so that a score from stored vectors is the same."""
    return to_stored_grid(vectors)


def class_places(classes: NDArray[np.uint64], labels: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where each label stands among sorted classes, and any place for one that does not (shape (n,))."""
    return np.asarray(_places(classes, labels))


@compiled
def _places(classes: NDArray[np.uint64], labels: NDArray[np.uint64]) -> NDArray[np.int64]:
    found = np.zeros(len(labels), dtype=np.int64)
    for i in range(len(labels)):
        low, size = 0, len(classes)
        while size > 1:  # no branch that depends on a hash
            half = size // 2
            low += half if classes[low + half] <= labels[i] else 0
            size -= half
        found[i] = low
    return found


def label_hashes(batch: ScoreBatch) -> NDArray[np.uint64]:
    """Hash labels, which may be of any length; `NO_LABEL` where there is none."""
    return _hashes(batch.label, len(batch), "label")


def group_hashes(batch: ScoreBatch) -> NDArray[np.uint64]:
    """Hash the groups that records are valued with; `NO_LABEL` where there is none."""
    own = batch.group if batch.cohort is None else batch.cohort
    return _hashes(own, len(batch), "group")


def _hashes(column: pa.Array | None, rows: int, purpose: str) -> NDArray[np.uint64]:
    if column is None:
        return np.full(rows, NO_LABEL)
    encoded = pc.dictionary_encode(column.cast(pa.large_string()).fill_null(""))
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    hashes = hash64(encoded.dictionary, 0, purpose)  # each label once, not each row
    found = hashes[np.asarray(encoded.indices)] if rows else np.empty(0, dtype=np.uint64)
    return np.where(np.asarray(column.is_valid()), found, NO_LABEL)


def sample_of(batch: ScoreBatch, rows: NDArray[np.int64], *, grouped: bool = False) -> Arrays:
    """Return the given rows of a batch as a sample, with their groups if wanted."""
    if not len(rows) or batch.embedding is None:
        return empty_sample(grouped=grouped)
    found: Arrays = {
        "vectors": batch.embedding[rows].astype(np.float16),
        "words": id_words(batch.ids.gather(rows)),
        "labels": label_hashes(batch)[rows],
    }
    return {**found, "groups": group_hashes(batch)[rows]} if grouped else found


def united(left: Arrays, right: Arrays, most: int, seed: int, purpose: str, scorer: str) -> Arrays:
    """Unite two samples and keep the `most` records with the smallest keyed hashes, in that order.

    Raises
    ------
    ScoringError
        Their vectors are of two lengths.
    """
    parts = [part for part in (left, right) if len(part["words"])]
    if not parts:
        return left
    if len({part["vectors"].shape[1] for part in parts}) > 1:
        message = (
            f"{scorer} got vectors of two lengths; was the embedder changed? Spaces can't be mixed"
        )
        raise ScoringError(message)
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in left}
    words = arrays["words"]
    hashes = hash_words(words, seed, purpose)
    order = np.lexsort((words[:, 1], words[:, 0], hashes))[:most]
    return {name: array[order] for name, array in arrays.items()}


def in_id_order(sample: Arrays) -> Arrays:
    """Return a sample by ids, the same order whatever the seed: a solver's last digits depend on it."""
    words = sample["words"]
    order = np.lexsort((words[:, 1], words[:, 0]))
    return {name: array[order] for name, array in sample.items()}
