"""Content pruning of R2D2: a few rows of the child are looked for in the parent, by predicates.

Rows are drawn uniformly; a predicate, the values of a drawn row in s columns, says which rows of the
parent are fetched and compared whole. NULL equals NULL. A pair of containment g is kept with probability g^t.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa

from assets.containment.content import hash_projections_of
from assets.containment.families import Names
from assets.containment.pair_counts import Integers
from assets.kernels.cell_hash import Equality, Hashes

Batches = Iterable[pa.RecordBatch | pa.Table]


@dataclass(frozen=True)
class PaperSettings:
    """How content is pruned.

    Attributes
    ----------
    columns
        So many columns make the predicate that fetches a parent's rows (s).
    rows
        So many rows of the child are looked for (t), drawn uniformly and independently.
    seed
        Of the draws.
    """

    columns: int = 4
    rows: int = 10
    seed: int = 0


@dataclass(frozen=True)
class ChildSample:
    """Drawn rows of a child: hashes on the predicate's columns, and on all columns."""

    predicates: Hashes
    rows: Hashes


def draw_rows(rows: int, count: int, seed: int) -> Integers:
    """Draw `count` of `rows` positions, uniformly, independently and with repetition."""
    return np.random.default_rng(seed).integers(0, rows, count)


def predicate_columns(columns: Sequence[str], settings: PaperSettings) -> Names:
    """Choose the columns of the predicate."""
    order = np.random.default_rng(settings.seed).permutation(len(columns))
    return tuple(columns[i] for i in islice(order, settings.columns))


def sample_child(
    batches: Batches, rows: int, columns: Names, equality: Equality, settings: PaperSettings
) -> ChildSample:
    """Draw rows of a child.

    Parameters
    ----------
    batches
        All its rows.
    rows
        How many there are.
    columns
        Its columns.
    equality
        Which cells are equal; NULL equals NULL in each.
    settings
        How many rows, and the predicate's columns.
    """
    places = np.sort(draw_rows(rows, settings.rows, settings.seed))
    sets = [predicate_columns(columns, settings), columns]
    parts: list[list[Hashes]] = [[], []]
    start = 0
    for batch in batches:
        own = places[(places >= start) & (places < start + batch.num_rows)] - start
        start += batch.num_rows
        if own.size:
            for part, hashes in zip(
                parts, hash_projections_of(batch.take(pa.array(own)), sets, equality), strict=True
            ):
                part.append(hashes)
    return ChildSample(np.concatenate(parts[0]), np.concatenate(parts[1]))


def lacking_children(
    batches: Batches,
    samples: Mapping[Names, Mapping[str, ChildSample]],
    equality: Equality,
    settings: PaperSettings,
) -> tuple[set[str], int, int]:
    """Find the children of which a drawn row is not in a parent.

    Parameters
    ----------
    batches
        The parent's rows, read once for all children.
    samples
        By the child's columns and the child's name.
    equality, settings
        As in `sample_child`.

    Returns
    -------
    tuple
        Children refuted, rows of the parent, and rows that the predicates fetched.
    """
    families = list(samples)
    selects = [predicate_columns(columns, settings) for columns in families]
    wanted = [
        np.unique(np.concatenate([s.predicates for s in own.values()])) for own in samples.values()
    ]
    found = [np.empty(0, np.uint64) for _ in families]
    rows = fetched = 0
    for batch in batches:
        rows += batch.num_rows
        selected = hash_projections_of(batch, selects, equality)
        for i, columns in enumerate(families):
            hit = np.isin(selected[i], wanted[i])
            if hit.any():
                fetched += int(hit.sum())
                rest = batch.filter(pa.array(hit))
                found[i] = np.union1d(found[i], hash_projections_of(rest, [columns], equality)[0])
    lacking = {
        child
        for there, own in zip(found, samples.values(), strict=True)
        for child, sample in own.items()
        if not np.isin(sample.rows, there).all()
    }
    return lacking, rows, fetched
