"""Fit a - b n^-p to one group: p on a grid under a prior, a and b exact, draws by perturbation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xxhash

from assets.allocation.roots import Floats

_GRID = np.linspace(0.02, 1.2, 237)
_PRIOR_GROUPS = 8.0


@dataclass(frozen=True)
class Evaluations:
    """Usable evaluations of one group: sizes n, performance y, se, runs; counts and chance."""

    n: Floats
    y: Floats
    se: Floats
    run: list[str]
    sizes: int
    chance: float
    left_out: int


@dataclass(frozen=True)
class _Fit:
    a: float
    b: float
    p: float
    variance: float
    sigma: Floats
    rmse: float


def _linear(x: Floats, y: Floats, w: Floats, ceiling: float) -> tuple[Floats, Floats, Floats]:
    """Solve y = a - b x for rows of x (P, n) and columns of y (n, B): a, b, chi2, each (P, B)."""
    s0, s1, s2 = w.sum(), x @ w, (x * x) @ w
    t0, t1, t2 = w @ y, (x * w) @ y, w @ (y * y)
    det = s0 * s2 - s1 * s1
    det = np.where(det > 1e-14 * s0 * s2, det, np.inf)
    b = -(s0 * t1 - s1[:, None] * t0) / det[:, None]
    a = (t0 + s1[:, None] * b) / s0
    high = a > ceiling
    b_high = (ceiling * s1[:, None] - t1) / s2[:, None]
    a, b = np.where(high, ceiling, a), np.where(high, b_high, b)
    flat = b <= 0
    a, b = np.where(flat, np.minimum(t0 / s0, ceiling), a), np.where(flat, 0.0, b)
    chi = t2 - 2 * a * t0 + 2 * b * t1 + a * a * s0 - 2 * a * b * s1[:, None] + b * b * s2[:, None]
    return a, b, np.maximum(chi, 0.0)


def _scaled(d: Evaluations) -> tuple[Floats, float]:
    unit = float(np.exp(np.log(d.n).mean()))
    return d.n / unit, unit


def profile(d: Evaluations, mean: float, sd: float, ceiling: float) -> _Fit:
    """Return the fit with the least weighted squares plus prior; p to about 1e-6."""
    n, unit = _scaled(d)
    y = d.y[:, None]
    known = d.se[d.se > 0]
    sigma = np.where(d.se > 0, d.se, float(known.mean()) if known.size else 0.01)
    sigma = np.maximum(sigma, 1e-7)
    grid = _GRID
    if not known.size:
        chi = _linear(n ** -grid[:, None], y, sigma**-2, ceiling)[2][:, 0]
        sigma = sigma * max(np.sqrt(chi.min() / max(n.size - 3, 1)), 1e-6)
    else:
        chi = _linear(n ** -grid[:, None], y, sigma**-2, ceiling)[2][:, 0]
        sigma = sigma * max(1.0, np.sqrt(chi.min() / max(n.size - 3, 1)))
    w = sigma**-2
    for _ in range(5):
        a, b, chi = (v[:, 0] for v in _linear(n ** -grid[:, None], y, w, ceiling))
        total = chi + ((grid - mean) / sd) ** 2
        k = int(np.argmin(total))
        step = grid[1] - grid[0]
        width = 2 * step
        best_grid = grid
        grid = np.linspace(max(best_grid[k] - width, 1e-3), best_grid[k] + width, 41)
    around = np.array([best_grid[k] - 0.01, best_grid[k], best_grid[k] + 0.01])
    chi3 = (
        _linear(n ** -np.maximum(around, 1e-3)[:, None], y, w, ceiling)[2][:, 0]
        + ((around - mean) / sd) ** 2
    )
    curvature = max((chi3[0] - 2 * chi3[1] + chi3[2]) / 1e-4, 1e-9)
    residual = d.y - (a[k] - b[k] * n ** -best_grid[k])
    return _Fit(
        float(a[k]),
        float(b[k] * unit ** best_grid[k]),
        float(best_grid[k]),
        2.0 / curvature,
        sigma,
        float(np.sqrt(np.mean(residual**2))),
    )


def shared_prior(fits: dict[str, _Fit], mean: float, sd: float) -> tuple[float, float]:
    """Return the prior of p renewed from all groups (empirical Bayes).

    The spread between groups is estimated with eight groups' worth of the former prior, because a
    spread from three groups is mostly chance and, taken at its word, shrinks too much.
    """
    if len(fits) < 3:
        return mean, sd
    p = np.array([f.p for f in fits.values()])
    v = np.array([f.variance for f in fits.values()]) + 1e-4
    weight = 1.0 / (v + sd**2)
    shared = (float((weight * p).sum()) + mean / sd**2) / (float(weight.sum()) + 1.0 / sd**2)
    between = (float(((p - shared) ** 2 - v).sum()) + _PRIOR_GROUPS * sd**2) / (
        p.size + _PRIOR_GROUPS
    )
    return shared, float(np.clip(np.sqrt(max(between, 0.0)), 0.05, sd))


def draw_fits(
    d: Evaluations,
    fit: _Fit,
    prior: tuple[float, float, float],
    ceiling: float,
    draws: int,
    key: str,
) -> Floats:
    """Refit to perturbed data; returns (3, draws): a, b, p."""
    mean, sd, _ = prior
    n, unit = _scaled(d)
    noise = {run: normals(f"{key}|{run}", draws) for run in set(d.run)}
    fitted = fit.a - fit.b * d.n**-fit.p
    y = fitted[:, None] + fit.sigma[:, None] * np.stack([noise[r] for r in d.run])
    centre = mean + sd * normals(f"{key}|prior", draws)
    w = fit.sigma**-2
    x = n ** -_GRID[:, None]
    chi = _linear(x, y, w, ceiling)[2]
    total = chi + ((_GRID[:, None] - centre[None, :]) / sd) ** 2
    k = np.clip(np.argmin(total, axis=0), 1, _GRID.size - 2)
    cols = np.arange(draws)
    left, mid, right = total[k - 1, cols], total[k, cols], total[k + 1, cols]
    bend = left - 2 * mid + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1.0), 0.0)
    p = _GRID[k] + np.clip(shift, -1, 1) * (_GRID[1] - _GRID[0])
    xp = n[:, None] ** -p[None, :]
    s0, s1, s2 = w.sum(), w @ xp, w @ (xp * xp)
    t0, t1 = w @ y, w @ (xp * y)
    b = (s1 * t0 - s0 * t1) / np.maximum(s0 * s2 - s1 * s1, 1e-300)
    a = (t0 + s1 * b) / s0
    b = np.where(a > ceiling, (ceiling * s1 - t1) / s2, b)
    a = np.minimum(a, ceiling)
    b = np.maximum(b, 1e-12)
    return np.stack([a, b * unit**p, p])


def normals(key: str, count: int) -> Floats:
    """Return `count` standard normal numbers that `key` alone decides."""
    return np.random.default_rng(xxhash.xxh64_intdigest(key.encode())).standard_normal(count)
