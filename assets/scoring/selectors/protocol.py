"""What a selector is: a method that lists candidates, the one to keep first in front."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import hash_words, id_words
from assets.scoring.protocol import ScoringError


class SelectionError(ScoringError):
    """A selection that cannot be made; names the option."""


class SelectorNeeds(Flag):
    """What a selector looks at, beside the ids."""

    NONE = 0
    VALUE = auto()
    STRATUM = auto()
    EMBEDDING = auto()
    TARGET = auto()
    TAGS = auto()


@dataclass(frozen=True, slots=True)
class Candidates:
    """Records that may be selected, column by column; n rows each, or None.

    Attributes
    ----------
    ids
        n distinct strings.
    value
        float64, shape (n,); NaN where a record has no such score.
    stratum
        n strings; null is a stratum of its own.
    embedding
        float32, shape (n, d); a zero or NaN row is a record without a vector.
    target
        Vectors of the target's records, float32, shape (m, d); not candidates themselves.
    tags
        n lists of strings; null or an empty list where a record has none.
    """

    ids: pl.Series
    value: NDArray[np.float64] | None = None
    stratum: pl.Series | None = None
    embedding: NDArray[np.float32] | None = None
    target: NDArray[np.float32] | None = None
    tags: pl.Series | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.integer[Any]]) -> Candidates:
        """Return the given rows in the given order."""
        return Candidates(
            self.ids.gather(rows),
            None if self.value is None else self.value[rows],
            None if self.stratum is None else self.stratum.gather(rows),
            None if self.embedding is None else self.embedding[rows],
            self.target,
            None if self.tags is None else self.tags.gather(rows),
        )


Picks: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]


@runtime_checkable
class Selector(Protocol):
    """A method that lists candidates in the order in which they are worth keeping.

    A budget takes a beginning of the list, so selections nest. Everything random is keyed by id and
    seed, and ties are broken by a hash of the id, so the order of the candidates has no influence.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[SelectorNeeds]
    cost: ClassVar[str]
    source: ClassVar[str]

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield (rows, gains), best first, as many as are asked for and `most` at the most.

        Every candidate has what `needs` names. `gains` is what the method ranked by at that time,
        NaN where it did not.
        """
        ...


def tie_order(ids: pl.Series, seed: int, purpose: str) -> NDArray[np.int64]:
    """Return the positions of some ids by a keyed hash, then by the id's own 128 bits."""
    words = id_words(ids)
    return np.lexsort((words[:, 1], words[:, 0], hash_words(words, seed, purpose)))
