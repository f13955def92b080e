"""How hard a labelled record is in training: GraNd, and how often it is forgotten.

Both look at small networks (`small_network`) while they are trained, and so tell of a record what one pass over a
finished classifier does not. Hard records teach most where labels are clean; where they are not, the hardest are
mislabelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assets.scoring.network_scorer import Known, NetworkScorer, stacked, unstacked
from assets.scoring.network_training import Checkpoint
from assets.scoring.protocol import Direction, Needs, ScorerState, ScoringError

Keep = Literal["hard", "easy"]


def _direction(keep: Keep) -> Direction:
    return "high" if keep == "hard" else "low"


def _check_keep(name: str, keep: str) -> None:
    if keep not in {"hard", "easy"}:
        message = f"{name} cannot use keep={keep!r}; keep hard or easy"
        raise ScoringError(message)


@dataclass(frozen=True)
class Grand(NetworkScorer):
    """Expected length of the loss's gradient early in training.

    Parameters
    ----------
    keep
        ``hard`` (long gradients) or ``easy`` records are better.
    layers
        ``last``: the gradient in the last layer, in closed form; ``all``: in all weights, by ghost norms.
    epochs
        Passes over the sample before the gradient is taken. At none the score is of the random start, and a replication
        found it no better than chance there.
    runs
        Networks from different starts over which lengths are averaged.
    hidden, rate, sample_rows
        Units of the hidden layer, learning rate, and labelled train records that are trained on at most.
    """

    keep: Keep = "hard"
    layers: Literal["last", "all"] = "all"
    epochs: int = 3
    runs: int = 10
    hidden: int = 32
    rate: float = 0.2
    sample_rows: int = 20_000

    name: ClassVar[str] = "grand"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = (
        "O(rows x runs x hidden x (dim + classes)), and runs trainings on a sample"
    )
    source: ClassVar[str] = "Paul et al. 2021, arXiv 2107.07075, definition 2.1"

    def __post_init__(self) -> None:
        self.check()
        _check_keep(self.name, self.keep)
        if self.layers not in {"last", "all"}:
            message = f"grand cannot use layers={self.layers!r}; use last or all"
            raise ScoringError(message)

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Return what `keep` means."""
        return _direction(self.keep)

    def learned(
        self, runs: Sequence[Sequence[Checkpoint]], summary: ScorerState, train_side: Known
    ) -> dict[str, NDArray[Any]]:
        """Keep the networks at the end."""
        return stacked([run[-1].network for run in runs])

    def measure(
        self, rows: NDArray[np.float64], own: NDArray[np.int64], state: ScorerState
    ) -> NDArray[np.float64]:
        """Return the mean over networks of the gradient's length."""
        networks = unstacked(state)
        total = np.zeros(len(rows))
        for network in networks:
            seen = network.look(rows)
            first, last = seen.squared_norms(seen.errors(own))
            total += np.sqrt(last if self.layers == "last" else first + last)
        return total / len(networks)


@dataclass(frozen=True)
class Forgetting(NetworkScorer):
    """How often a record goes from right to wrong between epochs; never right counts as every epoch.

    Parameters
    ----------
    keep
        ``hard`` (often forgotten) or ``easy`` records are better.
    epochs
        Passes over the sample; the score looks at the end of each.
    runs
        Networks from different starts over which counts are averaged.
    hidden, rate, sample_rows
        Units of the hidden layer, learning rate, and labelled train records that are trained on at most.
    """

    keep: Keep = "hard"
    epochs: int = 12
    runs: int = 3
    hidden: int = 32
    rate: float = 0.2
    sample_rows: int = 20_000

    name: ClassVar[str] = "forgetting"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = (
        "O(rows x runs x epochs x hidden x (dim + classes)), and runs trainings on a sample"
    )
    source: ClassVar[str] = "Toneva et al. 2019, arXiv 1812.05159, section 3"

    def __post_init__(self) -> None:
        self.check()
        _check_keep(self.name, self.keep)

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Return what `keep` means."""
        return _direction(self.keep)

    def learned(
        self, runs: Sequence[Sequence[Checkpoint]], summary: ScorerState, train_side: Known
    ) -> dict[str, NDArray[Any]]:
        """Keep the networks at the end of every epoch."""
        return stacked([point.network for run in runs for point in run])

    def measure(
        self, rows: NDArray[np.float64], own: NDArray[np.int64], state: ScorerState
    ) -> NDArray[np.float64]:
        """Return the mean over runs of the times a record is forgotten."""
        right = [network.look(rows).p.argmax(axis=1) == own for network in unstacked(state)]
        by_run = np.stack(right).reshape(self.runs, -1, len(rows))
        return np.asarray(forgotten(by_run).mean(axis=0))


def forgotten(right: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count forgetting events.

    Parameters
    ----------
    right
        bool, shape (…, epochs, n): whether each record was classified rightly after each epoch.

    Returns
    -------
    numpy.ndarray
        int64, shape (…, n): times a record was right and then wrong; `epochs` where it was never right.
    """
    lost = right[..., :-1, :] & ~right[..., 1:, :]
    never = ~right.any(axis=-2)
    return np.asarray(np.where(never, right.shape[-2], lost.sum(axis=-2)))
