"""What several passes over the same records are worth: three forms and their stretches.

phi(r) is the worth of r passes over U unique records in units of one pass, so U phi(x / U) is the
effective number of
samples of x draws. All three forms equal r on [0, 1], and are increasing and concave with slope at
most 1:

* `step`: pass j adds delta^(j-1), delta = 2^(-1/tau) (worth halves every tau passes).
* `exp`: 1 + R (1 - exp(-(r-1)/R)) for r > 1 (Muennighoff et al. 2023, data-constrained scaling; R
is their R*).
* `power`: the product over passes of (n_j / n_{j-1})^(delta^(j-1)) (Goyal et al. 2024, utility of
repeated data).
* `none`: no worth beyond the first pass, and no draw beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.allocation.roots import Floats

KINDS = ("none", "step", "exp", "power")
_TINY = 1e-15
MOST_PIECES = 20_000


def worth_of_passes(kind: str, passes: Floats | float, parameter: Floats | float) -> Floats:
    """Return phi(passes).

    Parameters
    ----------
    kind
        One of `none`, `step`, `exp`, `power`.
    passes
        Passes r >= 0, any shape.
    parameter
        tau (step, power) or R* (exp), a number or a shape that goes with that of `passes`; ignored for
        `none`.
    """
    r = np.asarray(passes, float)
    if kind == "none":
        return np.asarray(np.minimum(r, 1.0))
    if kind == "exp":
        more = -parameter * np.expm1(-(np.maximum(r, 1.0) - 1) / parameter)
        return np.asarray(np.where(r <= 1, r, 1 + more))
    delta = np.asarray(2.0 ** (-1.0 / np.asarray(parameter, float)))
    if kind == "step":
        whole = np.floor(r)
        return np.asarray(
            -np.expm1(whole * np.log(delta)) / (1 - delta) + delta**whole * (r - whole)
        )
    log_phi = np.zeros(np.broadcast_shapes(r.shape, delta.shape))
    top = float(r.max(initial=0.0))
    j, eta = 1, delta
    while j < top and float(eta.max(initial=0.0)) > _TINY:
        log_phi += eta * np.log(np.clip(r / j, 1.0, (j + 1) / j))
        j, eta = j + 1, eta * delta
    return np.where(r <= 1, r, np.exp(log_phi))


def slope_of_passes(kind: str, passes: float, parameter: float) -> float:
    """Return the derivative of phi to the right of `passes`."""
    if passes < 1:
        return 1.0
    if kind == "none":
        return 0.0
    if kind == "exp":
        return float(np.exp(-(passes - 1) / parameter))
    gain = 2.0 ** (-np.floor(passes + 1e-12) / parameter)
    if kind == "step":
        return float(gain)
    return float(worth_of_passes(kind, passes, parameter) * gain / passes)


@dataclass(frozen=True)
class Pieces:
    """Stretches of one cell's worth function, as columns.

    A stretch runs over passes r0..r1, adds `samples` draws, `effective` samples and `spend`; its
    gain per unit of
    spend falls from `high` to `low` (equal on straight stretches). `curve` is 0 straight, 1 exp, 2
    power;
    `rate` is R* or the exponent eta of the pass, `start_worth` is worth * U * phi(r0).
    """

    cell: np.ndarray
    curve: np.ndarray
    high: Floats
    low: Floats
    r0: Floats
    r1: Floats
    samples: Floats
    effective: Floats
    spend: Floats
    rate: Floats
    start_worth: Floats

    def take(self, index: np.ndarray) -> Pieces:
        """Return the stretches at positions `index`."""
        return Pieces(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Cells:
    """Pools of groups as columns: one row a cell (group, pool), sorted by group.

    `unique` records, `worth` of one fresh sample in samples of the reference pool, `cost` of one
    draw, repetition
    `parameter` (tau or R*), `max_passes` (infinity for no cap). `kind` is the repetition form of
    all cells.
    """

    group: np.ndarray
    unique: Floats
    worth: Floats
    cost: Floats
    parameter: Floats
    max_passes: Floats
    kind: str

    def worth_of(self, samples: Floats) -> Floats:
        """Return worth * U * phi(samples / U) per cell."""
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.where(self.unique > 0, samples / self.unique, 0.0)
        if self.kind in ("none", "exp"):
            return self.worth * self.unique * _elementwise(self.kind, r, self.parameter)
        phi = [
            float(worth_of_passes(self.kind, x, t)) for x, t in zip(r, self.parameter, strict=True)
        ]
        return np.asarray(self.worth * self.unique * np.array(phi))

    def pieces(self, budget: float | None) -> Pieces:
        """Cut every cell's worth function into stretches, as far as `budget` can pay.

        Cost O(cells * passes), where passes end once their worth falls below 1e-15 of the first.
        """
        index = np.arange(self.group.size)
        size = self.unique
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (
                np.full(size.shape, np.inf)
                if budget is None
                else budget * 1.000001 / (self.cost * size)
            )
        most = np.where(size > 0, np.minimum(self.max_passes, np.maximum(reach, 1.0)), 0.0)
        if self.kind == "none":
            most = np.minimum(most, 1.0)
        first = np.minimum(most, 1.0)
        key = self.worth / self.cost
        parts = [self._straight(index, key, 0.0 * first, first, np.ones(size.shape))]
        again = np.flatnonzero(most > 1.0)
        if again.size and self.kind == "exp":
            parts.append(self._exponential(again, key, most))
        elif again.size and self.kind in ("step", "power"):
            delta = 2.0 ** (-1.0 / self.parameter[again])
            with np.errstate(over="ignore"):
                alive = np.log(_TINY) / np.log(delta)
            count = np.minimum(
                np.minimum(np.ceil(most[again]) - 1, np.ceil(alive)), MOST_PIECES
            ).astype(int)
            cell = np.repeat(again, count)
            j = np.arange(cell.size) - np.repeat(np.cumsum(count) - count, count) + 1.0
            eta = np.repeat(delta, count) ** j
            r1 = np.minimum(j + 1.0, most[cell])
            if self.kind == "step":
                parts.append(self._straight(cell, key[cell] * eta, j, r1, eta))
            else:
                parts.append(self._power(cell, key[cell], j, r1, eta, count))
        joined = Pieces(
            *(np.concatenate([getattr(q, n) for q in parts]) for n in Pieces.__dataclass_fields__)
        )
        return joined.take(np.flatnonzero((joined.samples > 0) & (joined.high > 0)))

    def _straight(
        self, cell: np.ndarray, key: Floats, r0: Floats, r1: Floats, gain: Floats
    ) -> Pieces:
        samples = (r1 - r0) * self.unique[cell]
        zero = np.zeros(cell.size)
        return Pieces(
            cell,
            np.zeros(cell.size, np.int8),
            key,
            key,
            r0,
            r1,
            samples,
            samples * gain * self.worth[cell],
            samples * self.cost[cell],
            zero,
            zero,
        )

    def _exponential(self, cell: np.ndarray, key: Floats, most: Floats) -> Pieces:
        rate = self.parameter[cell]
        r1 = np.minimum(most[cell], 1.0 + 36.0 * rate)
        full = self.worth[cell] * self.unique[cell]
        samples = (r1 - 1.0) * self.unique[cell]
        return Pieces(
            cell,
            np.ones(cell.size, np.int8),
            key[cell],
            key[cell] * np.exp(-(r1 - 1.0) / rate),
            np.ones(cell.size),
            r1,
            samples,
            -full * rate * np.expm1(-(r1 - 1.0) / rate),
            samples * self.cost[cell],
            rate,
            full,
        )

    def _power(
        self, cell: np.ndarray, key: Floats, j: Floats, r1: Floats, eta: Floats, count: np.ndarray
    ) -> Pieces:
        grow = eta * np.log(r1 / j)
        total = np.cumsum(grow)
        before = total - grow
        first = np.repeat(np.cumsum(count) - count, count)
        phi = np.exp(before - before[first])
        high = key * phi * eta / j
        full = self.worth[cell] * self.unique[cell] * phi
        samples = (r1 - j) * self.unique[cell]
        return Pieces(
            cell,
            np.full(cell.size, 2, np.int8),
            high,
            high * (r1 / j) ** (eta - 1.0),
            j,
            r1,
            samples,
            full * np.expm1(grow),
            samples * self.cost[cell],
            eta,
            full,
        )


def _elementwise(kind: str, r: Floats, parameter: Floats) -> Floats:
    if kind == "none":
        return np.minimum(r, 1.0)
    return np.where(r <= 1, r, 1 - parameter * np.expm1(-(np.maximum(r, 1.0) - 1) / parameter))


def drawn_at(pieces: Pieces, level: Floats) -> tuple[Floats, Floats]:
    """Return (passes, effective samples) drawn on curved stretches at a water level.

    Parameters
    ----------
    pieces
        Curved stretches only.
    level
        Gain per unit of spend at which drawing stops, shape of the pieces, > 0.
    """
    m = np.clip(level, pieces.low, pieces.high)
    ratio = pieces.high / m
    exp = pieces.curve == 1
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        stretch = np.where(exp, 1.0, ratio ** (1.0 / (1.0 - np.where(exp, 0.0, pieces.rate))))
        r = np.where(exp, 1.0 + pieces.rate * np.log(ratio), pieces.r0 * stretch)
    r = np.where(level <= pieces.low, pieces.r1, np.clip(r, pieces.r0, pieces.r1))
    with np.errstate(divide="ignore", invalid="ignore"):
        decay = -pieces.rate * np.expm1(-(r - pieces.r0) / np.where(exp, pieces.rate, 1.0))
        rise = np.expm1(
            np.where(exp, 0.0, pieces.rate) * np.log(r / np.where(pieces.r0 > 0, pieces.r0, 1.0))
        )
    return r, pieces.start_worth * np.where(exp, decay, rise)
