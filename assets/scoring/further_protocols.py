"""The places of methods that change more than a row's number: mixers, distillers, unlearners.

Sluice ships none of the last two yet; a method that keeps the protocol can be tested with the common suites and used
from a notebook. All are pure: they take and return frames and arrays, do no I/O and draw by keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of a training set by source.

    Attributes
    ----------
    shares
        Source to share; not negative, and they sum to 1.

    Raises
    ------
    ScoringError
        They do not.
    """

    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        values = np.array(list(self.shares.values()), dtype=np.float64)
        if not len(values) or not (values >= 0).all() or abs(float(values.sum()) - 1.0) > 1e-9:
            message = (
                f"a mixture's shares must not be negative and must sum to 1: {dict(self.shares)}"
            )
            raise ScoringError(message)


@runtime_checkable
class Mixer(Protocol):
    """A method that says how much of each source to train on."""

    name: ClassVar[str]
    version: ClassVar[int]
    cost: ClassVar[str]
    source: ClassVar[str]

    def mix(self, sources: pl.DataFrame, evaluations: pl.DataFrame, seed: int) -> Mixture:
        """Return shares of the sources.

        Parameters
        ----------
        sources
            One row a source: `source`, `records`, and what the method looks at.
        evaluations
            Measured losses: `source` (or sources joined by ``+``), `samples_seen`, `metric_value`.
        seed
            Key of randomness.
        """
        ...


@dataclass(frozen=True, slots=True)
class Distilled:
    """Rows that were made to stand for many.

    Attributes
    ----------
    vectors
        float32, shape (m, d).
    targets
        Soft targets, float32, shape (m, c); rows need not sum to 1.
    """

    vectors: NDArray[np.float32]
    targets: NDArray[np.float32]


@runtime_checkable
class Distiller(Protocol):
    """A method that makes few rows, with soft targets, which train like many."""

    name: ClassVar[str]
    version: ClassVar[int]
    cost: ClassVar[str]
    source: ClassVar[str]

    def distil(self, batch: ScoreBatch, rows: int, context: ScoreContext) -> Distilled:
        """Return `rows` rows that stand for a batch."""
        ...


@runtime_checkable
class Unlearner(Protocol):
    """A method that makes a model as if it had never seen some records."""

    name: ClassVar[str]
    version: ClassVar[int]
    cost: ClassVar[str]
    source: ClassVar[str]

    def unlearn(
        self,
        model: Any,  # noqa: ANN401 whatever the method takes
        forget: pl.Series,
        attribution: pl.DataFrame,
        context: ScoreContext,
    ) -> Any:  # noqa: ANN401
        """Return a model without the influence of records.

        Parameters
        ----------
        model
            The trained model; not changed.
        forget
            Ids of the records to forget; where there are none the model is returned as it is.
        attribution
            `id` and one column an evaluated record: by how much the record changed its output.
        context
            Seed and device.
        """
        ...
