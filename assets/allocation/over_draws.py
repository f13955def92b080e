"""Plan on all draws of the curves instead of the best ones: the mean of a sum, the worst of a level.

Both stay separable. The mean over draws of w u(f_g(n)) is a concave function of n per group; so is the
least level over draws. They are tabulated (straight lines between 400 sizes, dense where data is scarce)
and solved by the same exact solver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from assets.allocation.curves import TABULATED, Curves
from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS, Stated

Draws = Literal["mean", "worst"]
_SIZES = 400


def over_draws(stated: Stated, drawn: Sequence[Stated], how: Draws) -> Stated:
    """Return the problem on the mean over draws (sums) or on the worst draw (levels).

    Parameters
    ----------
    stated
        On the best curves.
    drawn
        The same with each draw's curves and level.
    how
        `mean` goes with weighted_sum and isoelastic, `worst` with max_min, leximin and min_cost. The
        other two pairs couple the groups through the draw and are refused.

    Raises
    ------
    AllocationError
        The pair is refused, there are no draws, or isoelastic welfare has no size at which every
        draw is above 0.
    """
    sums = stated.kind in SUMS
    if sums != (how == "mean"):
        msg = (
            f"setting draws: {how} does not go with {stated.kind}; use mean with weighted_sum and "
            "isoelastic, worst with max_min, leximin and min_cost"
        )
        raise AllocationError(msg)
    if not drawn:
        msg = "setting draws: the curves have no draws; fit them with draws"
        raise AllocationError(msg)
    groups, top = stated.fill.groups, np.maximum(stated.fill.top_effective, 2.0)
    sizes = stated.held[:, None] + np.geomspace(1.0, top, _SIZES, axis=1)
    rows = np.repeat(np.arange(groups), _SIZES)
    values = np.stack([d.level.take(rows).value(sizes.ravel()) for d in drawn])
    if sums:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            values = _utility(values, stated.welfare().aversion)
    table = (values.mean(axis=0) if sums else values.min(axis=0)).reshape(groups, _SIZES)
    level = _tabulated(sizes, table, stated)
    kind = "weighted_sum" if sums else stated.kind
    return replace(stated, level=level, kind=kind, aversion=0.0)


def _utility(f: Floats, aversion: float) -> Floats:
    if aversion == 0:
        return f
    if aversion == 1:
        return np.where(f > 0, np.log(np.maximum(f, 1e-300)), -np.inf)
    return np.where(f > 0, np.maximum(f, 1e-300) ** (1 - aversion) / (1 - aversion), -np.inf)


def _tabulated(sizes: Floats, table: Floats, stated: Stated) -> Curves:
    tables: dict[int, tuple[Floats, Floats]] = {}
    for g, (n, value) in enumerate(zip(sizes, table, strict=True)):
        good = np.isfinite(value)
        if good.sum() < 2:
            msg = (
                f"group {stated.names[g]!r}: not every draw of its curve is above 0 with all its "
                "data, as isoelastic welfare needs; choose another level or objective"
            )
            raise AllocationError(msg)
        x, y = n[good], value[good]
        if (
            x[0] > 0
        ):  # below the first size the line goes on more steeply, so the table stays concave
            x, y = np.insert(x, 0, 0.0), np.insert(y, 0, y[0] - 2 * x[0] * _slope(x, y))
        tables[g] = (x, y)
    one = np.ones(len(tables))
    last = np.array([y[-1] for _, y in tables.values()])
    form = np.full(len(tables), TABULATED, np.int8)
    return Curves(form, last, one, one, 0.0 * one, one, 0.0 * one, tables)


def _slope(x: Floats, y: Floats) -> float:
    return float((y[1] - y[0]) / (x[1] - x[0]))
