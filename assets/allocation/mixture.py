"""The differential-mixture law of one group and its best split over pools, exactly.

f = a - A exp(-V), V = sum_i w_i beta_i [ln(n/n0) + ln(phi_i(r_i)/r_i)], w_i = x_i/n, with phi the
power form of repetition.
At a fixed n the sum n V is separable and concave in the draws x (r ln(phi(r)/r) is concave, with a
drop of its slope
at every whole pass), so the best split is one water level. Across n the resulting f*(n) is in
general not concave.
"""

from __future__ import annotations

import numpy as np

from assets.allocation.roots import Floats

_MOST_PASSES = 20_000


class _Pool:
    """Slope of r ln(phi(r)/r) over passes and its inverse, from a table by whole passes."""

    def __init__(self, unique: float, beta: float, tau: float, most: float, reach: float) -> None:
        self.unique, self.beta, self.most = unique, beta, most
        delta = 2.0 ** (-1.0 / tau)
        alive = int(np.ceil(np.log(1e-16) / np.log(delta))) + 1
        last = int(min(np.ceil(min(most, max(reach / unique, 1.0))) + 1, alive, _MOST_PASSES))
        j = np.arange(1, last + 1, dtype=float)
        self.eta = delta**j
        steps = (self.eta - 1.0) * np.log((j + 1.0) / j)
        self.log_start = np.concatenate([[0.0], np.cumsum(steps)[:-1]])  # ln(phi(j)/j)
        self.begin = self.log_start + self.eta - 1.0  # slope just after whole pass j
        self.end = (
            self.log_start + steps + self.eta - 1.0
        )  # slope just before pass j + 1 is complete
        self.negated = -self.begin

    def passes(self, y: Floats) -> Floats:
        """Return the largest r whose slope (without the common ln(n/n0)) is still >= y."""
        j = np.searchsorted(self.negated, -y, side="left")  # passes begun: those with begin > y
        i = np.maximum(j, 1) - 1
        with np.errstate(over="ignore"):
            r = (i + 1.0) * np.exp(np.maximum(self.begin[i] - y, 0.0) / (1.0 - self.eta[i]))
        r = np.where(i + 1 < self.eta.size, np.minimum(r, i + 2.0), r)
        return np.minimum(np.where(y > 0, 0.0, np.where(j == 0, 1.0, r)), self.most)

    def slope(self, r: Floats) -> Floats:
        """Return the slope just before r passes are complete (minus infinity beyond the cap)."""
        j = np.clip(np.ceil(r) - 1, 1, self.eta.size).astype(int)
        inner = (
            self.log_start[j - 1]
            + (self.eta[j - 1] - 1.0) * np.log(np.maximum(r, 1.0) / j)
            + self.eta[j - 1]
            - 1.0
        )
        return np.where(r > self.most, -np.inf, np.where(r <= 1, 0.0, inner))

    def log_efficiency(self, r: Floats) -> Floats:
        """Return ln(phi(r)/r)."""
        j = np.clip(np.ceil(r) - 1, 1, self.eta.size).astype(int)
        inner = self.log_start[j - 1] + (self.eta[j - 1] - 1.0) * np.log(np.maximum(r, 1.0) / j)
        return np.where(r <= 1, 0.0, inner)


class MixtureGroup:
    """f*(n) of one group and the split that gives it.

    Parameters
    ----------
    a, scale, n0
        Ceiling, height A and anchor of the law.
    unique, beta, tau, most
        Per pool, shape (Q,): records, exponent, half-life of repetition in passes, cap on passes.
    reach
        Largest n that will be asked.
    """

    def __init__(
        self,
        a: float,
        scale: float,
        n0: float,
        *,
        unique: Floats,
        beta: Floats,
        tau: Floats,
        most: Floats,
        reach: float,
    ) -> None:
        self.a, self.scale, self.n0 = a, scale, n0
        self.kept = np.flatnonzero(unique > 0)
        self.size = unique.size
        self.pools = [
            _Pool(float(unique[i]), float(beta[i]), float(tau[i]), float(most[i]), reach)
            for i in self.kept
        ]
        self.most = float(sum(p.unique * p.most for p in self.pools))

    def split(self, n: Floats) -> Floats:
        """Return the best draws per pool for each total n, shape (len(n), Q).

        Cost O(70 len(n) Q log passes).
        """
        n = np.minimum(np.asarray(n, float), self.most)
        log_n = np.log(n / self.n0)
        hi = np.max([p.beta * log_n for p in self.pools], axis=0)
        lo = np.max([p.beta * (log_n + p.slope(n / p.unique)) for p in self.pools], axis=0)
        full = np.min(
            [p.beta * (log_n + p.slope(np.full(n.shape, min(p.most, 1e15)))) for p in self.pools],
            axis=0,
        )
        lo = np.where(np.isfinite(lo), lo, full)
        pad = 1e-9 * np.maximum(np.abs(lo), np.abs(hi)) + 1e-15
        lo, hi = lo - pad, hi + pad

        def draws(level: Floats) -> Floats:
            return np.stack(
                [p.unique * p.passes(level / p.beta - log_n) for p in self.pools], axis=-1
            )

        for _ in range(64):
            middle = 0.5 * (lo + hi)
            enough = draws(middle).sum(axis=-1) >= n
            lo, hi = np.where(enough, middle, lo), np.where(enough, hi, middle)
        few, many = draws(hi), draws(lo)
        jump = many.sum(axis=-1) - few.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.where(jump > 0, np.clip((n - few.sum(axis=-1)) / jump, 0.0, 1.0), 0.0)
        x = few + part[..., None] * (many - few)
        out = np.zeros((*n.shape, self.size))
        out[..., self.kept] = x
        return out

    def value_of(self, x: Floats) -> Floats:
        """Return f at draws x, shape (..., Q); minus infinity where nothing is drawn."""
        x = x[..., self.kept]
        n = x.sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            log_n = np.log(n / self.n0)
            v = sum(
                x[..., i] / n * p.beta * (log_n + p.log_efficiency(x[..., i] / p.unique))
                for i, p in enumerate(self.pools)
            )
            return np.where(n > 0, self.a - self.scale * np.exp(-v), -np.inf)

    def value(self, n: Floats) -> Floats:
        """Return f*(n), the law under the best split."""
        n = np.asarray(n, float)
        ok = n > 0
        out = np.full(n.shape, -np.inf)
        if ok.any():
            out[ok] = self.value_of(self.split(n[ok]))
        return out
