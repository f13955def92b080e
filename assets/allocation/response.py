"""How far each group's path is worth following at a price per unit of spend."""

from __future__ import annotations

import numpy as np

from assets.allocation.curves import Welfare
from assets.allocation.fill import Fill
from assets.allocation.roots import Floats, array_root


class Response:
    """Each group's best effective samples at a price per unit of spend.

    The price at which every segment begins and ends does not depend on the price asked, so a query
    compares, then
    solves one segment per group: O(M) comparisons and O(G) solves.
    """

    def __init__(self, fill: Fill, welfare: Welfare, held: Floats | None = None) -> None:
        self.fill = fill
        self.welfare = welfare
        self.held = np.zeros(fill.groups) if held is None else held
        group = fill.group
        by_segment = welfare.take(group)
        with np.errstate(invalid="ignore", over="ignore"):
            self.ends = by_segment.marginal(self.held[group] + fill.e1, left=True) * fill.low
            self.begins = np.nan_to_num(
                by_segment.marginal(self.held[group] + fill.e0) * fill.high, nan=0.0, posinf=np.inf
            )

    def at(self, price: float) -> Floats:
        """Return effective new samples per group, shape (G,), at `price` > 0."""
        fill = self.fill
        if not fill.group.size:
            return np.zeros(fill.groups)
        at = fill.locate(self.ends >= price)
        i = np.maximum(at, 0)
        e0, e1 = fill.e0[i], fill.e1[i]
        flat = fill.cell[i] >= 0
        out = e0.copy()
        held = self.held
        welfare = self.welfare
        if flat.all():
            out = welfare.inverse(price / fill.high[i], held + e0, held + e1) - held
        else:
            on = np.flatnonzero(flat)
            out[on] = (
                welfare.take(on).inverse(price / fill.high[i][on], (held + e0)[on], (held + e1)[on])
                - held[on]
            )
            curved = np.flatnonzero(~flat & (at >= 0))
            out[curved] = self._smooth(curved, i[curved], price)
        out = np.clip(out, e0, e1)
        return np.where(at >= 0, out, 0.0)

    def _smooth(self, groups: np.ndarray, at: np.ndarray, price: float) -> Floats:
        fill = self.fill
        part = self.welfare.take(groups)
        held = self.held[groups]

        def gap(log_level: Floats) -> Floats:
            level = np.exp(log_level)
            e = fill.smooth_totals(groups, at, level)[0]
            with np.errstate(divide="ignore"):
                worth = np.log(part.marginal(held + e)) + log_level - np.log(price)
            return np.asarray(np.clip(worth, -800.0, 800.0))

        lo, hi = np.log(fill.low[at]), np.log(fill.high[at])
        root = array_root(gap, lo, hi)
        return fill.smooth_totals(groups, at, np.exp(root))[0]
