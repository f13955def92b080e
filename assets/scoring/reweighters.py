"""Reweighters: which records an epoch shows, and with which loss weights, from the losses seen so far.

A trainer asks for `epoch(n)` before each epoch and tells losses as they come. Draws are keyed by record, epoch and
seed, so an epoch is the same after a restart from `state`, on any number of workers and in any order.

* `EveryEpochAnew` (RS2, Okanovic et al. 2023): a fresh random subset each epoch.
* `InfoBatch` (Qin et al. 2023): records below the mean loss are dropped with some probability and the kept ones weigh
  more, so that the expected gradient is that of all records.
* `SeTa` (Zhou et al. 2025): a window over loss groups that slides from easy to hard; not unbiased, by design.
* `loss_weights` (Sow et al. 2025): weights within a batch from its losses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import Ids, uniform
from assets.kernels.segments import segments
from assets.scoring.protocol import ScoringError


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch shows.

    Attributes
    ----------
    rows
        Positions of the records, int64, ascending; the trainer shuffles.
    weights
        Their loss weights, float64.
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float64]


class Reweighter(ABC):
    """Holds the last loss of every record; a subclass says what an epoch shows.

    Parameters
    ----------
    ids
        n distinct record ids.
    epochs
        How many there will be.
    seed
        Key of the draws.
    """

    def __init__(self, ids: Ids, epochs: int, seed: int = 0) -> None:
        self.ids = ids if isinstance(ids, pl.Series) else pl.Series("id", ids, dtype=pl.String)
        if epochs < 1 or not len(self.ids) or self.ids.n_unique() != len(self.ids):
            message = f"a reweighter of {len(self.ids)} records and {epochs} epochs needs both, and distinct ids"
            raise ScoringError(message)
        self.epochs = epochs
        self.seed = seed
        self.losses = np.full(len(self.ids), np.nan)

    @abstractmethod
    def epoch(self, number: int) -> Epoch:
        """Return what epoch `number`, counted from 0, shows."""

    def tell(self, rows: NDArray[np.integer[Any]], losses: NDArray[np.floating[Any]]) -> None:
        """Note the losses of some records; the last one counts."""
        if not np.isfinite(losses).all():
            message = (
                "a loss is not finite; the trainer has diverged, or tells losses before reduction"
            )
            raise ScoringError(message)
        self.losses[rows] = losses

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return {"losses": self.losses.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same records."""
        losses = np.asarray(state["losses"], dtype=np.float64)
        if losses.shape != self.losses.shape:
            message = f"the checkpoint is of {len(losses)} records, not of {len(self.losses)}"
            raise ScoringError(message)
        self.losses = losses.copy()

    def _draw(self, purpose: str, number: int) -> NDArray[np.float64]:
        return uniform(self.ids, self.seed, f"{purpose} {number}")

    def _all(self) -> Epoch:
        n = len(self.ids)
        return Epoch(np.arange(n), np.ones(n))


class EveryEpochAnew(Reweighter):
    """RS2: a random share of the records each epoch.

    Parameters
    ----------
    share
        Of the records an epoch shows, above 0 and at most 1.
    replacement
        With it every epoch is drawn apart. Without, a cycle of epochs shows every record once: the records stand in a
        random order that is cut into epochs, the last of which may be shorter, and the next cycle has another order.
    """

    def __init__(
        self, ids: Ids, epochs: int, share: float, *, replacement: bool = False, seed: int = 0
    ) -> None:
        super().__init__(ids, epochs, seed)
        if not 0 < share <= 1:
            message = f"share is {share}; it must be above 0 and at most 1"
            raise ScoringError(message)
        self.replacement = replacement
        self.size = max(1, round(share * len(self.ids)))

    def epoch(self, number: int) -> Epoch:
        """Return the records of an epoch, all with weight 1."""
        cycle = -(-len(self.ids) // self.size)
        turn, place = (number, 0) if self.replacement else divmod(number, cycle)
        order = np.argsort(self._draw("rs2", turn), kind="stable")
        rows = np.sort(order[place * self.size : (place + 1) * self.size])
        return Epoch(rows, np.ones(len(rows)))


class InfoBatch(Reweighter):
    """Drops records of small loss at random and lets the kept ones weigh more.

    Parameters
    ----------
    ratio
        Probability with which a record below the mean loss is dropped, at least 0 and below 1.
    full
        Share of the epochs, at the end, that show all records.
    """

    def __init__(
        self, ids: Ids, epochs: int, ratio: float = 0.5, *, full: float = 0.125, seed: int = 0
    ) -> None:
        super().__init__(ids, epochs, seed)
        if not 0 <= ratio < 1 or not 0 <= full <= 1:
            message = f"ratio is {ratio} and full {full}; ratio must be in [0, 1), full in [0, 1]"
            raise ScoringError(message)
        self.ratio = ratio
        self.full = full

    def epoch(self, number: int) -> Epoch:
        """Return the records of an epoch; a record without a loss yet is always shown."""
        known = ~np.isnan(self.losses)
        if not known.any() or number >= self.epochs * (1 - self.full):
            return self._all()
        easy = known & (self.losses < self.losses[known].mean())
        kept = ~easy | (self._draw("infobatch", number) >= self.ratio)
        weights = np.where(easy, 1.0 / (1.0 - self.ratio), 1.0)
        return Epoch(np.flatnonzero(kept), weights[kept])


class SeTa(Reweighter):
    """A window over groups of the loss that slides from easy to hard, over a random share of the records.

    Parameters
    ----------
    ratio
        Share of the records left out at random each epoch.
    groups
        Of the losses, by exact k-means on the line.
    window
        Share of the groups that an epoch shows.
    full
        Share of the epochs, at the end, that show a random share of all records.
    """

    def __init__(
        self,
        ids: Ids,
        epochs: int,
        ratio: float = 0.1,
        *,
        groups: int = 10,
        window: float = 0.5,
        full: float = 0.125,
        seed: int = 0,
    ) -> None:
        super().__init__(ids, epochs, seed)
        if not 0 <= ratio < 1 or groups < 1 or not 0 < window <= 1 or not 0 <= full <= 1:
            message = (
                f"ratio {ratio}, groups {groups}, window {window}, full {full}: ratio in [0, 1), groups at least 1, "
                "window in (0, 1], full in [0, 1]"
            )
            raise ScoringError(message)
        self.ratio, self.groups, self.window, self.full = ratio, groups, window, full

    def epoch(self, number: int) -> Epoch:
        """Return the records of an epoch, all with weight 1; the first shows all groups."""
        kept = self._draw("seta", number) >= self.ratio
        known = ~np.isnan(self.losses)
        if known.any() and number and number < self.epochs * (1 - self.full):
            group = np.zeros(len(kept), dtype=np.int64)
            group[known] = segments(self.losses[known], self.groups)
            count = int(group.max()) + 1
            width = max(1, round(count * self.window))
            start = (number - 1) % (count - width + 1)
            kept &= ~known | ((group >= start) & (group < start + width))
        rows = np.flatnonzero(kept)
        return Epoch(rows, np.ones(len(rows)))


Shape = Literal["linupper", "mid", "upper", "extremes"]


def loss_weights(
    losses: NDArray[np.floating[Any]], temperature: float = 0.4, shape: Shape = "linupper"
) -> NDArray[np.float64]:
    """Return the weights of a batch's records from their losses.

    Parameters
    ----------
    losses
        Per record, of the whole batch over all workers: float, shape (n,).
    temperature
        Above 0; large makes weights equal.
    shape
        Of the losses scaled to h in [-1, 1]: ``linupper`` min(h + 1, 1), ``mid`` 1 - h², ``upper`` (h + 1) / 2,
        ``extremes`` abs(h).

    Returns
    -------
    numpy.ndarray
        float64, shape (n,), summing to n.
    """
    if not temperature > 0:
        message = f"temperature is {temperature}; it must be above 0"
        raise ScoringError(message)
    wide = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(wide).all():
        message = "a loss is not finite; the trainer has diverged"
        raise ScoringError(message)
    low, high = wide.min(), wide.max()
    h = 2 * (wide - low) / (high - low) - 1 if high > low else np.zeros_like(wide)
    shapes = {
        "linupper": np.minimum(h + 1, 1.0),
        "mid": 1 - h**2,
        "upper": (h + 1) / 2,
        "extremes": np.abs(h),
    }
    if shape not in shapes:
        message = f"shape is {shape!r}; use {', '.join(shapes)}"
        raise ScoringError(message)
    odds = np.exp((shapes[shape] - shapes[shape].max()) / temperature)
    return np.asarray(odds / odds.sum() * len(wide))
