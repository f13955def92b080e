"""State a fit: layout of parameters, bounds, priors, model values and their Jacobian.

Parameters, in this order: floor d; ln n0; with several model sizes also C and ln alpha of the extra
floor C ((N/N_max)^{-alpha} - 1); then ln(-b) a pool; ln tau a pool; with ``heights = "free"`` the
ln of the reducible error at n0 a pool. All derivatives are analytic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.design_terms import DesignTerms, build_terms
from assets.filtering.laws import LAWS, LawError, LawName, Parameters
from assets.filtering.repeated import Repeated, repeated_designs
from assets.filtering.utility import Form

Heights = Literal["shared", "free"]
TAU_BOUNDS = (0.3, 1e3)
#: ln tau ~ N(ln 5, 1): half-lives of 2 to 14 passes are common, others are not excluded
LOG_TAU_PRIOR = (float(np.log(5.0)), 1.0)
#: ln(-b) ~ N(ln 0.25, 1)
LOG_BETA_PRIOR = (float(np.log(0.25)), 1.0)


@dataclass(frozen=True)
class Problem:
    """Hold everything of a fit but the starting point."""

    curves: Curves
    terms: DesignTerms
    law: LawName
    form: Form
    size_kappa: float
    heights: Heights
    sized: bool
    lower: Array
    upper: Array
    prior_mean: Array
    prior_sd: Array
    free: npt.NDArray[np.bool_]
    log_size: Array
    largest_model: float | None

    @property
    def size(self) -> int:
        """Return the number of parameters, fixed ones included."""
        return int(self.lower.shape[0])

    @property
    def beta_at(self) -> int:
        """Return where ln(-b) starts."""
        return 4 if self.sized else 2

    @cached_property
    def repeated(self) -> Repeated | None:
        """Return which evaluations are of one design, None where that would save little."""
        curves = self.curves
        return repeated_designs(curves.pool, curves.unique, curves.samples, self.log_size)

    def distinct(self, keep: npt.NDArray[np.bool_]) -> Problem:
        """Return the problem with the evaluations that are kept; bounds and priors stay."""
        part = self.curves.take(keep)
        return replace(
            self, curves=part, terms=build_terms(part, self.law), log_size=self.log_size[keep]
        )

    def columns(self, kind: str) -> npt.NDArray[np.int64]:
        """Return the positions of ``beta``, ``tau`` or ``height`` of the pools."""
        count = len(self.curves.pools)
        return self.beta_at + {"beta": 0, "tau": 1, "height": 2}[kind] * count + np.arange(count)

    def values(self, theta: Array, *, slopes: bool = True) -> tuple[Array, Array]:
        """Return predictions (draws, evaluations) and Jacobian (draws, evaluations, parameters)."""
        pool = self.curves.pool
        draws, count = theta.shape[0], len(self.curves)
        floor, log_anchor = theta[:, :1], theta[:, 1:2]
        beta = np.exp(theta[:, self.columns("beta")])[:, pool]
        log_effective, by_tau = self.terms.effective(theta[:, self.columns("tau")], self.size_kappa)
        height = theta[:, self.columns("height")][:, pool] if self.heights == "free" else 0.0
        distance = log_effective - log_anchor
        reducible = np.exp(np.clip(height - beta * distance, -700.0, 700.0))
        repeat = log_effective - self.terms.log_fresh
        code = self.form == "code" and self.law == "utility"
        decline = np.exp(-beta * repeat) if code else np.ones((1, 1))
        value = reducible + floor * decline
        extra = shrink = None
        if self.sized:
            shrink = np.exp(-np.exp(theta[:, 3:4]) * self.log_size)
            extra = shrink - 1.0
            value = value + theta[:, 2:3] * extra
        if not slopes:
            return value, np.empty((0,))
        jacobian = np.zeros((draws, count, self.size))
        at = np.arange(count)
        jacobian[:, :, 0] = decline
        jacobian[:, :, 1] = beta * reducible
        if extra is not None and shrink is not None:
            alpha = np.exp(theta[:, 3:4])
            jacobian[:, :, 2] = extra
            jacobian[:, :, 3] = -theta[:, 2:3] * alpha * self.log_size * shrink
        by_beta = -beta * distance * reducible
        by_log_tau = -beta * by_tau * reducible
        if code:
            by_beta = by_beta - beta * repeat * floor * decline
            by_log_tau = by_log_tau - beta * by_tau * floor * decline
        jacobian[:, at, self.columns("beta")[pool]] = by_beta
        jacobian[:, at, self.columns("tau")[pool]] = by_log_tau
        if self.heights == "free":
            jacobian[:, at, self.columns("height")[pool]] = reducible
        return value, jacobian

    def parameters(self, theta: Array, *, kappa: float) -> Parameters:
        """Return draws of ``theta`` (draws, parameters) as named parameters."""
        count = len(self.curves.pools)
        height = (
            theta[:, self.columns("height")]
            if self.heights == "free"
            else np.zeros((theta.shape[0], count))
        )
        return Parameters(
            law=self.law,
            form=self.form,
            kappa=kappa,
            pools=self.curves.pools,
            floor=theta[:, 0],
            log_anchor=theta[:, 1],
            b=-np.exp(theta[:, self.columns("beta")]),
            tau=np.exp(theta[:, self.columns("tau")]),
            log_height=height,
            reference_unique=self.curves.pool_sizes,
            size_kappa=self.size_kappa,
            size_height=theta[:, 2] if self.sized else None,
            size_exponent=np.exp(theta[:, 3]) if self.sized else None,
            largest_model=self.largest_model,
        )


def state_problem(
    curves: Curves,
    law: LawName,
    *,
    form: Form = "paper",
    size_kappa: float = 0.0,
    heights: Heights = "shared",
    floor: float | None = None,
    anchor: float | None = None,
) -> Problem:
    """Lay out the fit of ``law`` to ``curves``.

    Parameters
    ----------
    curves, law, form
        What is fitted, and by which law and form.
    size_kappa
        Half-life of a part of a pool: tau (part/pool)^size_kappa.
    heights
        ``shared``: all pools have reducible error one at a common n0 (the published anchor).
        ``free``: n0 is the typical sample count and each pool has a height of its own there, for
        pools without a common point.
    floor, anchor
        Fix the shared floor or n0.

    Raises
    ------
    LawError
        Unknown law or form; a floor at or above the best error; a non-positive anchor.
    """
    if law not in LAWS:
        message = f"law {law!r} does not exist; choose one of {', '.join(LAWS)} or 'average'"
        raise LawError(message)
    if form not in {"paper", "code"}:
        message = (
            f"form {form!r} does not exist; choose 'paper' (floor outside) or 'code' (as released)"
        )
        raise LawError(message)
    best = float(curves.error.min())
    if floor is not None and not 0.0 <= floor < best:
        message = f"floor {floor} must be at least 0 and below the best error {best:.6g}"
        raise LawError(message)
    if anchor is not None and not anchor > 0:
        message = f"anchor {anchor} must be a positive number of samples"
        raise LawError(message)
    count = len(curves.pools)
    sizes = curves.model_size
    known = np.isfinite(sizes)
    sized = bool(known.all()) and np.unique(sizes).size > 1
    largest = float(sizes[known].max()) if known.any() else None
    low_n, high_n = float(np.log(curves.samples.min())), float(np.log(curves.samples.max()))
    top = max(best, 0.0)
    spread = max(float(curves.error.max()) - best, 1e-9)
    free_heights = heights == "free"
    center = float(np.mean(np.log(curves.samples)))
    # reducible error is one at n0, which for small errors lies far below the data, for losses
    # above it
    lower = [0.0, low_n - 60.0]
    upper = [top * (1 - 1e-6), high_n + 30.0]
    mean, sd = [0.5 * top, 0.5 * top + 1e-12], [low_n - 2.0, 5.0]
    prior_mean, prior_sd = [mean[0], sd[0]], [mean[1], sd[1]]
    if sized:
        lower += [0.0, float(np.log(0.02))]
        upper += [10.0 * spread + top, float(np.log(2.0))]
        prior_mean += [0.5 * spread, float(np.log(0.35))]
        prior_sd += [spread, 0.5]
    lower += [float(np.log(1e-4))] * count + [float(np.log(TAU_BOUNDS[0]))] * count
    upper += [float(np.log(5.0))] * count + [float(np.log(TAU_BOUNDS[1]))] * count
    prior_mean += [LOG_BETA_PRIOR[0]] * count + [LOG_TAU_PRIOR[0]] * count
    prior_sd += [LOG_BETA_PRIOR[1]] * count + [LOG_TAU_PRIOR[1]] * count
    if free_heights:
        lower += [float(np.log(spread)) - 12.0] * count
        upper += [float(np.log(max(curves.error.max(), spread))) + 3.0] * count
        prior_mean += [float(np.log(spread))] * count
        prior_sd += [3.0] * count
    free = np.ones(len(lower), dtype=bool)
    low, high = np.array(lower), np.array(upper)
    means = np.array(prior_mean)
    if floor is not None:
        free[0], low[0], high[0] = False, floor, floor
    if anchor is not None or free_heights:
        free[1] = False
        low[1] = high[1] = float(np.log(anchor)) if anchor is not None else center
    if law == "power":
        at = (4 if sized else 2) + count + np.arange(count)
        free[at] = False
        low[at] = high[at] = LOG_TAU_PRIOR[0]
    log_size = np.log(sizes / largest) if sized and largest is not None else np.zeros(len(curves))
    return Problem(
        curves=curves,
        terms=build_terms(curves, law),
        law=law,
        form=form,
        size_kappa=size_kappa,
        heights=heights,
        sized=sized,
        lower=low,
        upper=high,
        prior_mean=np.clip(means, low, high),
        prior_sd=np.array(prior_sd),
        free=free,
        log_size=log_size,
        largest_model=largest,
    )
