"""Evaluate learning curves f_g(n) of many groups at once: value, slope and inverse.

Forms: `power` a - b (n + offset)^-p, `hyperbola` a n / (n + k), `tabulated` (straight lines between
points of a concave
table). Each is followed by a straight line `scale * f + shift`, which is how a level (excess,
skill, share of the
attainable) is put on top without another formula. All are increasing and concave in n, the
effective number of
samples; n is held + new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from assets.allocation.roots import Floats, array_root

POWER, HYPERBOLA, TABULATED = 0, 1, 2


@dataclass(frozen=True)
class Curves:
    """Curves of G groups as arrays; `b` holds k of a hyperbola, `tables` the points of tables."""

    form: np.ndarray
    a: Floats
    b: Floats
    p: Floats
    offset: Floats
    scale: Floats
    shift: Floats
    tables: Mapping[int, tuple[Floats, Floats]] = field(default_factory=dict)

    @classmethod
    def power(cls, a: ArrayLike, b: ArrayLike, p: ArrayLike, offset: ArrayLike = 0.0) -> Curves:
        """Make power curves a - b (n + offset)^-p from arrays that broadcast to one shape (G,)."""
        a_, b_, p_, o_ = (np.array(v, float) for v in np.broadcast_arrays(a, b, p, offset))
        one = np.ones(a_.shape)
        return cls(np.zeros(one.shape, np.int8), a_, b_, p_, o_, one, 0.0 * one)

    @classmethod
    def from_specs(cls, specs: Sequence[Mapping[str, Any]]) -> Curves:
        """Make curves from dictionaries with `form` and its parameters (already validated)."""
        size = len(specs)
        form = np.zeros(size, np.int8)
        a, b, p, offset = np.ones(size), np.ones(size), np.ones(size), np.zeros(size)
        tables: dict[int, tuple[Floats, Floats]] = {}
        for i, spec in enumerate(specs):
            kind = spec["form"]
            if kind == "tabulated":
                form[i] = TABULATED
                tables[i] = (np.array(spec["n"], float), np.array(spec["value"], float))
                a[i] = tables[i][1][-1]
            elif kind == "hyperbola":
                form[i], a[i], b[i] = HYPERBOLA, spec["a"], spec["k"]
            else:
                a[i], b[i], p[i] = spec["a"], spec["b"], spec["p"]
                offset[i] = spec.get("offset") or 0.0
        return cls(form, a, b, p, offset, np.ones(size), np.zeros(size), tables)

    def take(self, index: np.ndarray) -> Curves:
        """Return the curves at positions `index`."""
        if index.dtype == bool:
            index = np.flatnonzero(index)
        if not self.tables:
            tables: dict[int, tuple[Floats, Floats]] = {}
        else:
            tables = {
                new: self.tables[int(old)]
                for new, old in enumerate(index)
                if int(old) in self.tables
            }
        return Curves(
            self.form[index],
            self.a[index],
            self.b[index],
            self.p[index],
            self.offset[index],
            self.scale[index],
            self.shift[index],
            tables,
        )

    def line(self, scale: Floats, shift: Floats) -> Curves:
        """Return `scale * self + shift`; scale must be positive."""
        return replace(self, scale=self.scale * scale, shift=self.shift * scale + shift)

    @property
    def ceiling(self) -> Floats:
        """The value that is approached as n grows, shape (G,)."""
        return np.asarray(self.scale * self.a + self.shift)

    def value(self, n: Floats) -> Floats:
        """Return f_g(n_g); minus infinity for a power curve at n + offset = 0."""
        n = np.asarray(n, float)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # a flat curve stays flat at 0, where the power has no bound
            fall = np.where(self.b == 0.0, 0.0, self.b * (n + self.offset) ** -self.p)
            core = self.a - fall
            if (self.form == HYPERBOLA).any():
                core = np.where(self.form == HYPERBOLA, self.a * n / (n + self.b), core)
        for i, (x, y) in self.tables.items():
            first = (y[1] - y[0]) / (x[1] - x[0])
            core[i] = y[0] + (n[i] - x[0]) * first if n[i] < x[0] else np.interp(n[i], x, y)
        return np.asarray(self.scale * core + self.shift)

    def slope(self, n: Floats, *, left: bool = False, reach: float = 0.0) -> Floats:
        """Return df_g/dn to the right, or left; they differ at the points of a table.

        `reach` is the share of n by which it may miss a point and still be on it.
        """
        n = np.asarray(n, float)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            rise = self.b * self.p * (n + self.offset) ** (-self.p - 1.0)
            out = np.where(self.b == 0.0, 0.0, rise)
            if (self.form == HYPERBOLA).any():
                out = np.where(self.form == HYPERBOLA, self.a * self.b / (n + self.b) ** 2, out)
        for i, (x, y) in self.tables.items():
            slopes = np.append(np.diff(y) / np.diff(x), 0.0)
            near = n[i] * (1.0 - reach if left else 1.0 + reach)
            k = int(np.searchsorted(x, near, side="left" if left else "right")) - 1
            out[i] = slopes[max(k, 0)]
        return np.asarray(self.scale * out)

    def inverse(self, value: Floats | float) -> Floats:
        """Return the smallest n >= 0 with f_g(n) >= value; infinity where it is out of reach."""
        v = (np.asarray(value, float) - self.shift) / self.scale
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            n = np.where(
                v < self.a, (self.b / (self.a - v)) ** (1.0 / self.p) - self.offset, np.inf
            )
            if (self.form == HYPERBOLA).any():
                hyper = np.where(v < self.a, self.b * v / (self.a - v), np.inf)
                n = np.where(self.form == HYPERBOLA, hyper, n)
        for i, (x, y) in self.tables.items():
            n[i] = _table_inverse(float(v[i]), x, y)
        return np.maximum(n, 0.0)


def _table_inverse(v: float, x: Floats, y: Floats) -> float:
    if v > y[-1]:
        return float("inf")
    k = min(max(int(np.searchsorted(y, v, side="left")), 1), len(y) - 1)
    while k > 1 and y[k] == y[k - 1]:
        k -= 1
    rise = y[k] - y[k - 1]
    return float(x[k] if rise == 0 else x[k - 1] + (v - y[k - 1]) * (x[k] - x[k - 1]) / rise)


@dataclass(frozen=True)
class Welfare:
    """Marginal worth w_g u'(f_g(n)) f_g'(n) of the isoelastic family and its inverse.

    u(f) = f^(1-e)/(1-e), log f at e = 1, f at e = 0 (Atkinson 1970). For e > 0 it is defined where
    f > 0 only; the
    marginal counts as infinite below that.
    """

    curves: Curves
    weight: Floats
    aversion: float

    def take(self, index: np.ndarray) -> Welfare:
        """Return the groups at positions `index`."""
        return Welfare(self.curves.take(index), self.weight[index], self.aversion)

    def total(self, n: Floats) -> float:
        """Return sum_g w_g u(f_g(n_g)); groups of weight 0 do not count."""
        return float(self.terms(n).sum())

    def terms(self, n: Floats) -> Floats:
        """Return w_g u(f_g(n_g)) per group."""
        f = self.curves.value(n)
        e = self.aversion
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if e == 0:
                u = f
            elif e == 1:
                u = np.where(f > 0, np.log(np.maximum(f, 1e-320)), -np.inf)
            else:
                bottom = -np.inf if e > 1 else np.nan
                u = np.where(f > 0, np.maximum(f, 0.0) ** (1 - e) / (1 - e), bottom)
            return np.where(self.weight > 0, self.weight * u, 0.0)

    def marginal(self, n: Floats, *, left: bool = False, reach: float = 0.0) -> Floats:
        """Return w_g u'(f_g) f_g'(n), non-increasing in n; `reach` as of `Curves.slope`."""
        slope = self.curves.slope(n, left=left, reach=reach)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.aversion == 0:
                out = self.weight * slope
            else:
                f = self.curves.value(n)
                out = np.where(
                    f > 0, self.weight * slope * np.maximum(f, 1e-320) ** -self.aversion, np.inf
                )
        return np.where(self.weight > 0, out, 0.0)

    def inverse(self, price: Floats, lo: Floats, hi: Floats) -> Floats:
        """Return the largest n in [lo, hi] with marginal >= price (lo where there is none)."""
        curves = self.curves
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if self.aversion == 0 and not curves.tables:
                top = self.weight * curves.scale / price
                n = (top * curves.b * curves.p) ** (1.0 / (1.0 + curves.p)) - curves.offset
                if (curves.form == HYPERBOLA).any():
                    hyper = np.sqrt(top * curves.a * curves.b) - curves.b
                    n = np.where(curves.form == HYPERBOLA, hyper, n)
                return np.asarray(np.clip(n, lo, hi))
        out = np.where(self.marginal(hi, left=True) >= price, hi, lo)
        inner = np.flatnonzero((out < hi) & (self.marginal(lo) > price))
        if inner.size:
            part, price_i = self.take(inner), np.log(price[inner])
            zero = part.curves.inverse(1e-12) if self.aversion else 0.0
            floor = np.maximum(
                np.maximum(lo[inner], np.minimum(zero, hi[inner])), 1e-12 * hi[inner]
            )

            def gap(log_n: Floats) -> Floats:
                with np.errstate(divide="ignore"):
                    gain = np.log(part.marginal(np.exp(log_n))) - price_i
                return np.asarray(np.clip(gain, -800.0, 800.0))

            roots = np.exp(array_root(gap, np.log(floor), np.log(hi[inner])))
            out[inner] = np.clip(roots, lo[inner], hi[inner])
        return np.asarray(out)
