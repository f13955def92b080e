"""Find error that rises with more samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.filtering.curves import Curves
from assets.filtering.notices import Diagnosis

RISE = 0.02


def find_rising(curves: Curves, found: Diagnosis) -> None:
    """Leave out the rising part of overfitted curves, cap the passes of their pools, and say so."""
    pools = []
    for pool in range(len(curves.pools)):
        for unique in np.unique(curves.unique[curves.pool == pool]):
            cell = (curves.pool == pool) & (curves.unique == unique)
            for size in np.unique(np.nan_to_num(curves.model_size[cell], nan=-1.0)):
                rows = np.flatnonzero(cell & (np.nan_to_num(curves.model_size, nan=-1.0) == size))
                cap = _overfit_at(curves, rows)
                if cap is None:
                    continue
                name = curves.pools[pool]
                found.caps[name] = min(found.caps.get(name, np.inf), cap[1])
                found.keep[cap[0]] = False
                pools.append(pool)
    if pools:
        unique_pools = sorted(set(pools))
        detail = ", ".join(
            f"{curves.pools[p]} after {found.caps[curves.pools[p]]:.3g} passes"
            for p in unique_pools[:5]
        )
        found.add(
            "rising_error",
            f"error rises with more samples ({detail}): overfitting, which no law here "
            f"describes; the rising part "
            "is left out, and plans stop at those passes",
            "use fewer passes or more regularisation, or add unique data",
            widen=True,
        )


def _overfit_at(
    curves: Curves, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], float] | None:
    """Return the rows of the rising part and the passes at the minimum, or None."""
    budgets = np.unique(curves.samples[rows])
    if budgets.size < 3:
        return None
    groups = [rows[curves.samples[rows] == n] for n in budgets]
    means = np.array([float(np.mean(curves.error[g])) for g in groups])
    deviations = np.concatenate([curves.error[g] - m for g, m in zip(groups, means, strict=True)])
    spare = len(rows) - len(groups)
    noise = float(np.sqrt(np.sum(deviations**2) / spare)) if spare >= 2 else 0.0
    known = curves.se[rows][np.isfinite(curves.se[rows])]
    noise = max(noise, float(np.median(known)) if known.size else 0.0)
    least = int(np.argmin(means))
    limit = means[least] + max(2.5 * noise, RISE * abs(means[least]))
    if least == len(budgets) - 1 or means[-1] <= limit or budgets[-1] <= curves.unique[rows[0]]:
        return None
    late = np.concatenate(
        [
            g
            for g, m in zip(groups[least + 1 :], means[least + 1 :], strict=True)
            if m > means[least]
        ]
    )
    return late, float(max(budgets[least] / curves.unique[rows[0]], 1.0))
