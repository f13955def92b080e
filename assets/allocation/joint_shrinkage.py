"""What groups share of a parameter: a random effect, ln value_g ~ N(mean, spread^2).

Mean and spread are integrated over, not plugged in, so intervals know that a mean over few groups is
itself uncertain, and one group alone simply keeps its own value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.allocation.curve_fit import normals
from assets.allocation.roots import Floats

_SPREADS = np.geomspace(0.01, 3.0, 80)


@dataclass(frozen=True)
class Prior:
    """Normal prior of the mean of ln value, and the scale of the half-normal prior of its spread."""

    mean: float
    sd: float
    spread: float


@dataclass(frozen=True)
class Shared:
    """Posterior of the mean and the spread: a grid of spreads with weights, and the mean at each."""

    weight: Floats
    mean: Floats
    variance: Floats

    @property
    def centre(self) -> float:
        """Return the expected mean."""
        return float(self.weight @ self.mean)

    @property
    def precision(self) -> float:
        """Return the precision of one group's value around the mean, at the expected spread."""
        spread = float(self.weight @ _SPREADS)
        return 1.0 / (spread * spread)

    def drawn(self, key: str, count: int) -> tuple[Floats, Floats]:
        """Return `count` draws of (mean, spread), decided by `key` alone."""
        uniform = np.random.default_rng([ord(c) for c in key]).random(count)
        at = np.searchsorted(np.cumsum(self.weight)[:-1], uniform)
        noise = normals(f"{key}|mean", count)
        return self.mean[at] + np.sqrt(self.variance[at]) * noise, _SPREADS[at]


def shared_effect(value: Floats, variance: Floats, prior: Prior) -> Shared:
    """Return what groups with estimates `value` of ln parameter (G,) and their `variance` share.

    Parameters
    ----------
    value, variance
        Estimates from each group's runs alone; groups that say nothing are left out (G may be 0).
    prior
        Of the mean and the spread.

    Notes
    -----
    The normal-normal hierarchical model with the mean integrated exactly and the spread on a grid
    (Gelman et al., Bayesian Data Analysis, section 5.4).
    """
    precision = 1.0 / (variance[None, :] + _SPREADS[:, None] ** 2)
    total = precision.sum(axis=1) + prior.sd**-2.0
    mean = (precision @ value + prior.mean / prior.sd**2) / total
    miss = (precision * (value[None, :] - mean[:, None]) ** 2).sum(axis=1)
    miss += (mean - prior.mean) ** 2 / prior.sd**2
    log = 0.5 * np.log(precision).sum(axis=1) - 0.5 * np.log(total) - 0.5 * miss
    log += -0.5 * (_SPREADS / prior.spread) ** 2 + np.log(_SPREADS)  # the grid is even in the log
    weight = np.exp(log - log.max())
    return Shared(weight / weight.sum(), mean, 1.0 / total)


def without_prior(value: float, variance: float, prior: Prior) -> tuple[float, float] | None:
    """Return the estimate and variance that a group's runs alone give; None where they say nothing."""
    left = 1.0 / variance - prior.sd**-2.0
    if left <= 1e-3 * prior.sd**-2.0:
        return None
    return (value / variance - prior.mean / prior.sd**2) / left, 1.0 / left
