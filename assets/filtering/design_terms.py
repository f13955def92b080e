"""Precompute what the laws need of each evaluation, so that many fits run as a few matrix products.

With m = 0, 1, ... the pass number less one and delta = 2^{-1/tau}:

* utility:    ln n_eff = sum_m T[n, m] delta^m,  T[n, 0] = ln min(n, U),
              T[n, m] = ln of the growth in pass m + 1
* saturation: n_eff = sum_m T[n, m] delta^m,     T[n, m] = samples drawn in pass m + 1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.filtering.curves import Curves
from assets.filtering.decay import LN2, Array
from assets.filtering.laws import LawName

MAX_PASSES = 4096


@dataclass(frozen=True)
class Cells:
    """Hold the evaluations of some pools, each at one pool size, as many of them at as many passes.

    Shapes: ``pool`` and ``log_relative_size`` (cells,), ``rows`` (cells, rows), ``terms`` (cells,
    rows, passes). Cells of one shape stand together, so that a design costs a few products.
    """

    pool: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    log_relative_size: Array
    terms: Array


@dataclass(frozen=True)
class DesignTerms:
    """Hold the terms of all cells for one law."""

    law: LawName
    cells: tuple[Cells, ...]
    log_fresh: Array
    log_samples: Array
    passes: Array
    log_unique: Array
    count: int

    def effective(self, log_tau: Array, size_kappa: float) -> tuple[Array, Array]:
        """Return ln n_eff and its derivative by ln tau.

        Parameters
        ----------
        log_tau
            Shape (draws, pools).
        size_kappa
            Half-life of a part of a pool: tau (part/pool)^size_kappa.

        Returns
        -------
        tuple of ndarray
            Two float64 arrays of shape (draws, evaluations). Cost O(draws x evaluations x passes).
        """
        draws = log_tau.shape[0]
        value = np.empty((draws, self.count))
        slope = np.zeros((draws, self.count))
        if self.law == "power":
            value[:] = self.log_samples
            return value, slope
        for cells in self.cells:
            scaled = log_tau[:, cells.pool] + size_kappa * cells.log_relative_size
            tau, rows = np.exp(scaled)[:, :, None], cells.rows  # (draws, cells, 1), (cells, rows)
            if self.law == "data_constrained":
                scale = tau / LN2
                repeated = np.maximum(self.passes[rows] - 1.0, 0.0)
                ratio = repeated / scale
                gain = -np.expm1(-ratio)
                worth = 1.0 + scale * gain
                value[:, rows] = self.log_fresh[rows] + np.log(worth)
                slope[:, rows] = (scale * gain - repeated * np.exp(-ratio)) / worth
                continue
            exponent = np.arange(cells.terms.shape[2])
            rate = LN2 / tau.transpose(1, 0, 2)  # (cells, draws, 1)
            power = np.exp(-exponent * rate)
            by_pass = cells.terms.transpose(0, 2, 1)
            total = np.matmul(power, by_pass).transpose(1, 0, 2)
            change = np.matmul(power * (exponent * rate), by_pass).transpose(1, 0, 2)
            if self.law == "saturation":
                value[:, rows] = np.log(total)
                slope[:, rows] = change / total
            else:
                value[:, rows] = total
                slope[:, rows] = change
        return value, slope


def build_terms(curves: Curves, law: LawName) -> DesignTerms:
    """Return the terms of ``curves`` for ``law``; passes beyond 4096 count as pass 4096."""
    shapes: dict[tuple[int, ...], list[tuple[int, npt.NDArray[np.int64], float, Array]]] = {}
    for pool in range(len(curves.pools)):
        for unique in np.unique(curves.unique[curves.pool == pool]):
            rows = np.flatnonzero((curves.pool == pool) & (curves.unique == unique))
            n = curves.samples[rows]
            last = int(min(np.ceil(max(n.max() / unique, 1.0)), MAX_PASSES))
            start = unique * np.arange(last)[None, :]
            end = np.minimum(unique * np.arange(1, last + 1)[None, :], n[:, None])
            end[:, -1] = np.maximum(n, start[:, -1])
            inside = end > start
            end = np.where(inside, end, np.maximum(start, 1e-300))
            if law == "saturation":
                terms = np.where(inside, end - start, 0.0)
            else:
                terms = np.where(inside, np.log(end) - np.log(np.maximum(start, 1e-300)), 0.0)
                terms[:, 0] = np.log(np.minimum(n, unique))
            size = float(np.log(unique / curves.pool_sizes[pool]))
            shapes.setdefault(terms.shape, []).append((pool, rows, size, terms))
    cells = [
        Cells(*(np.stack([np.asarray(cell[i]) for cell in same]) for i in range(4)))
        for same in shapes.values()
    ]
    return DesignTerms(
        law=law,
        cells=tuple(cells),
        log_fresh=np.log(np.minimum(curves.samples, curves.unique)),
        log_samples=np.log(curves.samples),
        passes=curves.passes,
        log_unique=np.log(curves.unique),
        count=len(curves),
    )
