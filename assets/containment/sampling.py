"""Estimate containment from a sample of the child's rows, with a confidence interval.

The child's least hashes are a uniform sample of its distinct rows, since hashes are mixed; they are
looked up in the whole parent (asymmetric probing), so that the sample's size does not depend on the
parent's. One miss is a row that the parent lacks, for certain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import beta

from assets.containment.content import COUNTED_SCHEMA
from assets.containment.ranges import InPieces
from assets.kernels.cell_hash import Hashes

SAMPLED_SCHEMA = {**COUNTED_SCHEMA, "exact": pl.Boolean, "low": pl.Float64, "high": pl.Float64}


@dataclass(frozen=True)
class Sampling:
    """How many of a child's distinct rows are looked up, and how sure the interval is."""

    size: int
    confidence: float = 0.95


def interval(hits: int, size: int, confidence: float) -> tuple[float, float]:
    """Enclose a share from a sample (Clopper and Pearson, 1934).

    Parameters
    ----------
    hits, size : int
        Rows of the sample that were found, of how many.
    confidence : float
        With at least this probability the interval holds the share.

    Returns
    -------
    tuple of float
        For a sample without a miss the lower end is ((1 - confidence) / 2)^(1 / size).

    Notes
    -----
    Exact for draws with replacement; conservative for a sample without, as the least hashes are.
    """
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, size - hits + 1))
    high = 1.0 if hits == size else float(beta.ppf(1.0 - tail, hits + 1, size - hits))
    return low, high


def least_hashes(hashes: Hashes | InPieces, size: int) -> tuple[Hashes, bool]:
    """Return the least distinct hashes of a table, sorted, and whether there are no others."""
    least = np.empty(0, np.uint64)
    whole = True
    for piece in [hashes] if isinstance(hashes, np.ndarray) else hashes.pieces():
        near = piece if least.size < size else piece[piece < least[-1]]
        whole = whole and near.size == piece.size
        merged = np.union1d(least, near)
        whole = whole and merged.size <= size
        least = merged[:size]
    return least, whole


def sampled_containment(
    hashes: Mapping[str, Hashes | InPieces], pairs: Iterable[tuple[str, str]], sampling: Sampling
) -> pl.DataFrame:
    """Estimate the containment of children that have more distinct rows than the sample.

    Parameters
    ----------
    hashes : mapping of str to np.ndarray or InPieces
        Row hashes by table, over the same columns.
    pairs : iterable of (str, str)
        (child, parent). Pairs whose child has no more than `sampling.size` distinct rows are left
        out: counting them is no more work.
    sampling : Sampling
        Size and confidence.

    Returns
    -------
    pl.DataFrame
        In the form of `contained_rows`, sorted, with `exact` false, `low` and `high`; what a sample
        doesn't tell is null, `child_distinct` is an estimate, `witness` a sampled row that the
        parent lacks.

    Notes
    -----
    Error of the estimate c: standard deviation sqrt(c (1 - c) / size), whatever the parent's size.
    Cost: one pass over each parent, in which only hashes below the samples' largest are sorted.
    """
    wanted = sorted(set(pairs))
    samples: dict[str, Hashes] = {}
    for child in sorted({child for child, _ in wanted}):
        least, whole = least_hashes(hashes[child], sampling.size)
        if not whole:
            samples[child] = least
    children: dict[str, list[str]] = defaultdict(list)
    for child, parent in wanted:
        if child in samples:
            children[parent].append(child)
    rows = []
    for parent, own in sorted(children.items()):
        there = _present(hashes[parent], [samples[child] for child in own])
        for child, found in zip(own, there, strict=True):
            sample, hits = samples[child], int(found.sum())
            low, high = interval(hits, sample.size, sampling.confidence)
            distinct = round((sample.size - 1) * 2.0**64 / float(sample[-1]))
            lacking = sample[~found]
            rows.append(
                {
                    "child": child,
                    "parent": parent,
                    "child_distinct": distinct,
                    "child_rows": hashes[child].size,
                    "parent_rows": hashes[parent].size,
                    "witness": int(lacking[0]) if lacking.size else None,
                    "containment": hits / sample.size,
                    "exact": False,
                    "low": low,
                    "high": high,
                }
            )
    return pl.DataFrame(rows, schema=SAMPLED_SCHEMA).sort("child", "parent")


def _present(
    parent: Hashes | InPieces, samples: list[Hashes]
) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Tell which hashes of each sample a table has."""
    sought = np.unique(np.concatenate(samples))
    found = np.zeros(sought.size, np.bool_)
    for piece in [parent] if isinstance(parent, np.ndarray) else parent.pieces():
        near = piece[piece <= sought[-1]]
        at = np.searchsorted(sought, near)
        found[at[sought[at] == near]] = True
    return [found[np.searchsorted(sought, sample)] for sample in samples]
