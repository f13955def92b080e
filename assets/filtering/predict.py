"""Predict plans, with intervals that are as wide as what the curves leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.filtering.candidates import Candidates
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble

#: beyond these multiples of the largest samples_seen and passes nothing checks the law
FAR, FAR_REPEATS = 10.0, 3.0
#: beyond this multiple of the largest pool size nothing shows how repeats of it wear off
LARGER = 2.0
#: widening beyond the reach of the data
WIDER = 1.15


@dataclass(frozen=True)
class Setting:
    """Hold what a plan is made under: widening, caps, seed, nested only, model size."""

    inflate: float = 1.0
    max_passes: float | None = None
    pool_caps: tuple[tuple[str, float], ...] = ()
    nested_only: bool = False
    seed: int = 0
    model_size: float | None = None
    #: relative error of the mixture rule, where held-out mixtures showed one
    mixture_error: float = 0.0


def quality_order(ensemble: Ensemble) -> npt.NDArray[np.int64]:
    """Return pools from best to worst by predicted error of equally many fresh samples.

    Fresh: at the size of the smallest pool or the middle of the data, whichever is less, so no
    repetition enters. With a shared anchor it is the order of the exponents.
    """
    curves = ensemble.curves
    pools = len(curves.pools)
    count = float(np.median(curves.samples))
    errors = ensemble.predict(
        np.full(pools, count),
        np.eye(pools),
        np.full((pools, pools), max(count, curves.pool_sizes.max())),
    )
    # equal errors: by exponent, then by content (size), never by name
    return np.asarray(np.lexsort((-curves.pool_sizes, errors)), dtype=np.int64)


def predict_plans(ensemble: Ensemble, plans: Candidates, budget: float, setting: Setting) -> Array:
    """Return predicted errors, shape (plans,). Cost: O(members x plans x pools x passes)."""
    unique = np.broadcast_to(plans.unique, plans.members.shape)
    return ensemble.predict(
        plans.spend(budget), plans.weights, unique, model_size=setting.model_size
    )


def predict_grid(
    ensemble: Ensemble, plans: Candidates, budgets: Array, setting: Setting, *, chunk: int = 8192
) -> Array:
    """Return predicted errors, shape (budgets, plans), in chunks that stay in the cache."""
    count = len(plans.members)
    spend = np.stack([plans.spend(float(budget)) for budget in budgets]).ravel()
    rows = np.tile(np.arange(count), len(budgets))
    out = np.empty(len(rows))
    # neighbours in budget go together, because the cost of a chunk is set by its largest number of
    # passes
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        out[start : start + chunk] = ensemble.predict(
            spend[start : start + chunk],
            plans.weights[part],
            np.broadcast_to(plans.unique, (len(part), len(plans.unique))),
            model_size=setting.model_size,
        )
    return out.reshape(len(budgets), count)


def widening(
    ensemble: Ensemble, samples: Array, weights: Array, unique: Array, setting: Setting
) -> Array:
    """Return what the spread of each point is multiplied by, shape (points,).

    ``setting.inflate`` for what the curves lack; 1.15 for more than ten times the largest
    samples_seen, for more than three times the most passes, and for repeats of a pool more than
    twice as large as any that was trained on. That no trained mixture checks the diversity exponent
    is not priced here: the draws hold every exponent, and so its whole width, already.
    """
    curves = ensemble.curves
    wide = np.full(len(samples), setting.inflate)
    wide *= np.where(samples > FAR * curves.samples.max() * (1 + 1e-9), WIDER, 1.0)
    passes = np.where(weights > 0, weights * samples[:, None] / unique, 0.0).max(axis=1)
    larger = np.where(weights > 0, unique / curves.pool_sizes, 0.0).max(axis=1) > LARGER
    wide *= np.where(larger & (passes > 1.0), WIDER, 1.0)
    deep = max(FAR_REPEATS * float(curves.passes.max()), 4.0)
    wide *= np.where(passes > deep * (1 + 1e-9), WIDER, 1.0)
    return wide


def sample_points(
    ensemble: Ensemble,
    samples: Array,
    weights: Array,
    unique: Array,
    setting: Setting,
    *,
    model_size: float | None = None,
) -> Array:
    """Return draws of the true error, widened, shape (draws, points).

    An error of the mixture rule is one disturbance a draw, shared by all points of several pools.
    """
    draws = ensemble.sample(
        samples,
        weights,
        unique,
        model_size=model_size,
        inflate=widening(ensemble, samples, weights, unique, setting),
        seed=setting.seed,
    )
    if setting.mixture_error > 0.0:
        noise = np.random.Generator(np.random.PCG64([setting.seed, 29])).standard_normal(len(draws))
        floor = float(np.mean(np.concatenate([p.floor for p in ensemble.draws])))
        reducible = np.maximum(draws.mean(axis=0) - floor, 0.0) * ((weights > 0).sum(axis=1) > 1)
        draws = draws + setting.mixture_error * noise[:, None] * reducible[None, :]
    return draws


def sample_plans(ensemble: Ensemble, plans: Candidates, budget: float, setting: Setting) -> Array:
    """Return draws of the true error of all plans, shape (draws, plans)."""
    unique = np.broadcast_to(plans.unique, plans.members.shape)
    return sample_points(
        ensemble,
        plans.spend(budget),
        plans.weights,
        unique,
        setting,
        model_size=setting.model_size,
    )


def achieved(draws: Array, ensemble: Ensemble, *, seed: int) -> Array:
    """Return draws of what a run would measure: the true error plus the noise of one evaluation."""
    noise = np.random.Generator(np.random.PCG64([seed, 23])).standard_normal((len(draws), 1))
    return np.asarray(draws + ensemble.sigma * noise)


def interval(
    ensemble: Ensemble, draws: Array, level: float, predicted: Array | None = None
) -> Array:
    """Return central intervals of the metric, shape (plans, 2), reaching ``predicted``."""
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    if predicted is not None:
        # the best fit can lie outside of the draws where priors pull them: reach it
        low, high = np.minimum(low, predicted), np.maximum(high, predicted)
    metric = np.stack([ensemble.curves.to_metric(low), ensemble.curves.to_metric(high)], axis=1)
    return np.asarray(np.sort(metric, axis=1))


def caps_of(ensemble: Ensemble, setting: Setting) -> Array:
    """Return the most passes of each pool, inf without a cap."""
    own = dict(setting.pool_caps)
    most = np.inf if setting.max_passes is None else setting.max_passes
    return np.array([min(most, own.get(name, np.inf)) for name in ensemble.curves.pools])


def describe(ensemble: Ensemble, plans: Candidates, row: int, budget: float) -> dict[str, Any]:
    """Return one plan's pools, shares, passes and spent samples as plain values."""
    members = np.flatnonzero(plans.members[row])
    weights, passes = plans.weights[row], plans.passes(budget)[row]
    return {
        "pools": [ensemble.curves.pools[i] for i in members],
        "weights": [float(weights[i]) for i in members],
        "passes": [float(passes[i]) for i in members],
        "samples": float(plans.spend(budget)[row]),
    }
