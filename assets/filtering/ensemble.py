"""Hold laws that are averaged: their weights, draws and predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.fit import Fit
from assets.filtering.laws import LawName, Parameters, mixture_error
from assets.filtering.problem import Heights

Choice = Literal["average", "utility", "saturation", "power", "data_constrained"]


@dataclass(frozen=True)
class Member:
    """Hold one law under one mixture assumption, its held-out score and weight."""

    law: LawName
    kappa: float
    heights: Heights
    fitted: Fit
    score: float
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """Hold weighted members, their draws, and what was learned about errors of extrapolation.

    ``drift`` is the standard deviation of ln(reducible error) a unit of ln(samples) beyond the data
    that held-out budgets show above noise and parameter uncertainty (0.02 where there are fewer than
    four budgets in each pool, so that none can be held out). ``available``: unique samples
    of each pool that plans may draw; it is the largest ``pool_unique`` of the curves unless stated,
    as after proxy runs on samples.
    """

    curves: Curves
    members: tuple[Member, ...]
    points: tuple[Parameters, ...]
    draws: tuple[Parameters, ...]
    sigma: float
    drift: float
    available: Array

    def weights(self) -> Array:
        """Return the members' weights."""
        return np.array([member.weight for member in self.members])

    def predict(
        self, samples: Array, weights: Array, unique: Array, *, model_size: float | None = None
    ) -> Array:
        """Return predicted errors, shape (points,): the weighted mean of the members' best fits."""
        values = [
            mixture_error(p, samples, weights, unique, model_size=model_size)[0]
            for p in self.points
        ]
        return np.asarray(np.average(np.stack(values), axis=0, weights=self.weights()))

    def sample(
        self,
        samples: Array,
        weights: Array,
        unique: Array,
        *,
        model_size: float | None = None,
        inflate: float | Array = 1.0,
        seed: int = 0,
    ) -> Array:
        """Return draws of the true error, shape (draws, points), errors of extrapolation included.

        One disturbance a draw is shared by all points, as a wrong law errs alike for similar plans.
        ``inflate``, one number or one a point, multiplies the spread about the mean: the price of what
        the curves cannot say.
        """
        parts = [
            mixture_error(p, samples, weights, unique, model_size=model_size) for p in self.draws
        ]
        values = np.concatenate(parts, axis=0)
        floors = np.concatenate([p.floor for p in self.draws])[:, None]
        noise = np.random.Generator(np.random.PCG64([seed, 17])).standard_normal((len(values), 1))
        beyond = np.maximum(np.log(samples / self.curves.samples.max()), 0.0)[None, :]
        values = floors + np.maximum(values - floors, 0.0) * np.exp(noise * self.drift * beyond)
        center = np.mean(values, axis=0, keepdims=True)
        return np.asarray(center + inflate * (values - center))
