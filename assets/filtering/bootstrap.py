"""Draw parameters that could as well have produced the curves: bootstrap by run, priors included.

``pairs`` draws whole runs with replacement within each pool (cluster bootstrap). With few runs a
pool that loses runs, or cannot lose any, and its intervals are too narrow; so ``parametric``
disturbs the evaluations instead: one disturbance a run and one an evaluation, with the noise level
itself drawn from its sampling distribution. ``auto`` takes pairs where every pool has at least
eight runs.

In both, the centre of each prior is drawn too (randomise, then optimise). A parameter that the
curves say nothing about then spreads over its whole prior instead of sitting at its centre, which
is what widens the intervals of a design with one pool size or without repeats. The disturbances are
added to the evaluations, not to the fitted values: the fit has been drawn to its priors once, and
draws around it would be drawn to them twice. For a model that is linear the draws are then exactly
the posterior.

Randomness is keyed by the numbers of an evaluation, not by its position or by names.
"""

from __future__ import annotations

import struct
from typing import Literal

import numpy as np
import numpy.typing as npt
import xxhash

from assets.filtering.decay import Array
from assets.filtering.fit import Fit
from assets.filtering.levenberg import minimise

Method = Literal["auto", "pairs", "parametric"]
ENOUGH_RUNS = 8


def draw(fitted: Fit, draws: int, *, seed: int = 0, method: Method = "auto") -> Array:
    """Return ``draws`` parameter vectors, shape (draws, parameters).

    Parameters
    ----------
    fitted
        The fit to disturb.
    draws
        Number of draws; the first n of a larger number equal the draws of n.
    seed
        Integer seed.
    method
        ``auto``, ``pairs`` or ``parametric``, see the module.

    Returns
    -------
    ndarray
        float64. Cost: about 15 vectorised Levenberg-Marquardt steps for all draws at once.
    """
    problem, curves = fitted.problem, fitted.curves
    if draws == 0:
        return np.empty((0, problem.size))
    keys = row_keys(fitted)
    chosen = choose_method(fitted) if method == "auto" else method
    sigma = np.full(draws, fitted.sigma)
    weight, target = fitted.robust[None, :], curves.error[None, :]
    if chosen == "pairs":
        weight = weight * _run_counts(fitted, keys, draws, seed)
    else:
        scale = _noise_scale(fitted.degrees, draws, seed)
        sigma = sigma * scale
        share = run_correlation(fitted)
        noise = np.stack([_normals(key, draws, seed) for key in keys], axis=1)
        shared = np.empty_like(noise)
        least = least_keys(curves.run, keys)
        for run, rows in rows_by_run(curves.run):
            shared[:, rows] = _normals(least[run], draws, seed + 7919)[:, None]
        noise = np.sqrt(1.0 - share) * noise + np.sqrt(share) * shared
        target = target + sigma[:, None] / np.sqrt(np.maximum(weight, 1e-12)) * noise
    prior_mean = problem.prior_mean + problem.prior_sd * np.stack(
        [_normals(key, draws, seed + 104729) for key in parameter_keys(fitted, keys)], axis=1
    )
    theta, _ = minimise(
        problem,
        np.repeat(fitted.theta[None, :], draws, axis=0),
        weight=weight,
        target=target,
        prior_mean=prior_mean,
        prior_weight=sigma**2,
        iterations=25,
    )
    return theta


def choose_method(fitted: Fit) -> Literal["pairs", "parametric"]:
    """Return ``pairs`` where every pool has at least eight runs."""
    curves = fitted.curves
    runs = [np.unique(curves.run[curves.pool == p]).size for p in np.unique(curves.pool)]
    return "pairs" if runs and min(runs) >= ENOUGH_RUNS else "parametric"


def run_correlation(fitted: Fit) -> float:
    """Return the correlation of residuals in a run, in [0, 0.9]; 0 if fewer than 4 runs repeat."""
    curves = fitted.curves
    values = fitted.problem.values(fitted.theta[None, :], slopes=False)[0][0]
    residual = (curves.error - values) * np.sqrt(curves.weight)
    products, runs = [], 0
    for _, rows in rows_by_run(curves.run):
        part = residual[rows]
        if part.size > 1:
            pairs = part.size * (part.size - 1)
            products.append((part.sum() ** 2 - np.sum(part**2)) / pairs)
            runs += 1
    variance = float(np.mean(residual**2))
    if runs < 4 or variance <= 0:
        return 0.0
    return float(np.clip(np.mean(products) / variance, 0.0, 0.9))


def row_keys(fitted: Fit) -> list[int]:
    """Return one 63-bit key an evaluation, from its numbers and occurrence."""
    curves = fitted.curves
    seen: dict[bytes, int] = {}
    keys = []
    for n, u, y in zip(curves.samples, curves.unique, curves.error, strict=True):
        content = struct.pack("<ddd", n, u, y)
        seen[content] = seen.get(content, 0) + 1
        keys.append(xxhash.xxh3_64_intdigest(content, seen[content]) >> 1)
    return keys


def rows_by_run(run: npt.NDArray[np.int64]) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Return each run with its rows, in the order of runs; cost O(n log n)."""
    order = np.argsort(run, kind="stable")
    numbers, starts = np.unique(run[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [(int(number), part) for number, part in zip(numbers, parts, strict=True)]


def least_keys(run: npt.NDArray[np.int64], keys: list[int]) -> dict[int, int]:
    """Return the least key of each run: its identity, whatever it is called."""
    least: dict[int, int] = {}
    for number, key in zip(run.tolist(), keys, strict=True):
        least[number] = min(key, least.get(number, key))
    return least


def parameter_keys(fitted: Fit, keys: list[int]) -> list[int]:
    """Return one key a parameter: by position if shared, else by the pool's evaluations."""
    problem, curves = fitted.problem, fitted.curves
    out = [xxhash.xxh3_64_intdigest(f"shared {i}".encode()) >> 1 for i in range(problem.size)]
    for pool in range(len(curves.pools)):
        rows = np.flatnonzero(curves.pool == pool)
        content = b"".join(key.to_bytes(8, "little") for key in sorted(keys[i] for i in rows))
        kinds = ("beta", "tau", "height") if problem.heights == "free" else ("beta", "tau")
        for kind in kinds:
            out[int(problem.columns(kind)[pool])] = (
                xxhash.xxh3_64_intdigest(kind.encode() + content) >> 1
            )
    return out


def _normals(key: int, draws: int, seed: int) -> Array:
    # draws are made in blocks, so that more draws extend fewer
    return np.asarray(np.random.Generator(np.random.PCG64([key, seed])).standard_normal(draws))


def _noise_scale(degrees: float, draws: int, seed: int) -> Array:
    generator = np.random.Generator(np.random.PCG64([seed, 31]))
    # one stream of draws of chi-squared/degrees; below 3 degrees the tail is so long that it says
    # nothing
    used = max(degrees, 3.0)
    return np.asarray(np.sqrt(used / generator.chisquare(used, draws)))


def _run_counts(fitted: Fit, keys: list[int], draws: int, seed: int) -> Array:
    curves = fitted.curves
    counts = np.zeros((draws, len(curves)))
    least = least_keys(curves.run, keys)
    for pool in np.unique(curves.pool):
        runs = np.unique(curves.run[curves.pool == pool])
        order = sorted((int(run) for run in runs), key=least.__getitem__)
        generator = np.random.Generator(np.random.PCG64([least[order[0]], seed]))
        picks: npt.NDArray[np.int64] = generator.integers(0, len(order), (draws, len(order)))
        at = picks + len(order) * np.arange(draws)[:, None]
        drawn = np.bincount(at.ravel(), minlength=at.size).reshape(draws, len(order))
        rows = np.flatnonzero(curves.pool == pool)
        place = np.argsort(np.array(order))
        counts[:, rows] = drawn[:, place[np.searchsorted(runs, curves.run[rows])]]
    return counts
